//! What the supervisor knows, and what it does when something happens.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::supervision::{Endpoint, Greeting, Launch, Report, Request};
use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_engine::ids::AttemptId;
use dropforge_storage::directory::Durability;
use jiff::Timestamp;

use super::records::Records;
use super::reports::Reports;
use super::threads::{Kept, Threads};
use super::{Options, wake};
use crate::admission::{Admission, Admitted};
use crate::step::control::{Ask, Control};
use crate::step::{Site, StepStore, fence, told};

mod attending;

/// The process's own state.
pub struct Supervisor<S> {
    site: Site<S>,
    records: Records,
    options: Options,
    durability: Durability,
    /// Whether all that steps have left is on the disk, and all that they leave will be.
    durable: AtomicBool,
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
    reports: Reports,
}

/// An attempt that may start.
pub struct Task {
    launch: Launch,
    gpus: Vec<String>,
    control: Arc<Control>,
}

impl Task {
    fn attempt(&self) -> &AttemptId {
        &self.launch.attempt.id
    }
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
        self.tell_all(&[report]);
    }

    fn tell_all(&self, reports: &[Report]) {
        if let Some(owner) = self.owner.as_ref().filter(|_| !reports.is_empty()) {
            owner.reports.tell(reports);
        }
    }

    /// Nothing has begun: the owner still has it in its outbox and starts it again.
    fn refuse(&mut self, attempt: AttemptId, error: &io::Error) {
        self.admission.release(&attempt);
        self.tell(Report::Waiting { attempt, why: format!("this machine has no thread for it: {error}") });
    }

    /// Takes what may start in hand, and tells why the rest waits.
    fn dispatch(&mut self) -> Vec<Task> {
        let admitted = self.admission.admit();
        let tasks = admitted.into_iter().filter_map(|admitted| self.take_in_hand(admitted)).collect();
        let news = self.admission.news().into_iter();
        let news: Vec<_> =
            news.map(|(attempt, why)| Report::Waiting { attempt, why: why.to_string() }).collect();
        self.tell_all(&news);
        tasks
    }

    fn take_in_hand(&mut self, Admitted { attempt, gpus }: Admitted) -> Option<Task> {
        let launch = self.waiting.remove(&attempt)?;
        match Control::new().map(Arc::new) {
            Ok(control) => {
                self.busy += 1;
                let running = Running { control: Arc::clone(&control), since: None, ready: None };
                self.running.insert(attempt, running);
                Some(Task { launch, gpus, control })
            }
            Err(error) => {
                self.refuse(attempt, &error);
                None
            }
        }
    }
}

impl<S: StepStore + 'static> Supervisor<S> {
    /// Nothing runs and nobody speaks.
    pub fn new(
        site: Site<S>,
        records: Records,
        options: Options,
        durability: Durability,
        listener: UnixListener,
    ) -> Self {
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
        let (threads, state) = (Arc::default(), Mutex::new(state));
        let durable = AtomicBool::new(durability.has_begun());
        Supervisor { site, records, options, durability, durable, listener, threads, state }
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

    /// Makes the connection with these reports the owner's; none when the supervisor is on its way out. It is welcomed
    /// under the same lock: who has been welcomed is not left alone.
    pub fn take_owner(&self, reports: Reports, welcome: Greeting) -> Option<u64> {
        let mut state = self.state();
        if state.over {
            return None;
        }
        // An owner that is gone may not have been missed yet; what waited for it is the new owner's to start.
        state.drop_waiting();
        reports.tell(&[welcome]);
        state.owners += 1;
        let number = state.owners;
        state.owner = Some(Owner { number, reports });
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

    /// Does what the owner asks; gives what the caller's thread has to attend to then.
    pub fn obey(self: &Arc<Self>, request: Request) -> Option<Task> {
        match request {
            Request::Start { launch } => return self.start(*launch),
            Request::Stop { attempt, namespace, why } => self.stop(attempt, &namespace, why),
            Request::List => self.list(),
            Request::Shutdown => self.shut_down(),
        }
        None
    }

    fn start(self: &Arc<Self>, launch: Launch) -> Option<Task> {
        let (attempt, namespace) = (launch.attempt.id.clone(), launch.attempt.namespace.clone());
        match self.site.wait(self.site.store.verdict(&namespace, &attempt)) {
            Ok(Some(verdict)) => {
                self.finished(verdict);
                return None;
            }
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
            return None;
        }
        if state.closing || state.waiting.contains_key(&attempt) {
            return None;
        }
        let (demand, priority) = (launch.demand.clone(), launch.attempt.work.priority);
        if let Err(too_large) = state.admission.enqueue(attempt.clone(), demand, priority) {
            drop(state);
            let message = too_large.to_string();
            self.end(&namespace, ended(attempt, Outcome::Error, Reason::Unschedulable, message));
            return None;
        }
        state.waiting.insert(attempt, launch);
        let tasks = state.dispatch();
        drop(state);
        self.begin_all_but_one(tasks)
    }

    /// Starts attempts on threads of their own, but for the one that it gives.
    fn begin_all_but_one(self: &Arc<Self>, tasks: Vec<Task>) -> Option<Task> {
        let mut tasks = tasks.into_iter();
        let first = tasks.next();
        tasks.for_each(|task| self.begin(task));
        first
    }

    fn begin(self: &Arc<Self>, task: Task) {
        match self.thread() {
            Ok(thread) => {
                let supervisor = Arc::clone(self);
                thread.run(move || supervisor.attend(task));
            }
            Err(error) => self.give_up(&task, &error),
        }
    }

    /// There is no thread for it.
    pub fn give_up(&self, task: &Task, error: &io::Error) {
        let mut state = self.state();
        state.busy -= 1;
        state.running.remove(task.attempt());
        state.refuse(task.attempt().clone(), error);
        self.leave_if_done(&mut state);
    }

    fn stop(self: &Arc<Self>, attempt: AttemptId, namespace: &str, why: String) {
        let mut state = self.state();
        if let Some(running) = state.running.get(&attempt) {
            return running.control.ask(Ask::Stop(why));
        }
        state.admission.withdraw(&attempt);
        state.waiting.remove(&attempt);
        // It may have kept a place in the queue for itself.
        let tasks = state.dispatch();
        drop(state);
        tasks.into_iter().for_each(|task| self.begin(task));
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
        if let Some(Owner { reports, .. }) = owner {
            reports.finish();
        }
    }
}

impl<S> Supervisor<S> {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves counters that are still right: each is changed in one step.
        self.state.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// A thread that has nothing else to do.
    ///
    /// # Errors
    /// When the system has none.
    pub fn thread(&self) -> io::Result<Kept> {
        self.threads.keep()
    }

    /// Removes what was kept for further steps.
    pub fn clear_up(&self) {
        self.site.rooms.close();
        self.records.settle();
        self.threads.dismiss();
    }

    /// Whether the supervisor has left.
    pub fn is_over(&self) -> bool {
        self.state().over
    }

    /// Whether what steps leave outlives a power failure; from now on, if it is wanted.
    pub fn is_durable(&self, wanted: bool) -> bool {
        if wanted && !self.durable.load(Ordering::SeqCst) {
            match self.durability.catch_up() {
                Ok(()) => self.durable.store(true, Ordering::SeqCst),
                // The owner is told, and says it.
                Err(error) => tracing::error!(error = told(&error), "what steps left can't be made durable"),
            }
        }
        self.durable.load(Ordering::SeqCst)
    }

    /// The S3 endpoint that steps see.
    pub fn endpoint(&self) -> Option<Endpoint> {
        self.site.endpoint.clone()
    }
}

fn ended(attempt: AttemptId, outcome: Outcome, reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict::without_outputs(attempt, outcome, reason, message, SystemClock.now())
}
