//! Steps as containers, by the API of an engine of this machine.
//!
//! Start reading at [`client`] (an engine), then `running` (one container from its creation to its end).

pub mod client;
pub mod creation;
mod fetch;
mod gauge;
mod output;
pub mod pull;
pub mod running;
