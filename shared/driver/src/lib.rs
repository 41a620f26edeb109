//! Load, decide, commit, perform: the one path on which a run advances, on a laptop and on AWS.
//!
//! Architecture invariants: this crate owns the traits of the outside world ([`store`], [`cluster`],
//! [`clock`]) and knows none of their implementations; it starts no thread and no runtime.
//!
//! Start reading at `store` (what is kept), `cluster` (where steps run), then `owner` (the path).

pub mod births;
pub mod clock;
pub mod cluster;
pub mod crons;
pub mod deaths;
pub mod definitions;
pub mod documents;
pub mod doorbells;
pub mod ends;
pub mod garbage;
pub mod heard;
pub mod ingest;
pub mod locks;
pub mod memos;
pub mod metrics;
pub mod owner;
pub mod packing;
pub mod pods;
pub mod reminders;
pub mod replay;
pub mod selectors;
pub mod starters;
pub mod starts;
pub mod store;
pub mod supervision;
pub mod sweeping;
pub mod timers;
pub mod triggers;
pub mod verdicts;
