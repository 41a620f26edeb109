//! `graph`: a manifest or a run, drawn.

use std::path::{Path, PathBuf};

use crate::args::{GraphArgs, GraphOutput, OverrideArgs, SourceArgs};
use crate::commands::run::{births, site, stored};
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::graph::{self, Graph};
use crate::project::{Sources, submitting};
use crate::{lookup, output};

/// Draws what is named: a file, else a run.
///
/// # Errors
/// When it is neither, or has errors.
#[tokio::main(flavor = "current_thread")]
pub async fn graph(global: &Global, args: &GraphArgs) -> Result<Exit, CliError> {
    let graphs = if args.what == "-" || Path::new(&args.what).exists() {
        of_files(global, &args.what).await?
    } else if global.has_store() {
        let store = lookup::reader(global).await?;
        let entry = lookup::entry(&store, global, &args.what).await?;
        vec![graph::of_run(&lookup::view(&store, &entry.uid).await?)]
    } else {
        return Err(CliError::Usage(format!(
            "{} is no file, and there is no store with a run of that name",
            args.what
        )));
    };
    for graph in &graphs {
        output::text(&match args.output {
            GraphOutput::Mermaid => graph::mermaid(graph),
            GraphOutput::Dot => graph::dot(graph),
        })?;
    }
    Ok(Exit::Succeeded)
}

async fn of_files(global: &Global, file: &str) -> Result<Vec<Graph>, CliError> {
    let source = SourceArgs {
        files: vec![PathBuf::from(file)],
        from: None,
        overrides: OverrideArgs::default(),
        dry_run: true,
        strict: None,
    };
    let sources = Sources::read(&source.files)?;
    sources.require(&submitting(global, &[]))?;
    let specs =
        births(stored(global).await?, global, &source, None, &sources, &site(global, &source.files)?)?;
    Ok(specs.iter().map(graph::of_spec).collect())
}
