//! What can go wrong in a command, in words for the person who typed it.

use std::path::PathBuf;

use dropforge_driver::births::BirthError;
use dropforge_driver::owner::{OwnError, chain};
use dropforge_driver::store::{ErrorKind, StoreError};

use crate::exit::Exit;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Findings of the check were printed; there is nothing to add.
    #[error("the manifest has errors: nothing was run")]
    Findings,
    /// The command line asks for something that does not go together.
    #[error("{0}")]
    Usage(String),
    /// A file named on the command line can't be read or written.
    #[error("{action} {}", path.display())]
    File {
        /// `read`, `write`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The manifest can't become a run.
    #[error(transparent)]
    Birth(#[from] BirthError),
    /// As [`CliError::Birth`], of one among several or of a stored one.
    #[error("{what}")]
    Unborn {
        /// What was to become a run.
        what: String,
        /// Why it can't.
        #[source]
        why: BirthError,
    },
    /// There is no run of that name or uid.
    #[error("there is no run {name:?} in {place}; `dropforge list` shows those there are")]
    NoRun {
        /// What was typed.
        name: String,
        /// Where it was looked for.
        place: String,
    },
    /// The run has no such node.
    #[error("run {run} has no node {node:?}; `dropforge get {run}` shows those there are")]
    NoNode {
        /// The run.
        run: String,
        /// What was typed.
        node: String,
    },
    /// A run of this name is live.
    #[error(
        "a run named {name:?} is live (uid {uid}): stop it, wait for it, or give this one another --name"
    )]
    NameIsLive {
        /// The name.
        name: String,
        /// The live run.
        uid: String,
    },
    /// The command was left in the inbox and refused.
    #[error("refused: {0}")]
    Refused(String),
    /// AWS is reached by nobody: no credentials, or expired ones.
    #[cfg(feature = "aws")]
    #[error("reach AWS for context {context}: {why}\nhelp: {help}")]
    Login {
        /// The context.
        context: String,
        /// What the SDK says.
        why: String,
        /// What to do.
        help: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run could not advance.
    #[error(transparent)]
    Own(#[from] OwnError),
    /// The supervisor of steps, a socket, a thread or the terminal failed.
    #[error("{what}")]
    Machine {
        /// What was attempted.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something below failed; the text has its reasons.
    #[error("{what}: {why}")]
    Below {
        /// What was attempted.
        what: &'static str,
        /// Its words.
        why: String,
    },
    /// Output can't be encoded.
    #[error("encode the output")]
    Encode(#[from] serde_json::Error),
    /// Whoever read our output has closed it.
    #[error("the reader of the output has gone")]
    BrokenPipe,
}

impl CliError {
    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            CliError::Findings
            | CliError::Usage(_)
            | CliError::Birth(_)
            | CliError::Unborn { .. }
            | CliError::NoRun { .. }
            | CliError::NoNode { .. }
            | CliError::NameIsLive { .. } => Exit::Usage,
            CliError::Refused(_) => Exit::Failed,
            CliError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Exit::Usage,
            CliError::Store(why) if why.kind() == ErrorKind::Invalid => Exit::Usage,
            CliError::BrokenPipe => Exit::Succeeded,
            #[cfg(feature = "aws")]
            CliError::Login { .. } => Exit::Trouble,
            CliError::File { .. }
            | CliError::Store(_)
            | CliError::Own(_)
            | CliError::Machine { .. }
            | CliError::Below { .. }
            | CliError::Encode(_) => Exit::Trouble,
        }
    }

    /// The error with its reasons on one line, and what to do where the error itself can't know.
    pub fn text(&self) -> String {
        let text = chain(self);
        match self {
            CliError::Store(why) | CliError::Own(OwnError::Store(why)) => match help(why) {
                Some(help) => format!("{text}\nhelp: {help}"),
                None => text,
            },
            CliError::Unborn { why: BirthError::Invalid { why }, .. } => {
                let code = why.code.name();
                format!("{text}\n  at {}\nhelp: `dropforge explain {code}` says what it may be", why.path)
            }
            _ => text,
        }
    }
}

/// What to do about a store that fails.
fn help(why: &StoreError) -> Option<&'static str> {
    use std::io::ErrorKind as Io;
    match why {
        StoreError::Owned { .. } => {
            Some("every other verb works beside it; to run a second one, give it another --store")
        }
        StoreError::Io { source, .. } => match source.kind() {
            Io::StorageFull | Io::QuotaExceeded => Some(
                "nothing stored is lost: make room, then say it again, or go on with `dropforge run --continue RUN`",
            ),
            Io::ReadOnlyFilesystem | Io::PermissionDenied => Some(
                "list, get, logs, explain and cp work on a store that can't be written; for the others name another --store",
            ),
            _ => None,
        },
        _ if why.kind() == ErrorKind::Corrupt => {
            Some("nothing was changed; keep a copy of the store before you try anything")
        }
        _ => None,
    }
}
