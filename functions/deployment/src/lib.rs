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

/// That of every function: they are linked with musl, whose own takes more time than the engine.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
