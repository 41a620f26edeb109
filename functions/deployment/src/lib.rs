//! What the functions share: the settings of a deployment, the parts made from them, logs and metrics.
//!
//! Architecture invariants: nothing here decides; it reads the environment once, when a function starts.
//!
//! Start reading at [`settings`], then [`parts`].

mod carrier;
pub mod ends;
pub mod logs;
pub mod metrics;
pub mod parts;
pub mod settings;
pub mod token;
