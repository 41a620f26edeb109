//! What a command and all that it started used: sampled while it runs, completed when it is reaped.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::process::system::Reaped;
use crate::process::table;

/// The first sample comes soon, since many steps are short; later ones are this far apart.
const FIRST_SAMPLE: Duration = Duration::from_millis(10);
const SAMPLES_APART: Duration = Duration::from_millis(100);
/// With a limit that only the samples guard.
const GUARD_SAMPLES_APART: Duration = Duration::from_millis(50);

/// What a command used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time of all its processes.
    pub cpu_seconds: f64,
    /// The most that its processes held resident at once, as far as samples show it; memory that several share
    /// counts for each. Cached files don't count.
    pub memory_bytes_max: u64,
}

/// Watches one command.
#[derive(Debug)]
pub struct Meter {
    /// The most that the process that starts commands has held itself: the kernel counts it as the child's from before
    /// exec. Looked at with the first sample: without one, the child's figure is the only one anyway.
    of_the_parent: u64,
    peak: u64,
    samples: u32,
    limit: Option<u64>,
    /// Whether nobody but the samples guards the limit.
    guarding: bool,
}

impl Meter {
    /// A new one; `guarding`: nobody else guards the limit.
    pub fn new(limit: Option<u64>, guarding: bool) -> Self {
        Meter { of_the_parent: 0, peak: 0, samples: 0, limit, guarding }
    }

    /// The limit, whoever guards it.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    fn guarded(&self) -> Option<u64> {
        self.limit.filter(|_| self.guarding)
    }

    /// When the next sample is due after the last.
    pub fn pause(&self) -> Duration {
        let longest = if self.guarded().is_some() { GUARD_SAMPLES_APART } else { SAMPLES_APART };
        FIRST_SAMPLE.saturating_mul(1 << self.samples.min(4)).min(longest)
    }

    /// Looks at these processes; says whether they hold more than the guarded limit.
    pub fn sample(&mut self, members: &[i32]) -> bool {
        if self.samples == 0 {
            let own = table::resident(std::process::id().cast_signed());
            self.of_the_parent = own.map_or(0, |(_, most)| most);
        }
        self.samples = self.samples.saturating_add(1);
        let held: BTreeMap<i32, (u64, u64)> =
            members.iter().filter_map(|pid| Some((*pid, table::resident(*pid)?))).collect();
        let at_once: u64 = held.values().map(|(now, _)| now).sum();
        let largest = held.values().map(|(_, most)| *most).max().unwrap_or(0);
        self.peak = self.peak.max(at_once).max(largest);
        let Some(limit) = self.guarded() else { return false };
        // Workers forked from one process share most of their memory: the dear, exact sum decides.
        at_once > limit && members.iter().filter_map(|pid| table::proportional(*pid)).sum::<u64>() > limit
    }

    /// The final figures.
    pub fn total(&self, reaped: &[Reaped]) -> Usage {
        let largest = reaped.iter().map(|one| one.memory_bytes_max).max().unwrap_or(0);
        // A figure that may be the parent's says something only when there is none else.
        let largest = if largest > self.of_the_parent || self.peak == 0 { largest } else { 0 };
        Usage {
            cpu_seconds: reaped.iter().map(|one| one.cpu_seconds).sum(),
            memory_bytes_max: self.peak.max(largest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(of_the_parent: u64, peak: u64) -> Meter {
        Meter { of_the_parent, peak, samples: 0, limit: None, guarding: true }
    }

    #[test]
    fn the_parents_own_memory_is_not_taken_for_the_commands() {
        let reaped = [
            Reaped { status: 0, cpu_seconds: 1.5, memory_bytes_max: 50 },
            Reaped { status: 0, cpu_seconds: 0.25, memory_bytes_max: 20 },
        ];
        let peak = |meter: Meter| meter.total(&reaped).memory_bytes_max;
        assert_eq!(peak(meter(50, 7)), 7);
        assert_eq!(peak(meter(49, 7)), 50);
        assert_eq!(peak(meter(60, 0)), 50);
        assert_eq!(meter(0, 0).total(&reaped).cpu_seconds, 1.75);
    }

    #[test]
    fn samples_are_dense_at_first_and_denser_with_a_limit_to_guard() {
        let pauses = |limit| {
            let mut meter = Meter { limit, ..meter(0, 0) };
            let next = |_| {
                let pause = meter.pause().as_millis();
                meter.sample(&[]);
                pause
            };
            (0..6).map(next).collect::<Vec<_>>()
        };
        assert_eq!(pauses(None), [10, 20, 40, 80, 100, 100]);
        assert_eq!(pauses(Some(1)), [10, 20, 40, 50, 50, 50]);
    }

    #[test]
    fn what_a_process_holds_is_seen_and_held_against_the_limit() {
        let own = std::process::id().cast_signed();
        let mut strict = Meter::new(Some(1), true);
        assert!(strict.sample(&[own]));
        assert!(strict.peak > 100_000);
        assert!(!Meter::new(Some(1), false).sample(&[own]));
        assert!(!Meter::new(Some(u64::MAX), true).sample(&[own]));
    }
}
