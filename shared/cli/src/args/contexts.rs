//! Deployments on AWS, as this person reaches them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// Make a deployment known under a name, or change how it is reached.
    Add(ContextAddArgs),
    /// List those that are known.
    List,
    /// Print what is known of one, as TOML.
    Show {
        /// The context.
        name: String,
    },
    /// Forget one; nothing happens to the deployment.
    Remove {
        /// The context.
        name: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Example: terraform output -json | dropforge context add prod -")]
pub struct ContextAddArgs {
    /// What to call it.
    pub name: String,
    /// What `terraform output -json` says; `-` reads standard input.
    #[arg(value_name = "FILE")]
    pub outputs: PathBuf,
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// How this person reaches a deployment.
#[derive(Clone, Debug, Default, Args)]
pub struct ReachArgs {
    /// The profile of the AWS configuration.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Another endpoint than AWS's own, for all services.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The kubeconfig file; by itself what kubectl takes.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; by itself its current one.
    #[arg(long, value_name = "NAME")]
    pub kube_context: Option<String>,
    /// Take the kubeconfig's cluster for the deployment's though it names another address: a tunnel or a proxy leads there.
    #[arg(long)]
    pub any_cluster: bool,
}
