//! One repository: fetched, its `HEAD` set, its files written.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use dropforge_manifest::types::GitLocation;
use gix::bstr::{BStr, ByteSlice};
use gix::config::{File, Source};
use gix::progress::Discard;
use gix::protocol::handshake::Ref;
use gix::refs::transaction::{PreviousValue, RefEdit};
use gix::refs::{FullName, Target};
use gix::refspec::parse::Operation;
use gix::remote::fetch::{RefMap, Shallow, Status, Tags};
use gix::remote::{Direction, ref_map};
use gix::{ObjectId, Repository};

use super::transport::{Access, Address};
use super::{GitError, OBJECT_BYTES_MAX, Problem, submodules, tree};

/// Go's name for the branch of a repository without one.
const DEFAULT_BRANCH: &str = "master";

/// What is to be cloned.
pub struct Clone<'a> {
    /// What the manifest says of it.
    pub location: &'a GitLocation,
    /// Where it is.
    pub address: &'a Address,
    /// With what it is reached.
    pub access: &'a Access,
}

/// What was cloned.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The commit that is checked out; none of an empty repository.
    pub commit: Option<String>,
    /// The bytes of its files, those of submodules included.
    pub bytes: u64,
}

impl Clone<'_> {
    /// Clones to the folder `to`. As many submodules as `budget` says may follow.
    ///
    /// # Errors
    /// When it can't be had.
    pub fn run(&self, to: &Path, budget: &mut usize) -> Result<Done, GitError> {
        let repo = self.repository(to)?;
        let specs = match self.branch() {
            Some(branch) => vec![format!("+refs/heads/{branch}:refs/remotes/origin/{branch}")],
            None => vec!["+refs/heads/*:refs/remotes/origin/*".to_owned()],
        };
        let first = self.fetch(&repo, &specs, self.branch().is_none(), Tags::All);
        let seen = first.map_err(|problem| self.failed(self.missing_branch(problem)))?;
        self.configure(&repo, &specs).map_err(|problem| self.failed(problem))?;
        let Some(seen) = seen else { return self.empty(&repo) };
        for spec in &self.location.fetch {
            let fetched = self.fetch(&repo, std::slice::from_ref(spec), false, Tags::Included);
            fetched.map_err(|problem| GitError::Fetch { spec: spec.clone(), source: Box::new(problem) })?;
        }
        let tip = self.tip(&repo, &head(&seen, self.branch())).map_err(|problem| self.failed(problem));
        let commit = match self.location.revision.as_deref().filter(|revision| !revision.is_empty()) {
            // A repository whose HEAD names nothing has its other branches all the same.
            Some(revision) => self.revision(&repo, revision)?,
            None => tip?,
        };
        self.checkout(&repo, commit, 0, budget)
    }

    /// Clones the commit `wanted` of a submodule, `depth` repositories deep.
    ///
    /// # Errors
    /// When it can't be had.
    pub fn run_at(
        &self,
        to: &Path,
        wanted: ObjectId,
        depth: usize,
        budget: &mut usize,
    ) -> Result<Done, GitError> {
        let repo = self.repository(to)?;
        let specs = ["+refs/heads/*:refs/remotes/origin/*".to_owned()];
        let fetched = self.fetch(&repo, &specs, true, Tags::All).map_err(|problem| self.failed(problem))?;
        self.configure(&repo, &specs).map_err(|problem| self.failed(problem))?;
        if fetched.is_none() {
            return Err(self.unresolved(&wanted.to_string()));
        }
        let commit = self.revision(&repo, &wanted.to_string())?;
        self.checkout(&repo, commit, depth, budget)
    }

    /// An empty repository that heeds no configuration but its own.
    fn repository(&self, to: &Path) -> Result<Repository, GitError> {
        let options = gix::open::Options::isolated().config_overrides([
            format!("gitoxide.objects.allocLimit={OBJECT_BYTES_MAX}"),
            format!("init.defaultBranch={DEFAULT_BRANCH}"),
            "core.logAllRefUpdates=false".to_owned(),
            "pack.threads=1".to_owned(),
        ]);
        let made = fs::create_dir_all(to);
        made.map_err(|source| self.failed(Problem::Write { path: to.to_path_buf(), source }))?;
        let kind = gix::create::Kind::WithWorktree;
        let repo = gix::ThreadSafeRepository::init_opts(to, kind, gix::create::Options::default(), options);
        let mut repo = repo.map_err(|error| self.failed(error.into()))?.to_thread_local();
        repo.committer_or_set_generic_fallback().map_err(|error| self.failed(error.into()))?;
        Ok(repo)
    }

    fn branch(&self) -> Option<&str> {
        self.location.branch.as_deref().filter(|_| self.location.single_branch)
    }

    fn failed(&self, problem: Problem) -> GitError {
        GitError::Clone { repo: self.address.shown(), source: Box::new(problem) }
    }

    /// With one wanted branch, only its absence makes the server's refs match nothing.
    fn missing_branch(&self, problem: Problem) -> Problem {
        match (self.branch(), problem) {
            (Some(branch), Problem::Git(text)) if text.contains("None of the refspec") => {
                Problem::NoBranch(branch.to_owned())
            }
            (_, other) => other,
        }
    }

    /// Fetches `specs`, and `HEAD` where asked; nothing of an empty repository.
    fn fetch(
        &self,
        repo: &Repository,
        specs: &[String],
        with_head: bool,
        tags: Tags,
    ) -> Result<Option<RefMap>, Problem> {
        let connection = self.access.connect(self.address)?;
        let told = connection.told();
        let remote = repo.remote_at(self.address.text())?;
        let remote = remote.with_refspecs(specs.iter().map(|spec| spec.as_str()), Direction::Fetch)?;
        let remote = remote.with_fetch_tags(tags);
        let mut options = ref_map::Options::default();
        if with_head {
            options.extra_refspecs.push(gix::refspec::parse("HEAD".into(), Operation::Fetch)?.to_owned());
        }
        // Nobody is there who could be asked for a password.
        let connection =
            remote.to_connection_with_transport(connection.transport).with_credentials(|_| Ok(None));
        let failed = |error| told.problem(error);
        let prepared = connection.prepare_fetch(Discard, options).map_err(failed)?;
        if prepared.ref_map().remote_refs.iter().all(|found| matches!(found, Ref::Unborn { .. })) {
            return Ok(None);
        }
        let prepared = prepared.with_shallow(self.shallow()).with_write_packed_refs_only(true);
        let outcome = prepared.receive(Discard, &AtomicBool::new(false)).map_err(failed)?;
        if let Status::Change { write_pack_bundle, .. } = &outcome.status
            && let Some(keep) = &write_pack_bundle.keep_path
        {
            // It keeps the pack from a collection of garbage that nobody does here.
            let _ = fs::remove_file(keep);
        }
        Ok(Some(outcome.ref_map))
    }

    fn shallow(&self) -> Shallow {
        let depth = self.location.depth.map(|depth| u32::try_from(depth).unwrap_or(u32::MAX));
        depth.and_then(NonZeroU32::new).map_or(Shallow::NoChange, Shallow::DepthAtRemote)
    }

    /// Writes down where it came from, as git does.
    fn configure(&self, repo: &Repository, specs: &[String]) -> Result<(), Problem> {
        edit_config(repo, |file| {
            let mut section = file.new_section("remote", "origin")?;
            section.push("url", self.address.text())?;
            for spec in specs {
                section.push("fetch", spec.as_str())?;
            }
            Ok(())
        })
    }

    fn empty(&self, repo: &Repository) -> Result<Done, GitError> {
        let branch = self.location.revision.as_deref().unwrap_or(DEFAULT_BRANCH);
        self.follow(repo, branch).map_err(|problem| self.failed(problem))?;
        Ok(Done::default())
    }

    /// Makes `branch` the one that is worked on, and says where it comes from.
    fn follow(&self, repo: &Repository, branch: &str) -> Result<(), Problem> {
        let name = full_name(&format!("refs/heads/{branch}"))?;
        edit_config(repo, |file| {
            let mut section = file.new_section("branch", branch)?;
            section.push("remote", "origin")?;
            section.push("merge", name.as_bstr())?;
            Ok(())
        })?;
        point(repo, "HEAD", Target::Symbolic(name))
    }

    /// The newest commit of the branch that `HEAD` names.
    fn tip(&self, repo: &Repository, head: &Head) -> Result<ObjectId, Problem> {
        match head {
            Head::Branch(branch, id) => {
                point(repo, &format!("refs/heads/{branch}"), Target::Object(*id))?;
                self.follow(repo, branch)?;
                Ok(*id)
            }
            Head::Commit(id) => {
                point(repo, "HEAD", Target::Object(*id))?;
                Ok(*id)
            }
            Head::Missing => Err(Problem::Git(
                "reference not found: its HEAD names no branch that is there; give `revision`".to_owned(),
            )),
        }
    }

    /// The commit that `revision` names. Argo makes every branch a local one first.
    fn revision(&self, repo: &Repository, revision: &str) -> Result<ObjectId, GitError> {
        branches(repo).map_err(|problem| self.failed(problem))?;
        let mut found = resolve(repo, revision);
        // A commit that is no branch's may still be given to whoever knows its name.
        if found.is_none() && ObjectId::from_hex(revision.as_bytes()).is_ok() {
            let spec = [revision.to_owned()];
            if self.fetch(repo, &spec, false, Tags::None).is_ok() {
                found = resolve(repo, revision);
            }
        }
        let id = found.ok_or_else(|| self.unresolved(revision))?;
        point(repo, "HEAD", Target::Object(id)).map_err(|problem| self.failed(problem))?;
        Ok(id)
    }

    fn unresolved(&self, revision: &str) -> GitError {
        let shallow = self.shallow() != Shallow::NoChange || self.location.single_branch;
        GitError::Revision { revision: revision.to_owned(), repo: self.address.shown(), shallow }
    }

    /// Writes the files of `commit`, then its submodules.
    fn checkout(
        &self,
        repo: &Repository,
        commit: ObjectId,
        depth: usize,
        budget: &mut usize,
    ) -> Result<Done, GitError> {
        let failed = |problem| GitError::Checkout { revision: commit.to_string(), source: Box::new(problem) };
        let written = tree::checkout(repo, commit).map_err(failed)?;
        let mut done = Done { commit: Some(commit.to_string()), bytes: written.bytes };
        if !self.location.disable_submodules {
            done.bytes += submodules::update(self, repo, &written.submodules, depth, budget)?;
        }
        Ok(done)
    }
}

/// What a repository's `HEAD` is.
enum Head {
    Branch(String, ObjectId),
    Commit(ObjectId),
    Missing,
}

/// What is to be worked on: the wanted branch, else the server's `HEAD`.
fn head(seen: &RefMap, branch: Option<&str>) -> Head {
    let at = |name: &BStr| seen.remote_refs.iter().find(|found| found.unpack().0 == name);
    if let Some(branch) = branch {
        let id = at(format!("refs/heads/{branch}").as_bytes().as_bstr()).and_then(commit_of);
        return id.map_or(Head::Missing, |id| Head::Branch(branch.to_owned(), id));
    }
    match at(b"HEAD".as_bstr()) {
        Some(Ref::Symbolic { target, object, .. }) => match target.strip_prefix(b"refs/heads/") {
            Some(branch) => Head::Branch(branch.to_str_lossy().into_owned(), *object),
            None => Head::Commit(*object),
        },
        Some(other) => commit_of(other).map_or(Head::Missing, Head::Commit),
        None => Head::Missing,
    }
}

fn commit_of(found: &Ref) -> Option<ObjectId> {
    match found {
        Ref::Peeled { object, .. } | Ref::Direct { object, .. } | Ref::Symbolic { object, .. } => {
            Some(*object)
        }
        Ref::Unborn { .. } => None,
    }
}

fn resolve(repo: &Repository, revision: &str) -> Option<ObjectId> {
    let found = repo.rev_parse_single(revision).ok()?;
    Some(found.object().ok()?.peel_to_commit().ok()?.id)
}

/// A local branch for each of the server's.
fn branches(repo: &Repository) -> Result<(), Problem> {
    let all = repo.references()?;
    let remote: Vec<(String, ObjectId)> = all
        .prefixed("refs/remotes/origin/")?
        .filter_map(|found| {
            let found = found.ok()?;
            let name = found.name().as_bstr().strip_prefix(b"refs/remotes/origin/")?;
            Some((name.to_str().ok()?.to_owned(), found.target().try_id()?.to_owned()))
        })
        .collect();
    remote.iter().try_for_each(|(name, id)| point(repo, &format!("refs/heads/{name}"), Target::Object(*id)))
}

fn point(repo: &Repository, name: &str, target: Target) -> Result<(), Problem> {
    // `HEAD` itself is changed and not the branch that it names.
    let edit = match target {
        Target::Object(id) => RefEdit::update(full_name(name)?, id, PreviousValue::Any, ""),
        Target::Symbolic(to) => RefEdit::update(full_name(name)?, to, PreviousValue::Any, ""),
    };
    repo.edit_reference(RefEdit { deref: false, ..edit })?;
    Ok(())
}

fn full_name(name: &str) -> Result<FullName, Problem> {
    FullName::try_from(name)
        .map_err(|error| Problem::Git(format!("{name:?} is no name of a reference: {error}")))
}

/// Changes the repository's own configuration.
pub fn edit_config(
    repo: &Repository,
    edit: impl FnOnce(&mut File) -> gix::Result<()>,
) -> Result<(), Problem> {
    let path = repo.git_dir().join("config");
    let mut file = File::from_path_no_includes(path.clone(), Source::Local)?;
    edit(&mut file)?;
    let mut text = Vec::new();
    let written = file.write_to(&mut text).and_then(|()| fs::write(&path, text));
    written.map_err(|source| Problem::Write { path, source })
}
