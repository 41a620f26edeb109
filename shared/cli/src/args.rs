//! The command line, parsed and nothing more: no file is read and no name is looked up here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Drop data, forge a model: runs machine-learning pipelines written as Argo Workflows manifests.
#[derive(Debug, Parser)]
#[command(
    name = "dropforge",
    disable_version_flag = true,
    after_help = "Exit codes: 0 succeeded, 1 the run failed, 2 bad manifest or usage, 3 something else, 130 interrupted."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The folder that keeps runs, artifacts and buckets.
    #[arg(long, global = true, env = "DROPFORGE_STORE", default_value = ".dropforge", value_name = "DIR")]
    pub store: PathBuf,
    /// The namespace.
    #[arg(short, long, global = true, default_value = "default")]
    pub namespace: String,
    /// Say more on standard error.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a manifest here, in the foreground.
    Run(RunArgs),
    /// Serve a folder of definitions: S3 endpoint, triggers, schedules, until interrupted.
    Dev(DevArgs),
    /// Check manifests without running anything.
    Lint(LintArgs),
    /// Leave a run for the `run` or `dev` that owns the store.
    Submit(SubmitArgs),
    /// List runs, newest first.
    List(ListArgs),
    /// Show a run as a tree.
    Get(GetArgs),
    /// Print the logs of a run's steps.
    Logs(LogsArgs),
    /// Follow a run's tree until it ends.
    Watch(WatchArgs),
    /// Go on with suspended nodes, or with a suspended run.
    Resume(ResumeArgs),
    /// End a run's steps; its exit handlers still run.
    Stop(StopArgs),
    /// End a run's steps at once; no exit handler runs.
    Terminate(ControlArgs),
    /// Copy a run's output artifacts to a folder.
    Cp(CpArgs),
    /// Ask what a trigger does, or fire it for existing objects.
    #[command(subcommand)]
    Trigger(TriggerCommand),
    /// Show schedules.
    #[command(subcommand)]
    Cron(CronCommand),
    /// Say why a run or one of its nodes ran, waits or failed, from its records; or what a code like E012 means.
    Explain(ExplainArgs),
    /// Start the dev server, drop a CSV, train a model, and show where it lies.
    Demo(DemoArgs),
    /// Print the version.
    Version,
    /// Runs the steps of a store; started by `run` and `dev`.
    #[command(hide = true)]
    Supervisor(SupervisorArgs),
}

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
    /// The settings file; by default `dropforge.toml` beside the manifest.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The port of the S3 endpoint that steps see (0: any free one).
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

/// What is run, and with what.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// Manifests; `-` reads standard input. WorkflowTemplates in them can be referenced.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Run a stored definition: `workflowtemplate/NAME` or `cronwf/NAME`.
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
pub struct DevArgs {
    /// The folder of definitions (and `dropforge.toml`).
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    #[command(flatten)]
    pub steps: StepArgs,
}

#[derive(Debug, Args)]
pub struct LintArgs {
    /// Files and folders; `-` reads standard input. Templates named in one call know each other.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How to print findings.
    #[arg(short, long, value_enum, default_value_t = LintOutput::Text)]
    pub output: LintOutput,
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RunOutput {
    /// A tree for people.
    Tree,
    /// The tree with more columns.
    Wide,
    /// An Argo Workflow object with its status.
    Json,
    /// The same as YAML.
    Yaml,
    /// The run's name alone.
    Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListOutput {
    /// A table.
    Table,
    /// The table with metrics, cause and uid.
    Wide,
    /// A JSON list.
    Json,
    /// A YAML list.
    Yaml,
    /// Names alone.
    Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LintOutput {
    /// One finding a line, with its remedy.
    Text,
    /// A JSON list.
    Json,
    /// Annotations of GitHub Actions.
    Github,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainOutput {
    /// Sentences.
    Text,
    /// JSON.
    Json,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
