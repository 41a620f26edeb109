//! Timers within one process.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use dropforge_driver::store::StoreError;
use dropforge_driver::timers::Timers;
use dropforge_engine::effect::TimerId;
use dropforge_engine::ids::RunUid;
use jiff::Timestamp;

/// Timers in memory. They are lost with the process, and set again from the outbox by the next owner.
#[derive(Clone, Default)]
pub struct LocalTimers {
    set: Arc<Mutex<BTreeSet<(Timestamp, RunUid, TimerId)>>>,
}

impl LocalTimers {
    /// When the next timer is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.lock().first().map(|(due, _, _)| *due)
    }

    /// Takes the timers that are due.
    pub fn take_due(&self, now: Timestamp) -> Vec<(RunUid, TimerId)> {
        let mut set = self.lock();
        let mut due = Vec::new();
        while let Some(first) = set.first().filter(|(at, _, _)| *at <= now).cloned() {
            set.remove(&first);
            due.push((first.1, first.2));
        }
        due
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<(Timestamp, RunUid, TimerId)>> {
        // A set of plain values is whole whatever a panicking holder did.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timers for LocalTimers {
    async fn set(&self, run: &RunUid, timer: &TimerId, due: Timestamp) -> Result<(), StoreError> {
        self.lock().insert((due, run.clone(), timer.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dropforge_engine::effect::TimerKind;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn timer(generation: u32) -> TimerId {
        TimerId { kind: TimerKind::Backoff, node: None, generation }
    }

    #[test]
    fn timers_come_in_the_order_of_their_time_and_once() {
        let timers = LocalTimers::default();
        let mut set = timers.lock();
        set.insert((at(2), "u".into(), timer(2)));
        set.insert((at(1), "u".into(), timer(1)));
        set.insert((at(1), "u".into(), timer(1)));
        drop(set);
        assert_eq!(timers.next_due(), Some(at(1)));
        assert_eq!(timers.take_due(at(1)), [("u".into(), timer(1))]);
        assert_eq!(timers.take_due(at(5)), [("u".into(), timer(2))]);
        assert_eq!(timers.next_due(), None);
    }
}
