//! What functions have of the world: its clock with an error of its own, its queues, timers and reminders.

use dropforge_driver::clock::Clock;
use dropforge_driver::doorbells::{Doorbells, Ring, Why};
use dropforge_driver::ends;
use dropforge_driver::heard::Heard;
use dropforge_driver::owner::Ends;
use dropforge_driver::reminders::Reminders;
use dropforge_driver::store::{Created, StoreError};
use dropforge_driver::timers::Timers;
use dropforge_engine::effect::TimerId;
use dropforge_engine::ids::RunUid;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::RunSpec;
use jiff::Timestamp;

use crate::bugs::Bug;
use crate::plan::Fault;
use crate::queue::{Body, Queue};
use crate::store::Store;
use crate::world::{Handle, timestamp};

/// How far a clock may be off, in milliseconds.
pub const SKEW_MAX: i64 = 4_000;

/// The world as one function has it.
#[derive(Clone)]
pub struct Outside {
    /// The world.
    pub world: Handle,
    /// The store.
    pub store: Store,
    /// How wrong its clock is, in milliseconds.
    pub skew: i64,
}

impl Outside {
    /// For a function that begins; `old`: of an older version, as long as there is one.
    pub fn new(world: &Handle, old: bool) -> Outside {
        let skewed = world.fault(Fault::ClockSkew) || world.has(Fault::ClockSkew);
        let skew = if skewed { world.inner().random.between(-SKEW_MAX, SKEW_MAX) } else { 0 };
        Outside { world: world.clone(), store: Store::new(world, old), skew }
    }

    /// The time by its clock.
    pub fn time(&self) -> Timestamp {
        timestamp(self.world.inner().now + self.skew)
    }

    fn bell(&self, run: &RunUid, why: Why, hops: u32, after: i64) {
        let heard = Heard { run: run.clone(), why, hops, again: false };
        self.world.send(Queue::Events, Body::Bell(heard), after);
    }
}

impl Outside {
    /// In narrow worlds nobody waits for that answer.
    async fn ring_answers(&self) -> Result<(), StoreError> {
        if self.world.plan.wide { self.aws_answers("ring").await } else { Ok(()) }
    }
}

impl Clock for Outside {
    fn now(&self) -> Timestamp {
        self.time()
    }
}

impl Doorbells for Outside {
    async fn ring(&self, rings: &[Ring]) -> Result<(), StoreError> {
        for ring in rings {
            self.aws("ring").await?;
            if ring.why == Why::Submitted {
                let found = self.store.unrung().get(&ring.run) == Some(&Created::Exists);
                if found && self.world.breaks(Bug::FoundUnrung) {
                    continue;
                }
                self.store.unrung().remove(&ring.run);
            }
            let after = i64::try_from(ring.after.as_millis()).unwrap_or(0);
            self.bell(&ring.run, ring.why.clone(), ring.hops, after);
        }
        if rings.is_empty() { Ok(()) } else { self.ring_answers().await }
    }
}

impl Timers for Outside {
    async fn set(&self, run: &RunUid, timer: &TimerId, due: Timestamp) -> Result<(), StoreError> {
        self.aws("set a timer of").await?;
        if self.world.fault(Fault::TimerLost) {
            return Ok(());
        }
        let off = if self.world.fault(Fault::TimerOff) {
            self.world.inner().random.between(-60_000, 120_000)
        } else {
            0
        };
        let after = due.as_millisecond() - self.world.inner().now + off;
        self.bell(run, Why::Timer(timer.clone()), 0, after);
        Ok(())
    }

    async fn rouse(&self, run: &RunUid) -> Result<(), StoreError> {
        self.world.turn().await;
        self.bell(run, Why::Sweep, 0, 0);
        Ok(())
    }
}

impl Ends for Outside {
    async fn ended(&self, spec: &RunSpec, phase: RunPhase) -> Result<(), StoreError> {
        if self.world.breaks(Bug::EndUntold) {
            return Ok(());
        }
        match ends::told(&self.store, spec, phase, self.time()).await? {
            Some(starter) => self.remind(&starter, self.time()).await,
            None => Ok(()),
        }
    }

    async fn remove_artifacts(&self, _: &RunSpec) -> Result<(), StoreError> {
        self.world.turn().await;
        Ok(())
    }

    async fn remove_volumes(&self, _: &RunSpec) -> Result<(), StoreError> {
        self.world.turn().await;
        Ok(())
    }
}
