//! `retry`: a finished run goes on where it failed.

use dropforge_driver::store::IndexEntry;
use dropforge_engine::event::{RetryOptions, Verb};
use dropforge_engine::phase::RunPhase;

use crate::args::RetryArgs;
use crate::commands::control::send;
use crate::commands::wait::follow;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::lookup;
use crate::output::say;

/// Opens finished runs again.
///
/// # Errors
/// `Refused` when a run is not over, or nothing in it is to be run again.
pub fn retry(global: &Global, args: &RetryArgs) -> Result<Exit, CliError> {
    follow(global, &args.follow, &opened(global, args)?)
}

#[tokio::main(flavor = "current_thread")]
async fn opened(global: &Global, args: &RetryArgs) -> Result<Vec<String>, CliError> {
    let store = lookup::reader(global).await?;
    let mut uids = Vec::new();
    let failed = |entry: &IndexEntry| matches!(entry.phase, RunPhase::Failed | RunPhase::Error);
    for entry in lookup::meant(&store, global, &args.which, failed).await? {
        let options = RetryOptions {
            restart_successful: args.restart_successful,
            selector: args.node_field_selector.clone(),
            parameters: args.parameters.clone(),
        };
        send(global, &store, &entry, Verb::Retry(options)).await?;
        say(&format!("{} retried", entry.name));
        uids.push(entry.uid.to_string());
    }
    Ok(uids)
}
