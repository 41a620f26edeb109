//! What starts runs, and what is asked and told of them.

use std::path::PathBuf;

use clap::Args;
use dropforge_engine::phase::NodePhase;
use dropforge_engine::selector::Selector;
use dropforge_manifest::check::{label_value, object_name};
use regex::Regex;

use super::local::StepArgs;
use super::outputs::{ExplainOutput, ListOutput, RunOutput};

/// What is run, and with what; the flags are `argo submit`'s.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// Manifests; `-` reads standard input. Templates in them can be referenced; each Workflow becomes a run.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Run a stored definition: `workflowtemplate/NAME`, `clusterworkflowtemplate/NAME` or `cronwf/NAME`.
    #[arg(long, value_name = "KIND/NAME")]
    pub from: Option<String>,
    #[command(flatten)]
    pub overrides: OverrideArgs,
    /// Store and run nothing; print what would become a run.
    #[arg(long, visible_alias = "server-dry-run")]
    pub dry_run: bool,
    /// Accepted; unknown fields are always errors.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
    pub strict: Option<bool>,
}

/// What a person puts in the place of what the manifest says.
#[derive(Clone, Debug, Default, Args)]
pub struct OverrideArgs {
    /// A parameter of the workflow.
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", value_parser = pair)]
    pub parameters: Vec<(String, String)>,
    /// A YAML or JSON file of parameters; `-p` wins over it.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub parameter_file: Option<PathBuf>,
    /// The name.
    #[arg(long, value_parser = run_name)]
    pub name: Option<String>,
    /// The beginning of a generated name.
    #[arg(long, value_name = "PREFIX", conflicts_with = "name", value_parser = name_prefix)]
    pub generate_name: Option<String>,
    /// The template to begin with.
    #[arg(long, value_name = "TEMPLATE")]
    pub entrypoint: Option<String>,
    /// Labels: `team=a,tier=b`.
    #[arg(short = 'l', long, value_name = "NAME=VALUE,…", value_delimiter = ',', value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Accepted; a step here runs as the person who started it.
    #[arg(long, value_name = "NAME")]
    pub serviceaccount: Option<String>,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub steps: StepArgs,
    /// Go on with a run that was interrupted, instead of starting one.
    #[arg(long = "continue", value_name = "RUN", conflicts_with_all = ["files", "from", "name", "generate_name", "parameters", "parameter_file", "entrypoint", "labels", "dry_run", "priority"])]
    pub resume: Option<String>,
    /// What to print on standard output at the end.
    #[arg(short, long, value_enum, default_value_t = RunOutput::Tree)]
    pub output: RunOutput,
    /// Do not show the steps' logs while they run.
    #[arg(long, conflicts_with = "log")]
    pub no_logs: bool,
    /// The priority among runs that wait.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub priority: Option<i64>,
    /// Accepted: `run` waits.
    #[arg(short, long, hide = true)]
    pub wait: bool,
    /// Accepted: `run` shows the tree.
    #[arg(long, hide = true)]
    pub watch: bool,
    /// Accepted: `run` shows the logs.
    #[arg(long, hide = true)]
    pub log: bool,
}

#[derive(Debug, Args)]
pub struct SubmitArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// What to print on standard output.
    #[arg(short, long, value_enum, default_value_t = RunOutput::Name)]
    pub output: RunOutput,
    /// The priority among runs that wait.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub priority: Option<i64>,
    /// Wait until the runs have ended; the exit code is the worst of theirs.
    #[arg(short, long, conflicts_with = "dry_run")]
    pub wait: bool,
    /// Follow the run's tree until it ends.
    #[arg(long, conflicts_with_all = ["dry_run", "log"])]
    pub watch: bool,
    /// Follow the runs' logs until they end.
    #[arg(long, conflicts_with = "dry_run")]
    pub log: bool,
}

/// Which runs are meant; the flags are `argo list`'s.
#[derive(Clone, Debug, Default, Args)]
pub struct FilterArgs {
    /// Runs of all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only runs with these labels: `team=a,tier in (x,y),!old`.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Only runs with these fields: `metadata.name=a,status.phase!=Failed`.
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
    /// Only runs in these phases.
    #[arg(long, value_delimiter = ',', value_name = "PHASE,…")]
    pub status: Vec<String>,
    /// Only runs that are over.
    #[arg(long)]
    pub completed: bool,
    /// Only runs that `resubmit` made.
    #[arg(long)]
    pub resubmitted: bool,
    /// Only runs whose name begins with this.
    #[arg(long)]
    pub prefix: Option<String>,
    /// Only runs that ended before this long ago (10m, 3h, 7d) or before a time.
    #[arg(long, value_name = "AGO")]
    pub older: Option<String>,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub filter: FilterArgs,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ListOutput::Table)]
    pub output: ListOutput,
    /// Only runs that are not over.
    #[arg(long, conflicts_with = "completed")]
    pub running: bool,
    /// Only runs created since this long ago (10m, 3h, 7d) or since a time.
    #[arg(long, value_name = "AGO")]
    pub since: Option<String>,
    /// At most this many.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// No titles above the columns.
    #[arg(long)]
    pub no_headers: bool,
}

#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Names or uids; `@latest` is the newest run.
    #[arg(value_name = "RUN")]
    pub runs: Vec<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// All runs.
    #[arg(long)]
    pub all: bool,
    /// Delete nothing; say what would be deleted.
    #[arg(long)]
    pub dry_run: bool,
    /// Terminate runs that are not over, and delete them then.
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct GetArgs {
    /// A run's name (the newest of that name) or uid; `@latest` is the newest run.
    pub run: String,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = RunOutput::Tree)]
    pub output: RunOutput,
    /// Only nodes that match, e.g. `templateName=train,phase!=Succeeded`, and those above them.
    #[arg(long, value_name = "SELECTOR", value_parser = Selector::parse)]
    pub node_field_selector: Option<Selector>,
    /// Only nodes of this phase, and those above them: Pending, Running, Succeeded, Skipped, Omitted, Failed or Error.
    #[arg(long, value_name = "PHASE", value_parser = of_phase)]
    pub status: Option<Selector>,
}

/// The nodes of a phase.
fn of_phase(phase: &str) -> Result<Selector, String> {
    match serde_json::from_value::<NodePhase>(phase.into()) {
        Ok(phase) => Selector::parse(&format!("phase={phase}")),
        Err(_) => Err("there is no such phase".to_owned()),
    }
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// A run's name or uid; `@latest` is the newest run.
    pub run: String,
    /// Only this node: display name, full name, id or pod name.
    pub node: Option<String>,
    /// Only this container of each step: one of a `containerSet`, an init container, a sidecar.
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Go on printing until the run has ended.
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines of each step.
    #[arg(long, value_name = "N")]
    pub tail: Option<usize>,
    /// Only lines (of the last N, where `--tail` says so) in which this regular expression finds something.
    #[arg(long, value_name = "REGEX")]
    pub grep: Option<Regex>,
    /// No `node: ` in front of each line.
    #[arg(long)]
    pub no_prefix: bool,
}

impl LogsArgs {
    /// All logs of a run until it ends.
    pub fn following(run: String) -> LogsArgs {
        LogsArgs { run, node: None, container: None, follow: true, tail: None, grep: None, no_prefix: false }
    }
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// A run's name or uid; `@latest` is the newest run.
    pub run: String,
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
    /// A run's name or uid, `@latest`, or a code such as E201.
    pub run: String,
    /// A node: display name, full name, id or pod name.
    pub node: Option<String>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ExplainOutput::Text)]
    pub output: ExplainOutput,
}

/// A label of Kubernetes: what it is called, without a prefix such as `example.com/`, is written as a value is.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = pair(text)?;
    let name = key.rsplit('/').next().unwrap_or_default();
    match (name, label_value(name), label_value(&value)) {
        ("", ..) => Err("the name is required".to_owned()),
        (_, Some(why), _) => Err(format!("the name {why}")),
        (_, None, Some(why)) => Err(format!("the value {why}")),
        (_, None, None) => Ok((key, value)),
    }
}

/// The name of a run, which pods and labels carry.
fn run_name(text: &str) -> Result<String, String> {
    object_name(text, RUN_NAME_BYTES_MAX).map_or_else(|| Ok(text.to_owned()), Err)
}

/// The beginning of a run's name: what is put behind it makes the end of a name good, and a long one is cut.
fn name_prefix(text: &str) -> Result<String, String> {
    object_name(&format!("{text}x"), usize::MAX).map_or_else(|| Ok(text.to_owned()), Err)
}

/// Argo's bound: the name becomes a label's value.
const RUN_NAME_BYTES_MAX: usize = 63;

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
