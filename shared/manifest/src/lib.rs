//! Argo-compatible manifests: parse, check, and the languages written inside them.
//!
//! Architecture invariants: this crate does no I/O, reads no clock, depends on no runtime and knows nothing of
//! runs. Everything it says about a manifest carries a line and a column.
//!
//! Start reading at `types` (Argo's objects), then `parse` (text to objects), `check` (objects to findings).

pub mod argo;
pub mod check;
pub mod codes;
pub mod decode;
pub mod defaults;
pub mod diagnostic;
pub mod expr;
pub mod go;
pub mod merge;
pub mod parse;
pub mod patch;
pub mod quantity;
pub mod schedule;
pub mod schema;
pub mod source;
pub mod tags;
pub mod text;
pub mod types;
pub mod when;
