//! `resume`, `stop`, `terminate`, `suspend`, `node set`: commands left in a run's inbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::cluster::Idle;
use dropforge_driver::owner::Owner;
use dropforge_driver::store::{Inbox, IndexEntry, StoreError};
use dropforge_engine::event::{Command, Verb};
use dropforge_engine::ids::{CommandId, RunUid};
use dropforge_engine::phase::NodePhase;
use dropforge_engine::record::Record;
use dropforge_queue::doorbell::{Doorbell, Why};
use dropforge_queue::local::LocalTimers;
use dropforge_storage::directory::{Access, DirectoryStore};

use crate::args::{ChosenArgs, ControlArgs, NodeSetArgs, ResumeArgs, StopArgs};
use crate::ends::LocalEnds;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::home::Home;
use crate::identity;
use crate::lookup;
use crate::output::say;

/// Resumes suspended nodes, or the runs.
///
/// # Errors
/// `Refused` when a run can't do it.
pub fn resume(global: &Global, args: &ResumeArgs) -> Result<Exit, CliError> {
    let outputs: BTreeMap<String, String> = args.outputs.iter().cloned().collect();
    commands(
        global,
        &args.runs,
        Verb::Resume { selector: args.node_field_selector.clone(), outputs },
        "resumed",
    )
}

/// Stops runs, whose exit handlers run; or waiting suspend nodes of them.
///
/// # Errors
/// `Refused` when a run is over.
pub fn stop(global: &Global, args: &StopArgs) -> Result<Exit, CliError> {
    let message = args.message.clone();
    let verb = match args.node_field_selector.clone() {
        None => Verb::Stop { message },
        Some(selector) => {
            Verb::Set { selector, phase: Some(NodePhase::Failed), message, outputs: BTreeMap::new() }
        }
    };
    chosen(global, &args.which, verb, "stopped")
}

/// Ends runs at once.
///
/// # Errors
/// `Refused` when a run is over.
pub fn terminate(global: &Global, which: &ChosenArgs) -> Result<Exit, CliError> {
    chosen(global, which, Verb::Terminate, "terminated")
}

/// Holds runs back from starting anything new.
///
/// # Errors
/// `Refused` when a run is over.
pub fn suspend(global: &Global, args: &ControlArgs) -> Result<Exit, CliError> {
    commands(global, &args.runs, Verb::Suspend, "suspended")
}

/// Changes waiting suspend nodes.
///
/// # Errors
/// `Refused` when none matches, or one can't take what is given.
pub fn set_nodes(global: &Global, args: &NodeSetArgs) -> Result<Exit, CliError> {
    let phase = args.phase.as_deref().map(phase_named).transpose()?;
    let verb = Verb::Set {
        selector: args.node_field_selector.clone(),
        phase,
        message: args.message.clone(),
        outputs: args.outputs.iter().map(|(name, value)| (name.clone(), unquoted(value))).collect(),
    };
    commands(global, std::slice::from_ref(&args.run), verb, "set")
}

fn phase_named(text: &str) -> Result<NodePhase, CliError> {
    let phase = serde_json::from_value(serde_json::Value::from(text));
    phase.map_err(|_| {
        CliError::Usage(format!(
            "--phase {text}: phases are Pending, Running, Succeeded, Skipped, Failed, Error and Omitted"
        ))
    })
}

/// A value in quotes is what stands in them, as for Argo's `node set`.
fn unquoted(value: &str) -> String {
    serde_json::from_str(value).unwrap_or_else(|_| value.to_owned())
}

/// The same to runs that are named, or selected among those that are not over.
#[tokio::main(flavor = "current_thread")]
async fn chosen(global: &Global, which: &ChosenArgs, verb: Verb, done: &str) -> Result<Exit, CliError> {
    let store = lookup::reader(global).await?;
    for entry in lookup::meant(&store, global, which, |entry| !entry.phase.completed()).await? {
        send(global, &store, &entry, verb.clone()).await?;
        say(&format!("{} {done}", entry.name));
    }
    Ok(Exit::Succeeded)
}

#[tokio::main(flavor = "current_thread")]
async fn commands(global: &Global, runs: &[String], verb: Verb, done: &str) -> Result<Exit, CliError> {
    let store = lookup::reader(global).await?;
    for run in runs {
        let entry = lookup::entry(&store, global, run).await?;
        send(global, &store, &entry, verb.clone()).await?;
        say(&format!("{} {done}", entry.name));
    }
    Ok(Exit::Succeeded)
}

/// Leaves a command for a run, and waits until it is on record.
///
/// # Errors
/// `Refused` when the run can't do it.
pub async fn send(global: &Global, store: &Home, entry: &IndexEntry, verb: Verb) -> Result<(), CliError> {
    // A run that can't be read gets no command: whoever owns it could only trip over it.
    lookup::sketch(store, &entry.uid).await?;
    let command =
        Command { id: identity::unique().into(), by: identity::person(), at: SystemClock.now(), verb };
    store.put_command(&entry.uid, &command).await?;
    let doorbell = Doorbell::new(entry.uid.clone(), Why::Command(command.id.clone()));
    store.ring(&doorbell).await?;
    match answer(global, store, &entry.uid, &command.id).await? {
        Some(None) => Ok(()),
        Some(Some(refused)) => Err(CliError::Refused(refused)),
        None => Err(CliError::Below {
            what: "wait for whoever advances the run",
            why: format!(
                "the command was not read within {} s; it stays in the inbox",
                store.patience().as_secs()
            ),
        }),
    }
}

/// No owner lives: takes its place for the one commit, starts nothing, and leaves.
async fn without_owner(global: &Global, run: &RunUid) -> Result<(), CliError> {
    let store = match DirectoryStore::open(&global.store, Access::Owner { what: "a command" }) {
        Ok(store) => Arc::new(store),
        // One has come meanwhile, and reads the inbox when it adopts the run.
        Err(StoreError::Owned { .. }) => return Ok(()),
        Err(why) => return Err(why.into()),
    };
    let ends = LocalEnds::new(store.clone());
    let mut owner =
        Owner::new(store, Arc::new(Idle), LocalTimers::default(), ends, SystemClock, Box::new(|_, _, _| {}));
    owner.adopt(run).await?;
    if owner.run(run).is_some() {
        say("nothing runs this store now: `dropforge run --continue` or `dropforge dev` goes on with it");
    }
    Ok(())
}

/// Waits for the record that says what became of the command: `Some(None)` applied, `Some(Some(why))` refused.
async fn answer(
    global: &Global,
    store: &Home,
    run: &RunUid,
    command: &CommandId,
) -> Result<Option<Option<String>>, CliError> {
    let end = Instant::now() + store.patience();
    while Instant::now() < end {
        // It leaves the inbox once its record is committed: until then there is no need to load the run.
        if !store.commands(run).await?.iter().any(|unread| unread.id == *command) {
            let mut read = None;
            let seek = |record: &Record| {
                if let Record::CommandRead { command: c, refused } = record
                    && c.id == *command
                {
                    read = Some(refused.clone());
                }
                Ok(())
            };
            lookup::records(store, run, seek).await?;
            if read.is_some() {
                return Ok(read);
            }
        }
        // Also an owner that was rung can leave before it has read the command.
        if !store.is_answered() {
            without_owner(global, run).await?;
        }
        tokio::time::sleep(store.pause(Duration::from_millis(20))).await;
    }
    Ok(None)
}
