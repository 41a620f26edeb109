//! What `infra/` says, asked: `policy` decides as IAM does, `rendered` has Terraform render a stack, `samples` knows what
//! the sample pipelines read and write, `tables` keeps the READMEs' tables in step with the code.
//!
//! Start reading at `tests/policies.rs`.

use std::path::PathBuf;

pub mod policy;
pub mod rendered;
pub mod samples;
pub mod tables;

/// A file or folder of the repository.
pub fn in_repository(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}
