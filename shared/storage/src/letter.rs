//! What an inbox holds.

use dropforge_engine::event::Command;
use serde::{Deserialize, Serialize};

/// The version of the inbox documents that this code writes.
pub(crate) const LETTER_FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) format: u32,
    pub(crate) command: Command,
}
