//! How many pods a cluster has open at once, over all programs that make some: granted from one conditional object.
//!
//! A program takes permits in blocks, so that a pod seldom costs a write, and uses the permit of a pod that has ended
//! again. One that dies takes its permits with it; the sweep, which counts the cluster's pods anyway, sets the object
//! right. Between two counts the bound is exceeded by at most the blocks in hand, which is what an API server bears.

use std::sync::Arc;

use dropforge_driver::documents;
use dropforge_driver::store::{Documents, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// How many permits are taken at once.
const BLOCK: u32 = 16;

/// The version of the object that this code writes.
const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    format: u32,
    /// Permits that are taken.
    open: u32,
}

/// Permits for open pods of one cluster.
pub struct Admission<S> {
    store: Arc<S>,
    key: String,
    max: Option<u32>,
    /// Permits in hand.
    free: Mutex<u32>,
}

impl<S: Documents> Admission<S> {
    /// Permits of the cluster of this name; without a bound there are always some.
    pub fn new(store: Arc<S>, cluster: &str, max: Option<u32>) -> Self {
        let name = documents::component(documents::escaped(cluster));
        Admission { store, key: format!("admission/{name}.json"), max, free: Mutex::new(0) }
    }

    /// Takes a permit; false where all are taken.
    ///
    /// # Errors
    /// When it is not known whether one was taken.
    pub async fn take(&self) -> Result<bool, StoreError> {
        let Some(max) = self.max else { return Ok(true) };
        let mut free = self.free.lock().await;
        if *free == 0 {
            *free = documents::change(&*self.store, &self.key, FORMAT, |open: Option<Open>| {
                let taken = open.map_or(0, |open| open.open);
                let granted = BLOCK.min(max.saturating_sub(taken));
                (Open { format: FORMAT, open: taken + granted }, granted)
            })
            .await?;
        }
        let granted = *free > 0;
        *free = free.saturating_sub(1);
        Ok(granted)
    }

    /// Gives back the permits of pods that have ended.
    ///
    /// # Errors
    /// When it is not known whether they were given back; the next count sets it right.
    pub async fn give_back(&self, permits: u32) -> Result<(), StoreError> {
        if self.max.is_none() {
            return Ok(());
        }
        let mut free = self.free.lock().await;
        *free += permits;
        if *free <= 2 * BLOCK {
            return Ok(());
        }
        let spare = *free - BLOCK;
        *free = BLOCK;
        self.set(|open| open.saturating_sub(spare)).await
    }

    /// What the cluster's pods are, counted.
    ///
    /// # Errors
    /// When it is not known whether it was stored.
    pub async fn counted(&self, pods: u32) -> Result<(), StoreError> {
        if self.max.is_none() {
            return Ok(());
        }
        self.set(|_| pods).await
    }

    async fn set(&self, change: impl Fn(u32) -> u32) -> Result<(), StoreError> {
        documents::change(&*self.store, &self.key, FORMAT, |open: Option<Open>| {
            (Open { format: FORMAT, open: change(open.map_or(0, |open| open.open)) }, ())
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

    async fn all(of: &Admission<One>) -> u32 {
        let mut taken = 0;
        while of.take().await.unwrap() {
            taken += 1;
        }
        taken
    }

    #[tokio::test]
    async fn two_programs_together_open_no_more_than_the_bound() {
        let store = Arc::new(One::default());
        let make = || Admission::new(store.clone(), "c", Some(40));
        let (one, other) = (make(), make());
        assert!(one.take().await.unwrap() && other.take().await.unwrap());
        assert_eq!(all(&one).await + all(&other).await, 38);
        other.give_back(3).await.unwrap();
        assert_eq!((all(&one).await, all(&other).await), (0, 3), "whose pods ended makes the next");
        let writes = store.0.lock().unwrap().0;
        assert_eq!(writes, 3, "three blocks, and nothing else");
    }

    #[tokio::test]
    async fn what_a_dead_program_held_comes_back_with_the_count() {
        let store = Arc::new(One::default());
        let make = || Admission::new(store.clone(), "c", Some(20));
        assert_eq!(all(&make()).await, 20);
        let next = make();
        assert_eq!(all(&next).await, 0);
        next.counted(5).await.unwrap();
        assert_eq!(all(&next).await, 15);
    }

    #[tokio::test]
    async fn many_that_end_at_once_are_given_to_all() {
        let store = Arc::new(One::default());
        let make = || Admission::new(store.clone(), "c", Some(100));
        let (one, other) = (make(), make());
        assert_eq!(all(&one).await, 100);
        one.give_back(100).await.unwrap();
        assert_eq!(all(&other).await, 84, "one keeps a block");
        assert_eq!(Admission::new(store.clone(), "c", None).take().await.ok(), Some(true));
    }
}
