//! Which of a run's artifacts are removed, and when a run itself is (Argo's rules GC-2, GC-5).

use std::collections::BTreeSet;

use dropforge_manifest::types::{Artifact, ArtifactGc, WorkflowSpec};
use jiff::{SignedDuration, Timestamp};

use crate::phase::RunPhase;
use crate::program::Program;
use crate::spec::RunSpec;
use crate::view::View;

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has ended.
    Completed,
    /// It is deleted.
    Deleted,
}

impl Fate {
    fn strategy(self) -> &'static str {
        match self {
            Fate::Completed => "OnWorkflowCompletion",
            Fate::Deleted => "OnWorkflowDeletion",
        }
    }
}

/// Whether the manifest has any artifacts removed at this moment.
pub fn removes(program: &Program, fate: Fate) -> bool {
    let then = |gc: Option<&ArtifactGc>| strategy(gc) == Some(fate.strategy());
    let mut outputs = program.templates().flat_map(|compiled| &compiled.template.outputs.artifacts);
    then(program.spec.spec.artifact_gc.as_ref())
        || outputs.any(|artifact| then(artifact.artifact_gc.as_ref()))
}

/// Whether the volume claims of a run that ended like this go: by default those of one that has succeeded (Argo's rule
/// GC-4).
pub fn removes_volumes(spec: &RunSpec, phase: RunPhase) -> bool {
    let strategy = spec.spec.volume_claim_gc.as_ref().and_then(|gc| gc.strategy.as_deref());
    strategy == Some("OnWorkflowCompletion") || phase == RunPhase::Succeeded
}

fn strategy(gc: Option<&ArtifactGc>) -> Option<&str> {
    gc.and_then(|gc| gc.strategy.as_deref()).filter(|strategy| !strategy.is_empty())
}

/// The stored objects that go at this moment, each once: what steps wrote, where the artifact's own strategy, or else
/// the workflow's, says so.
pub fn artifacts(view: &View, fate: Fate) -> Vec<Artifact> {
    let spec: &WorkflowSpec = &view.state.program.spec.spec;
    let of_all = strategy(spec.artifact_gc.as_ref());
    let mut seen = BTreeSet::new();
    let written = view.nodes.values().filter(|node| !node.attempts.is_empty());
    written
        .flat_map(|node| &node.outputs.artifacts)
        .filter(|artifact| strategy(artifact.artifact_gc.as_ref()).or(of_all) == Some(fate.strategy()))
        .filter(|artifact| {
            let place = artifact.s3.as_ref().and_then(|s3| Some((s3.bucket.clone(), s3.key.clone()?)));
            place.is_some_and(|place| seen.insert(place))
        })
        .cloned()
        .collect()
}

/// When a run that ended like this is deleted; none: never.
pub fn expires_at(spec: &WorkflowSpec, phase: RunPhase, finished_at: Option<Timestamp>) -> Option<Timestamp> {
    let ttl = spec.ttl_strategy.as_ref()?;
    let own = match phase {
        RunPhase::Succeeded => ttl.seconds_after_success,
        RunPhase::Failed => ttl.seconds_after_failure,
        _ => None,
    };
    let seconds = own.or(ttl.seconds_after_completion)?;
    finished_at?.checked_add(SignedDuration::from_secs(seconds)).ok()
}

#[cfg(test)]
mod tests {
    use dropforge_manifest::types::TtlStrategy;

    use super::*;

    #[test]
    fn a_run_expires_by_how_it_ended() {
        let ttl = TtlStrategy {
            seconds_after_completion: Some(10),
            seconds_after_success: Some(20),
            seconds_after_failure: None,
        };
        let spec = WorkflowSpec { ttl_strategy: Some(ttl), ..WorkflowSpec::default() };
        let end = Timestamp::from_second(1000).ok();
        let expires = |phase| expires_at(&spec, phase, end).map(Timestamp::as_second);
        assert_eq!(expires(RunPhase::Succeeded), Some(1020));
        assert_eq!((expires(RunPhase::Failed), expires(RunPhase::Error)), (Some(1010), Some(1010)));
        assert_eq!(expires_at(&spec, RunPhase::Running, None), None);
        assert_eq!(expires_at(&WorkflowSpec::default(), RunPhase::Succeeded, end), None);
    }
}
