//! Schedules: what is due, and the runs that follow.

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::crons::{Times, Watch, keep};
use dropforge_driver::starts::{self, Here};
use dropforge_engine::ids::RunUid;
use dropforge_manifest::types::CronWorkflow;
use jiff::Timestamp;

use super::Dev;
use crate::error::CliError;
use crate::identity;
use crate::output::say;

impl Dev<'_> {
    /// Fires what is due; gives when something is next.
    pub(super) async fn tick(&mut self) -> Result<Option<Timestamp>, CliError> {
        let mut next = None;
        for (name, times) in self.times.clone() {
            let Some(cron) = self.definitions.crons.get(&name).cloned() else { continue };
            let due = self.tick_one(&name, &cron, &times).await?;
            next = [next, due].into_iter().flatten().min();
        }
        Ok(next)
    }

    async fn tick_one(
        &mut self,
        name: &str,
        cron: &CronWorkflow,
        times: &Times,
    ) -> Result<Option<Timestamp>, CliError> {
        let (store, namespace) = (self.session.store.clone(), self.global.namespace.clone());
        let here = Here { namespace: &namespace, now: SystemClock.now() };
        let watched = (cron, times, Watch::by_process(self.watched_since));
        let mut new_uid = || RunUid::from(identity::unique());
        let state = starts::of_cron(&*store, self, here, watched, &mut new_uid).await?;
        keep::trim_history(&*store, &namespace, cron, SystemClock.now()).await?;
        if state.as_ref().is_some_and(|state| state.stopped) && self.stopped.insert(name.to_owned()) {
            say(&format!("schedule {name}: stopped by its stopStrategy"));
        }
        Ok(state.and_then(|state| state.next_due(cron, times)))
    }
}
