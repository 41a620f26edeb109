//! What a run does next: a pure, synchronous state machine.
//!
//! ```text
//! decide(state, event, now) -> Decision { records, effects, waiting }
//! apply(state, record)                      replay = fold(apply); live = the same function
//! ```
//!
//! Architecture invariants: no I/O, no clock, no randomness, no runtime. `decide` reads nothing but its
//! arguments; a decision's effects are exactly what applying its records adds to the outbox. An event costs
//! what it touches (its node, the counters above it, what it unblocks), never the whole tree. Argo's
//! `status.nodes` is a view folded from the records (`view`), never the state itself.
//!
//! Start reading at `event` (facts in), `record` (changes), `effect` (requests out), then `decide`.

pub mod apply;
pub mod attempt;
pub mod config;
pub mod decide;
pub mod effect;
pub mod event;
pub mod frozen;
pub mod garbage;
pub mod ids;
pub mod invariants;
pub mod items;
pub mod lock;
pub mod memo;
pub mod metric;
pub mod phase;
pub mod program;
pub mod record;
mod resolve;
pub mod resources;
pub mod resubmit;
pub mod retry;
mod scope;
pub mod selector;
pub mod snapshot;
pub mod spec;
pub mod state;
pub mod view;
pub mod waiting;
