//! Texts that never change once they are made: whoever keeps a state often writes them once, and names them from then on.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a text is named by: the beginning of its SHA-256, so that a name never means two texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PieceName(Arc<str>);

/// Enough that two texts of one run never share a name.
const NAME_BYTES: usize = 16;

impl PieceName {
    /// The name of a text.
    pub fn of(text: &str) -> PieceName {
        let digest = Sha256::digest(text);
        let hex: String = digest.iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect();
        PieceName(hex.into())
    }

    /// The name, as a part of a key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PieceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A JSON text that never changes. A copy costs nothing.
#[derive(Clone, Default)]
pub struct Frozen(Arc<Inner>);

#[derive(Default)]
struct Inner {
    json: String,
    name: OnceLock<PieceName>,
}

impl Frozen {
    /// Keeps a text.
    pub fn new(mut json: String) -> Frozen {
        json.shrink_to_fit();
        Frozen(Arc::new(Inner { json, name: OnceLock::new() }))
    }

    /// A text that was kept, if it is what the name was given to.
    pub fn kept(json: String, name: &PieceName) -> Option<Frozen> {
        let frozen = Frozen::new(json);
        (frozen.name() == name).then_some(frozen)
    }

    /// The text.
    pub fn json(&self) -> &str {
        &self.0.json
    }

    /// Its name, computed when it is first asked for.
    pub fn name(&self) -> &PieceName {
        self.0.name.get_or_init(|| PieceName::of(&self.0.json))
    }
}

impl PartialEq for Frozen {
    fn eq(&self, other: &Frozen) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.json() == other.json()
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json())
    }
}
