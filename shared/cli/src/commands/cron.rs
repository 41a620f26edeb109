//! `cron`: schedules, and what they did.

use dropforge_driver::births::{Overrides, generated, override_spec};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::crons::{CronState, Times, keep};
use dropforge_driver::definitions::Stored;
use dropforge_driver::owner::chain;
use dropforge_manifest::check::check;
use dropforge_manifest::parse::{AnyObject, Document, parse};
use dropforge_manifest::types::CronWorkflow;
use serde_json::{Value, json};

use crate::args::{CronCommand, DefinitionGetArgs, DefinitionOutput, DefinitionPutArgs, OverrideArgs};
use crate::commands::definitions::{self, Expected, delete, list, named, print};
use crate::commands::lint;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::output::{self, say, yaml};
use crate::overrides::overrides;
use crate::project::object_value;
use crate::{identity, lookup};

mod backfill;

/// What the stored definitions of this module are.
const KIND: &str = "CronWorkflow";

const HEAD: [&str; 7] = ["SCHEDULE", "NEXT", "LAST", "ACTIVE", "SUCCEEDED", "FAILED", "NOTE"];

/// Answers about schedules, or changes them.
///
/// # Errors
/// See [`CliError`].
#[tokio::main(flavor = "current_thread")]
pub async fn cron(global: &Global, command: &CronCommand) -> Result<Exit, CliError> {
    match command {
        CronCommand::List { list: args } => {
            let row = async |stored: &Stored| {
                let Some(cron) = cron_of(&stored.object) else { return Ok(Vec::new()) };
                Ok(columns_of(cron, state(global, stored.object.name()).await?.as_ref()).into())
            };
            list(global, args, KIND, &HEAD, row).await
        }
        CronCommand::Get { get } => self::get(global, get).await,
        CronCommand::Create { put, overrides, schedule } => {
            self::put(global, put, (overrides, schedule.as_deref()), Expected::Missing).await
        }
        CronCommand::Update { put, overrides } => {
            self::put(global, put, (overrides, None), Expected::There).await
        }
        CronCommand::Delete { delete: args } => delete(global, args, KIND).await,
        CronCommand::Suspend { names } => suspend(global, names, true).await,
        CronCommand::Resume { names } => suspend(global, names, false).await,
        CronCommand::Lint { lint: args } => lint::lint_kind(global, args, KIND),
        CronCommand::Backfill(args) => backfill::backfill(global, args).await,
    }
}

fn cron_of(object: &AnyObject) -> Option<&CronWorkflow> {
    match object {
        AnyObject::CronWorkflow(cron) => Some(cron),
        _ => None,
    }
}

async fn state(global: &Global, name: &str) -> Result<Option<CronState>, CliError> {
    if !global.has_store() {
        return Ok(None);
    }
    Ok(keep::state(&lookup::reader(global).await?, &global.namespace, name).await?)
}

async fn get(global: &Global, args: &DefinitionGetArgs) -> Result<Exit, CliError> {
    for stored in named(global, KIND, &args.names).await? {
        show(global, &stored.object, args.output).await?;
    }
    Ok(Exit::Succeeded)
}

async fn show(global: &Global, object: &AnyObject, output: DefinitionOutput) -> Result<(), CliError> {
    let Some(cron) = cron_of(object) else { return Ok(()) };
    let state = state(global, object.name()).await?;
    let mut value = object_value(object)?;
    if let Some(state) = &state {
        value["status"] = status(cron, state);
    }
    print(object.name(), &value, output, &about(object.name(), cron, state.as_ref()))
}

/// Argo's `status` of a CronWorkflow.
fn status(cron: &CronWorkflow, state: &CronState) -> Value {
    let namespace = cron.metadata.namespace.as_deref().unwrap_or("default");
    let active = state.active.iter().map(|run| {
        json!({"apiVersion": cron.api_version, "kind": "Workflow", "name": run.name, "namespace": namespace, "uid": run.uid})
    });
    json!({
        "active": active.collect::<Vec<_>>(), "lastScheduledTime": state.last_scheduled_time,
        "succeeded": state.succeeded, "failed": state.failed, "phase": if state.stopped { "Stopped" } else { "Active" },
    })
}

async fn put(
    global: &Global,
    args: &DefinitionPutArgs,
    (given, schedule): (&OverrideArgs, Option<&str>),
    expected: Expected,
) -> Result<Exit, CliError> {
    let given = overrides(given, None)?;
    let mut objects = Vec::new();
    for document in definitions::checked(global, &args.paths, Some(KIND))? {
        let Some(cron) = cron_of(&document.object) else { continue };
        let changed = overridden(cron, &given, schedule);
        objects.push(if changed == *cron { document } else { rewritten(global, &document.file, changed)?.0 });
    }
    let store = lookup::made(global).await?;
    let objects = definitions::packed(global, &store, objects, &args.paths).await?;
    definitions::put(global, &store, &objects, expected).await?;
    for (document, _) in &objects {
        show(global, &document.object, args.output).await?;
    }
    Ok(Exit::Succeeded)
}

/// A schedule with what a person gave in the place of what the file says.
fn overridden(cron: &CronWorkflow, given: &Overrides, schedule: Option<&str>) -> CronWorkflow {
    let mut cron = cron.clone();
    override_spec(&mut cron.spec.workflow_spec, given);
    cron.metadata.labels.extend(given.labels.clone());
    if let Some(schedule) = schedule {
        cron.spec.schedules = vec![schedule.to_owned()];
    }
    let generated = given.generate_name.as_ref().map(|prefix| generated(prefix, &identity::new()));
    if let Some(name) = given.name.clone().or(generated) {
        cron.metadata.name = Some(name);
        cron.metadata.generate_name = None;
    }
    cron
}

/// A changed schedule as it is stored, checked like one from a file.
fn rewritten(global: &Global, file: &str, cron: CronWorkflow) -> Result<(Document, String), CliError> {
    let text = yaml(&object_value(&AnyObject::CronWorkflow(Box::new(cron)))?);
    let mut parsed = parse(file, &text);
    let mut findings = std::mem::take(&mut parsed.diagnostics);
    findings.extend(check(&parsed.documents, &global.checks_beside_stored()));
    for finding in findings.iter().filter(|f| f.is_error()) {
        say(&finding.to_string());
    }
    let document = parsed.documents.pop().filter(|_| !findings.iter().any(|f| f.is_error()));
    document.map(|document| (document, text)).ok_or(CliError::Findings)
}

/// Suspends schedules, or lets them fire again.
async fn suspend(global: &Global, names: &[String], suspend: bool) -> Result<Exit, CliError> {
    let mut objects = Vec::new();
    for stored in named(global, KIND, names).await? {
        let Some(cron) = cron_of(&stored.object) else { continue };
        if cron.spec.suspend.unwrap_or(false) != suspend {
            let mut cron = cron.clone();
            cron.spec.suspend = suspend.then_some(true);
            objects.push(rewritten(global, &stored.key, cron)?);
        }
    }
    let store = lookup::reader(global).await?;
    definitions::put(global, &store, &objects, Expected::There).await?;
    let word = if suspend { "suspended" } else { "resumed" };
    output::text(&names.iter().map(|name| format!("CronWorkflow '{name}' {word}\n")).collect::<String>())?;
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
