//! The function behind the upload queue: what S3 announces and what the scheduler reminds of become the driver's notices
//! ([`dropforge_driver::ingest`]).
//!
//! Architecture invariants: a message is untrusted. What can't be read is dropped and counted, what failed comes again
//! alone, and nothing of a message but names is believed.

pub mod batch;
pub mod heads;
pub mod notices;
