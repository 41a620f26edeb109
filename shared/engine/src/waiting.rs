//! Why a node does not move, as data a person can read.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::lock::Holder;
use crate::memo::MemoKey;
use crate::record::Block;
use crate::state::{Body, RunState};

/// A node and what it waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The node; none: the run itself.
    pub node: Option<NodeId>,
    /// Its full name.
    pub name: String,
    /// What it waits for.
    pub on: On,
}

/// What a node waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum On {
    /// A slot of a parallelism limit.
    Slot {
        /// Whose limit: the workflow's, or the template's name.
        of: String,
        /// The limit.
        limit: i64,
    },
    /// The next decision: this one has started as many attempts as it may.
    Admission,
    /// A lock.
    Lock {
        /// Its name, as Argo writes it.
        lock: String,
        /// How many more could hold it, and how many may; none before it has answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<(i64, i64)>,
        /// Argo's names of those that hold it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        held_by: Vec<String>,
    },
    /// The value of a config map to be read.
    Config,
    /// `spec.suspend` to be cleared.
    Suspension,
    /// A person to resume it.
    Approval {
        /// Since when.
        since: Timestamp,
    },
    /// A moment.
    Time {
        /// When it goes on.
        until: Timestamp,
        /// What for: `backoff`, `suspend`.
        what: String,
    },
    /// Resources, images, nodes: in the cluster's words.
    Resources {
        /// The words.
        why: String,
    },
    /// Its attempt to end.
    Attempt {
        /// Since when.
        since: Timestamp,
    },
    /// What its cache holds.
    Memo {
        /// The cache.
        cache: String,
        /// The key of the entry.
        key: String,
    },
    /// Its hooks and its exit handler to end.
    Hooks {
        /// How many are not done.
        open: u32,
    },
    /// Nothing: it is a daemon that is ready, and serves until what needs it has ended.
    Serving {
        /// Its address.
        ip: String,
    },
    /// Its own children to end.
    Children {
        /// How many are not done.
        open: u32,
    },
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match &self.on {
            On::Slot { of, limit } => write!(f, "waits for a slot of parallelism {limit} of {of}"),
            On::Admission => {
                f.write_str("waits for the next decision: this one has started as many as it may")
            }
            On::Lock { lock, status, held_by } => lock_text(f, lock, *status, held_by),
            On::Config => f.write_str("waits for the value of a config map"),
            On::Suspension => f.write_str("waits for the run to be resumed"),
            On::Approval { since } => write!(f, "waits for a person to resume it since {since}"),
            On::Time { until, what } => write!(f, "waits until {until} ({what})"),
            On::Resources { why } => write!(f, "waits for resources: {why}"),
            On::Attempt { since } => write!(f, "runs since {since}"),
            On::Memo { cache, key } => write!(f, "waits for the entry {key} of the cache {cache}"),
            On::Hooks { open } => write!(f, "waits for {open} of its hooks and exit handlers"),
            On::Serving { ip } => write!(f, "serves at {ip} until what needs it has ended"),
            On::Children { open } => write!(f, "waits for {open} of its children"),
        }
    }
}

fn lock_text(
    f: &mut fmt::Formatter<'_>,
    lock: &str,
    status: Option<(i64, i64)>,
    held_by: &[String],
) -> fmt::Result {
    write!(f, "waits for the lock {lock}")?;
    if let Some((free, limit)) = status {
        write!(f, " ({free} of {limit} free)")?;
    }
    match held_by {
        [] => Ok(()),
        holders => write!(f, ", held by {}", holders.join(", ")),
    }
}

/// What a node of this state waits for; none when it is unknown, or settled and no daemon that serves.
pub fn waiting_on(state: &RunState, id: NodeId) -> Option<Waiting> {
    let node = state.node(id).filter(|n| !n.settled() || n.daemoned)?;
    let held = state.suspended && state.held_hooks.contains(&id);
    let on = match node.blocked {
        None if node.idle => lock(state, Some(id))?,
        Some(block) => blocked(state, id, block),
        None if node.phase.fulfilled() && held => On::Suspension,
        None if state.config_hooks.contains(&id) => On::Config,
        None if node.phase.fulfilled() => On::Hooks { open: node.hooks_open },
        None => own(state, id)?,
    };
    Some(Waiting { node: Some(id), name: state.name(id), on })
}

/// Why the run does not move: one line for each node that waits for something else than its children and hooks.
pub fn waiting(state: &RunState) -> Vec<Waiting> {
    let nodes = state.nodes.values().filter_map(|node| waiting_on(state, node.id));
    let below = |on: &On| matches!(on, On::Children { .. } | On::Hooks { .. });
    let mut all: Vec<Waiting> = nodes.filter(|w| !below(&w.on)).collect();
    if !state.phase.completed()
        && let Some(on) = lock(state, None)
    {
        all.push(Waiting { node: None, name: state.program.spec.name().to_owned(), on });
    } else if state.root.is_none() && state.suspended && !state.phase.completed() {
        all.push(Waiting { node: None, name: state.program.spec.name().to_owned(), on: On::Suspension });
    }
    all
}

fn lock(state: &RunState, holder: Holder) -> Option<On> {
    let (lock, wait) = state.locks.waits_for(holder)?;
    let held_by = wait.iter().flat_map(|wait| wait.held_by.iter().map(|held| held.key.clone())).collect();
    Some(On::Lock { lock: lock.to_string(), status: wait.map(|wait| (wait.free, wait.limit)), held_by })
}

fn blocked(state: &RunState, id: NodeId, block: Block) -> On {
    match block {
        Block::Suspended => On::Suspension,
        Block::Admission => On::Admission,
        Block::Config => On::Config,
        Block::WorkflowParallelism => {
            On::Slot { of: "the workflow".to_owned(), limit: state.program.spec.open_pods_max() }
        }
        Block::TemplateParallelism => {
            let holder = state.node(id).and_then(|n| n.boundary_of_children()).and_then(|b| state.node(b));
            let template = holder.and_then(|b| state.template_of(b));
            let of = template.map_or_else(String::new, |t| format!("template {}", t.key.name));
            On::Slot { of, limit: template.and_then(|t| t.template.parallelism).unwrap_or(0) }
        }
    }
}

fn own(state: &RunState, id: NodeId) -> Option<On> {
    let node = state.node(id)?;
    if let Some(memo) = node.memo.as_ref().filter(|_| node.awaits_memo()) {
        let MemoKey { cache, key } = memo.entry.clone();
        return Some(On::Memo { cache, key });
    }
    Some(match &node.body {
        Body::Pod { .. } if node.serves() => On::Serving { ip: node.ip.clone().unwrap_or_default() },
        Body::Pod { waiting: Some(why), .. } => On::Resources { why: why.clone() },
        Body::Pod { .. } => On::Attempt { since: node.started_at },
        Body::Suspend { until: Some(until) } => On::Time { until: *until, what: "suspend".to_owned() },
        Body::Suspend { until: None } => On::Approval { since: node.started_at },
        Body::Retry { until: Some(until), .. } => On::Time { until: *until, what: "backoff".to_owned() },
        Body::Group { open, .. } | Body::Loop { open, .. } => On::Children { open: *open },
        Body::Steps { .. } | Body::Dag { .. } | Body::Retry { .. } => On::Children { open: 1 },
        Body::None => return None,
    })
}
