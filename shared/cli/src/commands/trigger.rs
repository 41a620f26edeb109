//! `trigger`: what triggers do, asked and told without the process that owns the store.

use std::path::PathBuf;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::definitions::{self, Definitions};
use dropforge_driver::triggers::{self, keep};
use dropforge_manifest::schema::TRIGGER_SCHEMA;
use dropforge_manifest::types::Trigger;
use dropforge_queue::doorbell::{Doorbell, Why};
use jiff::Timestamp;

use crate::args::TriggerCommand;
use crate::commands::list::columns;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::output::{self, say};
use crate::project::Sources;
use crate::since::moment;
use crate::{identity, lookup};

/// Answers about triggers.
///
/// # Errors
/// See [`CliError`].
#[tokio::main(flavor = "current_thread")]
pub async fn trigger(global: &Global, command: &TriggerCommand) -> Result<Exit, CliError> {
    match command {
        TriggerCommand::Test { url, paths } => test(global, url, paths).await,
        TriggerCommand::Replay { name, prefix, since } => {
            replay(global, name, prefix.as_deref(), since.as_deref()).await
        }
        TriggerCommand::List => list(global).await,
        TriggerCommand::Schema => output::data(TRIGGER_SCHEMA).map(|()| Exit::Succeeded),
    }
}

/// The stored definitions, and those in files.
async fn known(global: &Global, paths: &[PathBuf]) -> Result<Definitions, CliError> {
    let mut known = Definitions::default();
    if global.has_store() {
        let (stored, unreadable) =
            definitions::load(&lookup::reader(global).await?, &global.namespace).await?;
        unreadable.iter().for_each(|why| say(why));
        known = stored;
    }
    let sources = Sources::read(paths)?;
    sources.require(&global.checks_beside_stored())?;
    sources.documents.into_iter().for_each(|document| known.add(document.object));
    Ok(known)
}

async fn test(global: &Global, url: &str, paths: &[PathBuf]) -> Result<Exit, CliError> {
    let (bucket, key) = place(url)?;
    let known = known(global, paths).await?;
    if known.triggers.is_empty() {
        return Err(CliError::Usage("no trigger is known: name the files that define them".to_owned()));
    }
    let mut rows = Vec::new();
    let mut exit = Exit::Failed;
    for (name, trigger) in &known.triggers {
        let answer = match triggers::matches(trigger, bucket, key) {
            Ok(()) => {
                exit = Exit::Succeeded;
                vec![name.clone(), "matches".to_owned(), starts(trigger)]
            }
            Err(why) => vec![name.clone(), "no".to_owned(), why.to_string()],
        };
        rows.push(answer);
    }
    output::text(&columns(&rows))?;
    Ok(exit)
}

fn place(url: &str) -> Result<(&str, &str), CliError> {
    let place = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    place
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .ok_or_else(|| CliError::Usage(format!("{url:?} is no object: write s3://bucket/key")))
}

fn starts(trigger: &Trigger) -> String {
    match &trigger.spec.workflow_template_ref {
        Some(reference) => format!("starts workflowtemplate/{}", reference.name),
        None => "starts its own workflow".to_owned(),
    }
}

async fn replay(
    global: &Global,
    name: &str,
    prefix: Option<&str>,
    since: Option<&str>,
) -> Result<Exit, CliError> {
    let now = SystemClock.now();
    let since = since.map(|text| moment("--since", text, now)).transpose()?.unwrap_or(Timestamp::MIN);
    let store = lookup::reader(global).await?;
    let (known, _) = definitions::load(&store, &global.namespace).await?;
    let trigger = known.triggers.get(name).ok_or_else(|| {
        let names: Vec<&str> = known.triggers.keys().map(String::as_str).collect();
        CliError::Usage(format!("there is no trigger {name:?}; there are: {}", names.join(", ")))
    })?;
    if trigger.spec.suspend == Some(true) {
        return Err(CliError::Usage(format!("trigger {name} is suspended: take `suspend: true` out first")));
    }
    let objects = store.objects(trigger, prefix, since)?;
    let id = identity::unique();
    let taken =
        keep::offer(&store, &global.namespace, trigger, &objects, Some(&id), now, &mut identity::new).await?;
    for object in &objects {
        output::text(&format!("s3://{}/{}\n", object.bucket, object.key))?;
    }
    // There is no run yet; whichever attempt is named, the owner looks at its triggers.
    let doorbell = Doorbell::new(format!("trigger-{name}").into(), Why::Attempt("replay".into()));
    let owned = taken > 0 && store.ring(&doorbell).await?;
    say(&format!("trigger {name}: takes {taken} objects"));
    if taken > 0 && !owned {
        say("nothing runs this store now: `dropforge dev` starts their runs");
    }
    Ok(Exit::Succeeded)
}

async fn list(global: &Global) -> Result<Exit, CliError> {
    global.known(&global.namespace)?;
    let store = lookup::reader(global).await?;
    let (known, _) = definitions::load(&store, &global.namespace).await?;
    let head = ["NAME", "LOOKS AT", "ACTIVE", "WAITING", "SUCCEEDED", "FAILED", "DROPPED", "NOTE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, trigger) in &known.triggers {
        let state = keep::state(&store, &global.namespace, name).await?.unwrap_or_default();
        let waiting = state.waiting() + state.quiet.len() + state.batch.objects.len();
        let counts =
            [state.active.len() as u64, waiting as u64, state.succeeded, state.failed, state.dropped];
        let note = match (trigger.spec.suspend, state.chain.suspended()) {
            (Some(true), _) => "suspended (`suspend: true`)".to_owned(),
            (_, Some(why)) => format!("suspended: {why}"),
            _ => state.last_note.clone().unwrap_or_default(),
        };
        let mut row = vec![name.clone(), looks_at(trigger)];
        row.extend(counts.iter().map(ToString::to_string));
        row.push(note);
        rows.push(row);
    }
    output::text(&columns(&rows))?;
    Ok(Exit::Succeeded)
}

fn looks_at(trigger: &Trigger) -> String {
    let s3 = &trigger.spec.s3;
    let (prefix, suffix) =
        (s3.prefix.as_deref().unwrap_or_default(), s3.suffix.as_deref().unwrap_or_default());
    format!("s3://{}/{prefix}*{suffix}", s3.bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objects_place_has_a_bucket_and_a_key() {
        assert_eq!(place("s3://uploads/churn/a b.csv").unwrap(), ("uploads", "churn/a b.csv"));
        for wrong in ["uploads/a", "s3://uploads", "s3://uploads/", "s3:///a"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
