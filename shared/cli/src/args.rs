//! The command line, parsed and nothing more: no file is read and no name is looked up here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod contexts;
mod control;
mod definitions;
mod deploy;
mod forms;
mod local;
mod outputs;
mod runs;

pub use contexts::*;
pub use control::*;
pub use definitions::*;
pub use deploy::*;
pub use forms::*;
pub use local::*;
pub use outputs::*;
pub use runs::*;

/// Drop data, forge a model: runs machine-learning pipelines written as Argo Workflows manifests.
#[derive(Debug, Parser)]
#[command(
    name = "dropforge",
    disable_version_flag = true,
    after_help = "Exit codes: 0 succeeded, 1 the run failed, 2 bad manifest or usage, 3 something else, 130 interrupted."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// The folder that keeps runs, artifacts and buckets.
    #[arg(long, global = true, env = "DROPFORGE_STORE", default_value = ".dropforge", value_name = "DIR")]
    pub store: PathBuf,
    /// A deployment on AWS instead of this machine; `dropforge context list` shows those that are known.
    #[arg(long, global = true, env = "DROPFORGE_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace; by itself the context's, else `default`.
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
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
    /// Delete runs: they are no longer listed or found.
    Delete(DeleteArgs),
    /// Store templates, schedules and triggers.
    Apply(ApplyArgs),
    /// Stored WorkflowTemplates.
    #[command(subcommand)]
    Template(TemplateCommand),
    /// Stored ClusterWorkflowTemplates.
    #[command(subcommand)]
    ClusterTemplate(TemplateCommand),
    /// Show a run as a tree.
    Get(GetArgs),
    /// Print the logs of a run's steps.
    Logs(LogsArgs),
    /// Follow a run's tree until it ends.
    Watch(WatchArgs),
    /// Go on with suspended nodes, or with a suspended run.
    Resume(ResumeArgs),
    /// Run again what failed in finished runs; what succeeded is kept.
    Retry(RetryArgs),
    /// Run finished runs, or live ones, once more as new runs.
    Resubmit(ResubmitArgs),
    /// Wait until runs are over.
    Wait(WaitArgs),
    /// Start nothing new in runs until they are resumed.
    Suspend(ControlArgs),
    /// Change nodes that wait for a person.
    #[command(subcommand)]
    Node(NodeCommand),
    /// End a run's steps; its exit handlers still run.
    Stop(StopArgs),
    /// End a run's steps at once; no exit handler runs.
    Terminate(ChosenArgs),
    /// Copy a run's output artifacts to a folder.
    Cp(CpArgs),
    /// Ask what a trigger does, or fire it for existing objects.
    #[command(subcommand)]
    Trigger(TriggerCommand),
    /// Stored schedules (CronWorkflows).
    #[command(subcommand)]
    Cron(CronCommand),
    /// Say why a run or one of its nodes ran, waits or failed, from its records; or what a code like E201 means.
    Explain(ExplainArgs),
    /// Deployments on AWS that are known here.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Make what Terraform can't: Kubernetes objects, the context, definitions; then look at all of it.
    Deploy(DeployArgs),
    /// Say whether all parts of a context are reached, and which permission or object is missing.
    Doctor,
    /// Show the messages that no function could read, and put them back once the cause is mended.
    Redrive(RedriveArgs),
    /// Start the dev server, drop a CSV, train a model, and show where it lies.
    Demo(DemoArgs),
    /// Write a project that runs: pipeline, code, data, trigger.
    Init(InitArgs),
    /// Print what a manifest becomes: templates, defaults and parameters in their places.
    Render(RenderArgs),
    /// Draw a manifest or a run.
    Graph(GraphArgs),
    /// Print the JSON schema of manifests, for editors.
    Schema(SchemaArgs),
    /// Print a shell's completion script.
    Completion(CompletionArgs),
    /// Print the version.
    Version,
    /// Runs the steps of a store; started by `run` and `dev`.
    #[command(hide = true)]
    Supervisor(SupervisorArgs),
}
