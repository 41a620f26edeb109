//! Run state, definitions and artifacts as objects: in memory, in a directory, in S3.
//!
//! Architecture invariants: this crate implements the traits of `dropforge_driver::store` and decides nothing; it
//! never looks at the clock. Only [`keys`] knows where something is stored. Every write is conditional or
//! replaces a whole file, so a reader never sees half a document, and what was stored survives a full disk, a
//! torn write and `kill -9`.
//!
//! Start reading at [`keys`] (the layout), then [`directory`] (one owner, journals, commits), then [`objects`]
//! (buckets and artifacts as files); on AWS at `s3`. [`memory`] gives the same answers for tests; `tests/contracts`
//! holds all of them to them.

pub mod directory;
#[cfg(feature = "endpoint")]
pub mod endpoint;
mod files;
mod json;
pub mod keys;
mod letter;
pub mod memory;
mod nonces;
pub mod objects;
#[cfg(feature = "requests")]
pub mod s3;
mod tombstone;
