//! A memoized resubmission (Argo's rule RR-8): a new run that begins with what succeeded in an old one.
//!
//! Each pod that succeeded stands in the new run as a skipped node with the old one's outputs. What called it is there
//! and goes on; everything else is made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{NodeId, argo_node_id};
use crate::phase::{NodePhase, RunPhase};
use crate::program::Program;
use crate::record::{NodeCreated, NodeKind, Record, Role};
use crate::view::{View, ViewNode};

/// The run did not fail.
#[derive(Debug, thiserror::Error)]
#[error("workflow must be Failed/Error to resubmit in memoized mode")]
pub struct NotFailed;

/// The records with which a run called `name` begins, from everything on record of the run that it repeats.
///
/// # Errors
/// When that run has not failed.
pub fn reused(program: Arc<Program>, records: &[Record], name: &str) -> Result<Vec<Record>, NotFailed> {
    let view = View::fold(program, records);
    if !matches!(view.state.phase, RunPhase::Failed | RunPhase::Error) {
        return Err(NotFailed);
    }
    let creations: BTreeMap<NodeId, &NodeCreated> = records
        .iter()
        .filter_map(|record| match record {
            Record::NodeCreated(created) => Some((created.id, &**created)),
            _ => None,
        })
        .collect();
    let mut kept = BTreeSet::new();
    let mut reused = Vec::new();
    // Children are numbered after their parents.
    for node in view.nodes.values().filter(|n| is_reused(&view, n)) {
        if node.parent.is_some_and(|parent| !kept.contains(&parent)) {
            continue;
        }
        let Some(created) = creations.get(&node.id) else { continue };
        kept.insert(node.id);
        reused.extend(begun(&view, node, created, name));
    }
    Ok(reused)
}

fn is_reused(view: &View, node: &ViewNode) -> bool {
    let newest = |retry: &ViewNode| view.below(retry).filter(|n| matches!(n.role, Role::Attempt(_))).last();
    match node.role {
        Role::WorkflowExit | Role::Exit | Role::Hook(_) => return false,
        Role::Attempt(_) => {
            let retry = node.parent.and_then(|p| view.nodes.get(&p));
            if retry.and_then(newest).is_none_or(|newest| newest.id != node.id) {
                return false;
            }
        }
        Role::Root | Role::Group(_) | Role::Call(_) | Role::Item(_) | Role::Container(_) => {}
    }
    match node.kind {
        NodeKind::Pod => node.phase == NodePhase::Succeeded,
        // A pod that is taken over is one skipped node, without its containers.
        NodeKind::Http | NodeKind::Suspend | NodeKind::Skipped | NodeKind::Container => false,
        _ => true,
    }
}

fn begun(view: &View, node: &ViewNode, created: &NodeCreated, name: &str) -> Vec<Record> {
    let label = if node.role == Role::Root { name.into() } else { created.label.clone() };
    let inputs = node.inputs.clone().into();
    let made = NodeCreated {
        label,
        inputs,
        phase: NodePhase::Running,
        message: String::new(),
        hooks: Vec::new(),
        ..created.clone()
    };
    if node.kind != NodeKind::Pod {
        return vec![Record::NodeCreated(Box::new(made))];
    }
    let original = argo_node_id(view.state.program.spec.name(), &node.name);
    let skipped = Record::NodeFinished {
        node: node.id,
        phase: NodePhase::Skipped,
        message: format!("original pod: {original}"),
        outputs: node.outputs.clone().into(),
        at: created.at,
        exit_handler: false,
        hooks: Vec::new(),
        returned: false,
    };
    vec![Record::NodeCreated(Box::new(NodeCreated { kind: NodeKind::Skipped, ..made })), skipped]
}
