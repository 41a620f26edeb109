//! Runs one step: inputs, command, outputs, logs, verdict; and the laptop's supervisor.
//!
//! Architecture invariants: nothing here decides what a run does next, and nothing here knows a manifest's
//! tags: an attempt arrives resolved. A command never starts before its claim, and never ends without a
//! verdict while this process lives.
//!
//! Start reading at [`step`] (one attempt), then [`supervisor`] (all attempts of a store) and [`admission`]
//! (who starts when).

pub mod admission;
mod archive;
pub mod container;
mod git;
mod http;
mod inputs;
pub mod isolation;
mod logs;
mod memory;
mod outputs;
pub mod process;
pub mod removal;
pub mod request;
pub mod rewrite;
pub mod roles;
pub mod step;
pub mod supervisor;
mod transfer;
mod usage;
mod variables;
mod volumes;
