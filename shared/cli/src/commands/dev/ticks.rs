//! Schedules: what is due, and the runs that follow.

use dropforge_driver::births::{Identity, Overrides, run_spec};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::crons::{self, Admission, CronAct, CronRun, Times, keep};
use dropforge_engine::ids::RunUid;
use dropforge_engine::spec::Cause;
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
        let when = (self.watched_since, SystemClock.now());
        let mut new_uid = || RunUid::from(identity::unique());
        let (ticked, acts) = keep::tick(&*store, &namespace, cron, times, when, &mut new_uid).await?;
        for tick in ticked {
            match tick.admission {
                Admission::Run { run, .. } => {
                    say(&format!("schedule {name}: {} starts {}", tick.time, run.name))
                }
                Admission::Dropped { why } => {
                    say(&format!("schedule {name}: {} starts nothing: {why}", tick.time))
                }
            }
        }
        for act in acts {
            match act {
                CronAct::Create(run) => self.create_tick(name, cron, &run).await?,
                CronAct::Terminate(run) => self.terminate(&run.uid, format!("schedule {name}")).await?,
            }
        }
        keep::trim_history(&*store, &namespace, cron, SystemClock.now()).await?;
        let state = keep::state(&*store, &namespace, name).await?;
        if state.as_ref().is_some_and(|state| state.stopped) && self.stopped.insert(name.to_owned()) {
            say(&format!("schedule {name}: stopped by its stopStrategy"));
        }
        Ok(state.and_then(|state| state.next_due(cron, times)))
    }

    async fn create_tick(&mut self, name: &str, cron: &CronWorkflow, run: &CronRun) -> Result<(), CliError> {
        let (store, namespace) = (self.session.store.clone(), self.global.namespace.clone());
        if self.session.owner.run(&run.uid).is_none() {
            let mut workflow = crons::workflow_of(cron, run.scheduled_time);
            workflow.metadata.namespace = Some(namespace.clone());
            let identity = Identity { uid: run.uid.clone(), suffix: String::new() };
            let cause = Cause::Schedule { cron: name.to_owned(), scheduled_time: run.scheduled_time };
            let (library, site) = (&self.definitions.templates, &self.settings.site);
            let overrides = Overrides::default();
            match run_spec(workflow, library, site, &overrides, &identity, cause, SystemClock.now()) {
                Ok(spec) => self.session.owner.submit(&spec).await?,
                Err(why) => {
                    say(&format!("schedule {name}: {} can't be run: {why}", run.name));
                    return Ok(keep::unborn(&*store, &namespace, name, &run.uid, &why.to_string()).await?);
                }
            }
        }
        Ok(keep::born(&*store, &namespace, name, &run.uid).await?)
    }
}
