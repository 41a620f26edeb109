//! Scenarios on the real parts: Kubernetes with real pods, the emulator of S3, SQS, Scheduler and Lambda, our functions.
//!
//! `tests/cloud/run` starts and deploys all of it and tells where; without that a scenario says SKIPPED. It knows the
//! command line, `kubectl`, the layout of the buckets as design.md draws it, and nothing of the crates below. Scenarios
//! take turns on one deployment, so each uses names of its own. Start reading at `bed`.

pub mod bed;
pub mod cluster;
pub mod desk;
pub mod emulator;
pub mod faults;
pub mod folder;
pub mod older;
pub mod play;
pub mod report;
pub mod small;
pub mod tree;
pub mod upgrade;
