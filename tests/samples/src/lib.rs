//! Runs sample pipelines with the real command, as a person would, and compares what happened with `expected.json`.
//!
//! It knows the command line, the folders where artifacts and buckets lie, and nothing of the crates below: what it
//! reads of a run is what `get`, `list`, `logs` and `explain` print. Start reading at `play`.

pub mod check;
pub mod expected;
pub mod place;
pub mod play;
pub mod program;
