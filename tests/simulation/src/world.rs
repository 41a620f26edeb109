//! The world that everything shares: its time, its tasks, its messages and its pods. It is one thread's, and nothing in
//! it depends on anything but the plan.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Context, Poll};

use dropforge_engine::ids::{AttemptId, CommandId, NodeId, RunUid};
use dropforge_engine::record::Record;
use dropforge_engine::state::RunState;
use dropforge_storage::memory::MemoryStore;
use dropforge_storage::s3::ObjectStore;
use jiff::Timestamp;

use crate::births::Births;
use crate::bucket::Bucket;
use crate::bugs::Bug;
use crate::checks;
use crate::cluster::Pods;
use crate::inside::Inside;
use crate::plan::{Fault, Plan};
use crate::queue::{Queue, Queues};
use crate::random::Random;
use crate::store::Snapshots;
use crate::uploads::Uploads;

/// A world in somebody's hands.
pub type Handle = Arc<World>;

/// When worlds begin, in milliseconds: a full minute.
pub const BEGIN: i64 = 1_790_000_040_000;

/// For how long faults happen, in milliseconds.
pub const FAULTS: i64 = 20 * 60_000;

/// A future of the world.
pub type Going = Pin<Box<dyn Future<Output = ()>>>;

/// Makes a task's future again after it was killed.
pub type Again = Box<dyn Fn() -> Going>;

thread_local! {
    /// Tasks that have just begun. They stay in the world's thread, as its futures do, and so not in the world itself,
    /// which parts of the product want to hand from thread to thread.
    static SPAWNED: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
}

/// Names a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId(pub u64);

/// Something that goes on by itself.
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// What it does.
    pub future: Going,
    /// When it goes on.
    pub wake: i64,
    /// It goes on also when there is a message here.
    pub listens: Option<Queue>,
    /// How it begins again when it was killed; only functions are killed.
    pub again: Option<Again>,
}

/// The world.
pub struct World {
    /// What it was made from.
    pub plan: Plan,
    /// What is stored, as it is.
    pub kept: Inside<Bucket>,
    /// The objects that it stands on, if it does.
    pub bucket: Bucket,
    /// Artifacts, and in worlds without a bucket all the rest.
    pub memory: Arc<MemoryStore>,
    inner: Mutex<Inner>,
}

/// What changes in the world.
pub struct Inner {
    /// The time in milliseconds.
    pub now: i64,
    /// Decides what goes on first.
    pub random: Random,
    faults: BTreeMap<Fault, (u64, Random)>,
    /// Messages.
    pub queues: Queues,
    /// Pods.
    pub pods: Pods,
    /// Kept snapshots.
    pub snapshots: Snapshots,
    /// Finished runs with a command that nobody marked, where that is the bug.
    pub unmarked: BTreeSet<RunUid>,
    /// Runs that came into the world, and what may bring them there.
    pub births: Births,
    /// What lies in the person's bucket, and what reminds of schedules.
    pub uploads: Uploads,
    /// Counts what was done, to see that nothing more is.
    pub done: Done,
    /// People who have not said all they have to say.
    pub people: u32,
    /// How often each run has ended.
    pub ended: BTreeMap<RunUid, u32>,
    /// Up to where each line of the run list tells its run.
    pub lines: BTreeMap<String, u64>,
    /// Commits that were answered as won: the run, and where they stand.
    pub won: BTreeSet<(RunUid, u64)>,
    /// Nodes that have finished in the generation of their run.
    pub finished: BTreeSet<(RunUid, NodeId)>,
    /// The time of each run as its records have it.
    pub times: BTreeMap<RunUid, Timestamp>,
    /// What somebody has decided last of each run: the state, and the records that led to it.
    pub last: BTreeMap<RunUid, (RunState, Vec<Record>)>,
    /// Which store's commit started each attempt, where it counts.
    pub starters: BTreeMap<AttemptId, u64>,
    /// How many stores there were.
    pub stores: u64,
    /// Commands that people left.
    pub commands: Vec<(RunUid, CommandId)>,
    /// What should not have happened.
    pub wrong: Vec<String>,
    /// What happened, where it is written down.
    pub story: Vec<String>,
    digest: u64,
    wake: i64,
    listens: Option<Queue>,
    killed: BTreeSet<TaskId>,
    next: u64,
    /// It is over.
    pub over: bool,
}

/// How often something was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Commits.
    pub commits: u64,
    /// Pods made.
    pub starts: u64,
    /// Documents written.
    pub documents: u64,
}

impl World {
    /// A world at its beginning.
    pub fn new(plan: Plan) -> World {
        let inner = Inner {
            now: BEGIN,
            random: Random::new(plan.seed, "order"),
            faults: plan.rates(),
            queues: Queues::default(),
            pods: Pods::default(),
            snapshots: Snapshots::new(),
            unmarked: BTreeSet::new(),
            births: Births::default(),
            uploads: Uploads::default(),
            done: Done::default(),
            people: 0,
            ended: BTreeMap::new(),
            lines: BTreeMap::new(),
            won: BTreeSet::new(),
            finished: BTreeSet::new(),
            times: BTreeMap::new(),
            last: BTreeMap::new(),
            starters: BTreeMap::new(),
            stores: 0,
            commands: Vec::new(),
            wrong: Vec::new(),
            story: Vec::new(),
            digest: 0xcbf2_9ce4_8422_2325,
            wake: i64::MAX,
            listens: None,
            killed: BTreeSet::new(),
            next: 0,
            over: false,
        };
        // A world that panicked may have left some.
        SPAWNED.take();
        let (memory, bucket) = (Arc::new(MemoryStore::new()), Bucket::default());
        let kept = match plan.requests {
            true => Inside::Objects(Arc::new(ObjectStore::over(bucket.clone(), bucket.clone()))),
            false => Inside::Memory(memory.clone()),
        };
        World { plan, kept, bucket, memory, inner: Mutex::new(inner) }
    }

    /// What changes.
    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        match self.inner.try_lock() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // There is one thread: to wait for it would be to wait for ever.
            Err(TryLockError::WouldBlock) => panic!("somebody holds what changes, and asks for it once more"),
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        timestamp(self.inner().now)
    }

    /// Whether this fault happens here and now.
    pub fn fault(&self, fault: Fault) -> bool {
        self.inner().fault(fault)
    }

    /// Whether this rule is broken in this world.
    pub fn breaks(&self, bug: Bug) -> bool {
        self.plan.bug == Some(bug)
    }

    /// Whether this fault is one of this world's.
    pub fn has(&self, fault: Fault) -> bool {
        self.inner().faults.contains_key(&fault)
    }

    /// Whether nothing ever goes wrong in it.
    pub fn is_peaceful(&self) -> bool {
        self.inner().faults.is_empty()
    }

    /// Whether functions of an older version are still about.
    pub fn has_old(&self) -> bool {
        self.has(Fault::OldFunctions) && self.inner().now < BEGIN + FAULTS / 2
    }

    /// Something happened.
    pub fn note(&self, what: impl Display) {
        if !self.plan.verbose && !self.plan.digested {
            return;
        }
        self.inner().note(self.plan.verbose, &what.to_string());
    }

    /// Something happened that must not.
    pub fn wrong(&self, what: impl Display) {
        let mut inner = self.inner();
        let text = what.to_string();
        inner.note(self.plan.verbose, &format!("WRONG: {text}"));
        inner.wrong.push(text);
    }

    /// Lets others go on: an answer takes its time.
    pub async fn turn(&self) {
        let due = {
            let mut inner = self.inner();
            let stalls = inner.fault(Fault::Stall);
            let takes =
                if stalls { inner.random.between(1_000, 90_000) } else { inner.random.between(1, 30) };
            inner.now + takes
        };
        Until { world: self, due, queue: None }.await;
    }

    /// Waits for some milliseconds.
    pub async fn sleep(&self, milliseconds: i64) {
        let due = self.inner().now + milliseconds;
        Until { world: self, due, queue: None }.await;
    }

    /// Waits for a message.
    pub async fn message(&self, queue: Queue) {
        Until { world: self, due: i64::MAX, queue: Some(queue) }.await;
    }

    /// Begins a task.
    pub fn spawn(&self, future: Going) -> TaskId {
        self.inner().spawn(future, None)
    }

    /// Begins a task that may be killed, and begins again then.
    pub fn spawn_function(&self, again: Again) -> TaskId {
        let future = again();
        self.inner().spawn(future, Some(again))
    }

    /// Ends a task.
    pub fn kill(&self, task: TaskId) {
        self.inner().killed.insert(task);
    }

    /// What happened, as one number.
    pub fn digest(&self) -> u64 {
        self.inner().digest
    }

    /// Lets all tasks go on until the world is over; gives in how many turns.
    pub fn go(&self, turns_max: u64) -> u64 {
        let mut tasks: Vec<Task> = Vec::new();
        for turn in 0..turns_max {
            {
                tasks.append(&mut SPAWNED.take());
                let killed = std::mem::take(&mut self.inner().killed);
                tasks.retain(|task| !killed.contains(&task.id));
            }
            if self.inner().over {
                return turn;
            }
            let Some(at) = self.choose(&tasks) else {
                self.wrong("nothing goes on any more");
                return turn;
            };
            self.poll(&mut tasks, at);
        }
        self.wrong(format!("it goes on and on: {turns_max} turns"));
        turns_max
    }

    /// The task that goes on next: the one whose time comes first.
    fn choose(&self, tasks: &[Task]) -> Option<usize> {
        let mut inner = self.inner();
        let due = |task: &Task| match task.listens {
            Some(queue) => task.wake.min(inner.queues.next_visible(queue)),
            None => task.wake,
        };
        let first = tasks.iter().map(due).min().filter(|due| *due < i64::MAX)?;
        let ready: Vec<usize> =
            (0..tasks.len()).filter(|at| due(&tasks[*at]) <= first.max(inner.now)).collect();
        inner.now = inner.now.max(first);
        Some(*inner.random.pick(&ready))
    }

    fn poll(&self, tasks: &mut Vec<Task>, at: usize) {
        {
            let mut inner = self.inner();
            (inner.wake, inner.listens) = (i64::MAX, None);
        }
        let polled = tasks[at].future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
        if polled.is_ready() {
            drop(tasks.remove(at));
            return;
        }
        let task = &mut tasks[at];
        let mut inner = self.inner();
        (task.wake, task.listens) = (inner.wake, inner.listens);
        if let Some(again) = &task.again
            && inner.fault(Fault::FunctionKilled)
        {
            inner.note(self.plan.verbose, &format!("task {} is killed", task.id.0));
            task.wake = inner.now + inner.random.between(10, 2_000);
            task.listens = None;
            drop(inner);
            task.future = again();
        }
    }
}

impl Inner {
    /// Whether this fault happens here and now. After a while there are no more.
    pub fn fault(&mut self, fault: Fault) -> bool {
        if self.now > BEGIN + FAULTS {
            return false;
        }
        self.faults.get_mut(&fault).is_some_and(|(rate, random)| random.chance(*rate, 10_000))
    }

    /// Records that were just committed.
    pub fn committed(&mut self, records: &[Record]) {
        self.done.commits += 1;
        self.pods.started.extend(records.iter().filter_map(checks::started).map(|(id, _)| id));
    }

    fn note(&mut self, verbose: bool, text: &str) {
        for byte in text.bytes().chain(self.now.to_le_bytes()) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if verbose {
            let seconds = self.now - BEGIN;
            self.story.push(format!("{:>5}.{:03} {text}", seconds / 1000, seconds % 1000));
        }
    }

    fn spawn(&mut self, future: Going, again: Option<Again>) -> TaskId {
        self.next += 1;
        let id = TaskId(self.next);
        let task = Task { id, future, wake: self.now, listens: None, again };
        SPAWNED.with_borrow_mut(|spawned| spawned.push(task));
        id
    }
}

/// Waits for a moment, or for a message.
struct Until<'a> {
    world: &'a World,
    due: i64,
    queue: Option<Queue>,
}

impl Future for Until<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.world.inner();
        let visible = self.queue.is_some_and(|queue| inner.queues.next_visible(queue) <= inner.now);
        if visible || inner.now >= self.due {
            return Poll::Ready(());
        }
        inner.wake = inner.wake.min(self.due);
        inner.listens = inner.listens.or(self.queue);
        Poll::Pending
    }
}

/// Milliseconds as a timestamp.
pub fn timestamp(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).expect("a moment of this century")
}
