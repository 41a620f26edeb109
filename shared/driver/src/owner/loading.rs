//! Runs taken in hand: loaded, and brought up to what others committed.

use std::sync::Arc;

use dropforge_engine::apply::apply;
use dropforge_engine::event::{Command, Event, RetryOptions, Verb};
use dropforge_engine::ids::RunUid;
use dropforge_engine::program::Program;
use dropforge_engine::record::Record;
use dropforge_engine::retry;
use dropforge_engine::state::RunState;
use jiff::SignedDuration;

use super::{Ends, Held, Look, Others, OwnError, Owner, Told, index_entry};
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::replay::{ReplayError, replay};
use crate::store::{RunStore, StoreError};
use crate::timers::Timers;

impl<S: RunStore, C: Cluster, T: Timers, E: Ends, K: Clock> Owner<S, C, T, E, K> {
    /// Takes a run in hand. What is in hand already may be older than the ring.
    pub(super) async fn take(&mut self, run: &RunUid, looks: &[Look]) -> Result<(), OwnError> {
        // Who committed has told the run list, unless it died before: that is found by a look at everything.
        let believes = !looks.contains(&Look::Everything);
        if let Some(held) = self.held.get_mut(run) {
            held.current = self.others == Others::None;
            held.indexed.take_if(|_| held.believed && !believes);
            return Ok(());
        }
        let told = |state: &RunState, records: &[Record]| (self.watcher)(state, records, Told::Replayed);
        let (state, position) = match replay(&*self.store, run, told).await {
            Ok(replayed) => replayed,
            Err(ReplayError::Store(missing @ StoreError::NotFound { what: "run", .. })) => {
                self.store.unmark_unborn(run).await?;
                return Err(missing.into());
            }
            Err(ReplayError::Store(why)) => return Err(why.into()),
            Err(ReplayError::Compile(source)) => return Err(OwnError::Compile { run: run.clone(), source }),
        };
        let believed = state.submitted() && believes;
        let indexed = believed.then(|| index_entry(&state, position));
        let ahead = SignedDuration::ZERO;
        let (current, raced, lost) = (true, false, false);
        let held = Held { state, position, indexed, believed, current, raced, lost, ahead };
        self.held.insert(run.clone(), held);
        Ok(())
    }

    /// Folds what others committed meanwhile; gives whether there was anything.
    pub(super) async fn catch_up(&mut self, run: &RunUid) -> Result<bool, OwnError> {
        let Some(held) = self.held.get_mut(run) else { return Ok(false) };
        let tail = self.store.tail(run, held.position).await?;
        for record in &tail.records {
            apply(&mut held.state, record);
        }
        (held.position, held.current, held.raced) = (tail.position, true, !tail.records.is_empty());
        if !tail.records.is_empty() {
            (self.watcher)(&held.state, &tail.records, Told::Replayed);
        }
        Ok(!tail.records.is_empty())
    }

    /// The event of a command.
    pub(super) async fn commanded(&self, run: &RunUid, command: &Command) -> Result<Event, OwnError> {
        match &command.verb {
            Verb::Retry(options) => self.planned_retry(run, command, options).await,
            _ => Ok(Event::Commanded { command: command.clone() }),
        }
    }

    /// A retry is planned from everything on record, which the state of a finished run forgot.
    async fn planned_retry(
        &self,
        run: &RunUid,
        command: &Command,
        options: &RetryOptions,
    ) -> Result<Event, OwnError> {
        let loaded = self.store.load_run(run).await?;
        let compile = |source| OwnError::Compile { run: run.clone(), source };
        let program = Arc::new(Program::compile(loaded.spec).map_err(compile)?);
        let plan =
            retry::plan(program, &loaded.records, options).map(Box::new).map_err(|why| why.to_string());
        Ok(Event::RetryPlanned { command: command.clone(), plan })
    }

    /// The same events on what others have committed: a plan holds for the records it was made from.
    pub(super) async fn planned_again(
        &self,
        run: &RunUid,
        events: Vec<Event>,
    ) -> Result<Vec<Event>, OwnError> {
        let mut again = Vec::with_capacity(events.len());
        for event in events {
            again.push(match event {
                Event::RetryPlanned { command, .. } => self.commanded(run, &command).await?,
                other => other,
            });
        }
        Ok(again)
    }
}
