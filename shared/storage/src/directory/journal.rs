//! A run's journal: one file of checksummed frames, one frame a commit: `{"format":1,"nonce":…,"records":[…]}`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dropforge_driver::store::StoreError;
use dropforge_engine::record::Record;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::frames::{Frame, HEADER_BYTES, Reader, frame};
use crate::files::{self, failed, unless_missing, with_parent};
use crate::json;

/// The version of the payloads that this code writes.
const FORMAT: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    format: u32,
    nonce: &'a str,
    records: &'a [Record],
}

#[derive(Deserialize)]
struct StoredPayload {
    records: Vec<Record>,
}

/// What is in a journal's file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Content {
    pub(super) records: Vec<Record>,
    /// Where the last whole frame ends.
    pub(super) end: u64,
    /// Whether a torn frame follows.
    pub(super) torn: bool,
}

/// A journal that its owner appends to.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// None: closed to spare a file descriptor; opened again by need.
    file: Option<File>,
    end: u64,
}

impl Journal {
    /// Looks through the journal and cuts off a torn last frame.
    pub(super) fn open(path: PathBuf) -> Result<Journal, StoreError> {
        let (end, torn) = checked(&path)?;
        let mut journal = Journal { path, file: None, end };
        if torn {
            tracing::warn!(journal = %journal.path.display(), end, "cut off a torn last commit");
            let end = journal.end;
            let path = journal.path.clone();
            journal.file()?.set_len(end).map_err(failed("write", &path))?;
        }
        Ok(journal)
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// Appends one frame by one write. After an error the file is as before, so that nothing stored is lost;
    /// where even that fails, the next `open` finds a torn last frame.
    pub(super) fn append(&mut self, nonce: &str, records: &[Record], sync: bool) -> Result<(), StoreError> {
        let frame = frame(&json::bytes(&self.path, &Payload { format: FORMAT, nonce, records })?)
            .map_err(failed("write", &self.path))?;
        let (first, end) = (self.end == 0, self.end);
        let path = self.path.clone();
        let file = self.file()?;
        let written =
            file.write_all_at(&frame, end).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            if let Err(cut) = file.set_len(end) {
                tracing::warn!(journal = %path.display(), %cut, "a failed commit could not be cut off");
            }
            return Err(failed("write", &path)(error));
        }
        if first {
            files::sync_folder(&path, sync)?;
        }
        self.end += frame.len() as u64;
        Ok(())
    }

    fn file(&mut self) -> Result<&File, StoreError> {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            let opened = with_parent(&self.path, || options.open(&self.path));
            self.file = Some(opened.map_err(failed("open", &self.path))?);
        }
        Ok(self.file.as_ref().expect("it was opened just above"))
    }
}

/// Reads a journal, frame by frame; there is nothing in a file that is not there.
pub(super) fn read(path: &Path) -> Result<Content, StoreError> {
    read_from(path, 0, u64::MAX)
}

/// Where the last whole frame ends, and whether a torn one follows. Nothing is kept of the frames, and those of a newer
/// program are left to it.
fn checked(path: &Path) -> Result<(u64, bool), StoreError> {
    let Some(file) = unless_missing(File::open(path)).map_err(failed("read", path))? else {
        return Ok((0, false));
    };
    let mut reader = Reader::new(path, &file, 0)?;
    loop {
        let end = reader.at();
        match reader.next()? {
            Frame::Whole(payload) => {
                let _: IgnoredAny = json::parse_at(path, end + HEADER_BYTES as u64, &payload, FORMAT)?;
            }
            Frame::End => return Ok((end, false)),
            Frame::Torn => return Ok((end, true)),
        }
    }
}

/// The same from a frame's end on, until so many bytes are read.
pub(super) fn read_from(path: &Path, begin: u64, bytes_max: u64) -> Result<Content, StoreError> {
    let Some(file) = unless_missing(File::open(path)).map_err(failed("read", path))? else {
        return Ok(Content::default());
    };
    let mut reader = Reader::new(path, &file, begin)?;
    let mut records = Vec::new();
    loop {
        let at = reader.at();
        if at - begin >= bytes_max {
            return Ok(Content { records, end: at, torn: false });
        }
        match reader.next()? {
            Frame::Whole(payload) => {
                let offset = at + HEADER_BYTES as u64;
                let payload: StoredPayload = json::parse_at(path, offset, &payload, FORMAT)?;
                records.extend(payload.records);
            }
            Frame::End => return Ok(Content { records, end: at, torn: false }),
            Frame::Torn => return Ok(Content { records, end: at, torn: true }),
        }
    }
}

#[cfg(test)]
mod tests;
