//! What a thread does with an attempt, from the note that it is in hand to the report of its verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use dropforge_driver::supervision::Report;
use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_engine::ids::AttemptId;
use jiff::Timestamp;

use super::{Supervisor, Task, ended};
use crate::step::room::Left;
use crate::step::{Ran, StepStore, Told, record, run, told};

/// How long before a store that failed is asked again.
const RETRY: Duration = Duration::from_secs(2);

/// How often a verdict is tried to be stored while everything ends; then the next supervisor writes `lost`.
const LAST_TRIES: u32 = 5;

impl<S: StepStore + 'static> Supervisor<S> {
    /// Runs an attempt on this thread, and then what its end lets start.
    pub fn attend(self: &Arc<Self>, task: Task) {
        let mut next = Some(task);
        while let Some(task) = next {
            next = self.attend_one(&task);
        }
    }

    fn attend_one(self: &Arc<Self>, task: &Task) -> Option<Task> {
        let attempt = task.attempt();
        let (verdict, untold, room) = match self.run_until_known(task) {
            Some(ran) => (self.store(&task.launch.attempt.namespace, ran.verdict), ran.untold, ran.room),
            None => (None, None, None),
        };
        let running = untold.map(|at| Report::Running { attempt: attempt.clone(), at });
        let finished = verdict.clone().map(|verdict| Report::Finished { verdict: Arc::new(verdict) });
        let reports: Vec<Report> = running.into_iter().chain(finished).collect();
        // Before the owner hears of it, and has the next step started in it.
        let left = room.map(|room| self.site.rooms.leave(room));
        let mut state = self.state();
        state.running.remove(attempt);
        state.admission.release(attempt);
        state.tell_all(&reports);
        let tasks = state.dispatch();
        drop(state);
        let mut next = self.begin_all_but_one(tasks);
        if let Some(used) = left.and_then(Left::look) {
            // A step may have left half a million files: nobody waits for their removal.
            next.take().into_iter().for_each(|task| self.begin(task));
            self.site.rooms.empty(used);
        }
        // Without a verdict the note stays for the next supervisor, which writes `lost` if there is a claim.
        if verdict.is_some() {
            self.records.remove(attempt);
        }
        let mut state = self.state();
        state.busy -= 1;
        self.leave_if_done(&mut state);
        next
    }

    /// What it came to, not stored yet; none when the attempt was given up before anybody claimed it.
    fn run_until_known(self: &Arc<Self>, task: &Task) -> Option<Ran> {
        let id = task.attempt();
        loop {
            let why = match catch_unwind(AssertUnwindSafe(|| self.run_once(task))) {
                Ok(Ok(ran)) => return Some(ran),
                Ok(Err(why)) => why,
                Err(_) => {
                    let message = "the supervisor failed while it ran the step; its log says where";
                    let verdict = ended(id.clone(), Outcome::Error, Reason::Environment, message);
                    return Some(Ran::nowhere(verdict));
                }
            };
            let state = self.state();
            if state.owner.is_none() || state.closing {
                return None;
            }
            state.tell(Report::Waiting { attempt: id.clone(), why });
            drop(state);
            match task.control.asked() {
                None => task.control.pause(RETRY),
                Some(_) => thread::park_timeout(RETRY),
            }
        }
    }

    /// Runs the attempt; the error says why it could not even be claimed.
    fn run_once(self: &Arc<Self>, task: &Task) -> Result<Ran, String> {
        let Task { launch, gpus, control } = task;
        let (id, namespace) = (&launch.attempt.id, &launch.attempt.namespace);
        let held = self.records.hold(id, namespace, launch.engine.as_ref());
        held.map_err(|error| format!("the supervisor's note can't be written: {error}"))?;
        let ran = run(&self.site, launch, gpus, control, &|news| self.heard(id, news));
        match ran.map_err(|error| format!("it can't be claimed: {}", told(&error)))? {
            Some(ran) => Ok(ran),
            // Whoever claimed it ran it on this store, whose only supervisor this is: it is gone.
            None => {
                let message = "who had claimed the step is gone";
                Ok(Ran::nowhere(ended(id.clone(), Outcome::Lost, Reason::Vanished, message)))
            }
        }
    }

    fn heard(self: &Arc<Self>, attempt: &AttemptId, news: Told) {
        match news {
            Told::Process { pid, start_ticks } => {
                if let Err(error) = self.records.set_process(attempt, pid, start_ticks) {
                    tracing::warn!(%attempt, %error, "the process could not be noted; its mark names it");
                }
            }
            Told::Running { at } => {
                let mut state = self.state();
                if let Some(running) = state.running.get_mut(attempt) {
                    running.since = Some(at);
                }
                state.tell(Report::Running { attempt: attempt.clone(), at });
            }
            Told::Counted(progress) => {
                self.state().tell(Report::Counted { attempt: attempt.clone(), progress });
            }
            Told::Ready { at } => self.serves(attempt, at),
            Told::Progress(what) => {
                self.state().tell(Report::Progress { attempt: attempt.clone(), what });
            }
        }
    }

    /// Its job goes to those that wait for it.
    fn serves(self: &Arc<Self>, attempt: &AttemptId, at: Timestamp) {
        let mut state = self.state();
        if let Some(running) = state.running.get_mut(attempt) {
            running.ready = Some(at);
        }
        state.tell(Report::Ready { attempt: attempt.clone(), at });
        state.admission.serves(attempt);
        let tasks = state.dispatch();
        drop(state);
        tasks.into_iter().for_each(|task| self.begin(task));
    }

    /// Stores a verdict, however long the disk is full; gives the one that counts.
    fn store(&self, namespace: &str, verdict: Verdict) -> Option<Verdict> {
        let mut tries = 0;
        loop {
            let error = match record(&self.site, namespace, &verdict) {
                Ok(counts) => return Some(counts),
                Err(error) => error,
            };
            tries += 1;
            let state = self.state();
            if state.closing && tries >= LAST_TRIES {
                return None;
            }
            let what = format!("its verdict can't be stored, trying again: {}", told(&error));
            state.tell(Report::Progress { attempt: verdict.attempt.clone(), what });
            drop(state);
            thread::park_timeout(RETRY);
        }
    }
}
