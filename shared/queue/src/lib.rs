//! Doorbells and reminders: "look at this run", "look at this trigger". The envelopes that travel in a queue, SQS and
//! EventBridge Scheduler that carry them (feature `sqs`), and timers within one process.
//!
//! Architecture invariants: a message is never trusted and may be lost, doubled or late; it carries names, never
//! state. Nothing here knows a store.

pub mod doorbell;
pub mod local;
pub mod reminder;
#[cfg(feature = "sqs")]
pub mod scheduler;
#[cfg(feature = "sqs")]
pub mod sqs;
#[cfg(feature = "sqs")]
pub mod token;
