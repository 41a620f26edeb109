//! Manifests and stored definitions.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::outputs::{DefinitionOutput, LintOutput, ListOutput};
use super::runs::OverrideArgs;

#[derive(Debug, Args)]
pub struct LintArgs {
    /// Files and folders; `-` reads standard input. Templates named in one call know each other.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Say exactly what `argo lint --offline` of Argo 4.1.2 says, whatever runs here: exit code 0 or 2.
    #[arg(long)]
    pub argo: bool,
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

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Files and folders; `-` reads standard input.
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
}

/// What is done with stored WorkflowTemplates, of a namespace or of all.
#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// List them.
    List {
        #[command(flatten)]
        list: DefinitionListArgs,
    },
    /// Show some.
    Get {
        #[command(flatten)]
        get: DefinitionGetArgs,
    },
    /// Store those in files; none of them may be stored already.
    Create {
        #[command(flatten)]
        put: DefinitionPutArgs,
    },
    /// Store those in files in the place of those stored.
    Update {
        #[command(flatten)]
        put: DefinitionPutArgs,
    },
    /// Delete some.
    Delete {
        #[command(flatten)]
        delete: DefinitionDeleteArgs,
    },
    /// Check those in files, and store nothing.
    Lint {
        #[command(flatten)]
        lint: LintArgs,
    },
}

#[derive(Debug, Args)]
pub struct DefinitionListArgs {
    /// Only those with these labels: `team=a,!old`.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ListOutput::Table)]
    pub output: ListOutput,
}

#[derive(Debug, Args)]
pub struct DefinitionGetArgs {
    /// Their names.
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = DefinitionOutput::Wide)]
    pub output: DefinitionOutput,
}

#[derive(Debug, Args)]
pub struct DefinitionPutArgs {
    /// Files and folders; `-` reads standard input.
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = DefinitionOutput::Wide)]
    pub output: DefinitionOutput,
    /// Accepted; unknown fields are always errors.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
    pub strict: Option<bool>,
}

#[derive(Debug, Args)]
pub struct DefinitionDeleteArgs {
    /// Their names.
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub names: Vec<String>,
    /// All of them.
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Subcommand)]
pub enum CronCommand {
    /// List schedules with their next tick.
    List {
        #[command(flatten)]
        list: DefinitionListArgs,
    },
    /// Show schedules.
    Get {
        #[command(flatten)]
        get: DefinitionGetArgs,
    },
    /// Store the schedules in files; none of them may be stored already.
    Create {
        #[command(flatten)]
        put: DefinitionPutArgs,
        #[command(flatten)]
        overrides: OverrideArgs,
        /// The schedule, instead of those in the file: `0 2 * * *`.
        #[arg(long, value_name = "CRON")]
        schedule: Option<String>,
    },
    /// Store the schedules in files in the place of those stored.
    Update {
        #[command(flatten)]
        put: DefinitionPutArgs,
        #[command(flatten)]
        overrides: OverrideArgs,
    },
    /// Delete schedules; runs they made go on.
    Delete {
        #[command(flatten)]
        delete: DefinitionDeleteArgs,
    },
    /// Let schedules fire no more until they are resumed.
    Suspend {
        /// Their names.
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
    /// Let suspended schedules fire again.
    Resume {
        /// Their names.
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
    /// Check the schedules in files, and store nothing.
    Lint {
        #[command(flatten)]
        lint: LintArgs,
    },
    /// Make the runs that a schedule would have made in a time that is past.
    Backfill(BackfillArgs),
}

#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// The schedule.
    pub name: String,
    /// Ticks after this time: 2026-01-31, 2026-01-31T12:00:00Z, or as `date -R` prints it.
    #[arg(long, value_name = "TIME")]
    pub start: String,
    /// Ticks up to this time; by default now.
    #[arg(long, value_name = "TIME")]
    pub end: Option<String>,
    /// The backfill's name; one of the same name makes only the runs that are missing.
    #[arg(long = "name", value_name = "BACKFILL", id = "backfill")]
    pub backfill: Option<String>,
    /// Run all of them beside each other; else one after another.
    #[arg(long)]
    pub parallel: bool,
    /// The parameter that holds the tick's time.
    #[arg(long, value_name = "NAME", default_value = "cronScheduleTime")]
    pub argname: String,
    /// At most this many runs.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub maxworkflowcount: usize,
}
