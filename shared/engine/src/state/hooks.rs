//! What is kept of a node's hooks. Few nodes have any, and a node is copied and passed over often: what few have takes
//! no room in the others.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// What has become of a node's hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fired {
    /// Names of those that fired; each fires once.
    pub names: Vec<String>,
    /// Those of them that have no node yet.
    pub due: Vec<String>,
    /// The nodes of hooks and the exit handler that are not done.
    pub open: Vec<NodeId>,
    /// Whether the exit handler is still to start: it comes after the hooks.
    pub exit_due: bool,
    /// Why one of them could not be started, which fails what encloses the node.
    pub error: Option<String>,
}

static NONE: Fired =
    Fired { names: Vec::new(), due: Vec::new(), open: Vec::new(), exit_due: false, error: None };

/// What has become of a node's hooks, if it has any.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hooks(Option<Box<Fired>>);

impl Hooks {
    /// Whether there is nothing to say of them.
    pub fn is_empty(&self) -> bool {
        **self == NONE
    }
}

impl From<Fired> for Hooks {
    fn from(fired: Fired) -> Hooks {
        Hooks((fired != NONE).then(|| Box::new(fired)))
    }
}

impl Deref for Hooks {
    type Target = Fired;

    fn deref(&self) -> &Fired {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for Hooks {
    fn deref_mut(&mut self) -> &mut Fired {
        self.0.get_or_insert_default()
    }
}

impl PartialEq for Hooks {
    fn eq(&self, other: &Hooks) -> bool {
        **self == **other
    }
}

/// What they are, whether there is room for more or not.
impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
