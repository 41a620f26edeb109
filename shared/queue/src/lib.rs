//! Doorbells: "look at this run". The envelope that travels in a queue, and timers within one process.
//!
//! Architecture invariants: a doorbell is never trusted and may be lost, doubled or late; it carries names, never
//! state. Nothing here knows a store.

pub mod doorbell;
pub mod local;
