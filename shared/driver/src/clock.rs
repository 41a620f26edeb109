//! The time, as a dependency.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock, which never goes back within one process: where it is set back, time goes on from what was told
/// last, so that nothing waits for an hour that has passed already.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        static TOLD: Mutex<Option<Told>> = Mutex::new(None);
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Told { time: Timestamp::now(), at: Instant::now() }.after(*told);
        *told = Some(now);
        now.time
    }
}

/// A time, and when it was told by a clock that nobody sets.
#[derive(Clone, Copy)]
struct Told {
    time: Timestamp,
    at: Instant,
}

impl Told {
    /// The same moment, but never earlier than what was told before it.
    fn after(self, before: Option<Told>) -> Told {
        let Some(before) = before.filter(|before| self.time < before.time) else { return self };
        let passed = SignedDuration::try_from(self.at.duration_since(before.at)).unwrap_or_default();
        Told { time: before.time.saturating_add(passed).unwrap_or(before.time), at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_set_back_goes_on_from_what_it_told_last() {
        let (time, at) = (Timestamp::from_second(1000).unwrap(), Instant::now());
        let told = |second: i64, later: u64| Told {
            time: Timestamp::from_second(second).unwrap(),
            at: at + Duration::from_secs(later),
        };
        let before = Told { time, at };
        let second = |told: Told| told.time.as_second();
        assert_eq!(second(told(1001, 5).after(Some(before))), 1001);
        let back = told(400, 5).after(Some(before));
        assert_eq!(second(back), 1005);
        assert_eq!(second(told(402, 7).after(Some(back))), 1007);
        assert_eq!(second(told(1010, 9).after(Some(back))), 1010);
        assert_eq!(second(told(400, 0).after(None)), 400);
    }
}
