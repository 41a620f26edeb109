//! In which form answers are printed.

use clap::ValueEnum;

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
    /// One finding a line, as Argo prints it.
    Simple,
    /// The findings of each file under its name, as Argo prints them.
    Pretty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainOutput {
    /// Sentences.
    Text,
    /// JSON.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DefinitionOutput {
    /// What a person wants to know.
    Wide,
    /// The object as JSON.
    Json,
    /// The object as YAML.
    Yaml,
    /// Names alone.
    Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphOutput {
    /// Mermaid, which Markdown viewers draw.
    Mermaid,
    /// Graphviz' language.
    Dot,
}
