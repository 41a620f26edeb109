//! What is asked of runs that are there.

use clap::{Args, Subcommand};
use dropforge_engine::selector::Selector;

use super::runs::{FilterArgs, label, pair};

/// A node field selector, checked before anybody is asked anything.
fn node_selector(text: &str) -> Result<String, String> {
    Selector::parse(text).map(|_| text.to_owned())
}

#[derive(Debug, Args)]
pub struct ControlArgs {
    /// Names or uids; `@latest` is the newest run.
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<String>,
}

/// Runs that are named, or selected by Argo's flags.
#[derive(Clone, Debug, Args)]
pub struct ChosenArgs {
    /// Names or uids; `@latest` is the newest run.
    #[arg(value_name = "RUN", required_unless_present_any = ["selector", "field_selector"])]
    pub runs: Vec<String>,
    /// The runs with these labels that this can be done to: `team=a,tier in (x,y),!old`.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// The runs with these fields that this can be done to: `status.phase!=Failed`.
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
}

impl ChosenArgs {
    /// Which of the list are meant; none: those that are named alone.
    pub fn filter(&self) -> Option<FilterArgs> {
        let (selector, field_selector) = (self.selector.clone(), self.field_selector.clone());
        let selecting = selector.is_some() || field_selector.is_some();
        selecting.then(|| FilterArgs { selector, field_selector, ..FilterArgs::default() })
    }
}

#[derive(Debug, Args)]
pub struct StopArgs {
    #[command(flatten)]
    pub which: ChosenArgs,
    /// Why, for the record.
    #[arg(short, long)]
    pub message: Option<String>,
    /// Fail only waiting suspend nodes that match, e.g. `displayName=approve`.
    #[arg(long, value_name = "SELECTOR", value_parser = node_selector)]
    pub node_field_selector: Option<String>,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Names or uids; `@latest` is the newest run.
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<String>,
    /// Only nodes that match, e.g. `displayName=approve`.
    #[arg(long, value_name = "SELECTOR", value_parser = node_selector)]
    pub node_field_selector: Option<String>,
    /// A value for a suspended node's supplied output.
    #[arg(short = 'p', long = "output-parameter", value_name = "NAME=VALUE", value_parser = pair)]
    pub outputs: Vec<(String, String)>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: dropforge retry @latest -p rows=100")]
pub struct RetryArgs {
    #[command(flatten)]
    pub which: ChosenArgs,
    /// Run again the nodes of --node-field-selector too, whatever became of them.
    #[arg(long, requires = "node_field_selector")]
    pub restart_successful: bool,
    /// Nodes to run again, e.g. `displayName=train` or `inputs.parameters.day.value=monday`.
    #[arg(long, value_name = "SELECTOR", value_parser = node_selector)]
    pub node_field_selector: Option<String>,
    /// A new value for a parameter of the workflow.
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", value_parser = pair)]
    pub parameters: Vec<(String, String)>,
    #[command(flatten)]
    pub follow: FollowArgs,
}

/// Whether the command stays until the runs are over.
#[derive(Clone, Debug, Args)]
pub struct FollowArgs {
    /// Wait until the runs are over; the exit code tells of the worst of them.
    #[arg(short, long)]
    pub wait: bool,
    /// Follow the run's tree until it is over.
    #[arg(long, conflicts_with = "log")]
    pub watch: bool,
    /// Print the logs until the runs are over.
    #[arg(long)]
    pub log: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: dropforge resubmit @latest --memoized")]
pub struct ResubmitArgs {
    #[command(flatten)]
    pub which: ChosenArgs,
    /// Take over what succeeded in a failed run, with its outputs.
    #[arg(long)]
    pub memoized: bool,
    /// A new value for a parameter of the workflow.
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", value_parser = pair)]
    pub parameters: Vec<(String, String)>,
    /// Further labels of the new runs.
    #[arg(long, value_name = "NAME=VALUE,…", value_delimiter = ',', value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// The priority of the new runs.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub priority: Option<i64>,
    #[command(flatten)]
    pub follow: FollowArgs,
}

#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Names or uids; `@latest` is the newest run.
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<String>,
    /// A run that is not there is no error.
    #[arg(long)]
    pub ignore_not_found: bool,
}

#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Set phase, message or supplied outputs of waiting suspend nodes.
    Set(NodeSetArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: dropforge node set @latest --node-field-selector displayName=approve -p verdict=good"
)]
pub struct NodeSetArgs {
    /// A run's name or uid; `@latest` is the newest run.
    pub run: String,
    /// The nodes, e.g. `displayName=approve`.
    #[arg(long, value_name = "SELECTOR", value_parser = node_selector)]
    pub node_field_selector: String,
    /// Their phase: Succeeded, Failed, Error or Skipped ends them.
    #[arg(long)]
    pub phase: Option<String>,
    /// Their message.
    #[arg(short, long)]
    pub message: Option<String>,
    /// A value for a supplied output.
    #[arg(short = 'p', long = "output-parameter", value_name = "NAME=VALUE", value_parser = pair)]
    pub outputs: Vec<(String, String)>,
}
