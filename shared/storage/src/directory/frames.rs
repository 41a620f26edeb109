//! Files of checksummed frames that are appended to.
//!
//! A frame is the payload's length and CRC-32 and the CRC-32 of these eight bytes, each as 4 bytes, little end
//! first, then the payload. The header has a checksum of its own, so that a damaged length is never taken for a
//! short last frame, which would cut off all that follows.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use dropforge_driver::store::StoreError;

use crate::files::failed;

/// What stands before a payload.
pub(super) const HEADER_BYTES: usize = 12;

/// The largest pieces in which files are read.
const BUFFER_BYTES: u64 = 256 * 1024;

/// What stands at a place of a file.
pub(super) enum Frame {
    /// A frame's payload.
    Whole(Vec<u8>),
    /// Nothing more.
    End,
    /// The beginning of a frame, or what a power failure left of one.
    Torn,
}

/// Reads a file frame by frame.
pub(super) struct Reader<'a> {
    path: &'a Path,
    file: BufReader<&'a File>,
    at: u64,
    length: u64,
}

impl<'a> Reader<'a> {
    /// The frames from `at`, where one begins, to where the file ends by now.
    pub(super) fn new(path: &'a Path, mut file: &'a File, at: u64) -> Result<Reader<'a>, StoreError> {
        let length = file.metadata().map_err(failed("read", path))?.len();
        file.seek(SeekFrom::Start(at)).map_err(failed("read", path))?;
        let size = length.saturating_sub(at).min(BUFFER_BYTES) as usize;
        Ok(Reader { path, file: BufReader::with_capacity(size, file), at, length })
    }

    /// Where the next frame begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn next(&mut self) -> Result<Frame, StoreError> {
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

/// A payload as a frame.
pub(super) fn frame(payload: &[u8]) -> io::Result<Vec<u8>> {
    let size = u32::try_from(payload.len())
        .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, "one frame is larger than 4 GiB"))?;
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
