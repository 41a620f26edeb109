//! How a step gets the paths of its manifest: in a mount namespace of its own, or, where the system makes none,
//! by rewriting (see [`crate::rewrite`]).

use std::fmt;
use std::sync::OnceLock;

use crate::process::launch;

pub(crate) mod enter;
pub(crate) mod entrance;
pub(crate) mod layout;
#[cfg(test)]
mod tests;

pub use layout::{Bind, Layout, LayoutError};

/// What this machine allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Steps run in a mount namespace, on a root of their own.
    MountNamespace(Namespace),
    /// This process runs in the step's own container, whose paths are the manifest's.
    Container,
    /// No mount namespace can be made.
    Rewrite {
        /// Why, for people.
        reason: String,
    },
}

/// How mount namespaces are made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Whether a user namespace is needed for it, since this process may not mount by itself.
    pub user_namespace: bool,
    /// Whether a whole tree of mounts can be made read-only at once (Linux 5.12).
    pub recursive_attributes: bool,
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Isolation::MountNamespace(_) => f.write_str("mount namespace"),
            Isolation::Container => f.write_str("container"),
            Isolation::Rewrite { .. } => f.write_str("rewritten paths"),
        }
    }
}

impl Isolation {
    /// Whether steps get a mount namespace.
    pub fn can_mount(&self) -> bool {
        matches!(self, Isolation::MountNamespace(_))
    }
}

static FOUND: OnceLock<Isolation> = OnceLock::new();

/// What this machine allows, tried out once by this process.
pub fn isolation() -> &'static Isolation {
    FOUND.get_or_init(probe)
}

/// Says that this process runs in the step's own container; said before anything is tried out.
pub fn this_is_the_container() {
    let _ = FOUND.set(Isolation::Container);
}

/// Tries it out: a permission alone says nothing, since security modules refuse single mounts.
pub(crate) fn probe() -> Isolation {
    let root = rustix::process::geteuid().is_root();
    let users: &[bool] = if root { &[false, true] } else { &[true] };
    let mut reason = String::new();
    for (user_namespace, recursive_attributes) in
        users.iter().flat_map(|user| [(*user, true), (*user, false)])
    {
        let namespace = Namespace { user_namespace, recursive_attributes };
        match launch::rehearse(namespace) {
            Ok(()) => return Isolation::MountNamespace(namespace),
            Err(failure) => reason = failure,
        }
    }
    Isolation::Rewrite { reason }
}
