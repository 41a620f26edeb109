//! The documents and artifacts of the store as a world has it.

use std::path::Path;

use dropforge_driver::store::{Artifacts, Documents, ObjectFacts, Place, StoreError, Swap, Versioned};

use super::{NEWER, Store};
use crate::bugs::Bug;

/// What every document says of its version at its beginning.
const FORMAT: &str = "\"format\":1";

impl Documents for Store {
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        let mut found = self.read("read", self.inside.get(key)).await?;
        if self.breaks(Bug::SeenForgotten) && key.contains("/seen/") {
            found = None;
        }
        if self.is_newer(key) && !self.breaks(Bug::NewerFormatTaken) {
            found = found.map(|found| written_by_a_newer_one(&found));
        }
        Ok(found)
    }

    async fn swap(&self, key: &str, expected: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
        if self.drops(key, body).await? {
            return Ok(Swap::Stored { version: "none".to_owned() });
        }
        let asked = async {
            let there = self.world.kept.get(key).await?.map(|there| there.version);
            if self.is_newer(key) && there.is_some() && there.as_deref() == expected {
                self.world.wrong(format_args!("an old function writes {key}, which it can't read"));
            }
            let expected = if self.is_blind(key) { there.as_deref() } else { expected };
            let forgets = key.starts_with("locks/") && self.breaks(Bug::GenerationForgotten);
            let forgotten = forgets.then(|| without_generations(body));
            let answer = self.inside.swap(key, expected, forgotten.as_deref().unwrap_or(body)).await?;
            if matches!(answer, Swap::Stored { .. }) && !self.inside.is_objects() {
                self.world.inner().done.documents += 1;
                self.world.note(format_args!("{key} is {}", String::from_utf8_lossy(body)));
            }
            Ok(answer)
        };
        self.write("swap", asked).await
    }

    async fn remove(&self, key: &str, expected: &str) -> Result<Swap, StoreError> {
        self.write("remove", Documents::remove(&self.inside, key, expected)).await
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let keys = self.read("list", self.inside.keys(prefix)).await;
        self.world.turn().await;
        if prefix == "locks/" && self.breaks(Bug::HoldersUnswept) {
            return Ok(Vec::new());
        }
        keys
    }
}

impl Store {
    /// Whether a planted bug keeps this document from being stored, and says that it is.
    async fn drops(&self, key: &str, body: &[u8]) -> Result<bool, StoreError> {
        if key.starts_with("starters/") && self.breaks(Bug::StarterUnmarked) {
            return Ok(true);
        }
        if !key.starts_with("locks/") {
            return Ok(false);
        }
        if self.breaks(Bug::LockReleaseLost) {
            let before = self.world.kept.get(key).await?;
            return Ok(before.is_some_and(|before| holders(&before.body) > holders(body)));
        }
        Ok(self.breaks(Bug::LockWriteDropped) && self.world.inner().random.chance(1, 4))
    }

    /// Whether a planted bug writes this document whatever it has become.
    fn is_blind(&self, key: &str) -> bool {
        let starter = key.ends_with("/state.json") || key.starts_with("crons/");
        key.starts_with("locks/") && self.breaks(Bug::LockSwappedBlindly)
            || starter && self.breaks(Bug::StarterSwappedBlindly)
    }
}

/// How many hold a lock.
fn holders(lock: &[u8]) -> usize {
    let state: serde_json::Value = serde_json::from_slice(lock).unwrap_or_default();
    state["holders"].as_array().map_or(0, Vec::len)
}

/// A lock's document without the generations of who holds it and waits for it.
fn without_generations(lock: &[u8]) -> Vec<u8> {
    let mut state: serde_json::Value = serde_json::from_slice(lock).unwrap_or_default();
    for list in ["holders", "waiters"] {
        let claimants = state[list].as_array_mut().into_iter().flatten().filter_map(|c| c.as_object_mut());
        claimants.for_each(|claimant| drop(claimant.remove("generation")));
    }
    serde_json::to_vec(&state).expect("it was JSON")
}

fn written_by_a_newer_one(found: &Versioned) -> Versioned {
    let text = String::from_utf8_lossy(&found.body).replacen(FORMAT, &format!("\"format\":{NEWER}"), 1);
    Versioned { body: text.into_bytes(), version: found.version.clone() }
}

impl Artifacts for Store {
    async fn fetch(
        &self,
        namespace: &str,
        place: &Place,
        to: &Path,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        self.world.memory.fetch(namespace, place, to, progress).await
    }

    async fn list(&self, namespace: &str, place: &Place) -> Result<Vec<String>, StoreError> {
        self.read("list", self.world.memory.list(namespace, place)).await
    }

    async fn store(
        &self,
        namespace: &str,
        from: &Path,
        place: &Place,
        consume: bool,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        self.world.memory.store(namespace, from, place, consume, progress).await
    }

    async fn remove_object(&self, namespace: &str, place: &Place) -> Result<(), StoreError> {
        self.write("remove", self.world.memory.remove_object(namespace, place)).await
    }

    async fn head(&self, namespace: &str, place: &Place) -> Result<Option<ObjectFacts>, StoreError> {
        self.read("read", self.world.memory.head(namespace, place)).await
    }
}
