//! Locks as one run sees them. Of all its blocks that want a lock only one stands in the lock's own queue; the others
//! queue here, in the order of their nodes.

use std::sync::Arc;

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::{Deserialize, Serialize};

use super::as_pairs;
use crate::ids::{AttemptId, NodeId};
use crate::lock::{Holder, LockName, LockRequest, LockWait};

/// The blocks of a run that hold locks or want them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Locks {
    /// The blocks by whom they are for.
    #[serde(with = "as_pairs")]
    pub blocks: RedBlackTreeMapSync<Holder, Arc<LockBlock>>,
    /// Locks that a block of this run has asked for or waits for: no other one asks for them meanwhile.
    pub pending: RedBlackTreeSetSync<(LockName, Holder)>,
    /// Locks that blocks want which wait behind another block of this run.
    pub queued: RedBlackTreeSetSync<(LockName, NodeId)>,
    /// Attempts that were asked to end, with those above them that hold locks: what is locked is in use until they have
    /// ended.
    pub stopping: RedBlackTreeSetSync<(AttemptId, Holder)>,
}

/// One block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LockBlock {
    /// What it wants.
    pub request: Arc<LockRequest>,
    /// How far it is.
    pub stage: Stage,
    /// Attempts below it that were asked to end and have not.
    pub stopping: u32,
}

/// How far a block is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Another block of this run asks first.
    Queued {
        /// The lock both want.
        behind: LockName,
    },
    /// It has asked and was not answered.
    Asked,
    /// It stands in the queue of a lock.
    Waiting(LockWait),
    /// It holds all its locks.
    Held,
}

impl Locks {
    /// Whether this holder has all the locks it wants.
    pub fn holds(&self, holder: Holder) -> bool {
        self.blocks.get(&holder).is_some_and(|block| block.stage == Stage::Held)
    }

    /// The first of these locks that another block of this run has asked for or waits for.
    pub fn in_the_way(&self, locks: &[LockName]) -> Option<LockName> {
        locks.iter().find(|lock| self.pending_at(lock).is_some()).cloned()
    }

    /// The block that has asked for a lock, or waits for it.
    pub fn pending_at(&self, lock: &LockName) -> Option<&Arc<LockBlock>> {
        let (first, holder) = self.pending.range((lock.clone(), None)..).next()?;
        self.blocks.get(holder).filter(|_| first == lock)
    }

    /// The next node that may ask for a lock which nobody of this run asks for.
    pub fn next_at(&self, lock: &LockName) -> Option<NodeId> {
        if self.pending_at(lock).is_some() {
            return None;
        }
        let queue = self.queued.range((lock.clone(), NodeId(0))..).take_while(|(other, _)| other == lock);
        let may = |node: &NodeId| {
            let block = self.blocks.get(&Some(*node));
            block.is_some_and(|block| self.in_the_way(&block.request.locks).is_none())
        };
        queue.map(|(_, node)| *node).find(may)
    }

    /// The lock that a holder waits for, with what is known of it.
    pub fn waits_for(&self, holder: Holder) -> Option<(&LockName, Option<&LockWait>)> {
        match &self.blocks.get(&holder)?.stage {
            Stage::Held => None,
            Stage::Waiting(wait) => Some((&wait.lock, Some(wait))),
            Stage::Asked => self.blocks.get(&holder)?.request.locks.first().map(|lock| (lock, None)),
            Stage::Queued { behind } => {
                let ahead = match self.pending_at(behind).map(|block| &block.stage) {
                    Some(Stage::Waiting(wait)) => Some(wait),
                    _ => None,
                };
                Some((behind, ahead))
            }
        }
    }
}

impl Locks {
    /// The holders that keep their locks until this attempt has ended.
    pub fn kept_for(&self, attempt: &AttemptId) -> Vec<Holder> {
        let from = self.stopping.range((attempt.clone(), None)..);
        from.take_while(|(other, _)| other == attempt).map(|(_, holder)| *holder).collect()
    }
}
