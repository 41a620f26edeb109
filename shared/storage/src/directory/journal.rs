//! A run's journal: one file of checksummed frames, one frame a commit.
//!
//! A frame is the payload's length and CRC-32 and the CRC-32 of these eight bytes, each as 4 bytes, little end
//! first, then the payload: `{"format":1,"nonce":…,"records":[…]}`. The header has a checksum of its own, so
//! that a damaged length is never taken for a short last frame, which would cut off all that follows.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dropforge_driver::store::StoreError;
use dropforge_engine::record::Record;
use serde::{Deserialize, Serialize};

use crate::files::{self, failed, unless_missing, with_parent};
use crate::json;

/// The version of the payloads that this code writes.
const FORMAT: u32 = 1;

const HEADER_BYTES: usize = 12;

/// Journals are read in pieces of this size.
const BUFFER_BYTES: usize = 256 * 1024;

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
    /// Reads the journal and cuts off a torn last frame.
    pub(super) fn open(path: PathBuf) -> Result<(Journal, Vec<Record>), StoreError> {
        let content = read(&path)?;
        let mut journal = Journal { path, file: None, end: content.end };
        if content.torn {
            tracing::warn!(journal = %journal.path.display(), end = content.end, "cut off a torn last commit");
            let end = journal.end;
            let path = journal.path.clone();
            journal.file()?.set_len(end).map_err(failed("write", &path))?;
        }
        Ok((journal, content.records))
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
    read_from(path, 0)
}

/// The same from a frame's end on.
pub(super) fn read_from(path: &Path, begin: u64) -> Result<Content, StoreError> {
    let Some(mut file) = unless_missing(File::open(path)).map_err(failed("read", path))? else {
        return Ok(Content::default());
    };
    let length = file.metadata().map_err(failed("read", path))?.len();
    file.seek(SeekFrom::Start(begin)).map_err(failed("read", path))?;
    let mut reader = Reader { path, file: BufReader::with_capacity(BUFFER_BYTES, file), at: begin, length };
    let mut records = Vec::new();
    loop {
        let begin = reader.at;
        match reader.next()? {
            Frame::Whole(payload) => {
                let offset = begin + HEADER_BYTES as u64;
                let payload: StoredPayload = json::parse_at(path, offset, &payload, FORMAT)?;
                records.extend(payload.records);
            }
            Frame::End => return Ok(Content { records, end: begin, torn: false }),
            Frame::Torn => return Ok(Content { records, end: begin, torn: true }),
        }
    }
}

enum Frame {
    Whole(Vec<u8>),
    End,
    Torn,
}

struct Reader<'a> {
    path: &'a Path,
    file: BufReader<File>,
    at: u64,
    length: u64,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<Frame, StoreError> {
        let left = self.length - self.at;
        if left == 0 {
            return Ok(Frame::End);
        }
        if left < HEADER_BYTES as u64 {
            return Ok(Frame::Torn);
        }
        let begin = self.at;
        let header = self.take(HEADER_BYTES)?;
        let Some((size, crc)) = parse_header(&header) else {
            return self.torn_unless_frames_follow(begin, header);
        };
        if u64::from(size) > self.length - self.at {
            return Ok(Frame::Torn);
        }
        let payload = self.take(size as usize)?;
        if crc32fast::hash(&payload) == crc {
            return Ok(Frame::Whole(payload));
        }
        if self.at == self.length {
            return Ok(Frame::Torn);
        }
        Err(self.damaged(begin, "the checksum of a commit is wrong, and commits follow it"))
    }

    /// After a power failure the end of a file may hold anything; damage it is only where a commit follows.
    fn torn_unless_frames_follow(&mut self, begin: u64, mut tail: Vec<u8>) -> Result<Frame, StoreError> {
        let rest = (self.length - self.at) as usize;
        tail.extend(self.take(rest)?);
        let follows = (1..tail.len()).any(|at| {
            let payload = |size: u32| tail.get(at + HEADER_BYTES..)?.get(..size as usize);
            tail.get(at..at + HEADER_BYTES)
                .and_then(parse_header)
                .and_then(|(size, crc)| Some(crc32fast::hash(payload(size)?) == crc))
                .unwrap_or(false)
        });
        if follows {
            return Err(self.damaged(begin, "the header of a commit is damaged, and commits follow it"));
        }
        Ok(Frame::Torn)
    }

    fn take(&mut self, size: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; size];
        self.file.read_exact(&mut bytes).map_err(failed("read", self.path))?;
        self.at += size as u64;
        Ok(bytes)
    }

    fn damaged(&self, offset: u64, why: &str) -> StoreError {
        StoreError::Damaged { key: self.path.display().to_string(), offset, why: why.to_owned() }
    }
}

fn frame(payload: &[u8]) -> io::Result<Vec<u8>> {
    let size = u32::try_from(payload.len())
        .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, "one commit is larger than 4 GiB"))?;
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend(size.to_le_bytes());
    frame.extend(crc32fast::hash(payload).to_le_bytes());
    frame.extend(crc32fast::hash(&frame).to_le_bytes());
    frame.extend(payload);
    Ok(frame)
}

/// The payload's length and checksum; none when the header is damaged. No payload is empty, so a header of zeros,
/// as a power failure leaves them, is damaged too.
fn parse_header(header: &[u8]) -> Option<(u32, u32)> {
    let word = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let (size, crc) = (word(0)?, word(4)?);
    (size > 0 && word(8)? == crc32fast::hash(&header[..8])).then_some((size, crc))
}

#[cfg(test)]
mod tests;
