//! What a seed decides of a world before it begins: which faults happen, and how often.

use std::collections::{BTreeMap, BTreeSet};

use crate::bugs::Bug;
use crate::random::Random;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What may go wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];
        }
    };
}

faults! {
    /// The store refuses a request.
    StoreRefuses,
    /// The store does what it was asked, and its answer is lost.
    StoreAnswerLost,
    /// A message is lost.
    MessageLost,
    /// A message arrives twice.
    MessageDoubled,
    /// A message arrives late.
    MessageLate,
    /// Messages become visible again while they are worked on.
    VisibilityShort,
    /// A function is killed between two awaits.
    FunctionKilled,
    /// An answer takes very long.
    Stall,
    /// The Kubernetes API refuses a request.
    ClusterRefuses,
    /// The Kubernetes API does what it was asked, and its answer is lost.
    ClusterAnswerLost,
    /// There is no room for a pod.
    ClusterFull,
    /// A pod is gone before it begins.
    PodVanishesPending,
    /// A pod is gone while it runs.
    PodVanishesRunning,
    /// A pod is gone after its verdict.
    PodVanishesAfter,
    /// A pod is evicted.
    PodEvicted,
    /// A pod's node is without contact, and goes on.
    PodSilent,
    /// A pod finds no node for long.
    PodUnscheduled,
    /// A pod's doorbell is lost.
    PodMute,
    /// A timer is lost.
    TimerLost,
    /// A timer fires early or late.
    TimerOff,
    /// The clocks of functions differ.
    ClockSkew,
    /// People stop, suspend, resume and retry, also twice.
    Commands,
    /// The queue refuses a message. From here on: only in wide worlds.
    QueueRefuses,
    /// The queue takes a message, and its answer is lost.
    QueueAnswerLost,
    /// Some functions are of an older version, which can't read everything; after a while they are replaced.
    OldFunctions,
    /// The store keeps snapshots of states, and those who resume a run get them.
    Snapshots,
    /// S3 answers a write with 409, which decides nothing. Only where the store is asked request by request.
    StoreConflicts,
}

impl Fault {
    /// Whether only wide worlds have it.
    pub fn is_wide(self) -> bool {
        self >= Fault::QueueRefuses
    }

    fn is_there(self, plan: &Plan) -> bool {
        match self {
            Fault::StoreConflicts => plan.requests,
            Fault::Snapshots => plan.wide && !plan.requests,
            other => plan.wide || !other.is_wide(),
        }
    }
}

/// What a world is made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// The faults that never happen in it.
    pub without: BTreeSet<Fault>,
    /// The parts of its manifests that are left out.
    pub dropped: BTreeSet<u32>,
    /// Whether it has all that worlds may have: triggers, schedules, daemons, memos, hooks, `depends`, functions of two
    /// versions. The first worlds had not; seeds that failed then make the same worlds without.
    pub wide: bool,
    /// Whether the store is the product's own for S3, over a bucket that is asked request by request; else its answers
    /// are made whole.
    pub requests: bool,
    /// Over how many items the first workflow loops, where that is to be many.
    pub items: Option<u32>,
    /// Whether all come at once: people submit in the same moment, want the same locks, and speak as soon as a run ends.
    pub hasty: bool,
    /// Whether every state that somebody decided on is compared with what is on record; else one of sixteen is.
    pub replays: bool,
    /// The rule that is broken.
    pub bug: Option<Bug>,
    /// Whether what happens is written down as text.
    pub verbose: bool,
    /// Whether what happens is summed up in the digest, as it is where it is written down; that takes a tenth of the time.
    pub digested: bool,
}

impl Plan {
    /// Everything that this seed brings.
    pub fn new(seed: u64) -> Plan {
        Plan {
            seed,
            without: BTreeSet::new(),
            dropped: BTreeSet::new(),
            wide: true,
            requests: false,
            items: None,
            hasty: false,
            replays: false,
            bug: None,
            verbose: false,
            digested: false,
        }
    }

    /// The world that this seed made before there were wide ones.
    pub fn narrow(seed: u64) -> Plan {
        Plan { wide: false, ..Plan::new(seed) }
    }

    /// The world that this seed makes on a bucket.
    pub fn on_a_bucket(seed: u64) -> Plan {
        Plan { requests: true, ..Plan::new(seed) }
    }

    /// The world of this seed in which all come at once.
    pub fn hasty(seed: u64) -> Plan {
        Plan { hasty: true, ..Plan::new(seed) }
    }

    /// The world that catches this bug, if it does.
    pub fn with_bug(seed: u64, bug: Bug) -> Plan {
        let (requests, hasty) = (bug.is_of_requests(), bug.is_of_haste());
        Plan { bug: Some(bug), requests, hasty, ..Plan::new(seed) }
    }

    /// How often each fault happens, in 10,000 occasions, and by which numbers. A quarter of all worlds has none.
    pub fn rates(&self) -> BTreeMap<Fault, (u64, Random)> {
        let mut random = Random::new(self.seed, "faults");
        let peaceful = random.chance(1, 4);
        let mut rates = BTreeMap::new();
        for fault in Fault::ALL {
            let happens = random.chance(1, 3);
            let rate = *random.pick(&[20, 100, 400, 1500]);
            if !fault.is_there(self) {
                continue;
            }
            if happens && !peaceful && !self.without.contains(fault) {
                rates.insert(*fault, (rate, Random::new(self.seed, &format!("{fault:?}"))));
            }
        }
        rates
    }
}
