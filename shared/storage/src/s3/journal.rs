//! The segments of a journal: one object a commit, numbered from 1 without a gap.

use std::path::Path;

use dropforge_driver::store::{Commit, StoreError};
use dropforge_engine::ids::RunUid;
use dropforge_engine::record::Record;
use serde::{Deserialize, Serialize};

use super::bucket::{Condition, Put};
use super::{S3Store, key};
use crate::{json, keys};

/// The version of the segments that this code writes.
const SEGMENT_FORMAT: u32 = 1;

/// Segments asked for at once where the end of the tail is not known: what was asked for beyond it costs a request.
const TAIL_AHEAD: [u64; 4] = [4, 8, 16, 32];

#[derive(Serialize)]
struct NewSegment<'a> {
    format: u32,
    nonce: String,
    records: &'a [Record],
}

#[derive(Deserialize)]
struct Segment {
    records: Vec<Record>,
}

/// What was read of a journal.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) records: Vec<Record>,
    /// The number of the last segment.
    pub(super) end: u64,
    /// How many bytes were read.
    pub(super) bytes: u64,
}

impl S3Store {
    /// Creates the segment after `position`. Its nonce is new, also when the same process commits the same again: what
    /// stands there byte for byte is this commit, whose first answer was lost.
    pub(super) async fn append(
        &self,
        run: &RunUid,
        position: u64,
        records: &[Record],
    ) -> Result<(Commit, u64), StoreError> {
        let key = segment(run, position + 1)?;
        let new = NewSegment { format: SEGMENT_FORMAT, nonce: self.nonces.next(), records };
        let body = json::bytes(Path::new(&key), &new)?;
        let bytes = body.len() as u64;
        let commit = match self.control.put(&key, body, Condition::Absent).await? {
            Put::Committed { .. } | Put::Mine { .. } => Commit::Committed { position: position + 1 },
            Put::Lost(_) => Commit::Conflict,
        };
        Ok((commit, bytes))
    }

    /// The segments after `position`, read by number until one is missing, or until there are `most` or some more.
    pub(super) async fn segments(&self, run: &RunUid, position: u64, most: u64) -> Result<Read, StoreError> {
        let mut read = Read { end: position, ..Read::default() };
        let widest = TAIL_AHEAD[TAIL_AHEAD.len() - 1];
        for width in TAIL_AHEAD.into_iter().chain(std::iter::repeat(widest)) {
            let numbers = read.end + 1..=read.end + width;
            let keys = numbers.map(|number| segment(run, number)).collect::<Result<Vec<_>, _>>()?;
            for (key, found) in keys.iter().zip(self.control.get_all(keys.clone()).await?) {
                let Some(found) = found else { return Ok(read) };
                let segment: Segment = json::parse(Path::new(key), &found.body, SEGMENT_FORMAT)?;
                read.records.extend(segment.records);
                read.end += 1;
                read.bytes += found.body.len() as u64;
            }
            if read.end - position >= most {
                return Ok(read);
            }
        }
        Ok(read)
    }

    /// Whether this is where a journal ends or once ended.
    pub(super) async fn reached(&self, run: &RunUid, position: u64) -> Result<bool, StoreError> {
        match position {
            0 => Ok(true),
            number => Ok(self.control.etag(&segment(run, number)?).await?.is_some()),
        }
    }
}

fn segment(run: &RunUid, number: u64) -> Result<String, StoreError> {
    keys::segment(run, number).map(key)
}
