//! Mutexes and semaphores, as a run asks for them and is told of them.

use std::fmt;

use dropforge_manifest::types::Synchronization;
use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, RunUid};
use crate::spec::RunSpec;

/// Who holds locks within a run: a node, or the run itself.
pub type Holder = Option<NodeId>;

/// Names a lock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum LockName {
    /// One holder at a time.
    Mutex {
        /// The namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// As many holders as a key of a config map says.
    Semaphore {
        /// The namespace.
        namespace: String,
        /// The config map.
        name: String,
        /// The key.
        key: String,
    },
    /// A place among the runs that go on side by side. Its kind comes last, so that a run takes its place only when its
    /// own locks are there.
    Runs {
        /// Those of this namespace; none: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
    },
}

impl LockName {
    /// The lock's namespace; none: it stands above all.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            LockName::Mutex { namespace, .. } | LockName::Semaphore { namespace, .. } => Some(namespace),
            LockName::Runs { namespace } => namespace.as_deref(),
        }
    }
}

/// As Argo writes it.
impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockName::Mutex { namespace, name } => write!(f, "{namespace}/Mutex/{name}"),
            LockName::Semaphore { namespace, name, key } => write!(f, "{namespace}/ConfigMap/{name}/{key}"),
            LockName::Runs { namespace: Some(namespace) } => write!(f, "{namespace}/namespaceParallelism"),
            LockName::Runs { namespace: None } => f.write_str("parallelism"),
        }
    }
}

/// The locks of one `synchronization` block, wanted together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockRequest {
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Holder,
    /// Argo's name of the holder: `<namespace>/<run>`, and `/<node id>` for a node.
    pub key: String,
    /// The run's generation that asks: who still gives back what an earlier one held takes nothing from it.
    #[serde(default, skip_serializing_if = "is_first")]
    pub generation: u32,
    /// The locks, in the manifest's order.
    pub locks: Vec<LockName>,
}

fn is_first(generation: &u32) -> bool {
    *generation == 0
}

/// Why a block's locks could not be taken at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockWait {
    /// The lock that refused; the block stands in its queue.
    pub lock: LockName,
    /// How many more could hold it.
    pub free: i64,
    /// How many may hold it.
    pub limit: i64,
    /// The first of its holders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<HeldBy>,
}

/// One that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldBy {
    /// Argo's name of the holder.
    pub key: String,
    /// Its run.
    pub run: RunUid,
}

/// Argo's words for a run that has no place among those that go on (rule R-8).
const POSTPONED: &str =
    "Workflow processing has been postponed because too many workflows are already running";

impl LockWait {
    /// Argo's message.
    pub fn message(&self) -> String {
        if matches!(self.lock, LockName::Runs { .. }) {
            return POSTPONED.to_owned();
        }
        format!("Waiting for {} lock. Lock status: {}/{}", self.lock, self.free, self.limit)
    }
}

/// The places that a run needs before it begins: as many as there are limits.
pub fn places(spec: &RunSpec) -> Vec<LockName> {
    let own = spec.settings.namespace_parallelism.map(|_| Some(spec.namespace().to_owned()));
    let all = spec.settings.parallelism.map(|_| None);
    own.into_iter().chain(all).map(|namespace| LockName::Runs { namespace }).collect()
}

/// The locks that a block names; every tag in it has been replaced.
///
/// # Errors
/// In Argo's words, when the block contradicts itself.
pub fn names(block: &Synchronization, own: &str) -> Result<Vec<LockName>, String> {
    let namespace = |given: &Option<String>| match given.as_deref() {
        None | Some("") => own.to_owned(),
        Some(other) => other.to_owned(),
    };
    let mut locks = Vec::new();
    for semaphore in &block.semaphores {
        let reference = semaphore.config_map_key_ref.as_ref().ok_or_else(|| {
            invalid("cannot get LockName for a Semaphore without a ConfigMapRef or Database")
        })?;
        let (name, key) = (reference.name.clone(), reference.key.clone());
        locks.push(LockName::Semaphore { namespace: namespace(&semaphore.namespace), name, key });
    }
    for mutex in &block.mutexes {
        locks.push(LockName::Mutex { namespace: namespace(&mutex.namespace), name: mutex.name.clone() });
    }
    let empty = |lock: &LockName| match lock {
        LockName::Mutex { name, .. } => name.is_empty(),
        LockName::Semaphore { name, key, .. } => name.is_empty() || key.is_empty(),
        LockName::Runs { .. } => false,
    };
    if locks.iter().any(empty) {
        return Err(invalid("a lock without a name"));
    }
    let twice = |(index, lock): (usize, &LockName)| locks[..index].contains(lock);
    if locks.iter().enumerate().any(twice) {
        return Err(invalid("duplicate synchronization item found"));
    }
    Ok(locks)
}

fn invalid(why: &str) -> String {
    format!("requested configuration is invalid: {why}")
}
