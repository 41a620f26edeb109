//! Where steps run: local processes, their environments and admission.

pub mod code;
pub mod engines;
pub mod environments;
pub mod gpus;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod local;
pub mod packing;
pub mod parcel;
mod probe;
pub mod python;
pub mod settings;
