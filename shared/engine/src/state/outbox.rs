//! Effects that no event has answered. A wide run has a live attempt for every item, and each event looks for one of
//! them: their starts are found by a hash, in as many steps however many there are, and never walked in its order.

use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::ops::RangeBounds;
use std::sync::Arc;

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::attempt::Attempt;
use crate::effect::{Effect, EffectKey};
use crate::ids::{AttemptId, NodeId};

/// Effects by their identity.
#[derive(Clone, Default)]
pub struct Outbox {
    /// The starts of live attempts.
    starts: HashTrieMapSync<AttemptId, Arc<Effect>, BuildHasherDefault<DefaultHasher>>,
    others: RedBlackTreeMapSync<EffectKey, Arc<Effect>>,
}

impl Outbox {
    /// Whether every effect has been answered.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.others.is_empty()
    }

    /// The effect with this identity.
    pub fn get(&self, key: &EffectKey) -> Option<&Arc<Effect>> {
        match key {
            EffectKey::Start(attempt) => self.starts.get(attempt),
            key => self.others.get(key),
        }
    }

    /// Whether the effect with this identity is there.
    pub fn contains_key(&self, key: &EffectKey) -> bool {
        self.get(key).is_some()
    }

    /// Adds an effect, in place of one with the same identity.
    pub fn insert_mut(&mut self, key: EffectKey, effect: Arc<Effect>) {
        match key {
            EffectKey::Start(attempt) => self.starts.insert_mut(attempt, effect),
            key => self.others.insert_mut(key, effect),
        }
    }

    /// Takes an effect out, if it is there.
    pub fn remove_mut(&mut self, key: &EffectKey) {
        match key {
            EffectKey::Start(attempt) => self.starts.remove_mut(attempt),
            key => self.others.remove_mut(key),
        };
    }

    /// A live attempt: one that was asked for and has not ended.
    pub fn attempt(&self, id: &AttemptId) -> Option<&Arc<Attempt>> {
        self.starts.get(id).and_then(|effect| started(effect))
    }

    /// The node that a live attempt executes.
    pub fn node_of(&self, id: &AttemptId) -> Option<NodeId> {
        self.attempt(id).map(|attempt| attempt.node)
    }

    /// The live attempts in the order of their nodes.
    pub fn attempts(&self) -> impl Iterator<Item = &Arc<Attempt>> {
        self.starts().into_iter().filter_map(|effect| started(effect))
    }

    /// The effects: the starts of attempts in the order of their nodes, then the others in the order of their identities.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Effect>> {
        self.starts().into_iter().chain(self.others.values())
    }

    /// The identities in a range that holds no start of an attempt.
    pub fn range<R: RangeBounds<EffectKey>>(&self, range: R) -> impl Iterator<Item = &EffectKey> {
        self.others.range(range).map(|(key, _)| key)
    }

    fn starts(&self) -> Vec<&Arc<Effect>> {
        let mut starts: Vec<&Arc<Effect>> = self.starts.values().collect();
        starts.sort_by_key(|effect| started(effect).map(|attempt| (attempt.node, attempt.number)));
        starts
    }
}

fn started(effect: &Effect) -> Option<&Arc<Attempt>> {
    match effect {
        Effect::StartAttempt(attempt) => Some(attempt),
        _ => None,
    }
}

/// In an order that says nothing of how it came about.
impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values()).finish()
    }
}

/// Stored as a list of the effects, which hold their identities.
impl Serialize for Outbox {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.values())
    }
}

impl<'de> Deserialize<'de> for Outbox {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Outbox, D::Error> {
        let mut outbox = Outbox::default();
        for effect in Vec::<Arc<Effect>>::deserialize(deserializer)? {
            outbox.insert_mut(effect.key(), effect);
        }
        Ok(outbox)
    }
}
