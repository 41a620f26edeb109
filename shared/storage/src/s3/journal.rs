//! The segments of a journal: one object a commit, numbered from 1 without a gap.

use std::path::Path;

use dropforge_driver::store::{Commit, StoreError};
use dropforge_engine::ids::RunUid;
use dropforge_engine::record::Record;
use serde::{Deserialize, Serialize};

use super::conditional::{Conditional, Put};
use super::requests::{Condition, Requests};
use super::{ObjectStore, key};
use crate::{json, keys};

/// The version of the segments that this code writes.
const SEGMENT_FORMAT: u32 = 1;

/// Segments asked for at once where the end of the tail is not known: what was asked for beyond it costs a request.
const TAIL_AHEAD: [u64; 4] = [4, 8, 16, 32];

/// The same for who was at the end before. Functions that advance a run together are few commits behind one another, and
/// look for them all the time.
const TAIL_BEHIND: [u64; 9] = [1, 1, 2, 2, 2, 4, 8, 16, 32];

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

impl Read {
    /// Takes the next segment.
    fn take(&mut self, key: &str, body: &[u8]) -> Result<(), StoreError> {
        let segment: Segment = json::parse(Path::new(key), body, SEGMENT_FORMAT)?;
        self.records.extend(segment.records);
        self.end += 1;
        self.bytes += body.len() as u64;
        Ok(())
    }
}

impl<R: Requests> ObjectStore<R> {
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
            Put::Lost(found) => {
                self.overtaken(run, position, found.map(|found| found.body));
                Commit::Conflict
            }
        };
        Ok((commit, bytes))
    }

    /// The segments after `position`, read by number until one is missing, or until there are `most` or some more.
    pub(super) async fn segments(&self, run: &RunUid, position: u64, most: u64) -> Result<Read, StoreError> {
        let read = Read { end: position, ..Read::default() };
        self.read_on(run, read, &TAIL_AHEAD, position.saturating_add(most)).await
    }

    /// The same for who was at the end before. It begins with what a commit that was lost there has read already.
    pub(super) async fn newer_segments(&self, run: &RunUid, position: u64) -> Result<Read, StoreError> {
        let mut read = Read { end: position, ..Read::default() };
        if let Some(body) = self.next_known(run, position) {
            read.take(&segment(run, position + 1)?, &body)?;
        }
        self.read_on(run, read, &TAIL_BEHIND, u64::MAX).await
    }

    async fn read_on(
        &self,
        run: &RunUid,
        mut read: Read,
        widths: &[u64],
        until: u64,
    ) -> Result<Read, StoreError> {
        let widest = widths.last().copied().unwrap_or(1);
        for width in widths.iter().copied().chain(std::iter::repeat(widest)) {
            let numbers = read.end + 1..=read.end + width;
            let keys = numbers.map(|number| segment(run, number)).collect::<Result<Vec<_>, _>>()?;
            for (key, found) in keys.iter().zip(self.control.get_all(keys.clone()).await?) {
                let Some(found) = found else { return Ok(read) };
                read.take(key, &found.body)?;
            }
            if read.end >= until {
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
