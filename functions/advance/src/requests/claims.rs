//! What a request's claim says: until when its claimer lives.

use std::sync::atomic::{AtomicU64, Ordering};

use dropforge_driver::clock::{Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};

/// What tells these nonces from those of pods and fences.
const MARK: &str = "request-until-";

/// How far the clocks of two machines may be apart.
const CLOCKS: SignedDuration = SignedDuration::from_secs(15);

/// A claim for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed(Timestamp);

impl Claimed {
    /// By a call that has ended by then.
    pub fn until(deadline: Timestamp) -> Self {
        Claimed(deadline)
    }

    /// A nonce that says it, and that no other claimer has.
    pub fn nonce(&self) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let (now, process) = (SystemClock.now().as_nanosecond(), std::process::id());
        format!("{MARK}{}-{process}-{now}-{count}", self.0.as_millisecond())
    }

    /// What a nonce says, where it is one of a request.
    pub fn parse(nonce: &str) -> Option<Self> {
        let (until, _) = nonce.strip_prefix(MARK)?.split_once('-')?;
        Timestamp::from_millisecond(until.parse().ok()?).ok().map(Claimed)
    }

    /// Whether its claimer can't be at it any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.0) > CLOCKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_says_until_when_and_others_say_nothing() {
        let until = Timestamp::from_second(1_000).unwrap();
        let claimed = Claimed::until(until);
        assert_eq!(Claimed::parse(&claimed.nonce()), Some(claimed));
        assert_ne!(claimed.nonce(), claimed.nonce());
        for other in ["cluster-1-2", "request-until-", "request-until-x-1", "f3a0"] {
            assert_eq!(Claimed::parse(other), None, "{other}");
        }
        let over = [1_000, 1_015, 1_016].map(|at| claimed.is_over(Timestamp::from_second(at).unwrap()));
        assert_eq!(over, [false, false, true]);
    }
}
