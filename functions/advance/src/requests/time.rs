//! How much time a call has for a request.

use std::time::Duration;

use jiff::Timestamp;

/// What is left for the verdict, the commit and what follows from it.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// What a pod's start needs at most, with what follows from it: those that wait beside it for their turn, and a cluster
/// that does not answer at once.
const STARTING: Duration = Duration::from_secs(10);

/// A call of the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    began: Timestamp,
    deadline: Timestamp,
}

impl Call {
    /// One that begins and must have ended by then.
    pub fn new(began: Timestamp, deadline: Timestamp) -> Self {
        Call { began, deadline }
    }

    /// One that has no time.
    pub fn ended() -> Self {
        Call { began: Timestamp::UNIX_EPOCH, deadline: Timestamp::UNIX_EPOCH }
    }

    /// When it must have ended.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// Whether a pod may still be started. What is not is started by the next call; whoever is killed at its deadline has
    /// its messages delivered again only after minutes.
    pub fn starts(&self, now: Timestamp) -> bool {
        between(now, self.deadline) > STARTING.min(between(self.began, self.deadline) / 2)
    }

    /// How long a request may take that wants so much. None: another call has more time for it. Where no call has enough,
    /// one that has most of its time yet gives what it has.
    pub fn grants(&self, wanted: Duration, now: Timestamp) -> Option<Duration> {
        let total = between(self.began, self.deadline);
        let left = between(now, self.deadline);
        let granted = wanted.min(left.saturating_sub(AFTERWARDS));
        (granted == wanted || left >= total.mul_f64(0.75) && !granted.is_zero()).then_some(granted)
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gets_the_time_it_wants_or_the_most_that_a_call_has_or_waits_for_another() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let call = Call::new(at(100), at(160));
        let granted =
            |wanted, now| call.grants(Duration::from_secs(wanted), at(now)).map(|granted| granted.as_secs());
        let table =
            [(30, 100), (30, 125), (30, 126), (55, 100), (300, 100), (300, 115), (300, 116), (1, 156)];
        let expected = [Some(30), Some(30), None, Some(55), Some(55), Some(40), None, None];
        assert_eq!(table.map(|(wanted, now)| granted(wanted, now)), expected);
        let starts = [100, 149, 150, 160].map(|now| call.starts(at(now)));
        assert_eq!(starts, [true, true, false, false]);
        assert_eq!(
            [100, 102, 103].map(|now| Call::new(at(100), at(106)).starts(at(now))),
            [true, true, false]
        );
        assert_eq!(Call::ended().grants(Duration::from_secs(1), at(100)), None);
    }
}
