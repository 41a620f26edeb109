//! The processes that run steps on this machine.

use std::path::PathBuf;

use clap::Args;
use dropforge_cluster::engines::Executor;

/// How steps are run.
#[derive(Clone, Debug, Args)]
pub struct StepArgs {
    /// How many steps may run at once; by default the number of cores.
    #[arg(long, value_name = "N")]
    pub jobs: Option<u32>,
    /// Install nothing from the network: cached environments and wheel folders only.
    #[arg(long)]
    pub offline: bool,
    /// Write every commit through to the disk before its effects.
    #[arg(long)]
    pub durable: bool,
    /// What runs steps: `process`, `docker` or `podman`; by default what the settings file says, else `process`.
    #[arg(long, value_name = "NAME", value_parser = executor)]
    pub executor: Option<Executor>,
    /// The settings file; by default `dropforge.toml` beside the manifest.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The port of the S3 endpoint that steps see (0: any free one).
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

fn executor(name: &str) -> Result<Executor, String> {
    Executor::named(name).ok_or_else(|| "`process`, `docker` and `podman` are known".to_owned())
}

#[derive(Debug, Args)]
pub struct DevArgs {
    /// The folder of definitions (and `dropforge.toml`).
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    #[command(flatten)]
    pub steps: StepArgs,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Install nothing from the network.
    #[arg(long)]
    pub offline: bool,
    /// Keep the demo's folder; by default `dropforge-demo`.
    #[arg(default_value = "dropforge-demo", value_name = "DIR")]
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct SupervisorArgs {
    /// How many steps may run at once.
    #[arg(long)]
    pub jobs: Option<u32>,
    /// The port of the S3 endpoint.
    #[arg(long)]
    pub port: Option<u16>,
    /// Objects outlive a power failure.
    #[arg(long)]
    pub durable: bool,
}
