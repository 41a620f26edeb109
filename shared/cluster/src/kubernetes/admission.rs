//! How many pods a cluster has open at once, and how fast they are made, over all programs that make some: both granted
//! from one conditional object.
//!
//! A program takes permits and turns in blocks, so that a pod seldom costs a write, and uses the permit of a pod that has
//! ended again. One that dies takes its permits with it; the sweep, which counts the cluster's pods anyway, sets the object
//! right. Between two counts the bound is exceeded by at most the blocks in hand, which is what an API server bears; the
//! same holds of the rate. A rate for each program would not do: of fifty that may run one alone often has all the work. But
//! what begins one pod a second at most needs no turn: a chain of steps would pay for a block with each of them.

use std::sync::Arc;

use dropforge_driver::documents;
use dropforge_driver::store::{Documents, StoreError};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// How many permits, and how many turns, are taken at once.
const BLOCK: u32 = 16;

/// How much of what nobody made may be made at once.
const BURST: SignedDuration = SignedDuration::from_secs(1);

/// A turn that comes later than this is not waited for: a program that waits costs as much as one that works.
const TURN_MAX: SignedDuration = SignedDuration::from_secs(1);

/// Who has begun no pod for so long begins one without a turn.
const ALONE: SignedDuration = SignedDuration::from_secs(1);

/// The version of the object that this code writes.
const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    format: u32,
    /// Permits that are taken.
    open: u32,
    /// Until when the turns are taken. An older program drops it, and nothing worse than haste comes of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken_until: Option<Timestamp>,
}

impl Open {
    fn none() -> Self {
        Open { format: FORMAT, open: 0, taken_until: None }
    }
}

/// Whether a pod may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Yes, but not before this.
    From(Timestamp),
    /// No: as many as may be are open.
    Full,
    /// No: the turns of the next seconds are taken.
    Busy,
}

/// What a program has taken and not used.
struct Hand {
    permits: u32,
    turns: u32,
    /// When the turns begin.
    from: Timestamp,
    /// When a pod was begun last, as far as is known.
    begun: Timestamp,
}

/// Permits for open pods of one cluster, and turns to make them.
pub struct Admission<S> {
    store: Arc<S>,
    key: String,
    max: Option<u32>,
    /// How long a block of turns lasts.
    block: SignedDuration,
    hand: Mutex<Hand>,
}

impl<S: Documents> Admission<S> {
    /// Permits and turns of the cluster of this name; without a bound there is always a permit, and at a rate of 0 always a
    /// turn.
    pub fn new(store: Arc<S>, cluster: &str, max: Option<u32>, per_second: f64) -> Self {
        let name = documents::component(documents::escaped(cluster));
        let block = if per_second > 0.0 { f64::from(BLOCK) / per_second } else { 0.0 };
        let block = SignedDuration::try_from_secs_f64(block).unwrap_or(TURN_MAX);
        let (from, begun) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let hand = Mutex::new(Hand { permits: 0, turns: 0, from, begun });
        Admission { store, key: format!("admission/{name}.json"), max, block, hand }
    }

    /// Takes a permit and a turn.
    ///
    /// # Errors
    /// When it is not known whether they were taken.
    pub async fn take(&self, now: Timestamp) -> Result<Admitted, StoreError> {
        let mut hand = self.hand.lock().await;
        // Turns that were not taken when they came are gone: nobody makes up for them all at once.
        if now > hand.from + self.block + BURST {
            hand.turns = 0;
        }
        let is_alone = hand.turns == 0 && now >= hand.begun + ALONE;
        let permit = self.max.is_some() && hand.permits == 0;
        let turn = !self.block.is_zero() && hand.turns == 0 && !is_alone;
        if permit || turn {
            let granted = self.grant(permit, turn, now).await?;
            let (permits, from) = match granted {
                Ok(granted) => granted,
                Err(refused) => return Ok(refused),
            };
            hand.permits += permits;
            if let Some(from) = from {
                (hand.turns, hand.from) = (BLOCK, from);
            }
        }
        hand.permits = hand.permits.saturating_sub(1);
        hand.turns = hand.turns.saturating_sub(1);
        hand.begun = hand.from.max(now);
        Ok(Admitted::From(hand.from))
    }

    /// Whether somebody who has nothing in hand would most likely be given some now.
    ///
    /// # Errors
    /// When that can't be read.
    pub async fn has_room(&self, now: Timestamp) -> Result<bool, StoreError> {
        let open: Option<Open> = documents::read(&*self.store, &self.key, FORMAT).await?;
        let Some(open) = open else { return Ok(true) };
        let full = self.max.is_some_and(|max| open.open >= max);
        let busy = !self.block.is_zero() && open.taken_until.is_some_and(|until| until > now + TURN_MAX);
        let hand = self.hand.lock().await;
        let has_none = full && hand.permits == 0 || busy && hand.turns == 0;
        Ok(!has_none)
    }

    /// A block of permits, and when one of turns begins; or why there is none.
    async fn grant(
        &self,
        permit: bool,
        turn: bool,
        now: Timestamp,
    ) -> Result<Result<(u32, Option<Timestamp>), Admitted>, StoreError> {
        documents::change(&*self.store, &self.key, FORMAT, |old: Option<Open>| {
            let old = old.unwrap_or_else(Open::none);
            let left = self.max.unwrap_or_default().saturating_sub(old.open);
            let permits = if permit { BLOCK.min(left) } else { 0 };
            let earliest = now - BURST;
            let from = old.taken_until.map_or(earliest, |until| until.max(earliest));
            if permit && permits == 0 {
                return (old, Err(Admitted::Full));
            }
            if turn && from > now + TURN_MAX {
                return (old, Err(Admitted::Busy));
            }
            let taken_until = if turn { Some(from + self.block) } else { old.taken_until };
            let new = Open { open: old.open + permits, taken_until, ..old };
            (new, Ok((permits, turn.then_some(from))))
        })
        .await
    }

    /// Gives back the permits of pods that have ended.
    ///
    /// # Errors
    /// When it is not known whether they were given back; the next count sets it right.
    pub async fn give_back(&self, permits: u32) -> Result<(), StoreError> {
        if self.max.is_none() {
            return Ok(());
        }
        let mut hand = self.hand.lock().await;
        hand.permits += permits;
        if hand.permits <= 2 * BLOCK {
            return Ok(());
        }
        let spare = hand.permits - BLOCK;
        hand.permits = BLOCK;
        self.set(|open| open.saturating_sub(spare)).await
    }

    /// How many permits are taken: to be asked before the cluster's pods are counted.
    ///
    /// # Errors
    /// When that can't be read.
    pub async fn taken(&self) -> Result<u32, StoreError> {
        if self.max.is_none() {
            return Ok(0);
        }
        let open: Option<Open> = documents::read(&*self.store, &self.key, FORMAT).await?;
        Ok(open.map_or(0, |open| open.open))
    }

    /// What the cluster's pods are that nobody deletes yet, counted since so many permits were taken. What was granted
    /// meanwhile stays: its pods may not have been there.
    ///
    /// # Errors
    /// When it is not known whether it was stored.
    pub async fn counted(&self, pods: u32, taken: u32) -> Result<(), StoreError> {
        if self.max.is_none() {
            return Ok(());
        }
        self.set(|open| pods.saturating_add(open.saturating_sub(taken))).await
    }

    async fn set(&self, change: impl Fn(u32) -> u32) -> Result<(), StoreError> {
        documents::change(&*self.store, &self.key, FORMAT, |open: Option<Open>| {
            let old = open.unwrap_or_else(Open::none);
            (Open { open: change(old.open), ..old }, ())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Lock;

    use dropforge_driver::store::{Swap, Versioned};

    use super::*;

    #[derive(Default)]
    struct One(Lock<(u32, Option<Vec<u8>>)>);

    impl Documents for One {
        async fn get(&self, _: &str) -> Result<Option<Versioned>, StoreError> {
            let (version, body) = self.0.lock().unwrap().clone();
            Ok(body.map(|body| Versioned { body, version: version.to_string() }))
        }

        async fn swap(&self, _: &str, expected: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
            let mut stored = self.0.lock().unwrap();
            let current = stored.1.is_some().then(|| stored.0.to_string());
            if current.as_deref() != expected {
                return Ok(Swap::Conflict);
            }
            *stored = (stored.0 + 1, Some(body.to_vec()));
            Ok(Swap::Stored { version: stored.0.to_string() })
        }

        async fn remove(&self, _: &str, _: &str) -> Result<Swap, StoreError> {
            unreachable!("nothing is removed")
        }

        async fn keys(&self, _: &str) -> Result<Vec<String>, StoreError> {
            unreachable!("nothing is listed")
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    /// Takes one; gives whether there was one.
    async fn taken(of: &Admission<One>) -> bool {
        matches!(of.take(at(0)).await.unwrap(), Admitted::From(_))
    }

    async fn all(of: &Admission<One>) -> u32 {
        let mut many = 0;
        while taken(of).await {
            many += 1;
        }
        many
    }

    #[tokio::test]
    async fn many_programs_together_make_no_more_pods_in_a_second_than_one_but_for_the_first_of_each() {
        let store = Arc::new(One::default());
        let programs: Vec<_> = (0..50).map(|_| Admission::new(store.clone(), "c", None, 20.0)).collect();
        let mut made = Vec::new();
        for second in 0..10 {
            for program in &programs {
                for _ in 0..BLOCK {
                    match program.take(at(second)).await.unwrap() {
                        Admitted::From(from) => made.push(from.max(at(second))),
                        Admitted::Busy => break,
                        Admitted::Full => panic!("nothing bounds how many are open"),
                    }
                }
            }
        }
        let within =
            |seconds: i64| u32::try_from(made.iter().filter(|from| **from < at(seconds)).count()).unwrap();
        let alone = u32::try_from(programs.len()).unwrap();
        let bound = |seconds: u32| (20 + alone) * (seconds + 1) + BLOCK;
        assert!((1..=10).all(|seconds| within(i64::from(seconds)) <= bound(seconds)), "{}", within(10));
        assert!(within(10) >= 200, "{}", within(10));
        let alone = Admission::new(Arc::new(One::default()), "c", None, 20.0);
        for _ in 0..3 * BLOCK {
            assert!(matches!(alone.take(at(0)).await.unwrap(), Admitted::From(from) if from <= at(1)));
        }
    }

    #[tokio::test]
    async fn a_chain_of_steps_pays_for_no_turns() {
        let chain = Admission::new(Arc::new(One::default()), "c", None, 20.0);
        for second in 0..10 {
            let Admitted::From(from) = chain.take(at(second)).await.unwrap() else { panic!("it waits") };
            assert!(from <= at(second));
        }
        assert_eq!(chain.store.0.lock().unwrap().0, 0, "no writes");
        assert!(
            matches!(chain.take(at(9)).await.unwrap(), Admitted::From(_)),
            "a second one in the same second"
        );
        assert_eq!(chain.store.0.lock().unwrap().0, 1);
    }

    #[tokio::test]
    async fn turns_that_were_not_taken_in_time_are_gone() {
        let store = Arc::new(One::default());
        let program = Admission::new(store.clone(), "c", None, 20.0);
        for second in [0, 100] {
            // The first of each time needs none.
            for _ in 0..3 {
                assert!(matches!(program.take(at(second)).await.unwrap(), Admitted::From(_)));
            }
        }
        assert_eq!(store.0.lock().unwrap().0, 2, "a block each time");
    }

    #[tokio::test]
    async fn who_has_nothing_in_hand_hears_whether_anything_is_left() {
        let store = Arc::new(One::default());
        let program = |max| Admission::new(store.clone(), "c", max, 20.0);
        let (one, other) = (program(Some(320)), program(Some(320)));
        assert!(other.has_room(at(0)).await.unwrap(), "nobody has made any");
        // The first needs no turn.
        for _ in 0..BLOCK {
            one.take(at(0)).await.unwrap();
        }
        assert!(other.has_room(at(0)).await.unwrap());
        let third = program(None);
        while matches!(third.take(at(0)).await.unwrap(), Admitted::From(_)) {}
        assert!(!other.has_room(at(0)).await.unwrap(), "the turns of the next second are taken");
        assert!(one.has_room(at(0)).await.unwrap(), "it has some in hand");
        assert!(other.has_room(at(5)).await.unwrap());
        one.counted(320, 320).await.unwrap();
        assert!(!other.has_room(at(5)).await.unwrap(), "as many are open as may be");
    }

    #[tokio::test]
    async fn two_programs_together_open_no_more_than_the_bound() {
        let store = Arc::new(One::default());
        let make = || Admission::new(store.clone(), "c", Some(40), 0.0);
        let (one, other) = (make(), make());
        assert!(taken(&one).await && taken(&other).await);
        assert_eq!(all(&one).await + all(&other).await, 38);
        other.give_back(3).await.unwrap();
        assert_eq!((all(&one).await, all(&other).await), (0, 3), "whose pods ended makes the next");
        let writes = store.0.lock().unwrap().0;
        assert_eq!(writes, 3, "three blocks, and nothing else");
    }

    #[tokio::test]
    async fn what_a_dead_program_held_comes_back_with_the_count() {
        let store = Arc::new(One::default());
        let make = || Admission::new(store.clone(), "c", Some(20), 0.0);
        assert_eq!(all(&make()).await, 20);
        let next = make();
        assert_eq!(all(&next).await, 0);
        next.counted(5, next.taken().await.unwrap()).await.unwrap();
        assert_eq!(all(&next).await, 15);
    }

    #[tokio::test]
    async fn what_is_granted_while_the_pods_are_counted_stays_taken() {
        let store = Arc::new(One::default());
        let make = || Admission::new(store.clone(), "c", Some(40), 0.0);
        let (counting, making) = (make(), make());
        let taken_before = counting.taken().await.unwrap();
        assert!(taken(&making).await);
        counting.counted(0, taken_before).await.unwrap();
        assert_eq!(all(&counting).await + all(&making).await, 39);
    }

    #[tokio::test]
    async fn many_that_end_at_once_are_given_to_all() {
        let store = Arc::new(One::default());
        let make = || Admission::new(store.clone(), "c", Some(100), 0.0);
        let (one, other) = (make(), make());
        assert_eq!(all(&one).await, 100);
        one.give_back(100).await.unwrap();
        assert_eq!(all(&other).await, 84, "one keeps a block");
        assert!(taken(&Admission::new(store.clone(), "c", None, 0.0)).await);
    }
}
