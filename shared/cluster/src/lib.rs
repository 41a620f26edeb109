//! Where steps run: local processes, their environments and admission.

pub mod code;
pub mod engines;
pub mod environments;
pub mod gpus;
pub mod local;
mod probe;
pub mod python;
pub mod settings;
