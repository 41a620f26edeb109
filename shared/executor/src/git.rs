//! Input artifacts that are git repositories: cloned, and one revision of them checked out, as Argo's executor does it.
//!
//! A repository is somebody else's content. No hook, filter or helper program that it or this machine's configuration
//! names is run; no file is written through a link, no link leads out of the folder; what it can make this process
//! hold in memory is bounded: [`OBJECT_BYTES_MAX`] for one object, [`tree::ENTRIES_MAX`] files, [`submodules::MAX`]
//! submodules, a list of refs over HTTP. A transfer over HTTP that stands still for two minutes ends, one that goes on may
//! take as long as it takes; over `git://` and ssh only the step's own deadline ends one that stands still.

use std::io;
use std::path::{Path, PathBuf};

use dropforge_engine::attempt::StoredObject;
use dropforge_manifest::types::{GitLocation, KeySelector};

use crate::http::HttpError;
use crate::variables::{LocalObjects, NotFound};

mod clone;
mod submodules;
#[cfg(test)]
mod tests;
mod transport;
mod tree;

use clone::Clone;
use transport::{Access, Address};

/// The largest object of a repository, which lies in memory as a whole while it is written.
const OBJECT_BYTES_MAX: u64 = 512 << 20;

/// Why a repository could not be had.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// A secret that it names is not there.
    #[error(transparent)]
    Secret(#[from] NotFound),
    /// `singleBranch` without `branch`.
    #[error("single branch mode without a branch specified: add `branch`, or leave `singleBranch` out")]
    NoBranch,
    /// `repo` is no URL that can be cloned from.
    #[error("the git repo {repo:?} can't be cloned: {why}")]
    Address {
        /// The repository.
        repo: String,
        /// Why.
        why: String,
    },
    /// The repository could not be read.
    #[error("failed to clone {repo:?}")]
    Clone {
        /// The repository.
        repo: String,
        /// Why.
        #[source]
        source: Box<Problem>,
    },
    /// An entry of `fetch` could not be fetched.
    #[error("failed to fetch {spec:?}")]
    Fetch {
        /// The entry.
        spec: String,
        /// Why.
        #[source]
        source: Box<Problem>,
    },
    /// `revision` names nothing.
    #[error("failed to resolve revision {revision:?}: reference not found: {repo:?} has no such branch, tag or commit{}", depth_hint(*.shallow))]
    Revision {
        /// The revision.
        revision: String,
        /// The repository.
        repo: String,
        /// Whether only a part of the history was fetched.
        shallow: bool,
    },
    /// The files could not be written.
    #[error("failed to checkout {revision}")]
    Checkout {
        /// The commit.
        revision: String,
        /// Why.
        #[source]
        source: Box<Problem>,
    },
    /// A submodule could not be had.
    #[error("failed to update submodule {path:?} (`disableSubmodules: true` leaves submodules out)")]
    Submodule {
        /// Its path in the repository.
        path: String,
        /// Why.
        #[source]
        source: Box<GitError>,
    },
    /// There are too many submodules, or they are nested too deeply.
    #[error("there are more than {max} submodules {how}: set `disableSubmodules: true`")]
    TooManySubmodules {
        /// As many are allowed.
        max: usize,
        /// `in all` or `inside each other`.
        how: &'static str,
    },
}

fn depth_hint(shallow: bool) -> &'static str {
    if shallow {
        "; `depth` and `singleBranch` leave most commits out: name it in `fetch`, or drop them"
    } else {
        ""
    }
}

/// What was wrong with a repository.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The server wants to know who asks.
    #[error(
        "authentication required: the server wants a name and a password; give `usernameSecret` and `passwordSecret`"
    )]
    AuthenticationRequired,
    /// The server does not take the name and password.
    #[error(
        "authorization failed: the server refuses the name and password of `usernameSecret` and `passwordSecret`"
    )]
    Refused,
    /// The server does not let this user in.
    #[error("authorization failed: the server says {0}")]
    Forbidden(String),
    /// The server knows no such repository, or does not show it to strangers.
    #[error(
        "repository not found (404 Not Found); a private one is only found with `usernameSecret` and `passwordSecret`"
    )]
    NotFound,
    /// The server said something else.
    #[error("unexpected client error: unexpected requesting {url:?} status code: {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// What it said.
        status: String,
    },
    /// There was no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A program that must be there is not.
    #[error("it needs the program `{program}`, which is not found here: {remedy}")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The branch is not there.
    #[error("reference not found: there is no branch {0:?}")]
    NoBranch(String),
    /// Something in the repository can't be trusted.
    #[error("{path:?} {why}")]
    Hostile {
        /// Its path in the repository.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There are too many files.
    #[error("it has more than {0} files and folders: fetch them another way")]
    TooManyFiles(usize),
    /// Writing failed.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Anything else that git tells.
    #[error("{0}")]
    Git(String),
}

impl From<gix::Error> for Problem {
    fn from(error: gix::Error) -> Self {
        Problem::Git(format!("{error:#}"))
    }
}

/// Clones the repository to the folder `to`, which does not exist, and checks its revision out; gives what was read: the
/// commit as its version. `key` is a file that may hold a private key meanwhile.
///
/// # Errors
/// When it can't be had.
pub fn load(
    name: &str,
    location: &GitLocation,
    secrets: &LocalObjects,
    to: &Path,
    key: &Path,
) -> Result<StoredObject, GitError> {
    if location.single_branch && location.branch.as_deref().unwrap_or_default().is_empty() {
        return Err(GitError::NoBranch);
    }
    let address = Address::of(&location.repo)?;
    let access = access(location, secrets, &address, key)?;
    let mut budget = submodules::MAX;
    let cloned = Clone { location, address: &address, access: &access }.run(to, &mut budget);
    // The key has done its work, whatever came of it.
    let _ = std::fs::remove_file(key);
    let done = cloned?;
    Ok(StoredObject {
        name: name.to_owned(),
        key: address.shown(),
        size: done.bytes,
        version_id: done.commit,
        ..StoredObject::default()
    })
}

fn access(
    location: &GitLocation,
    secrets: &LocalObjects,
    address: &Address,
    key: &Path,
) -> Result<Access, GitError> {
    let value = |key: &Option<KeySelector>| match key {
        Some(key) => Ok::<_, NotFound>(secrets.key(key)?.unwrap_or_default()),
        None => Ok(String::new()),
    };
    let line = |key| value(key).map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    let (user, password) = (line(&location.username_secret)?, line(&location.password_secret)?);
    let ssh_key = value(&location.ssh_private_key_secret)?;
    Ok(Access {
        basic: Some((user, password)).filter(|(user, password)| !user.is_empty() || !password.is_empty()),
        ssh_key: (!ssh_key.is_empty()).then(|| (ssh_key, key.to_path_buf())),
        ignore_host_key: location.insecure_ignore_host_key,
        skip_tls: location.insecure_skip_tls,
        home: address.host(),
    })
}
