//! `git` of an artifact: a repository to check out.

use crate::codes::Code;
use crate::types::{Artifact, GitLocation};

use super::{SpecCheck, language};

/// The schemes that can be cloned from; `host:path` is ssh, too.
const SCHEMES: [&str; 5] = ["https://", "http://", "ssh://", "git://", "file://"];

/// What is wrong with the repository or the wanted part of it.
pub(super) fn location(check: &SpecCheck<'_>, artifact: &Artifact, path: &str) {
    let Some(git) = &artifact.git else { return };
    let path = format!("{path}.git");
    if git.repo.is_empty() {
        let message = format!("{}.git.repo is required", artifact.name);
        check.report(Code::E303, &path, message, "add the `repo`'s URL");
    } else if !can_be_cloned(&git.repo) {
        let message = format!("{}.git.repo {:?}: unsupported protocol scheme", artifact.name, git.repo);
        let remedy = "write https://host/path, ssh://user@host/path or user@host:path";
        check.report(Code::E108, &format!("{path}.repo"), message, remedy);
    }
    if git.single_branch && branch(git).is_empty() {
        let message = format!("{}.git: single branch mode without a branch specified", artifact.name);
        check.report(Code::E303, &path, message, "add `branch`, or leave `singleBranch` out");
    }
}

/// Nothing is ever pushed.
pub(super) fn output(check: &SpecCheck<'_>, artifact: &Artifact, label: &str, path: &str) {
    if artifact.git.is_some() {
        let message = format!("{label}.git is not valid in outputs");
        check.report(Code::E303, &format!("{path}.git"), message, "use `s3`, or push from within the step");
    }
}

fn can_be_cloned(repo: &str) -> bool {
    let schemed = SCHEMES.iter().any(|scheme| repo.starts_with(scheme));
    let short = !repo.contains("://") && repo.contains(':');
    language::has_tag(repo) || schemed || short || repo.starts_with('/')
}

fn branch(git: &GitLocation) -> &str {
    git.branch.as_deref().unwrap_or_default()
}
