//! Steps as pods of a Kubernetes cluster.
//!
//! Architecture invariants: what a pod looks like and what its status means are pure functions ([`pod`](mod@pod),
//! `status`); only `cluster`, `volumes`, `client` and `remote` speak to a cluster. Nothing here decides what a run does next.
//!
//! Start reading at [`pod::pod`], then [`KubernetesCluster`].

mod admission;
mod client;
mod cluster;
mod images;
mod person;
pub mod pod;
pub mod remote;
pub mod site;
mod status;
mod survey;
mod token;
mod volumes;

pub use client::{Access, CallError, Eks};
pub use cluster::{KubernetesCluster, OurPod, OurPods, Settings};
pub use images::{RegistryError, seen};
pub use person::Person;
pub use pod::{Commands, ImageCommand, Launched, PodError};
pub use site::{Limits, PodDefaults, Site, Witness};
pub use status::{Glance, Patience};
pub use survey::{
    Binding, Class, Daemons, DevicePlugin, GpuNode, NodeClass, PolicyAgent, Survey, Volume, is_nvidia,
};
