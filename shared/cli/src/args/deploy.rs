//! What Terraform's provider can't make.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::contexts::ReachArgs;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: dropforge deploy infra/live --executor $(shared/executor/build) --apply pipelines/"
)]
pub struct DeployArgs {
    /// Terraform's folder, or a file with what `terraform output -json` says; `-` reads standard input.
    #[arg(value_name = "FOLDER|FILE", default_value = ".")]
    pub outputs: PathBuf,
    /// What to call the context; by itself the deployment's name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Print the Kubernetes objects as YAML, for who applies them otherwise, and change nothing. No cluster is asked:
    /// which objects of its own it gets is said by `--has`.
    #[arg(long)]
    pub print: bool,
    /// What the cluster has, for `--print`: several with commas between them.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', requires = "print")]
    pub has: Vec<ClusterPart>,
    /// The executor for pods, a static Linux program: one for each architecture of the nodes. By itself those beside this
    /// command: `dropforge-executor-x86_64`, `dropforge-executor-aarch64`.
    #[arg(long = "executor", value_name = "FILE")]
    pub executors: Vec<PathBuf>,
    /// Push the executor under this version and do nothing else: before an apply that names it as `executor_version`.
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["print", "definitions"])]
    pub push: Option<String>,
    /// Make ours what somebody else has set of an object that is applied; by itself such an object stays as it is.
    #[arg(long)]
    pub take_over: bool,
    /// Store the definitions of these files and folders.
    #[arg(long = "apply", value_name = "PATH")]
    pub definitions: Vec<PathBuf>,
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// What of a cluster decides which objects of its own it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClusterPart {
    /// EKS Auto Mode: it gets a StorageClass of its driver, and a pool of GPU nodes.
    AutoMode,
    /// The EBS CSI driver as an add-on: it gets a StorageClass of that.
    EbsCsi,
    /// A default StorageClass: it gets none of ours.
    DefaultClass,
    /// Nodes with GPUs of NVIDIA's that they do not tell of: they get NVIDIA's device plugin.
    SilentGpus,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: dropforge --context prod redrive events --put-back")]
pub struct RedriveArgs {
    /// One queue's dead letters, `events` or `uploads`; by itself those of both.
    #[arg(value_name = "QUEUE")]
    pub queue: Option<String>,
    /// Put them back into the queue that they came from.
    #[arg(long)]
    pub put_back: bool,
}
