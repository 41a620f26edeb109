//! `wait`, and what `--wait`, `--watch` and `--log` of other verbs do.

use crate::args::{FollowArgs, LogsArgs, WaitArgs};
use crate::commands::{get, logs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::lookup;

/// Waits until runs are over; the exit code is that of the worst of them.
///
/// # Errors
/// When there is no such run.
pub fn wait(global: &Global, args: &WaitArgs) -> Result<Exit, CliError> {
    let mut exit = Exit::Succeeded;
    for run in &args.runs {
        match wait_for(global, run) {
            Err(CliError::NoRun { .. }) if args.ignore_not_found => {}
            ended => exit = exit.max(ended?),
        }
    }
    Ok(exit)
}

/// Stays until these runs are over, as asked.
///
/// # Errors
/// When one of them can't be read.
pub fn follow(global: &Global, how: &FollowArgs, runs: &[String]) -> Result<Exit, CliError> {
    let mut exit = Exit::Succeeded;
    for run in runs {
        if how.log {
            logs::logs(global, &LogsArgs::following(run.clone()))?;
        }
        if how.watch {
            exit = exit.max(get::watch(global, run)?);
        } else if how.wait || how.log {
            exit = exit.max(wait_for(global, run)?);
        }
    }
    Ok(exit)
}

#[tokio::main(flavor = "current_thread")]
async fn wait_for(global: &Global, run: &str) -> Result<Exit, CliError> {
    let store = lookup::reader(global).await?;
    let entry = lookup::entry(&store, global, run).await?;
    get::wait(&store, &entry.uid).await
}
