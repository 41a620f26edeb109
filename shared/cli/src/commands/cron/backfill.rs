//! `cron backfill`: the runs that a schedule would have made in a time that is past.
//!
//! Argo makes them by a workflow that creates workflows; here they are submitted, each under a name that its backfill
//! and its tick give, so that a backfill that broke off makes the missing ones when it is said again.

use std::collections::BTreeSet;

use dropforge_driver::births::{Overrides, run_spec, validated};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::crons::{CRON_LABEL, Times, workflow_of};
use dropforge_driver::owner::chain;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_manifest::types::{CronWorkflow, Workflow};
use jiff::Timestamp;
use serde_json::json;

use super::{KIND, cron_of};
use crate::args::BackfillArgs;
use crate::commands::definitions::named;
use crate::commands::run::{site, stored};
use crate::commands::submit::hand_over;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::output::{self, say};
use crate::since::point;
use crate::{identity, lookup};

/// Names the schedule on a run that a backfill made; history limits do not count these.
const BACKFILL_LABEL: &str = "workflows.argoproj.io/cron-workflow-backfill";

/// Submits the runs.
///
/// # Errors
/// `Usage` when the times are wrong, or there are too many ticks; then nothing is submitted.
pub async fn backfill(global: &Global, args: &BackfillArgs) -> Result<Exit, CliError> {
    let found = named(global, KIND, std::slice::from_ref(&args.name)).await?;
    let Some(cron) = found.first().and_then(|stored| cron_of(&stored.object)) else {
        return Err(CliError::Usage(format!("{} is no {KIND}", args.name)));
    };
    let ticks = ticks(cron, args)?;
    if ticks.is_empty() {
        say("no tick lies in that time: nothing was submitted");
        return Ok(Exit::Succeeded);
    }
    let id = args.backfill.clone().unwrap_or_else(|| identity::new().suffix);
    let (known, site) = (stored(global).await?, site(global, &[])?);
    let mut specs = Vec::new();
    for tick in ticks {
        let workflow = workflow(global, cron, args, &id, tick)?;
        let cause = Cause::Schedule { cron: args.name.clone(), scheduled_time: tick };
        let (overrides, identity) = (Overrides::default(), identity::new());
        let spec =
            run_spec(workflow, &known.templates, &site, &overrides, &identity, cause, SystemClock.now());
        let failed = |why| CliError::Unborn { what: format!("{KIND} {}", args.name), why };
        specs.push(spec.and_then(validated).map_err(failed)?);
    }
    submit(global, &id, &specs).await
}

async fn submit(global: &Global, id: &str, specs: &[RunSpec]) -> Result<Exit, CliError> {
    let store = lookup::made(global).await?;
    let entries = lookup::entries(&store, Some(&global.namespace)).await?;
    let there: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    for spec in specs.iter().filter(|spec| !there.contains(spec.name())) {
        hand_over(&store, spec).await?;
        output::text(&format!("{}\n", spec.name()))?;
    }
    let old = specs.iter().filter(|spec| there.contains(spec.name())).count();
    say(&format!("backfill {id}: {} runs submitted, {old} were there already", specs.len() - old));
    if !store.is_answered() {
        say("nothing runs this store now: `dropforge dev` starts them");
    }
    Ok(Exit::Succeeded)
}

/// The ticks after the start up to the end.
fn ticks(cron: &CronWorkflow, args: &BackfillArgs) -> Result<Vec<Timestamp>, CliError> {
    let start = point("--start", &args.start)?;
    let end = args.end.as_deref().map(|text| point("--end", text)).transpose()?.unwrap_or(SystemClock.now());
    if end < start {
        return Err(CliError::Usage(format!("--end {end} lies before --start {start}")));
    }
    let times = Times::of(&cron.spec).map_err(|why| CliError::Usage(chain(&why)))?;
    let mut ticks = Vec::new();
    let mut next = times.next_after(start);
    while let Some(tick) = next.filter(|tick| *tick <= end) {
        if ticks.len() == args.maxworkflowcount {
            return Err(CliError::Usage(format!(
                "there are more than {} ticks up to {end}: take a shorter time, or raise --maxworkflowcount",
                args.maxworkflowcount
            )));
        }
        ticks.push(tick);
        next = times.next_after(tick);
    }
    Ok(ticks)
}

fn workflow(
    global: &Global,
    cron: &CronWorkflow,
    args: &BackfillArgs,
    id: &str,
    tick: Timestamp,
) -> Result<Workflow, CliError> {
    let mut workflow = workflow_of(cron, tick);
    let metadata = &mut workflow.metadata;
    metadata.name = Some(format!("{}-{id}-{}", args.name, tick.as_second()));
    metadata.namespace.get_or_insert_with(|| global.namespace.clone());
    metadata.labels.remove(CRON_LABEL);
    metadata.labels.insert(BACKFILL_LABEL.to_owned(), args.name.clone());
    let parameters = &mut workflow.spec.arguments.parameters;
    parameters.retain(|parameter| parameter.name != args.argname);
    // The form in which Go prints a time, as Argo passes it on.
    let time = tick.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string();
    parameters.push(serde_json::from_value(json!({"name": args.argname, "value": time}))?);
    if !args.parallel {
        // One after another, as Argo does it: by a lock that all of them want.
        workflow.spec.synchronization =
            serde_json::from_value(json!({"mutexes": [{"name": format!("backfill-{id}")}]}))?;
    }
    Ok(workflow)
}
