//! The repositories inside a repository.

use std::collections::BTreeMap;

use gix::bstr::{BString, ByteSlice};
use gix::{ObjectId, Repository};

use super::clone::{Clone, edit_config};
use super::{GitError, Problem};

/// As many submodules may there be in all.
pub const MAX: usize = 256;
/// So deep may they be inside each other: Go's limit.
const DEPTH_MAX: usize = 10;

/// Clones the submodules of a repository that is `depth` repositories deep; gives the bytes of their files.
///
/// # Errors
/// When one can't be had, or there are too many.
pub fn update(
    parent: &Clone<'_>,
    repo: &Repository,
    found: &[(BString, ObjectId)],
    depth: usize,
    budget: &mut usize,
) -> Result<u64, GitError> {
    let unreadable =
        |problem: Problem| GitError::Clone { repo: parent.address.shown(), source: Box::new(problem) };
    let modules = if found.is_empty() { Modules::new() } else { modules(repo).map_err(unreadable)? };
    let mut bytes = 0;
    for (path, commit) in found {
        // Without an entry in `.gitmodules` it is an empty folder, as Argo leaves it.
        let Some((name, url)) = modules.get(path) else { continue };
        let failed = |source| GitError::Submodule { path: path.to_string(), source: Box::new(source) };
        if depth == DEPTH_MAX {
            return Err(GitError::TooManySubmodules { max: DEPTH_MAX, how: "inside each other" });
        }
        *budget = budget.checked_sub(1).ok_or(GitError::TooManySubmodules { max: MAX, how: "in all" })?;
        let address = parent.address.submodule(url).map_err(failed)?;
        let folder = repo
            .workdir()
            .unwrap_or(repo.git_dir())
            .join(gix::path::from_bstr(path.as_bstr()).map_err(|e| failed(unreadable(e.into())))?);
        let clone = Clone { address: &address, ..*parent };
        bytes += clone.run_at(&folder, *commit, depth + 1, budget).map_err(failed)?.bytes;
        let section = |file: &mut gix::config::File| {
            file.new_section("submodule", name.as_bstr())?.push("url", address.text()).map(|_| ())
        };
        edit_config(repo, section).map_err(|problem| failed(unreadable(problem)))?;
    }
    Ok(bytes)
}

/// Name and URL of each submodule by its path.
type Modules = BTreeMap<BString, (BString, String)>;

/// The submodules as `.gitmodules` has them, read once however many there are; of two at one path the first.
fn modules(repo: &Repository) -> Result<Modules, Problem> {
    let mut found = Modules::new();
    let Some(modules) = repo.open_modules_file()? else { return Ok(found) };
    for name in modules.names() {
        let url = modules.config().string_by("submodule", Some(name), "url");
        if let (Ok(path), Some(url)) = (modules.path(name), url) {
            found.entry(path).or_insert_with(|| (name.to_owned(), url.to_str_lossy().into_owned()));
        }
    }
    Ok(found)
}
