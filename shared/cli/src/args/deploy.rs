//! What Terraform's provider can't make.

use std::path::PathBuf;

use clap::Args;

use super::contexts::ReachArgs;

#[derive(Debug, Args)]
#[command(after_help = "Example: dropforge deploy infra/live --apply pipelines/")]
pub struct DeployArgs {
    /// Terraform's folder, or a file with what `terraform output -json` says; `-` reads standard input.
    #[arg(value_name = "FOLDER|FILE", default_value = ".")]
    pub outputs: PathBuf,
    /// What to call the context; by itself the deployment's name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Print the Kubernetes objects as YAML, for who applies them otherwise, and change nothing.
    #[arg(long)]
    pub print: bool,
    /// Store the definitions of these files and folders.
    #[arg(long = "apply", value_name = "PATH")]
    pub definitions: Vec<PathBuf>,
    #[command(flatten)]
    pub reach: ReachArgs,
}
