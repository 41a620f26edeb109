//! Steps as pods of a Kubernetes cluster.
//!
//! Architecture invariants: what a pod looks like and what its status means are pure functions ([`pod`](mod@pod),
//! [`status`]); only this module and `client` speak to a cluster. Nothing here decides what a run does next.
//!
//! Start reading at [`pod::pod`].

pub mod pod;
pub mod site;

pub use pod::{Commands, ImageCommand, Launched, PodError};
pub use site::{PodDefaults, Site, Witness};
