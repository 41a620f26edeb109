//! `submit`: leaves a run for the process that owns the store.

use dropforge_driver::owner::index_entry;
use dropforge_driver::store::Index;
use dropforge_engine::program::Program;
use dropforge_engine::state::RunState;
use dropforge_manifest::parse::AnyObject;
use std::sync::Arc;

use crate::args::{Global, RunOutput, SubmitArgs};
use crate::commands::run::{born, checked, folder, leave};
use crate::error::CliError;
use crate::exit::Exit;
use crate::lookup;
use crate::output::{self, say};
use crate::project::Sources;
use crate::session::settings;

/// Submits every Workflow of the files, or the stored definition that `--from` names.
///
/// # Errors
/// When something is wrong with a manifest; runs stored before stay.
#[tokio::main(flavor = "current_thread")]
pub async fn submit(global: &Global, args: &SubmitArgs) -> Result<Exit, CliError> {
    let sources = checked(&args.source)?;
    let store = lookup::reader(global)?;
    let site = settings(None, &folder(&args.source.files))?.site;
    for one in each(&sources) {
        let spec = born(&store, global, &args.source, &one, &site).await?;
        let owned = leave(&store, &spec).await?;
        if !owned {
            say("nothing runs this store now: `dropforge run --continue NAME` or `dropforge dev` starts it");
        }
        let program = Program::compile(spec)
            .map_err(|why| CliError::Below { what: "compile the spec", why: why.to_string() })?;
        let state = RunState::new(Arc::new(program));
        if !owned {
            store.put_entry(&index_entry(&state)).await?;
        }
        let view = dropforge_engine::view::View::fold(state.program.clone(), std::iter::empty());
        match args.output {
            RunOutput::Tree => output::data(&format!("{}\n", state.program.spec.name()))?,
            other => output::run(&view, state.program.spec.created_at, other)?,
        }
    }
    Ok(Exit::Succeeded)
}

/// The sources with one Workflow at a time, so that each becomes a run.
fn each(sources: &Sources) -> Vec<Sources> {
    let is_workflow = |object: &AnyObject| matches!(object, AnyObject::Workflow(_));
    let count = sources.documents.iter().filter(|d| is_workflow(&d.object)).count();
    if count < 2 {
        return vec![Sources { documents: sources.documents.clone(), diagnostics: Vec::new() }];
    }
    let with_one = |wanted: usize| {
        let mut seen = 0;
        let documents = sources.documents.iter().filter(|d| {
            let workflow = is_workflow(&d.object);
            seen += usize::from(workflow);
            !workflow || seen == wanted + 1
        });
        Sources { documents: documents.cloned().collect(), diagnostics: Vec::new() }
    };
    (0..count).map(with_one).collect()
}
