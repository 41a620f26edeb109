//! What a claim holds.

use serde::{Deserialize, Serialize};

/// The version of the claims that this code writes.
pub(crate) const CLAIM_FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) format: u32,
    pub(crate) nonce: String,
}
