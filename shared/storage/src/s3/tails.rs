//! How much of a journal lies behind its newest snapshot, as this process knows it; and that snapshot.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dropforge_driver::owner::chain;
use dropforge_driver::store::{ErrorKind, StoreError};
use dropforge_engine::frozen::PieceName;
use dropforge_engine::ids::RunUid;
use dropforge_engine::snapshot::apart::{Apart, apart};
use dropforge_engine::snapshot::{SNAPSHOT_FORMAT, Snapshot};
use dropforge_engine::state::RunState;
use serde::{Deserialize, Serialize};

use super::conditional::Conditional;
use super::journal::Read;
use super::packed::{self, PACKED_FORMAT};
use super::requests::{Condition, Found, Requests};
use super::{ObjectStore, key};
use crate::{json, keys};

/// A tail of this many segments costs as many requests at the next reading as a snapshot is worth that is no larger.
const TAIL_SEGMENTS: u64 = 32;

/// However large the snapshot: no reading asks for more segments than these.
const TAIL_SEGMENTS_MAX: u64 = 128;

/// Below this a tail is light whatever the snapshot weighs: its segments cost more than its bytes.
const TAIL_BYTES_LIGHT: u64 = 64 * 1024;

/// Runs that a process remembers; beyond that it forgets all of them and looks again.
const TAILS_MAX: usize = 10_000;

/// The journal of a run, as this process last knew it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    /// The number of its last segment.
    pub(super) end: u64,
    /// The segments behind the snapshot, and their bytes.
    pub(super) segments: u64,
    pub(super) bytes: u64,
    pub(super) snapshot: Option<Kept>,
    /// The segment after `end`, where a commit that was lost has read it.
    pub(super) next: Option<Bytes>,
}

/// The newest snapshot.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    etag: String,
    version: u64,
    /// The number of the last segment in it.
    pub(super) journal_seq: u64,
    bytes: u64,
    /// What is known to be kept beside it.
    pieces: Arc<BTreeSet<PieceName>>,
}

/// What a snapshot carries beside its body, so that who knows an older one need not read it.
const METADATA_SEQ: &str = "journal-seq";
const METADATA_VERSION: &str = "version";

#[derive(Serialize)]
struct NewSnapshot<'a> {
    format: u32,
    /// Grows, so that equal states never have an equal entity tag.
    version: u64,
    journal_seq: u64,
    state: &'a Snapshot,
    #[serde(skip_serializing_if = "Apart::is_empty")]
    apart: &'a Apart,
}

/// The format without anything apart, which older programs read too.
const WHOLE_FORMAT: u32 = 1;

#[derive(Deserialize)]
struct Stored {
    version: u64,
    journal_seq: u64,
    state: Snapshot,
    #[serde(default)]
    apart: Apart,
}

/// The same without its state, which may be large.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u64,
    journal_seq: u64,
    #[serde(default, skip_serializing_if = "Apart::is_empty")]
    apart: Apart,
}

impl Tail {
    fn heavy(&self) -> bool {
        let weight = self.snapshot.as_ref().map_or(0, |kept| kept.bytes);
        let worth = self.segments >= TAIL_SEGMENTS && self.bytes >= weight;
        worth || self.segments >= TAIL_SEGMENTS_MAX || self.bytes > weight.max(TAIL_BYTES_LIGHT)
    }

    /// The same journal behind a newer snapshot. What its segments weigh is not known one by one.
    fn behind(self, newer: Kept) -> Tail {
        let segments = self.end.saturating_sub(newer.journal_seq).min(self.segments);
        let bytes = self.bytes * segments / self.segments.max(1);
        Tail { segments, bytes, snapshot: Some(newer), ..self }
    }
}

impl<R: Requests> ObjectStore<R> {
    pub(super) fn remember(&self, run: &RunUid, tail: Tail) {
        let mut tails = self.tails();
        if tails.len() >= TAILS_MAX {
            tails.clear();
        }
        tails.insert(run.clone(), tail);
    }

    /// Counts a commit.
    pub(super) fn grown(&self, run: &RunUid, end: u64, bytes: u64) {
        if let Some(tail) = self.tails().get_mut(run) {
            tail.end = end;
            tail.segments += 1;
            tail.bytes += bytes;
            tail.next = None;
        }
    }

    /// Keeps what a lost commit has read: the segment after `position`.
    pub(super) fn overtaken(&self, run: &RunUid, position: u64, next: Option<Bytes>) {
        if let Some(tail) = self.tails().get_mut(run).filter(|tail| tail.end == position) {
            tail.next = next;
        }
    }

    /// The segment after `position`, where it was read before.
    pub(super) fn next_known(&self, run: &RunUid, position: u64) -> Option<Bytes> {
        self.tails().get_mut(run).filter(|tail| tail.end == position)?.next.take()
    }

    /// Counts what others committed after a position.
    pub(super) fn extended(&self, run: &RunUid, position: u64, read: &Read) {
        if let Some(tail) = self.tails().get_mut(run).filter(|tail| tail.end == position) {
            tail.end = read.end;
            tail.segments += read.end - position;
            tail.bytes += read.bytes;
            tail.next = None;
        }
    }

    /// The newest snapshot of a run, if there is one; without its content where some of that is missing.
    pub(super) async fn read_snapshot(
        &self,
        run: &RunUid,
    ) -> Result<Option<(Kept, Option<Snapshot>)>, StoreError> {
        let key = key(keys::snapshot(run)?);
        let Some(found) = self.control.get(&key).await? else { return Ok(None) };
        let stored: Stored = packed::parse(&key, &found.body, SNAPSHOT_FORMAT)?;
        let known = kept(&found, stored.version, stored.journal_seq, &stored.apart);
        match self.with_pieces(run, stored.state, &stored.apart).await {
            Ok(snapshot) => Ok(Some((known, Some(snapshot)))),
            Err(why) if why.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%run, "its whole journal is read, since its snapshot is none: failed to {}", chain(&why));
                Ok(Some((Kept { pieces: Arc::default(), ..known }, None)))
            }
            Err(why) => Err(why),
        }
    }

    /// Puts a snapshot in place of the newest one, where that is worth it. Of several functions that find it so at the
    /// same time one is the first, and it has put as good a one.
    pub(super) async fn write_snapshot(
        &self,
        run: &RunUid,
        position: u64,
        state: &RunState,
    ) -> Result<(), StoreError> {
        let Some(tail) = self.tails().get(run).cloned() else { return Ok(()) };
        if tail.end != position || !tail.heavy() {
            return Ok(());
        }
        let key = key(keys::snapshot(run)?);
        let tail = self.behind_newest(&key, tail).await?;
        self.remember(run, tail.clone());
        if !tail.heavy() {
            return Ok(());
        }
        let version = tail.snapshot.as_ref().map_or(0, |kept| kept.version) + 1;
        let (state, apart, texts) = apart(state);
        let pieces = tail.snapshot.as_ref().map(|kept| kept.pieces.clone()).unwrap_or_default();
        self.write_pieces(run, &texts, &pieces).await?;
        let format = if apart.is_empty() { WHOLE_FORMAT } else { SNAPSHOT_FORMAT };
        let new = NewSnapshot { format, version, journal_seq: position, state: &state, apart: &apart };
        let whole = json::bytes(Path::new(&key), &new)?;
        let head = Header { version, journal_seq: position, apart };
        let body = packed::bytes(&key, whole, &head)?;
        let bytes = body.len() as u64;
        let pieces = Arc::new(head.apart.names().cloned().collect());
        let known = tail.snapshot.as_ref().map(|kept| kept.etag.as_str());
        let condition = known.map_or(Condition::Absent, Condition::Unchanged);
        let metadata = [(METADATA_SEQ, position), (METADATA_VERSION, version)];
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_string())).into();
        let tail = match self.control.put_once(&key, body, condition, metadata).await? {
            Some(etag) => tail.behind(Kept { etag, version, journal_seq: position, bytes, pieces }),
            None => self.behind_newest(&key, tail).await?,
        };
        self.remember(run, tail);
        Ok(())
    }

    /// The tail behind the newest snapshot, which others may have put.
    async fn behind_newest(&self, key: &str, tail: Tail) -> Result<Tail, StoreError> {
        let Some(head) = self.control.head(key).await? else { return Ok(tail) };
        if tail.snapshot.as_ref().is_some_and(|kept| kept.etag == head.etag) {
            return Ok(tail);
        }
        let figure = |name: &str| head.metadata.get(name)?.parse().ok();
        let newer = match (figure(METADATA_VERSION), figure(METADATA_SEQ)) {
            (Some(version), Some(journal_seq)) => {
                // What is below a journal is not removed: what was kept beside an older one still is.
                let pieces = tail.snapshot.as_ref().map(|kept| kept.pieces.clone()).unwrap_or_default();
                Kept { etag: head.etag, version, journal_seq, bytes: head.size, pieces }
            }
            // An older program has put it.
            _ => {
                let Some(found) = self.control.get(key).await? else { return Ok(tail) };
                let other: Header = json::parse(Path::new(key), &found.body, PACKED_FORMAT)?;
                kept(&found, other.version, other.journal_seq, &other.apart)
            }
        };
        Ok(tail.behind(newer))
    }
}

fn kept(found: &Found, version: u64, journal_seq: u64, apart: &Apart) -> Kept {
    let pieces = Arc::new(apart.names().cloned().collect());
    Kept { etag: found.etag.clone(), version, journal_seq, bytes: found.body.len() as u64, pieces }
}
