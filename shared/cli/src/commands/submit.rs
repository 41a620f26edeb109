//! `submit`: leaves runs for the process that owns the store.

use std::sync::Arc;

use dropforge_driver::owner::index_entry;
use dropforge_driver::store::Index;
use dropforge_engine::program::Program;
use dropforge_engine::spec::RunSpec;
use dropforge_engine::state::RunState;
use dropforge_engine::view::View;
use dropforge_manifest::parse::ARGO_VERSION;
use serde_json::{Value, json};

use crate::args::{LogsArgs, RunOutput, SubmitArgs};
use crate::commands::run::{births, checked, leave, refuse_live_names, site, stored};
use crate::commands::{get, logs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::home::Home;
use crate::output::{self, say};
use crate::{lookup, luggage};

/// Submits every Workflow of the files, or the stored definition that `--from` names.
///
/// # Errors
/// When something is wrong with a manifest; then nothing is submitted.
#[tokio::main(flavor = "current_thread")]
pub async fn submit(global: &Global, args: &SubmitArgs) -> Result<Exit, CliError> {
    let sources = checked(global, &args.source)?;
    let mut specs = births(
        stored(global).await?,
        global,
        &args.source,
        args.priority,
        &sources,
        &site(global, &args.source.files)?,
    )?;
    if args.source.dry_run {
        return preview(&specs, args.output);
    }
    if args.watch && specs.len() > 1 {
        return Err(CliError::Usage(format!(
            "--watch shows one run, and there are {}: use --log or --wait",
            specs.len()
        )));
    }
    let store = lookup::made(global).await?;
    refuse_live_names(&store, &specs).await?;
    luggage::add(&store, &args.source.files, &mut specs).await?;
    let mut owned = true;
    for spec in &specs {
        let program;
        (program, owned) = hand_over(&store, spec).await?;
        match args.output {
            RunOutput::Tree => output::text(&format!("{}\n", spec.name()))?,
            other => output::run(&View::fold(program, std::iter::empty()), spec.created_at, other)?,
        }
    }
    if !owned {
        say("nothing runs this store now: `dropforge run --continue NAME` or `dropforge dev` starts it");
    }
    follow(args, &store, &specs).await
}

/// Stores a run, tells the store's owner, and lists it where nobody does; gives whether somebody does.
///
/// # Errors
/// When it can't be stored.
pub async fn hand_over(store: &Home, spec: &RunSpec) -> Result<(Arc<Program>, bool), CliError> {
    let program = Program::compile(spec.clone())
        .map_err(|why| CliError::Below { what: "compile the spec", why: why.to_string() })?;
    let program = Arc::new(program);
    let owned = leave(store, spec).await?;
    if !owned {
        store.put_entry(&index_entry(&RunState::new(program.clone()), 0)).await?;
    }
    Ok((program, owned))
}

/// Waits for the runs as asked: logs first, then the end or the tree, as Argo does.
async fn follow(args: &SubmitArgs, store: &Home, specs: &[RunSpec]) -> Result<Exit, CliError> {
    let mut exit = Exit::Succeeded;
    for spec in specs.iter().filter(|_| args.log) {
        let logs = LogsArgs::following(spec.uid.to_string());
        exit = exit.max(logs::print(store, spec.namespace(), &spec.uid, spec.name(), &logs).await?);
    }
    for spec in specs {
        if args.watch {
            exit = exit.max(get::follow(store, &spec.uid, spec.name()).await?);
        } else if args.wait || args.log {
            exit = exit.max(get::wait(store, &spec.uid).await?);
        }
    }
    Ok(exit)
}

/// Prints what would become runs.
///
/// # Errors
/// When it can't be printed.
pub fn preview(specs: &[RunSpec], output: RunOutput) -> Result<Exit, CliError> {
    for (at, spec) in specs.iter().enumerate() {
        match output {
            RunOutput::Name => output::text(&format!("{}\n", spec.name()))?,
            RunOutput::Json => output::data(&format!("{}\n", serde_json::to_string_pretty(&object(spec))?))?,
            RunOutput::Tree | RunOutput::Wide | RunOutput::Yaml => {
                let between = if at > 0 { "---\n" } else { "" };
                output::data(&format!("{between}{}", output::yaml(&object(spec))))?;
            }
        }
    }
    Ok(Exit::Succeeded)
}

fn object(spec: &RunSpec) -> Value {
    json!({"apiVersion": ARGO_VERSION, "kind": "Workflow", "metadata": spec.metadata, "spec": spec.spec})
}
