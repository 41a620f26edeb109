//! What the supervisor knows, and what it does when something happens.

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::supervision::{Endpoint, Launch, Report, Request};
use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_engine::ids::AttemptId;
use jiff::Timestamp;

use super::records::Records;
use super::threads::Threads;
use super::{Options, wake};
use crate::admission::{Admission, Admitted};
use crate::step::control::{Ask, Control};
use crate::step::{Ran, Site, StepStore, Told, fence, record, run, told};

/// How long before a store that failed is asked again.
const RETRY: Duration = Duration::from_secs(2);

/// How often a verdict is tried to be stored while everything ends; then the next supervisor writes `lost`.
const LAST_TRIES: u32 = 5;

/// The process's own state.
pub struct Supervisor<S> {
    site: Site<S>,
    records: Records,
    options: Options,
    /// The socket that the accepting thread waits on.
    listener: UnixListener,
    threads: Arc<Threads>,
    state: Mutex<State>,
}

struct State {
    owner: Option<Owner>,
    owners: u64,
    admission: Admission,
    waiting: BTreeMap<AttemptId, Launch>,
    running: BTreeMap<AttemptId, Running>,
    /// Threads of attempts that are not done with cleaning up.
    busy: usize,
    closing: bool,
    over: bool,
    /// The owner of a supervisor that is over: what it has been told is still on its way.
    last_owner: Option<Owner>,
}

struct Owner {
    number: u64,
    reports: Sender<Report>,
    writer: JoinHandle<()>,
}

struct Running {
    control: Arc<Control>,
    since: Option<Timestamp>,
    /// Since when it serves, if it is a daemon.
    ready: Option<Timestamp>,
}

impl State {
    fn drop_waiting(&mut self) {
        self.admission.withdraw_all();
        self.waiting.clear();
    }

    fn tell(&self, report: Report) {
        if let Some(owner) = &self.owner {
            // An owner whose writer is gone is noticed by its reader.
            let _ = owner.reports.send(report);
        }
    }
}

impl<S: StepStore + 'static> Supervisor<S> {
    /// Nothing runs and nobody speaks.
    pub fn new(site: Site<S>, records: Records, options: Options, listener: UnixListener) -> Self {
        let state = State {
            owner: None,
            owners: 0,
            admission: Admission::new(options.machine.clone()),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            busy: 0,
            closing: false,
            over: false,
            last_owner: None,
        };
        let threads = Arc::default();
        Supervisor { site, records, options, listener, threads, state: Mutex::new(state) }
    }

    /// Goes after `limit` if no owner came.
    pub fn leave_when_lonely(self: &Arc<Self>, limit: Duration) {
        let supervisor = Arc::clone(self);
        let lonely = move || {
            thread::park_timeout(limit);
            supervisor.leave_if_done(&mut supervisor.state());
        };
        if let Err(error) = thread::Builder::new().spawn(lonely) {
            tracing::warn!(%error, "no thread to wait for the owner");
        }
    }

    /// Makes the connection with this sender the owner's; none when the supervisor is on its way out. It is welcomed
    /// under the same lock: who has been welcomed is not left alone.
    pub fn take_owner(
        &self,
        reports: Sender<Report>,
        writer: JoinHandle<()>,
        welcome: Report,
    ) -> Option<u64> {
        let mut state = self.state();
        if state.over {
            return None;
        }
        // An owner that is gone may not have been missed yet; what waited for it is the new owner's to start.
        state.drop_waiting();
        // A writer that is gone is noticed by the reader.
        let _ = reports.send(welcome);
        state.owners += 1;
        let number = state.owners;
        state.owner = Some(Owner { number, reports, writer });
        Some(number)
    }

    /// What waits never starts; what runs goes on.
    pub fn owner_gone(&self, number: u64) {
        let mut state = self.state();
        if state.owner.as_ref().is_none_or(|owner| owner.number != number) {
            return;
        }
        state.owner = None;
        state.drop_waiting();
        self.leave_if_done(&mut state);
    }

    /// Does what the owner asks.
    pub fn obey(self: &Arc<Self>, request: Request) {
        match request {
            Request::Hello { .. } => {}
            Request::Start { launch } => self.start(*launch),
            Request::Stop { attempt, namespace, why } => self.stop(attempt, &namespace, why),
            Request::List => self.list(),
            Request::Shutdown => self.shut_down(),
        }
    }

    fn start(self: &Arc<Self>, launch: Launch) {
        let (attempt, namespace) = (launch.attempt.id.clone(), launch.attempt.namespace.clone());
        match self.site.wait(self.site.store.verdict(&namespace, &attempt)) {
            Ok(Some(verdict)) => return self.finished(verdict),
            Ok(None) => {}
            // The claim will meet the same failure, and tells it.
            Err(error) => tracing::warn!(%attempt, %error, "the verdict could not be looked for"),
        }
        let mut state = self.state();
        if let Some(running) = state.running.get(&attempt) {
            let (since, ready) = (running.since, running.ready);
            if let Some(at) = since {
                state.tell(Report::Running { attempt: attempt.clone(), at });
            }
            if let Some(at) = ready {
                state.tell(Report::Ready { attempt, at });
            }
            return;
        }
        if state.closing || state.waiting.contains_key(&attempt) {
            return;
        }
        let (demand, priority) = (launch.demand.clone(), launch.attempt.work.priority);
        if let Err(too_large) = state.admission.enqueue(attempt.clone(), demand, priority) {
            drop(state);
            let message = too_large.to_string();
            return self.end(&namespace, ended(attempt, Outcome::Error, Reason::Unschedulable, message));
        }
        state.waiting.insert(attempt, launch);
        self.dispatch(&mut state);
    }

    fn stop(self: &Arc<Self>, attempt: AttemptId, namespace: &str, why: String) {
        let mut state = self.state();
        if let Some(running) = state.running.get(&attempt) {
            return running.control.ask(Ask::Stop(why));
        }
        state.admission.withdraw(&attempt);
        state.waiting.remove(&attempt);
        // It may have kept a place in the queue for itself.
        self.dispatch(&mut state);
        drop(state);
        self.end(namespace, ended(attempt, Outcome::Failed, Reason::Stopped, why));
    }

    /// Ends an attempt that is not running here, and so nowhere.
    fn end(&self, namespace: &str, verdict: Verdict) {
        match fence(&self.site, namespace, &verdict) {
            Ok(verdict) => self.finished(verdict),
            Err(error) => {
                let why = format!("its verdict can't be stored: {}", told(&error));
                self.state().tell(Report::Waiting { attempt: verdict.attempt, why });
            }
        }
    }

    fn finished(&self, verdict: Verdict) {
        self.state().tell(Report::Finished { verdict: Arc::new(verdict) });
    }

    fn list(&self) {
        let state = self.state();
        let (waiting, running) = (state.admission.waiting(), state.running.keys().cloned().collect());
        state.tell(Report::Attempts { waiting, running });
    }

    fn shut_down(&self) {
        let mut state = self.state();
        state.closing = true;
        state.drop_waiting();
        state.running.values().for_each(|running| running.control.ask(Ask::Interrupt));
        self.leave_if_done(&mut state);
    }

    /// Starts what may start, and tells why the rest waits.
    fn dispatch(self: &Arc<Self>, state: &mut State) {
        for admitted in state.admission.admit() {
            if let Some(launch) = state.waiting.remove(&admitted.attempt) {
                self.launch(state, launch, admitted);
            }
        }
        for (attempt, why) in state.admission.news() {
            state.tell(Report::Waiting { attempt, why: why.to_string() });
        }
    }

    fn launch(self: &Arc<Self>, state: &mut State, launch: Launch, admitted: Admitted) {
        let started = Control::new().map(Arc::new).and_then(|control| {
            let (supervisor, of_thread) = (Arc::clone(self), Arc::clone(&control));
            let gpus = admitted.gpus;
            let work = move || supervisor.attend(&launch, &gpus, &of_thread);
            self.threads.run(work).map(|()| control)
        });
        match started {
            Ok(control) => {
                state.busy += 1;
                state.running.insert(admitted.attempt, Running { control, since: None, ready: None });
            }
            Err(error) => {
                // Nothing has begun: the owner still has it in its outbox and starts it again.
                state.admission.release(&admitted.attempt);
                let why = format!("this machine has no thread for it: {error}");
                state.tell(Report::Waiting { attempt: admitted.attempt, why });
            }
        }
    }

    /// One attempt on its own thread.
    fn attend(self: &Arc<Self>, launch: &Launch, gpus: &[String], control: &Control) {
        let attempt = &launch.attempt.id;
        let (verdict, room) = match self.run_until_known(launch, gpus, control) {
            Some(Ran { verdict, room }) => (self.store(&launch.attempt.namespace, verdict), room),
            None => (None, None),
        };
        let mut state = self.state();
        state.running.remove(attempt);
        state.admission.release(attempt);
        if let Some(verdict) = &verdict {
            state.tell(Report::Finished { verdict: Arc::new(verdict.clone()) });
        }
        self.dispatch(&mut state);
        drop(state);
        if let Some(room) = room {
            self.site.rooms.give_back(room);
        }
        // Without a verdict the note stays for the next supervisor, which writes `lost` if there is a claim.
        if verdict.is_some() {
            self.records.remove(attempt);
        }
        let mut state = self.state();
        state.busy -= 1;
        self.leave_if_done(&mut state);
    }

    /// The verdict, not stored yet; none when the attempt was given up before anybody claimed it.
    fn run_until_known(self: &Arc<Self>, launch: &Launch, gpus: &[String], control: &Control) -> Option<Ran> {
        let id = &launch.attempt.id;
        loop {
            let why = match catch_unwind(AssertUnwindSafe(|| self.run_once(launch, gpus, control))) {
                Ok(Ok(ran)) => return Some(ran),
                Ok(Err(why)) => why,
                Err(_) => {
                    let message = "the supervisor failed while it ran the step; its log says where";
                    let verdict = ended(id.clone(), Outcome::Error, Reason::Environment, message);
                    return Some(Ran { verdict, room: None });
                }
            };
            let state = self.state();
            if state.owner.is_none() || state.closing {
                return None;
            }
            state.tell(Report::Waiting { attempt: id.clone(), why });
            drop(state);
            match control.asked() {
                None => control.pause(RETRY),
                Some(_) => thread::park_timeout(RETRY),
            }
        }
    }

    /// Runs the attempt; the error says why it could not even be claimed.
    fn run_once(
        self: &Arc<Self>,
        launch: &Launch,
        gpus: &[String],
        control: &Control,
    ) -> Result<Ran, String> {
        let (id, namespace) = (&launch.attempt.id, &launch.attempt.namespace);
        let held = self.records.hold(id, namespace, launch.engine.as_ref());
        held.map_err(|error| format!("the supervisor's note can't be written: {error}"))?;
        let ran = run(&self.site, launch, gpus, control, &|news| self.heard(id, news));
        match ran.map_err(|error| format!("it can't be claimed: {}", told(&error)))? {
            Some(ran) => Ok(ran),
            // Whoever claimed it ran it on this store, whose only supervisor this is: it is gone.
            None => {
                let message = "who had claimed the step is gone";
                let verdict = ended(id.clone(), Outcome::Lost, Reason::Vanished, message);
                Ok(Ran { verdict, room: None })
            }
        }
    }

    fn heard(self: &Arc<Self>, attempt: &AttemptId, news: Told) {
        match news {
            Told::Running { at, process } => {
                if let Some((pid, start_ticks)) = process
                    && let Err(error) = self.records.set_process(attempt, pid, start_ticks)
                {
                    tracing::warn!(%attempt, %error, "the process could not be noted; its mark names it");
                }
                let mut state = self.state();
                if let Some(running) = state.running.get_mut(attempt) {
                    running.since = Some(at);
                }
                state.tell(Report::Running { attempt: attempt.clone(), at });
            }
            Told::Counted(progress) => {
                self.state().tell(Report::Counted { attempt: attempt.clone(), progress });
            }
            Told::Ready { at } => {
                let mut state = self.state();
                if let Some(running) = state.running.get_mut(attempt) {
                    running.ready = Some(at);
                }
                state.tell(Report::Ready { attempt: attempt.clone(), at });
                state.admission.serves(attempt);
                self.dispatch(&mut state);
            }
            Told::Progress(what) => {
                self.state().tell(Report::Progress { attempt: attempt.clone(), what });
            }
        }
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

    fn leave_if_done(&self, state: &mut State) {
        let unwanted = state.owner.is_none() || state.closing;
        if !unwanted || state.busy > 0 || state.over {
            return;
        }
        state.over = true;
        // While the lock is held nobody becomes owner any more; who connects is told by the closed connection.
        wake(&self.listener);
        if let Err(error) = std::fs::remove_file(&self.options.socket)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the socket could not be removed");
        }
        state.last_owner = state.owner.take();
    }

    /// Waits until the last owner has been told everything.
    pub fn say_the_last_words(&self) {
        let owner = self.state().last_owner.take();
        if let Some(Owner { reports, writer, .. }) = owner {
            drop(reports);
            // A writer that panicked has nothing more to say.
            let _ = writer.join();
        }
    }
}

impl<S> Supervisor<S> {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves counters that are still right: each is changed in one step.
        self.state.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Removes what was kept for further steps.
    pub fn clear_up(&self) {
        self.site.rooms.close();
        self.threads.dismiss();
    }

    /// Whether the supervisor has left.
    pub fn is_over(&self) -> bool {
        self.state().over
    }

    /// The S3 endpoint that steps see.
    pub fn endpoint(&self) -> Option<Endpoint> {
        self.site.endpoint.clone()
    }
}

fn ended(attempt: AttemptId, outcome: Outcome, reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict::without_outputs(attempt, outcome, reason, message, SystemClock.now())
}
