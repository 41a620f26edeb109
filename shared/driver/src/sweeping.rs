//! The sweep: which runs are rung so that nothing that was lost stays lost, and what is left over and goes. No live
//! run is loaded for it.

mod expiry;
mod sweep;

pub use sweep::{AllPods, Sweep, Swept};

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use dropforge_engine::ids::{AttemptId, RunUid};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::doorbells::{Ring, Why};
use crate::heard::SWEEP_HOPS;

/// How many runs one sweep rings that nothing speaks for: with more live ones each waits for its turn.
const RINGS_MAX: usize = 100;

/// Within so many sweeps every live run is rung.
const TURNS_MAX: u64 = 15;

/// A pod of ours, at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// Its run.
    pub run: RunUid,
    /// Its attempt.
    pub attempt: AttemptId,
    /// Its namespace.
    pub namespace: String,
    /// Whether it has ended, or waits for something that may not come.
    pub calls: bool,
    /// Whether it is the latter.
    pub stuck: bool,
}

/// What a sweep does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The runs to ring.
    pub ring: BTreeSet<RunUid>,
    /// Pods of runs that are over, by run and namespace.
    pub left: BTreeMap<(RunUid, String), Vec<AttemptId>>,
}

impl Plan {
    /// The doorbells to be rung. They begin late in their chain, since the next sweep rings again.
    pub fn rings(&self) -> Vec<Ring> {
        let ring = |run: &RunUid| Ring { hops: SWEEP_HOPS, ..Ring::new(run.clone(), Why::Sweep) };
        self.ring.iter().map(ring).collect()
    }
}

/// What follows from the live runs, and from the pods that were there before these were listed: a run's marker is made
/// before its first pod, so that a pod without one is left over. `minutes` are those that this sweep answers for.
pub fn plan(live: &BTreeSet<RunUid>, pods: &[Glimpse], minutes: RangeInclusive<u64>) -> Plan {
    let mut plan = Plan { ring: turns(live, minutes), left: BTreeMap::new() };
    for pod in pods {
        if !live.contains(&pod.run) {
            plan.left.entry((pod.run.clone(), pod.namespace.clone())).or_default().push(pod.attempt.clone());
        } else if pod.calls {
            plan.ring.insert(pod.run.clone());
        }
    }
    plan
}

/// The live runs whose turn it is.
fn turns(live: &BTreeSet<RunUid>, minutes: RangeInclusive<u64>) -> BTreeSet<RunUid> {
    let turns = (live.len().div_ceil(RINGS_MAX) as u64).clamp(1, TURNS_MAX);
    let now: BTreeSet<u64> = minutes.map(|minute| minute % turns).collect();
    live.iter().filter(|run| now.contains(&turn(run.as_str(), turns))).cloned().collect()
}

/// Which of so many turns is that of what has this name.
fn turn(name: &str, turns: u64) -> u64 {
    u64::from(Sha256::digest(name)[0]) % turns
}

/// The minutes that a sweep answers for: all since the one before, since a schedule fires anywhere within its minute, and
/// an hour at most. Where that is not known, as many as give every run its turn.
fn minutes(since: Option<Timestamp>, now: Timestamp) -> RangeInclusive<u64> {
    let minute = |at: Timestamp| u64::try_from(at.as_second() / 60).unwrap_or_default();
    let now = minute(now);
    let from = since.map_or((now + 1).saturating_sub(TURNS_MAX), |at| minute(at) + 1);
    from.clamp(now.saturating_sub(59), now)..=now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(many: usize) -> BTreeSet<RunUid> {
        (0..many).map(|n| RunUid::from(format!("run-{n}"))).collect()
    }

    fn glimpse(run: &str, attempt: &str, calls: bool) -> Glimpse {
        let namespace = "default".to_owned();
        Glimpse { run: run.into(), attempt: attempt.into(), namespace, calls, stuck: false }
    }

    #[test]
    fn a_few_live_runs_are_rung_each_time() {
        let live = runs(3);
        assert_eq!(plan(&live, &[], 7..=7), Plan { ring: live, left: BTreeMap::new() });
        assert_eq!(plan(&BTreeSet::new(), &[], 7..=7), Plan::default());
    }

    #[test]
    fn what_waits_between_two_sweeps_is_looked_at_twice_again_and_not_after_the_next() {
        let ring = plan(&runs(1), &[], 7..=7).rings().remove(0);
        assert_eq!(ring, Ring { hops: 4, ..Ring::new("run-0".into(), Why::Sweep) });
    }

    #[test]
    fn many_live_runs_are_rung_by_turns_and_all_within_a_quarter_of_an_hour() {
        let live = runs(5000);
        let each: Vec<_> = (0..15).map(|minute| plan(&live, &[], minute..=minute).ring).collect();
        assert!(
            each.iter().all(|ring| ring.len() < 600),
            "{:?}",
            each.iter().map(BTreeSet::len).collect::<Vec<_>>()
        );
        let passed_over: BTreeSet<RunUid> = each[3].union(&each[4]).cloned().collect();
        assert_eq!(plan(&live, &[], 3..=4).ring, passed_over);
        let all: BTreeSet<RunUid> = each.into_iter().flatten().collect();
        assert_eq!(all, live);
    }

    #[test]
    fn a_sweep_answers_for_every_minute_since_the_one_before() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let minutes = |since: Option<i64>, now| minutes(since.map(at), at(now));
        assert_eq!(minutes(Some(60), 120), 2..=2);
        // Fired late in its minute, and then a minute later still.
        assert_eq!(minutes(Some(119), 240), 2..=4);
        assert_eq!(minutes(Some(120), 179), 2..=2, "twice in one");
        assert_eq!(minutes(Some(0), 6000), 41..=100);
        assert_eq!(minutes(None, 6000), 86..=100);
    }

    #[test]
    fn a_pod_that_has_ended_has_its_run_rung_at_once_and_one_without_a_live_run_is_left_over() {
        let live = runs(2000);
        let minute =
            (0..20).find(|minute| turn("run-7", 15) != minute % 15).expect("it has one turn of many");
        let pods = [glimpse("run-7", "a", true), glimpse("run-8", "b", false), glimpse("over", "c", false)];
        let plan = plan(&live, &pods, minute..=minute);
        assert!(plan.ring.contains(&"run-7".into()));
        assert_eq!(plan.left, [(("over".into(), "default".to_owned()), vec!["c".into()])].into());
    }
}
