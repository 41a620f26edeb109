//! What starts runs, and what is asked and told of them.

use std::path::PathBuf;

use clap::Args;

use super::local::StepArgs;
use super::outputs::{ExplainOutput, ListOutput, RunOutput};

/// What is run, and with what.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// Manifests; `-` reads standard input. WorkflowTemplates in them can be referenced.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Run a stored definition: `workflowtemplate/NAME`, `clusterworkflowtemplate/NAME` or `cronwf/NAME`.
    #[arg(long, value_name = "KIND/NAME")]
    pub from: Option<String>,
    /// A parameter of the workflow.
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", value_parser = pair)]
    pub parameters: Vec<(String, String)>,
    /// The run's name.
    #[arg(long)]
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub steps: StepArgs,
    /// Go on with a run that was interrupted, instead of starting one.
    #[arg(long = "continue", value_name = "RUN", conflicts_with_all = ["files", "from", "name", "parameters"])]
    pub resume: Option<String>,
    /// What to print on standard output at the end.
    #[arg(short, long, value_enum, default_value_t = RunOutput::Tree)]
    pub output: RunOutput,
    /// Do not show the steps' logs while they run.
    #[arg(long)]
    pub no_logs: bool,
}

#[derive(Debug, Args)]
pub struct SubmitArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// What to print on standard output.
    #[arg(short, long, value_enum, default_value_t = RunOutput::Name)]
    pub output: RunOutput,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ListOutput::Table)]
    pub output: ListOutput,
    /// Only runs in these phases.
    #[arg(long, value_delimiter = ',')]
    pub status: Vec<String>,
    /// Only runs that are not over.
    #[arg(long)]
    pub running: bool,
    /// At most this many.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

#[derive(Debug, Args)]
pub struct GetArgs {
    /// A run's name (the newest of that name) or uid; `@latest` is the newest run.
    pub run: String,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = RunOutput::Tree)]
    pub output: RunOutput,
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// A run's name or uid; `@latest` is the newest run.
    pub run: String,
    /// Only this node: display name, full name, id or pod name.
    pub node: Option<String>,
    /// Go on printing until the run has ended.
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines of each step.
    #[arg(long, value_name = "N")]
    pub tail: Option<usize>,
    /// No `node: ` in front of each line.
    #[arg(long)]
    pub no_prefix: bool,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// A run's name or uid; `@latest` is the newest run.
    pub run: String,
}

#[derive(Debug, Args)]
pub struct ControlArgs {
    /// A run's name or uid; `@latest` is the newest run.
    pub run: String,
}

#[derive(Debug, Args)]
pub struct StopArgs {
    /// A run's name or uid; `@latest` is the newest run.
    pub run: String,
    /// Why, for the record.
    #[arg(short, long)]
    pub message: Option<String>,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// A run's name or uid; `@latest` is the newest run.
    pub run: String,
    /// Only nodes that match, e.g. `displayName=approve`.
    #[arg(long, value_name = "SELECTOR")]
    pub node_field_selector: Option<String>,
    /// A value for a suspended node's supplied output.
    #[arg(short = 'p', long = "output-parameter", value_name = "NAME=VALUE", value_parser = pair)]
    pub outputs: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub struct CpArgs {
    /// A run's name or uid; `@latest` is the newest run.
    pub run: String,
    /// Where to put them.
    pub dir: PathBuf,
    /// Only artifacts of this name.
    #[arg(long)]
    pub artifact_name: Option<String>,
    /// Only artifacts of this node.
    #[arg(long)]
    pub node: Option<String>,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A run's name or uid, `@latest`, or a code such as E012.
    pub run: String,
    /// A node: display name, full name, id or pod name.
    pub node: Option<String>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ExplainOutput::Text)]
    pub output: ExplainOutput,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
