//! What functions hear: doorbells, grouped by run, so that each run is looked at once for all of them.
//!
//! Nothing of this is believed. A doorbell that can't be answered now becomes one delayed doorbell that looks at
//! everything, and the old ones are done with: contention never uses up a queue's patience with a message.

use std::collections::BTreeMap;
use std::sync::Arc;

use dropforge_engine::attempt::Attempt;
use dropforge_engine::ids::RunUid;
use dropforge_engine::phase::NodePhase;
use dropforge_engine::state::RunState;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::doorbells::{Doorbells, Ring, Why};
use crate::owner::{Ends, Look, OwnError, Owner, at_most, chain, contained};
use crate::store::{RunStore, StoreError};
use crate::timers::Timers;

/// A chain of doorbells that ring one another without any progress from outside ends here, after 63 seconds: the sweep
/// rings meanwhile. A longer one would stand beside those of the next sweeps, for as long as a run waits for room.
pub const HOPS_MAX: u32 = 6;

/// Where the sweep's doorbells begin: what waits since the last sweep is looked at again after 16 and after 48 seconds,
/// and then by the next one.
pub const SWEEP_HOPS: u32 = 4;

/// The longest wait before a run is looked at again, and that for a newer program.
const PATIENCE: SignedDuration = SignedDuration::from_secs(32);
const UPGRADE: SignedDuration = SignedDuration::from_mins(10);

/// A run in which nothing runs, and of which nothing was committed for so long though something is to be done, is stuck.
const STUCK: SignedDuration = SignedDuration::from_hours(1);

/// Runs that a function goes on with: states in memory, any of which can be loaded again.
const WARM_MAX: usize = 32;

/// Runs of one batch that are looked at side by side.
const RUNS_AT_ONCE: usize = 8;

/// A doorbell that rang.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The run to look at.
    pub run: RunUid,
    /// Why.
    pub why: Why,
    /// As in [`Ring`].
    pub hops: u32,
    /// It was delivered before: whoever took it may have died half-way.
    pub again: bool,
}

/// What became of the doorbells of one run.
#[derive(Debug)]
pub enum Answer {
    /// They are done with.
    Done,
    /// The run is to be looked at again, and a doorbell for that is on its way.
    Later,
    /// They are done with, whether or not it is looked at again by itself: nothing of the run runs, and what is to be done
    /// could not be for an hour, for want of room or of a cluster that answers. Somebody should see to it.
    Stuck,
    /// There is no such run.
    Unknown,
    /// They may not be done with: the queue is to deliver them again.
    Failed(OwnError),
}

/// Makes an owner that holds no run.
pub type Make<S, C, T, E, K> = Box<dyn Fn() -> Owner<S, C, T, E, K> + Send + Sync>;

/// Runs with their owners, the newest last.
type Warm<S, C, T, E, K> = Vec<(RunUid, Owner<S, C, T, E, K>)>;

/// Answers doorbells, batch after batch.
pub struct Listener<S, C, T, E, K, D> {
    make: Make<S, C, T, E, K>,
    doorbells: Arc<D>,
    /// The runs of the last batches.
    warm: Warm<S, C, T, E, K>,
    /// When the last doorbell rings that this listener has rung for a run with something unperformed.
    rings: BTreeMap<RunUid, Timestamp>,
}

impl<S, C, T, E, K, D> Listener<S, C, T, E, K, D>
where
    S: RunStore,
    C: Cluster,
    T: Timers,
    E: Ends,
    K: Clock,
    D: Doorbells,
{
    /// A listener that has heard nothing.
    pub fn new(make: Make<S, C, T, E, K>, doorbells: Arc<D>) -> Self {
        Listener { make, doorbells, warm: Vec::new(), rings: BTreeMap::new() }
    }

    /// Whether others were faster at the last commit to one of these runs. Then more doorbells at once are worth a moment:
    /// of those who commit to one run at the same time each reads what the others committed.
    pub fn is_contended<'a>(&self, mut runs: impl Iterator<Item = &'a RunUid>) -> bool {
        let contended =
            |run: &RunUid| self.warm.iter().any(|(warm, owner)| warm == run && owner.is_contended(run));
        runs.any(contended)
    }

    /// Answers a batch; gives what became of each run's doorbells.
    pub async fn hear(&mut self, batch: &[Heard]) -> BTreeMap<RunUid, Answer> {
        let mut answering = Vec::new();
        for (run, heard) in by_run(batch) {
            let (owner, doorbells) = (self.owner(&run), self.doorbells.clone());
            let rings = self.rings.remove(&run);
            answering.push(async move {
                let asked = Asked { run: run.clone(), heard, rings };
                // What breaks over one run is kept from the others of the batch.
                contained(answer(owner, doorbells, asked)).await.map_err(|why| (run, why))
            });
        }
        let mut answers = BTreeMap::new();
        for answered in at_most(RUNS_AT_ONCE, answering).await {
            let (owner, Asked { run, rings, .. }, answer) = match answered {
                Ok(answered) => answered,
                Err((run, why)) => {
                    answers.insert(run.clone(), Answer::Failed(OwnError::Broke { run, why }));
                    continue;
                }
            };
            let now = owner.now();
            self.rings.retain(|_, at| *at > now);
            self.rings.extend(rings.map(|at| (run.clone(), at)));
            if owner.run(&run).is_some() {
                self.warm.push((run.clone(), owner));
            }
            answers.insert(run, answer);
        }
        let many = self.warm.len().saturating_sub(WARM_MAX);
        self.warm.drain(..many);
        answers
    }

    fn owner(&mut self, run: &RunUid) -> Owner<S, C, T, E, K> {
        match self.warm.iter().position(|(warm, _)| warm == run) {
            Some(at) => self.warm.remove(at).1,
            None => (self.make)(),
        }
    }
}

fn by_run(batch: &[Heard]) -> BTreeMap<RunUid, Vec<Heard>> {
    let mut groups: BTreeMap<RunUid, Vec<Heard>> = BTreeMap::new();
    for heard in batch {
        groups.entry(heard.run.clone()).or_default().push(heard.clone());
    }
    groups
}

/// What is asked of one run.
struct Asked {
    run: RunUid,
    heard: Vec<Heard>,
    /// As in [`Listener`].
    rings: Option<Timestamp>,
}

/// Looks at one run for all its doorbells.
async fn answer<S, C, T, E, K, D>(
    mut owner: Owner<S, C, T, E, K>,
    doorbells: Arc<D>,
    mut asked: Asked,
) -> (Owner<S, C, T, E, K>, Asked, Answer)
where
    S: RunStore,
    C: Cluster,
    T: Timers,
    E: Ends,
    K: Clock,
    D: Doorbells,
{
    let Asked { run, heard, rings } = &mut asked;
    let outcome = owner.ring(run, &looks(heard)).await;
    let unperformed = !owner.take_unperformed().is_empty();
    if outcome.is_err() {
        // What it decided on may not be what is stored.
        owner.let_go(run);
    }
    // An outside event resets the count: the smallest is that of the doorbell which is nearest to one.
    let hops = heard.iter().map(|heard| heard.hops).min().unwrap_or_default().saturating_add(1);
    let now = owner.now();
    // A doorbell that is on its way to a look at everything does for every event that found no room meanwhile.
    *rings = rings.filter(|at| *at > now);
    if let Err(OwnError::Store(newer @ StoreError::NewerFormat { .. })) = &outcome {
        tracing::warn!(%run, "it is left to a newer version, to which this function's alias is to be moved: failed to {}", chain(newer));
    }
    let answer = match next(outcome, unperformed, hops) {
        Next::Answered(answer) => answer,
        Next::Unperformed(_) if rings.is_some() => Answer::Later,
        Next::Unperformed(after) => {
            let answer = later(&*doorbells, run, hops, after).await;
            *rings = matches!(answer, Answer::Later).then(|| now + after);
            answer
        }
        Next::Unseen(after) => later(&*doorbells, run, hops, after).await,
    };
    let stuck = unperformed && owner.run(run).is_some_and(|state| is_stuck(state, now));
    let answer = match answer {
        Answer::Done | Answer::Later if stuck => Answer::Stuck,
        other => other,
    };
    (owner, asked, answer)
}

fn is_stuck(state: &RunState, now: Timestamp) -> bool {
    let runs = |attempt: &Arc<Attempt>| {
        state.node(attempt.node).is_some_and(|node| node.phase == NodePhase::Running)
    };
    now > state.last + STUCK && !state.outbox.attempts().any(runs)
}

/// What is to become of the doorbells.
enum Next {
    /// This.
    Answered(Answer),
    /// The run is to be looked at again after so long, since something could not be performed.
    Unperformed(SignedDuration),
    /// The run is to be looked at again after so long: what they told of has not been seen.
    Unseen(SignedDuration),
}

fn next(outcome: Result<(), OwnError>, unperformed: bool, hops: u32) -> Next {
    match outcome {
        Ok(()) if unperformed => Next::Unperformed(patience(hops)),
        Ok(()) => Next::Answered(Answer::Done),
        Err(OwnError::Contended { .. }) => Next::Unseen(patience(hops)),
        // A name that can't be one names nothing, however often it comes.
        Err(OwnError::Store(
            StoreError::NotFound { what: "run", .. } | StoreError::BadName { what: "run", .. },
        )) => Next::Answered(Answer::Unknown),
        Err(OwnError::Store(StoreError::NewerFormat { .. })) => Next::Unseen(UPGRADE),
        Err(why) => Next::Answered(Answer::Failed(why)),
    }
}

/// Rings for a look at everything, unless nothing but such rings has come for long: the sweep will.
async fn later<D: Doorbells>(doorbells: &D, run: &RunUid, hops: u32, after: SignedDuration) -> Answer {
    if hops > HOPS_MAX {
        tracing::warn!(%run, hops, "it rang itself long enough without progress; the sweep looks at it again");
        return Answer::Done;
    }
    tracing::info!(%run, hops, "it is looked at again later");
    match doorbells.ring(&[Ring { run: run.clone(), why: Why::Sweep, hops, after }]).await {
        Ok(()) => Answer::Later,
        Err(why) => Answer::Failed(OwnError::Store(why)),
    }
}

/// Twice as long each time.
fn patience(hops: u32) -> SignedDuration {
    SignedDuration::from_secs(1i64.checked_shl(hops - 1).unwrap_or(i64::MAX)).min(PATIENCE)
}

/// What the doorbells of a run ask to look at, each once.
fn looks(heard: &[Heard]) -> Vec<Look> {
    let mut looks: Vec<Look> = Vec::new();
    for one in heard {
        let look = match &one.why {
            Why::Attempt(attempt) => Look::Attempt(attempt.clone()),
            _ if one.again => Look::Everything,
            Why::Submitted | Why::Sweep | Why::Definitions => Look::Everything,
            Why::Command(command) => Look::Command(command.clone()),
            Why::Timer(timer) => Look::Timer(timer.clone()),
        };
        // Whoever was handed it before may have died between its commit and the effects.
        let all = if one.again { &[Look::Everything, Look::Timers][..] } else { &[] };
        for look in std::iter::once(&look).chain(all) {
            if !looks.contains(look) {
                looks.push(look.clone());
            }
        }
    }
    looks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(why: Why, again: bool) -> Heard {
        Heard { run: "u".into(), why, hops: 0, again }
    }

    #[test]
    fn a_doorbell_that_comes_again_or_names_nothing_looks_at_everything() {
        let attempt = || Why::Attempt("a".into());
        let looked = |batch: &[Heard]| looks(batch);
        let one = Look::Attempt("a".into());
        assert_eq!(looked(&[heard(attempt(), false), heard(attempt(), false)]), std::slice::from_ref(&one));
        assert_eq!(looked(&[heard(attempt(), true)]), [one.clone(), Look::Everything, Look::Timers]);
        assert_eq!(looked(&[heard(Why::Sweep, true)]), [Look::Everything, Look::Timers]);
        assert_eq!(looked(&[heard(attempt(), false), heard(Why::Sweep, false)]), [one, Look::Everything]);
        assert_eq!(looked(&[heard(Why::Submitted, false)]), [Look::Everything]);
    }

    #[test]
    fn who_waits_waits_longer_each_time_for_a_minute_in_all() {
        let seconds = [1, 2, 3, HOPS_MAX, 100].map(|hops| patience(hops).as_secs());
        assert_eq!(seconds, [1, 2, 4, 32, 32]);
        assert_eq!((1..=HOPS_MAX).map(|hops| patience(hops).as_secs()).sum::<i64>(), 63);
    }

    #[test]
    fn a_doorbell_whose_names_can_t_be_names_is_no_failure() {
        let why = "it is empty".to_owned();
        let bad = OwnError::Store(StoreError::BadName { what: "run", name: String::new(), why });
        assert!(matches!(next(Err(bad), false, 1), Next::Answered(Answer::Unknown)));
    }
}
