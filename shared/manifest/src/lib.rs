//! Argo-compatible manifests: parse, check, and the languages written inside them.
//!
//! Architecture invariants: this crate does no I/O, reads no clock, depends on no runtime and knows nothing of
//! runs. Everything it says about a manifest carries a line and a column.
//!
//! Start reading at `types` (Argo's objects), then `parse` (text to objects), `check` (objects to findings).

pub mod text;
pub mod types;
