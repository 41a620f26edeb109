//! When what a run leaves is removed.

use crate::codes::Code;
use crate::types::ArtifactGc;

use super::SpecCheck;

const STRATEGIES: [&str; 4] = ["", "OnWorkflowCompletion", "OnWorkflowDeletion", "Never"];

/// `ttlStrategy` and `artifactGC` of a spec.
pub(super) fn check(check: &SpecCheck<'_>) {
    artifacts(check, check.spec.artifact_gc.as_ref(), check.path);
    let ttl = check.spec.ttl_strategy.clone().unwrap_or_default();
    for (field, seconds) in [
        ("secondsAfterCompletion", ttl.seconds_after_completion),
        ("secondsAfterSuccess", ttl.seconds_after_success),
        ("secondsAfterFailure", ttl.seconds_after_failure),
    ] {
        if seconds.is_some_and(|seconds| seconds < 0) {
            let message = format!("ttlStrategy.{field} must not be negative");
            let path = format!("{}.ttlStrategy.{field}", check.path);
            check.report(Code::E408, &path, message, "write a number of seconds from 0");
        }
    }
}

/// `artifactGC` of a spec or an artifact.
pub(super) fn artifacts(check: &SpecCheck<'_>, gc: Option<&ArtifactGc>, path: &str) {
    let strategy = gc.and_then(|gc| gc.strategy.as_deref()).unwrap_or_default();
    if !STRATEGIES.contains(&strategy) {
        let message = format!("artifactGC.strategy unknown strategy '{strategy}'");
        let remedy = "use OnWorkflowCompletion, OnWorkflowDeletion or Never";
        check.report(Code::E503, &format!("{path}.artifactGC.strategy"), message, remedy);
    }
}
