//! `resubmit`: a run once more, as a new one.

use std::sync::Arc;

use dropforge_driver::births::{Overrides, resubmitted, validated};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::owner::index_entry;
use dropforge_driver::store::{Index, Runs};
use dropforge_engine::program::Program;
use dropforge_engine::resubmit::reused;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_engine::state::RunState;
use dropforge_engine::view::View;

use crate::args::ResubmitArgs;
use crate::commands::run::leave;
use crate::commands::wait::follow;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::home::Home;
use crate::output::{self, say};
use crate::{bell, identity, lookup};

/// Submits runs again.
///
/// # Errors
/// When a run is not there, or a memoized one has not failed; runs submitted before stay.
pub fn resubmit(global: &Global, args: &ResubmitArgs) -> Result<Exit, CliError> {
    follow(global, &args.follow, &submitted(global, args)?)
}

#[tokio::main(flavor = "current_thread")]
async fn submitted(global: &Global, args: &ResubmitArgs) -> Result<Vec<String>, CliError> {
    let store = lookup::reader(global).await?;
    let mut uids = Vec::new();
    for entry in lookup::meant(&store, global, &args.which, |_| true).await? {
        let spec = repeated(&store, args, &entry.uid).await?;
        if !leave(&store, &spec).await? {
            say(bell::UNANSWERED);
            store.put_entry(&index_entry(&RunState::new(compiled(spec.clone())?), 0)).await?;
        }
        output::text(&format!("{}\n", spec.name()))?;
        uids.push(spec.uid.to_string());
    }
    Ok(uids)
}

async fn repeated(
    store: &Home,
    args: &ResubmitArgs,
    uid: &dropforge_engine::ids::RunUid,
) -> Result<RunSpec, CliError> {
    let loaded = store.load_run(uid).await?;
    let program = compiled(loaded.spec)?;
    // A retry may have changed its parameters.
    let old = View::fold(program.clone(), &loaded.records).state.program.spec.clone();
    let overrides = Overrides {
        parameters: args.parameters.clone(),
        priority: args.priority,
        labels: args.labels.iter().cloned().collect(),
        ..Overrides::default()
    };
    let cause = Cause::Person { by: identity::person() };
    let spec = resubmitted(&old, &overrides, &identity::new(), cause, SystemClock.now());
    let failed = |why| CliError::Unborn { what: format!("resubmit {}", old.name()), why };
    let mut spec = spec.and_then(validated).map_err(failed)?;
    if args.memoized {
        let reused = reused(program, &loaded.records, spec.name());
        spec.reused = reused.map_err(|why| CliError::Refused(why.to_string()))?;
    }
    Ok(spec)
}

fn compiled(spec: RunSpec) -> Result<Arc<Program>, CliError> {
    let program = Program::compile(spec);
    program
        .map(Arc::new)
        .map_err(|why| CliError::Below { what: "compile the stored spec", why: why.to_string() })
}
