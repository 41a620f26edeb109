//! Manifests and stored definitions.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::outputs::LintOutput;

#[derive(Debug, Args)]
pub struct LintArgs {
    /// Files and folders; `-` reads standard input. Templates named in one call know each other.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How to print findings.
    #[arg(short, long, value_enum, default_value_t = LintOutput::Text)]
    pub output: LintOutput,
}

#[derive(Debug, Subcommand)]
pub enum TriggerCommand {
    /// Say which triggers match an object, and why others do not.
    Test {
        /// `s3://bucket/key`
        url: String,
        /// Definitions to look at besides the stored ones.
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Fire a trigger for objects that exist.
    Replay {
        /// The trigger.
        name: String,
        /// Only keys with this prefix.
        #[arg(long)]
        prefix: Option<String>,
        /// Only objects written since then: a time like 2026-01-31T00:00:00Z, or a duration like 24h ago.
        #[arg(long)]
        since: Option<String>,
    },
    /// List triggers with what they did.
    List,
    /// Print the JSON schema of `kind: Trigger`.
    Schema,
}

#[derive(Debug, Subcommand)]
pub enum CronCommand {
    /// List schedules with their next tick.
    List,
    /// Show one schedule.
    Get {
        /// Its name.
        name: String,
    },
}
