//! `cron`: schedules, and what they did.

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::crons::{CronState, Times, keep};
use dropforge_driver::definitions;
use dropforge_driver::owner::chain;
use dropforge_manifest::types::CronWorkflow;

use crate::args::{CronCommand, Global};
use crate::commands::list::columns;
use crate::error::CliError;
use crate::exit::Exit;
use crate::lookup;
use crate::output;

/// Answers about schedules.
///
/// # Errors
/// See [`CliError`].
#[tokio::main(flavor = "current_thread")]
pub async fn cron(global: &Global, command: &CronCommand) -> Result<Exit, CliError> {
    let store = lookup::reader(global)?;
    let (known, _) = definitions::load(&store, &global.namespace).await?;
    let mut rows = Vec::new();
    match command {
        CronCommand::List => {
            let head = ["NAME", "SCHEDULE", "NEXT", "LAST", "ACTIVE", "SUCCEEDED", "FAILED", "NOTE"];
            rows.push(head.map(str::to_owned).to_vec());
            for (name, cron) in &known.crons {
                let state = keep::state(&store, &global.namespace, name).await?;
                let [schedule, next, last, active, succeeded, failed, note] =
                    columns_of(cron, state.as_ref());
                rows.push(vec![name.clone(), schedule, next, last, active, succeeded, failed, note]);
            }
        }
        CronCommand::Get { name } => {
            let cron = known.crons.get(name).ok_or_else(|| {
                let names: Vec<&str> = known.crons.keys().map(String::as_str).collect();
                CliError::Usage(format!("there is no CronWorkflow {name:?}; there are: {}", names.join(", ")))
            })?;
            let state = keep::state(&store, &global.namespace, name).await?;
            rows = about(name, cron, state.as_ref());
        }
    }
    output::data(&columns(&rows))?;
    Ok(Exit::Succeeded)
}

/// Schedule, next, last, active, succeeded, failed, note.
fn columns_of(cron: &CronWorkflow, state: Option<&CronState>) -> [String; 7] {
    let spec = &cron.spec;
    let zone = spec.timezone.as_deref().filter(|zone| !zone.is_empty()).unwrap_or("UTC");
    let schedule = format!("{} ({zone})", spec.schedules.join(", "));
    let stopped = state.is_some_and(|state| state.stopped);
    let suspended = spec.suspend == Some(true);
    let (next, trouble) = match Times::of(spec) {
        Err(why) => (String::new(), chain(&why)),
        Ok(_) if stopped || suspended => (String::new(), String::new()),
        Ok(times) => {
            (times.next_after(SystemClock.now()).map(|t| t.to_string()).unwrap_or_default(), String::new())
        }
    };
    let note = match (stopped, suspended) {
        _ if !trouble.is_empty() => trouble,
        (true, _) => "stopped by its stopStrategy".to_owned(),
        (_, true) => "suspended (`suspend: true`)".to_owned(),
        _ => state
            .and_then(|s| s.last_note.as_ref())
            .map(|n| format!("{}: {}", n.scheduled_time, n.why))
            .unwrap_or_default(),
    };
    let last = state.and_then(|s| s.last_scheduled_time).map(|t| t.to_string()).unwrap_or_default();
    let count = |of: fn(&CronState) -> u64| state.map_or(0, of).to_string();
    [
        schedule,
        next,
        last,
        count(|s| s.active.len() as u64),
        count(|s| s.succeeded),
        count(|s| s.failed),
        note,
    ]
}

fn about(name: &str, cron: &CronWorkflow, state: Option<&CronState>) -> Vec<Vec<String>> {
    let titles = ["Schedule:", "Next:", "Last:", "Active:", "Succeeded:", "Failed:", "Note:"];
    let mut rows = vec![vec!["Name:".to_owned(), name.to_owned()]];
    let pairs = titles.iter().zip(columns_of(cron, state)).filter(|(_, value)| !value.is_empty());
    rows.extend(pairs.map(|(title, value)| vec![(*title).to_owned(), value]));
    let policy = cron.spec.concurrency_policy.as_deref().filter(|p| !p.is_empty()).unwrap_or("Allow");
    rows.push(vec!["Concurrency:".to_owned(), policy.to_owned()]);
    let runs = state.map(|state| state.active.as_slice()).unwrap_or_default();
    rows.extend(
        runs.iter().map(|run| vec!["Active run:".to_owned(), format!("{} (uid {})", run.name, run.uid)]),
    );
    rows
}
