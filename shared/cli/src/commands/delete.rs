//! `delete`: runs leave the list; a tombstone takes the place of each spec, and journals stay.

use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::deaths;
use dropforge_driver::store::{Buried, IndexEntry, Runs};
use dropforge_engine::event::Verb;
use dropforge_engine::ids::RunUid;
use jiff::Timestamp;

use crate::args::{DeleteArgs, FilterArgs};
use crate::commands::control::send;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::home::Home;
use crate::output::{self, say};
use crate::{bell, identity, lookup};

/// How long a terminated run may take to end: its steps have a grace time.
const END: Duration = Duration::from_secs(60);

/// How long an owner may take to let go of a run that is over.
const LET_GO: Duration = Duration::from_secs(2);

/// Deletes the runs that are named or selected.
///
/// # Errors
/// `NoRun` when one that is named is not there; then nothing is deleted.
#[tokio::main(flavor = "current_thread")]
pub async fn delete(global: &Global, args: &DeleteArgs) -> Result<Exit, CliError> {
    let selecting = args.all || selects(&args.filter);
    if args.runs.is_empty() && !selecting {
        return Err(CliError::Usage(
            "name runs, or say which: --all, --completed, --older, --prefix, --status, --selector".to_owned(),
        ));
    }
    let store = lookup::reader(global).await?;
    let selected = selecting.then_some(&args.filter);
    let entries = lookup::chosen(&store, global, &args.runs, selected, |_| true).await?;
    if entries.is_empty() {
        say("no run is meant: nothing was deleted");
    }
    let mut exit = Exit::Succeeded;
    for entry in &entries {
        if !one(global, args, &store, entry).await? {
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

fn selects(args: &FilterArgs) -> bool {
    args.all_namespaces
        || args.completed
        || args.resubmitted
        || !args.status.is_empty()
        || [&args.selector, &args.field_selector, &args.prefix, &args.older].iter().any(|o| o.is_some())
}

/// Deletes one run; gives whether it is gone.
async fn one(global: &Global, args: &DeleteArgs, store: &Home, entry: &IndexEntry) -> Result<bool, CliError> {
    if entry.phase.completed() {
        // Its owner is about to let go of it.
        wait_while_owned(store, &entry.uid, LET_GO).await?;
    }
    let live = is_live(store, &entry.uid).await?;
    if live && !args.force {
        say(&format!(
            "{} is {}: `dropforge stop` it first, or delete it with --force",
            entry.name,
            state(entry)
        ));
        return Ok(false);
    }
    if args.dry_run {
        output::text(&format!("Workflow '{}' deleted (dry-run)\n", entry.name))?;
        return Ok(true);
    }
    if live {
        end(global, store, entry).await?;
    }
    match deaths::delete(store, entry, &identity::person(), SystemClock.now()).await? {
        Buried::Hidden => {
            output::text(&format!("Workflow '{}' deleted\n", entry.name))?;
            Ok(true)
        }
        Buried::Live => {
            let why = if store.is_answered() { "it has not ended yet" } else { bell::UNANSWERED };
            say(&format!("{} is not deleted: {why}", entry.name));
            Ok(false)
        }
    }
}

fn state(entry: &IndexEntry) -> String {
    if entry.phase.completed() { "not cleaned up yet".to_owned() } else { entry.phase.to_string() }
}

/// Terminates a run and waits until its steps have ended.
async fn end(global: &Global, store: &Home, entry: &IndexEntry) -> Result<(), CliError> {
    match send(global, store, entry, Verb::Terminate).await {
        // It is over or about to be.
        Ok(()) | Err(CliError::Refused(_)) => {}
        Err(why) => return Err(why),
    }
    wait_while_owned(store, &entry.uid, END).await
}

/// Waits while somebody runs a live run, but not for ever.
async fn wait_while_owned(store: &Home, uid: &RunUid, most: Duration) -> Result<(), CliError> {
    let end = SystemClock.now().saturating_add(most).unwrap_or(Timestamp::MAX);
    while is_live(store, uid).await? && store.is_answered() && SystemClock.now() < end {
        tokio::time::sleep(store.pause(Duration::from_millis(20))).await;
    }
    Ok(())
}

async fn is_live(store: &Home, uid: &RunUid) -> Result<bool, CliError> {
    Ok(store.live_runs().await?.contains(uid))
}
