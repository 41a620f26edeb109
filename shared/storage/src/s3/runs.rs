//! Specs, journals and markers.

use std::path::Path;

use dropforge_driver::store::{
    Buried, Commit, Created, LoadedRun, Resumed, Runs, StoreError, Tail, Tombstone,
};
use dropforge_engine::ids::RunUid;
use dropforge_engine::record::Record;
use dropforge_engine::spec::{RunSpec, SPEC_FORMAT};
use dropforge_engine::state::RunState;

use super::conditional::{Conditional, Put};
use super::requests::{Condition, Found, Requests};
use super::tails::Tail as Behind;
use super::{ObjectStore, key};
use crate::tombstone::{is_tombstone, no_such_run};
use crate::{json, keys};

/// Segments of a journal that are in memory at once where it is read part by part: some megabytes.
const PART_SEGMENTS: u64 = 256;

impl<R: Requests> Runs for ObjectStore<R> {
    /// The marker is written again after the spec: whoever found it without a spec and took it away did so before.
    async fn create_run(&self, spec: &RunSpec) -> Result<Created, StoreError> {
        let key = spec_key(&spec.uid)?;
        self.mark(&spec.uid).await?;
        match self.control.put(&key, json::bytes(Path::new(&key), spec)?, Condition::Absent).await? {
            Put::Committed { .. } | Put::Mine { .. } => {
                self.mark(&spec.uid).await?;
                Ok(Created::New)
            }
            Put::Lost(found) => {
                // A run that was deleted is not live.
                if found.is_some_and(|found| is_tombstone(&found.body)) {
                    self.control.remove(&live_key(&spec.uid)?).await?;
                }
                Ok(Created::Exists)
            }
        }
    }

    async fn load_run(&self, run: &RunUid) -> Result<LoadedRun, StoreError> {
        let spec = self.read_spec(run).await?;
        let read = self.segments(run, 0, u64::MAX).await?;
        Ok(LoadedRun { spec, records: read.records, position: read.end })
    }

    async fn resume(&self, run: &RunUid) -> Result<Resumed, StoreError> {
        let (spec, stored) = tokio::try_join!(self.read_spec(run), self.read_snapshot(run))?;
        let (kept, snapshot) = stored.unzip();
        // A snapshot of which something is missing is worth no more than none: the segments hold all that is in it.
        let snapshot = snapshot.flatten();
        let begin = kept.as_ref().filter(|_| snapshot.is_some()).map_or(0, |kept| kept.journal_seq);
        let more = kept.is_some() && snapshot.is_none();
        let read = self.segments(run, begin, if more { PART_SEGMENTS } else { u64::MAX }).await?;
        let (end, segments) = (read.end, read.end - begin);
        self.remember(run, Behind { end, segments, bytes: read.bytes, snapshot: kept, next: None });
        Ok(Resumed { spec, snapshot, records: read.records, position: end, more })
    }

    async fn spec(&self, run: &RunUid) -> Result<RunSpec, StoreError> {
        self.read_spec(run).await
    }

    async fn part(&self, run: &RunUid, position: u64) -> Result<Option<Tail>, StoreError> {
        let read = self.segments(run, position, PART_SEGMENTS).await?;
        self.extended(run, position, &read);
        Ok((read.end > position).then_some(Tail { records: read.records, position: read.end }))
    }

    async fn keep_snapshot(&self, run: &RunUid, position: u64, state: &RunState) -> Result<(), StoreError> {
        self.write_snapshot(run, position, state).await
    }

    async fn tail(&self, run: &RunUid, position: u64) -> Result<Tail, StoreError> {
        let read = self.newer_segments(run, position).await?;
        self.extended(run, position, &read);
        Ok(Tail { records: read.records, position: read.end })
    }

    async fn commit(&self, run: &RunUid, position: u64, records: &[Record]) -> Result<Commit, StoreError> {
        let known = self.tails().get(run).is_some_and(|tail| tail.end == position);
        if !known {
            self.read_spec(run).await?;
            // A segment after a gap would never be read.
            if !self.reached(run, position).await? {
                return Ok(Commit::Conflict);
            }
        }
        if records.is_empty() {
            let over = self.reached(run, position + 1).await?;
            return Ok(if over { Commit::Conflict } else { Commit::Committed { position } });
        }
        let (commit, bytes) = self.append(run, position, records).await?;
        if let Commit::Committed { position } = commit {
            self.grown(run, position, bytes);
        }
        Ok(commit)
    }

    async fn live_runs(&self) -> Result<Vec<RunUid>, StoreError> {
        let markers = self.control.list(&format!("{}/", keys::LIVE)).await?;
        let names = markers.iter().filter_map(|marker| marker.key.rsplit('/').next());
        let mut runs: Vec<RunUid> = names.filter_map(keys::name_of).map(RunUid::from).collect();
        runs.sort_unstable();
        Ok(runs)
    }

    async fn mark_live(&self, run: &RunUid) -> Result<(), StoreError> {
        self.mark(run).await
    }

    async fn unmark_live(&self, run: &RunUid, position: u64) -> Result<(), StoreError> {
        self.unmark(run, Some(position)).await
    }

    /// Who creates the run marks it once more after its spec: a marker that is older than this look is not that one.
    async fn unmark_unborn(&self, run: &RunUid) -> Result<(), StoreError> {
        let marker = live_key(run)?;
        let Some(etag) = self.control.etag(&marker).await? else { return Ok(()) };
        // Of a run that is being deleted a command may have come before: who deletes it sees the marker, and gives up.
        let inbox = format!("{}/", key(keys::inbox(run)?));
        let commanded = self.control.has_any(&inbox).await?;
        match self.control.get(&spec_key(run)?).await? {
            Some(found) if commanded || !is_tombstone(&found.body) => Ok(()),
            _ => self.control.remove_unchanged(&marker, &etag).await.map(drop),
        }
    }

    /// A command may mark the run live between the two: then the spec comes back.
    async fn bury(&self, tombstone: &Tombstone) -> Result<Buried, StoreError> {
        let run = &tombstone.uid;
        let key = spec_key(run)?;
        loop {
            let Some(found) = self.control.get(&key).await? else { return Err(no_such_run(run)) };
            if is_tombstone(&found.body) {
                return Ok(Buried::Hidden);
            }
            if self.is_live(run).await? {
                return Ok(Buried::Live);
            }
            let grave = json::bytes(Path::new(&key), tombstone)?;
            let put = self.control.put(&key, grave, Condition::Unchanged(&found.etag)).await?;
            let (Put::Committed { etag } | Put::Mine { etag }) = put else { continue };
            if !self.is_live(run).await? {
                self.tails().remove(run);
                return Ok(Buried::Hidden);
            }
            self.control.put(&key, found.body.to_vec(), Condition::Unchanged(&etag)).await?;
            return Ok(Buried::Live);
        }
    }
}

impl<R: Requests> ObjectStore<R> {
    /// Every marker is a new one, so that a removal that names an older one fails.
    pub(super) async fn mark(&self, run: &RunUid) -> Result<(), StoreError> {
        self.control.replace(&live_key(run)?, self.nonces.next().into_bytes()).await
    }

    /// Removes the marker of a run that is over at this position, or was deleted. A command that comes meanwhile writes
    /// the marker after itself, and so anew: the removal names the marker as it was before the inbox and the journal were
    /// looked at. First the inbox: a command that is gone from it has its record in the journal by then.
    pub(super) async fn unmark(&self, run: &RunUid, over: Option<u64>) -> Result<(), StoreError> {
        let marker = live_key(run)?;
        let Some(etag) = self.control.etag(&marker).await? else { return Ok(()) };
        let inbox = format!("{}/", key(keys::inbox(run)?));
        if self.control.has_any(&inbox).await? && !self.is_buried(run).await? {
            return Ok(());
        }
        if let Some(position) = over
            && self.reached(run, position + 1).await?
        {
            return Ok(());
        }
        self.tails().remove(run);
        self.control.remove_unchanged(&marker, &etag).await.map(drop)
    }

    async fn is_live(&self, run: &RunUid) -> Result<bool, StoreError> {
        Ok(self.control.etag(&live_key(run)?).await?.is_some())
    }

    pub(super) async fn is_buried(&self, run: &RunUid) -> Result<bool, StoreError> {
        let found = self.control.get(&spec_key(run)?).await?;
        Ok(found.is_some_and(|found| is_tombstone(&found.body)))
    }

    async fn read_spec(&self, run: &RunUid) -> Result<RunSpec, StoreError> {
        let key = spec_key(run)?;
        let alive = |found: &Found| !is_tombstone(&found.body);
        let found = self.control.get(&key).await?.filter(alive).ok_or_else(|| no_such_run(run))?;
        json::parse(Path::new(&key), &found.body, SPEC_FORMAT)
    }
}

fn spec_key(run: &RunUid) -> Result<String, StoreError> {
    keys::spec(run).map(key)
}

fn live_key(run: &RunUid) -> Result<String, StoreError> {
    keys::live(run).map(key)
}
