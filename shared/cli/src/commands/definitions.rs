//! Stored definitions, whatever their kind: listed, shown, stored, deleted.
//!
//! A change is made in the store; a `dev` that owns it is rung, so that it looks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::definitions::{self, Stored};
use dropforge_driver::reminders::Starter;
use dropforge_driver::{crons, packing, triggers};
use dropforge_engine::spec::Packed;
use dropforge_manifest::parse::{AnyObject, Document};
use dropforge_manifest::types::Trigger;
use serde_json::Value;

use crate::args::{DefinitionDeleteArgs, DefinitionListArgs, DefinitionOutput, ListOutput};
use crate::commands::list::columns;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::home::Home;
use crate::output::{self, say};
use crate::project::{Sources, object_value, own_text};
use crate::{filter, lookup, luggage};

/// What became of an object that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Created,
    /// Another one was there.
    Configured,
    /// It was there already.
    Unchanged,
}

/// Whether an object may be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It must not be there.
    Missing,
    /// It must be there.
    There,
    /// Either.
    Any,
}

/// Reads definitions from files and checks them.
///
/// # Errors
/// `Findings` when something is wrong with one; `Usage` where an object is of another kind, or there is none.
pub fn checked(global: &Global, paths: &[PathBuf], kind: Option<&str>) -> Result<Vec<Document>, CliError> {
    let sources = Sources::read(paths)?;
    sources.require(&global.checks_beside_stored())?;
    let wanted = kind.unwrap_or("definition");
    for document in &sources.documents {
        let own = document.object.kind();
        in_known_namespace(global, own, place(global, &document.object).0)?;
        if kind.map_or(own == "Workflow", |kind| kind != own) {
            let remedy = match own {
                "Workflow" => "`dropforge run` or `dropforge submit` takes it",
                _ => "`dropforge apply` takes it",
            };
            return Err(CliError::Usage(format!("{}: a {own} is no {wanted}: {remedy}", document.file)));
        }
    }
    if sources.documents.is_empty() {
        return Err(CliError::Usage(format!("there is no {wanted} in what was named")));
    }
    Ok(sources.documents)
}

/// Objects with the texts to be stored: as a person wrote them, but where their runs take something along to a cluster,
/// which is noted on them.
///
/// # Errors
/// When something can't be packed or stored.
pub async fn packed(
    global: &Global,
    store: &Home,
    documents: Vec<Document>,
    paths: &[PathBuf],
) -> Result<Vec<(Document, String)>, CliError> {
    let mut objects = Vec::new();
    for mut document in documents {
        let folder = luggage::settings_folder(&document.file, paths);
        let value = object_value(&document.object)?;
        let (namespace, ..) = place(global, &document.object);
        let luggage = match document.object.workflow_spec() {
            Some(_) => luggage::taken(store, namespace, &folder, &value).await?,
            None => Packed::default(),
        };
        let text = if luggage == Packed::default() {
            own_text(&document)?
        } else {
            packing::note(document.object.metadata_mut(), &luggage);
            output::yaml(&object_value(&document.object)?)
        };
        objects.push((document, text));
    }
    Ok(objects)
}

/// Stores objects with their texts, all or none, and rings the store's owner; gives what became of each.
///
/// # Errors
/// When one is there that must not be, or the other way round.
pub async fn put(
    global: &Global,
    store: &Home,
    objects: &[(Document, String)],
    expected: Expected,
) -> Result<Vec<Change>, CliError> {
    let mut there = Vec::new();
    for (document, _) in objects {
        let (namespace, kind, name) = place(global, &document.object);
        let stored = definitions::of_kind(store, namespace, kind).await?.contains_key(name);
        match (expected, stored) {
            (Expected::Missing, true) => {
                return Err(CliError::Usage(format!(
                    "{} is stored already: use update or apply",
                    titled(kind, name)
                )));
            }
            (Expected::There, false) => {
                return Err(CliError::Usage(format!(
                    "{} is not stored: use create or apply",
                    titled(kind, name)
                )));
            }
            _ => there.push(stored),
        }
    }
    let crons: Vec<Starter> =
        objects.iter().filter_map(|(document, _)| cron(global, &document.object)).collect();
    store.definitions_change(&crons).await?;
    let mut changes = Vec::new();
    for ((document, text), stored) in objects.iter().zip(there) {
        changes.push(match (put_one(global, store, document, text).await?, stored) {
            (false, _) => Change::Unchanged,
            (true, true) => Change::Configured,
            (true, false) => Change::Created,
        });
    }
    store.definitions_changed(&crons).await?;
    Ok(changes)
}

async fn put_one(global: &Global, store: &Home, document: &Document, text: &str) -> Result<bool, CliError> {
    let (namespace, kind, name) = place(global, &document.object);
    let changed = definitions::put(store, namespace, document, text).await?;
    match &document.object {
        AnyObject::Trigger(trigger) => begin_trigger(store, namespace, trigger, changed).await?,
        AnyObject::CronWorkflow(cron) => {
            drop(crons::keep::begin(store, namespace, cron, SystemClock.now()).await?);
        }
        _ => {}
    }
    let key = definitions::key(namespace, kind, name);
    if let Some(loaded) = store.loaded(namespace).await?.get(&key).filter(|_| changed) {
        say(&format!(
            "{} also stands in {}, whose next change replaces this one",
            titled(kind, name),
            loaded.file
        ));
    }
    Ok(changed)
}

/// Begins to watch a trigger, and makes its bucket.
///
/// # Errors
/// When its document or the bucket can't be made.
pub async fn begin_trigger(
    store: &Home,
    namespace: &str,
    trigger: &Trigger,
    saved: bool,
) -> Result<(), CliError> {
    let name = trigger.metadata.name.as_deref().unwrap_or_default();
    triggers::keep::begin(store, namespace, name, saved, SystemClock.now()).await?;
    store.watch_bucket(&trigger.spec.s3.bucket, name)
}

/// Where an object is stored: its own namespace, or the command line's; its kind and name.
pub fn place<'a>(global: &'a Global, object: &'a AnyObject) -> (&'a str, &'a str, &'a str) {
    let own = object.metadata().namespace.as_deref().filter(|namespace| !namespace.is_empty());
    (own.unwrap_or(&global.namespace), object.kind(), object.name())
}

/// The schedule that an object is.
fn cron(global: &Global, object: &AnyObject) -> Option<Starter> {
    let (namespace, _, name) = place(global, object);
    let starter = Starter::CronWorkflow { namespace: namespace.to_owned(), name: name.to_owned() };
    matches!(object, AnyObject::CronWorkflow(_)).then_some(starter)
}

/// Refuses a namespace that a context's deployment lacks, for what stands in a namespace.
fn in_known_namespace(global: &Global, kind: &str, namespace: &str) -> Result<(), CliError> {
    if kind == "ClusterWorkflowTemplate" { Ok(()) } else { global.known(namespace) }
}

/// `workflowtemplate/train`.
pub fn titled(kind: &str, name: &str) -> String {
    format!("{}/{name}", kind.to_lowercase())
}

/// The stored definitions of a kind; none where there is no store yet.
///
/// # Errors
/// When they can't be read.
pub async fn all(global: &Global, kind: &str) -> Result<BTreeMap<String, Stored>, CliError> {
    in_known_namespace(global, kind, &global.namespace)?;
    if !global.has_store() {
        return Ok(BTreeMap::new());
    }
    let store = lookup::reader(global).await?;
    Ok(definitions::of_kind(&store, &global.namespace, kind).await?)
}

/// Those of these names, in their order.
///
/// # Errors
/// `Usage` names the first that is not there, and those that are.
pub async fn named(global: &Global, kind: &str, names: &[String]) -> Result<Vec<Stored>, CliError> {
    let mut all = all(global, kind).await?;
    let there: Vec<String> = all.keys().cloned().collect();
    let mut found = Vec::new();
    for name in names {
        let stored =
            all.remove(name).or_else(|| found.iter().find(|s: &&Stored| s.object.name() == name).cloned());
        found.push(stored.ok_or_else(|| missing(kind, name, &there))?);
    }
    Ok(found)
}

fn missing(kind: &str, name: &str, there: &[String]) -> CliError {
    let others = if there.is_empty() {
        "none is stored".to_owned()
    } else {
        format!("there are: {}", there.join(", "))
    };
    CliError::Usage(format!("there is no {kind} {name:?}; {others}"))
}

/// Prints the stored definitions of a kind; `row` gives what stands behind a name, below `head`.
///
/// # Errors
/// When the selector is wrong, or they can't be read or printed.
pub async fn list(
    global: &Global,
    args: &DefinitionListArgs,
    kind: &str,
    head: &[&str],
    row: impl AsyncFn(&Stored) -> Result<Vec<String>, CliError>,
) -> Result<Exit, CliError> {
    let labels = filter::labels(&args.selector)?;
    let mut all = all(global, kind).await?;
    all.retain(|_, stored| labels.matches(&stored.object.metadata().labels));
    let objects = all.values().map(|stored| object_value(&stored.object));
    match args.output {
        ListOutput::Name => {
            output::text(&all.keys().map(|name| format!("{name}\n")).collect::<String>())?;
        }
        ListOutput::Json => {
            let objects: Vec<Value> = objects.collect::<Result<_, _>>()?;
            output::data(&format!("{}\n", serde_json::to_string_pretty(&objects)?))?;
        }
        ListOutput::Yaml => output::data(&output::yaml(&objects.collect::<Result<_, _>>()?))?,
        ListOutput::Table | ListOutput::Wide => {
            let mut rows =
                vec![std::iter::once("NAME").chain(head.iter().copied()).map(str::to_owned).collect()];
            for (name, stored) in &all {
                rows.push([vec![name.clone()], row(stored).await?].concat());
            }
            output::text(&columns(&rows))?;
        }
    }
    Ok(Exit::Succeeded)
}

/// Prints one definition as asked; `about` is what a person wants to know.
///
/// # Errors
/// When it can't be printed.
pub fn print(
    name: &str,
    object: &Value,
    output: DefinitionOutput,
    about: &[Vec<String>],
) -> Result<(), CliError> {
    match output {
        DefinitionOutput::Wide => output::text(&columns(about)),
        DefinitionOutput::Json => output::data(&format!("{}\n", serde_json::to_string_pretty(object)?)),
        DefinitionOutput::Yaml => output::data(&output::yaml(object)),
        DefinitionOutput::Name => output::text(&format!("{name}\n")),
    }
}

/// Deletes definitions of a kind.
///
/// # Errors
/// When one that is named is not there, or is what a `dev` that runs now loads from its folder.
pub async fn delete(global: &Global, args: &DefinitionDeleteArgs, kind: &str) -> Result<Exit, CliError> {
    let names = match args.all {
        true => all(global, kind).await?.into_keys().collect(),
        false => named(global, kind, &args.names)
            .await?
            .iter()
            .map(|s| s.object.name().to_owned())
            .collect::<Vec<_>>(),
    };
    if names.is_empty() {
        say("none is stored: nothing was deleted");
        return Ok(Exit::Succeeded);
    }
    let (store, namespace) = (lookup::reader(global).await?, global.namespace.as_str());
    let loaded = store.loaded(namespace).await?;
    let served = store.is_answered();
    for name in &names {
        if let Some(loaded) = loaded.get(&definitions::key(namespace, kind, name)).filter(|_| served) {
            return Err(CliError::Usage(format!(
                "{} stands in {}: take it out there",
                titled(kind, name),
                loaded.file
            )));
        }
    }
    let is_cron = kind == "CronWorkflow";
    let starter =
        |name: &String| Starter::CronWorkflow { namespace: namespace.to_owned(), name: name.clone() };
    let crons: Vec<Starter> = names.iter().filter(|_| is_cron).map(starter).collect();
    store.definitions_change(&crons).await?;
    for name in &names {
        definitions::take_away(&store, namespace, kind, name).await?;
        output::text(&format!("{kind} '{name}' deleted\n"))?;
    }
    store.definitions_changed(&crons).await?;
    Ok(Exit::Succeeded)
}
