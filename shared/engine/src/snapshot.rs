//! A run's state as it is kept, so that a long journal need not be folded from its beginning.
//!
//! It is derived from the records and never more than they are: folding all of them gives the same state. The compiled
//! spec is no part of it, only what a retry of the run changed in the spec.
//!
//! What a wide loop holds and will not change any more is kept apart ([`apart`]), once, under the name of its content:
//! the snapshot after each some commits names it and stays as small as what goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use dropforge_manifest::types::{Artifact, Parameter};
use jiff::Timestamp;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync, VectorSync};
use serde::{Deserialize, Serialize};

use crate::config::{ConfigFound, ConfigKey};
use crate::ids::{CommandId, NodeId};
use crate::phase::RunPhase;
use crate::program::{CompileError, Program};
use crate::record::ShutdownStrategy;
use crate::spec::RunSpec;
use crate::state::locks::Locks;
use crate::state::{Failure, Nodes, Outbox, RunState, as_pairs, settle_in};

pub mod apart;

/// The newest version of snapshots. One that keeps nothing apart is still written as the first, which all programs read.
pub const SNAPSHOT_FORMAT: u32 = 2;

/// Names the state's fields once, so that one which is forgotten here does not compile.
macro_rules! snapshot {
    ($($(#[$how:meta])* $field:ident: $kind:ty,)*) => {
        /// The state of a run after some of its records, as a document.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct Snapshot {
            /// What the newest retry of the run left of the spec; none before the first retry.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            reopened: Option<Reopened>,
            $($(#[$how])* $field: $kind,)*
        }

        impl Snapshot {
            /// The snapshot of a state, which shares everything with it.
            pub fn of(state: &RunState) -> Snapshot {
                Snapshot { reopened: Reopened::of(state), $($field: state.$field.clone(),)* }
            }

            /// The state, for the spec as it is stored.
            ///
            /// # Errors
            /// See [`CompileError`].
            pub fn restore(mut self, mut spec: RunSpec) -> Result<RunState, CompileError> {
                // A number that was given is never given again, or a node would be made in place of one above it.
                let newest = self.nodes.values().last().map_or(0, |node| node.id.0 + 1);
                self.next_node = self.next_node.max(newest);
                if let Some(reopened) = self.reopened {
                    reopened.change(&mut spec);
                }
                let program = Arc::new(Program::compile(spec)?);
                settle_in(&mut self.nodes, &program);
                Ok(RunState { program, $($field: self.$field,)* })
            }
        }
    };
}

snapshot! {
    generation: u32,
    phase: RunPhase,
    message: String,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    root: Option<NodeId>,
    exit: Option<NodeId>,
    nodes: Nodes,
    next_node: u64,
    next_timer: u32,
    first_attempt: u32,
    next_attempt: u32,
    outbox: Outbox,
    blocked: RedBlackTreeSetSync<NodeId>,
    watchers: RedBlackTreeSetSync<NodeId>,
    held_hooks: RedBlackTreeSetSync<NodeId>,
    active_pods: u32,
    daemons: RedBlackTreeSetSync<(Option<NodeId>, NodeId)>,
    suspended: bool,
    shutdown: Option<(ShutdownStrategy, Option<String>)>,
    deadline_passed: bool,
    global_parameters: RedBlackTreeMapSync<String, String>,
    global_artifacts: RedBlackTreeMapSync<String, Arc<Artifact>>,
    #[serde(with = "as_pairs")]
    config: RedBlackTreeMapSync<ConfigKey, Arc<ConfigFound>>,
    config_hooks: RedBlackTreeSetSync<NodeId>,
    locks: Locks,
    failures: VectorSync<Arc<Failure>>,
    progress: (u32, u32),
    metrics: BTreeMap<String, f64>,
    metrics_error: Option<String>,
    commands: RedBlackTreeSetSync<CommandId>,
    last: Timestamp,
}

/// What retries of the run change in its spec.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reopened {
    parameters: Vec<Parameter>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    active_deadline_seconds: Option<i64>,
}

impl Reopened {
    fn of(state: &RunState) -> Option<Reopened> {
        let spec = &state.program.spec.spec;
        (state.generation > 0).then(|| Reopened {
            parameters: spec.arguments.parameters.clone(),
            active_deadline_seconds: spec.active_deadline_seconds,
        })
    }

    fn change(self, spec: &mut RunSpec) {
        spec.spec.arguments.parameters = self.parameters;
        spec.spec.active_deadline_seconds = self.active_deadline_seconds;
    }
}
