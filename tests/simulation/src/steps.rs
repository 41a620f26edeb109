//! What must hold whenever something is stored. It is looked at in that moment: a later look at everything mends most of
//! what was done wrong, and hides it.

use dropforge_driver::locks::{Claimant, keep};
use dropforge_driver::store::{Inbox, IndexEntry};
use dropforge_engine::attempt::{Reason, Verdict};
use dropforge_engine::ids::RunUid;
use dropforge_engine::lock::Holder;
use dropforge_engine::record::Record;

use jiff::Timestamp;

use crate::checks::{ends, now, state};
use crate::people;
use crate::world::{Handle, World};

/// Records were committed.
pub fn committed(world: &Handle, run: &RunUid, records: &[Record]) {
    world.inner().committed(records);
    in_order(world, run, records);
    if ends(records) {
        people::ended(world, run);
    }
    for record in records {
        if let Record::LocksTaken { holder } = record {
            locked(world, run, *holder);
        }
    }
}

/// A commit was answered as one that was won: nobody else has won it.
pub fn won(world: &World, run: &RunUid, position: u64, records: &[Record]) {
    if !records.is_empty() && !world.inner().won.insert((run.clone(), position)) {
        world.wrong(format_args!("commit {position} of {run} is won twice"));
    }
}

/// The time of a run goes on, and within a generation what has finished does not finish again.
fn in_order(world: &World, run: &RunUid, records: &[Record]) {
    let (mut again, mut latest) = (Vec::new(), None);
    let mut early = false;
    {
        let mut inner = world.inner();
        let before = inner.times.get(run).copied();
        for record in records {
            match record {
                Record::NodeFinished { node, .. } if !inner.finished.insert((run.clone(), *node)) => {
                    again.push(*node);
                }
                Record::RunRetried(retried) => {
                    let open = retried.removed.iter().chain(&retried.reset);
                    for node in open {
                        inner.finished.remove(&(run.clone(), *node));
                    }
                }
                _ => {}
            }
            let at = time(record);
            early |= at.zip(before).is_some_and(|(at, before)| at < before);
            latest = latest.max(at);
        }
        if let Some(latest) = latest.max(before) {
            inner.times.insert(run.clone(), latest);
        }
    }
    if early {
        world.wrong(format_args!("a commit to {run} is dated before the one before"));
    }
    for node in again {
        world.wrong(format_args!("node {node} of {run} finishes again"));
    }
}

/// When it was decided.
fn time(record: &Record) -> Option<Timestamp> {
    match record {
        Record::RunStarted { at }
        | Record::AttemptStarted { at, .. }
        | Record::NodeFinished { at, .. }
        | Record::RunFinished { at, .. } => Some(*at),
        Record::NodeCreated(node) => Some(node.at),
        Record::RunRetried(retried) => Some(retried.at),
        _ => None,
    }
}

/// A block is on record as one that holds its locks: their documents say so too.
fn locked(world: &World, run: &RunUid, holder: Holder) {
    let Some(state) = state(world, run) else { return };
    let Some(block) = state.locks.blocks.get(&holder) else { return };
    for lock in &block.request.locks {
        let there = now(keep::state(&world.kept, lock)).expect("it is there");
        let mut holders = there.iter().flat_map(|there| &there.holders).map(Claimant::id);
        if !holders.any(|id| id == (run.clone(), holder)) {
            world.wrong(format_args!("{run} has {lock} on record, which is held by {there:?}"));
        }
    }
}

/// Whether a run has something left to do that nobody finds where it is not marked.
pub fn is_needed(world: &World, run: &RunUid) -> bool {
    let waits = !now(world.kept.commands(run)).expect("it is there").is_empty();
    waits || state(world, run).is_some_and(|state| !state.done())
}

/// A line of the run list was written under this key: it is no older than the one before.
pub fn listed(world: &World, key: String, entry: &IndexEntry) {
    let before = world.inner().lines.insert(key, entry.position);
    if before.is_some_and(|before| before > entry.position) {
        let (run, now) = (&entry.uid, entry.position);
        world.wrong(format_args!("the line of {run} is that of {now} and was that of {before:?}"));
    }
}

/// What became of an attempt was written. One that is stopped has told its pod to end: the next one begins then.
pub fn decided(world: &World, verdict: &Verdict) {
    let goes_on = {
        let pods = &world.inner().pods;
        let shown = pods.shown.get(&verdict.attempt).filter(|pod| pod.deleted.is_none() && !pod.silent);
        shown.is_some_and(|pod| pods.running.contains_key(&pod.number))
    };
    if goes_on && verdict.reason == Reason::Stopped {
        world.wrong(format_args!("{} is stopped, and its pod was not told to end", verdict.attempt));
    }
}
