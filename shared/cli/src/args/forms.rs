//! What is printed of manifests, schemas and this command itself.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use super::outputs::GraphOutput;
use super::runs::SourceArgs;

#[derive(Debug, Args)]
#[command(after_help = "Example: dropforge graph pipeline.yaml -o dot | dot -Tsvg > pipeline.svg")]
pub struct GraphArgs {
    /// A manifest, or a run: its name, its uid, or `@latest`.
    #[arg(value_name = "FILE|RUN")]
    pub what: String,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = GraphOutput::Mermaid)]
    pub output: GraphOutput,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: dropforge render pipeline.yaml -p trees=50")]
pub struct RenderArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = RenderOutput::Yaml)]
    pub output: RenderOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RenderOutput {
    /// YAML, one document for each object.
    Yaml,
    /// JSON, one line for each object.
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: dropforge schema > .vscode/dropforge.json")]
pub struct SchemaArgs {
    /// Only this kind.
    #[arg(value_enum, value_name = "KIND")]
    pub kind: Option<SchemaKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// Everything that is read here.
    Manifest,
    /// Our `kind: Trigger` alone.
    Trigger,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: source <(dropforge completion bash)")]
pub struct CompletionArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: dropforge init churn && cd churn && dropforge run pipeline.yaml")]
pub struct InitArgs {
    /// The project's name, and that of its folder.
    #[arg(default_value = "pipeline", value_name = "NAME")]
    pub name: String,
    /// The folder; by default one of the project's name.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
