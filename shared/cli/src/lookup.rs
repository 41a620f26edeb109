//! From what a person types to a stored run.

use std::collections::BTreeSet;
use std::sync::Arc;

use dropforge_driver::owner::index_entry;
use dropforge_driver::store::{ErrorKind, Index, IndexEntry, Runs};
use dropforge_engine::ids::RunUid;
use dropforge_engine::program::Program;
use dropforge_engine::record::Record;
use dropforge_engine::view::View;
use dropforge_storage::directory::{Access, DirectoryStore};

use crate::args::{ChosenArgs, FilterArgs};
use crate::error::CliError;
use crate::filter::{self, Filter};
use crate::global::Global;
use crate::home::Home;
use crate::output::say;

/// Means the newest run of the namespace.
const LATEST: &str = "@latest";

/// Where runs are, for reading and for leaving commands.
///
/// # Errors
/// When there is no store.
pub async fn reader(global: &Global) -> Result<Home, CliError> {
    if !global.has_store() {
        return Err(CliError::Usage(format!(
            "there is no store at {}: `dropforge run` makes one, or name another with --store",
            global.store.display()
        )));
    }
    opened(global).await
}

/// The same, made where there is none, for who brings something.
///
/// # Errors
/// When it can't be made.
pub async fn made(global: &Global) -> Result<Home, CliError> {
    if !global.has_store() {
        let failed = |source| CliError::File { action: "make", path: global.store.clone(), source };
        std::fs::create_dir_all(&global.store).map_err(failed)?;
    }
    opened(global).await
}

async fn opened(global: &Global) -> Result<Home, CliError> {
    match &global.context {
        None => Ok(Home::Local(Arc::new(DirectoryStore::open(&global.store, Access::Reader)?))),
        Some(context) => Home::of(context).await,
    }
}

/// The run that a name or uid means: a uid, or the newest run of that name.
///
/// # Errors
/// `NoRun` when there is none, `Usage` when there is no such namespace either.
pub async fn entry(store: &Home, global: &Global, wanted: &str) -> Result<IndexEntry, CliError> {
    let entries = entries(store, Some(&global.namespace)).await?;
    let found = entries
        .iter()
        .find(|e| e.uid.as_str() == wanted)
        .or_else(|| entries.iter().find(|e| e.name == wanted || wanted == LATEST));
    match found {
        Some(entry) => Ok(entry.clone()),
        // Runs of a namespace that the deployment has no more can be read all the same.
        None => {
            global.known(&global.namespace)?;
            Err(CliError::NoRun { name: wanted.to_owned(), place: global.place() })
        }
    }
}

/// The runs that are named, and those of the list that are selected and `fit`, each once.
///
/// # Errors
/// `NoRun` when one that is named is not there, `Usage` when a selector is wrong.
pub async fn chosen(
    store: &Home,
    global: &Global,
    named: &[String],
    selected: Option<&FilterArgs>,
    fit: impl Fn(&IndexEntry) -> bool,
) -> Result<Vec<IndexEntry>, CliError> {
    let filter = selected.map(Filter::of).transpose()?;
    let mut found = Vec::new();
    for run in named {
        found.push(entry(store, global, run).await?);
    }
    if let (Some(selected), Some(filter)) = (selected, filter) {
        let namespace = filter::namespace(selected, &global.namespace);
        let listed = entries(store, namespace).await?;
        if let Some(own) = namespace.filter(|_| listed.is_empty()) {
            global.known(own)?;
        }
        found.extend(listed.into_iter().filter(|entry| filter.selects(entry) && fit(entry)));
    }
    let mut seen = BTreeSet::new();
    found.retain(|entry| seen.insert(entry.uid.clone()));
    Ok(found)
}

/// The same for verbs that choose by Argo's flags; says so where none is meant.
///
/// # Errors
/// As [`chosen`].
pub async fn meant(
    store: &Home,
    global: &Global,
    which: &ChosenArgs,
    fit: impl Fn(&IndexEntry) -> bool,
) -> Result<Vec<IndexEntry>, CliError> {
    let found = chosen(store, global, &which.runs, which.filter().as_ref(), fit).await?;
    if found.is_empty() {
        say("no run is meant: nothing was done");
    }
    Ok(found)
}

/// The runs of a namespace (of all where none is named), newest first. Where nobody runs the store, what its last owner had no time to list is
/// read from the journals of its live runs.
///
/// # Errors
/// When the store can't be read.
pub async fn entries(store: &Home, namespace: Option<&str>) -> Result<Vec<IndexEntry>, CliError> {
    let mut entries = store.entries(namespace).await?;
    let owned = store.is_answered();
    for uid in store.live_runs().await? {
        let listed = entries.iter().position(|e| e.uid == uid);
        if listed.is_some_and(|at| owned || entries[at].phase.completed()) {
            continue;
        }
        match sketch(store, &uid).await {
            Ok(sketch) => {
                listed.map(|at| entries.remove(at));
                entries.push(index_entry(&sketch.view.state, 0));
            }
            // Only its marker was written: it never was a run.
            Err(CliError::Store(why)) if why.kind() == ErrorKind::Invalid => {}
            Err(why) => tracing::warn!(run = %uid, why = why.text(), "a live run can't be listed"),
        }
    }
    entries.retain(|e| namespace.is_none_or(|namespace| e.namespace == namespace));
    entries.sort_by_key(|e| std::cmp::Reverse(e.created_at));
    Ok(entries)
}

/// Children of one loop that a sketch shows, and as many that failed: what more of them is over is only counted.
const LOOP_CHILDREN_MAX: usize = 100;

/// A run as people follow it, which takes no more memory for a loop of a million items than for one of a hundred.
pub struct Sketch {
    /// What its records say.
    pub view: View,
    position: u64,
}

impl Sketch {
    /// The run as it was before its first record.
    ///
    /// # Errors
    /// When its spec can't be read.
    pub async fn blank(store: &Home, uid: &RunUid) -> Result<Sketch, CliError> {
        Ok(Sketch { view: View::foldable(program(store, uid).await?), position: 0 })
    }

    /// Reads a part of what was committed since and gives its records; none: that was all. Nothing is folded.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn next(&mut self, store: &Home, uid: &RunUid) -> Result<Option<Vec<Record>>, CliError> {
        let Some(part) = store.part(uid, self.position).await? else { return Ok(None) };
        part.records.iter().for_each(|record| self.view.add(record));
        self.position = part.position;
        Ok(Some(part.records))
    }

    /// Forgets what is over of wide loops, but for what people look at.
    pub fn fold(&mut self) {
        self.view.fold_ended(LOOP_CHILDREN_MAX);
    }

    /// Reads what was committed since; gives whether there was anything.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn look_again(&mut self, store: &Home, uid: &RunUid) -> Result<bool, CliError> {
        let before = self.position;
        while self.next(store, uid).await?.is_some() {
            self.fold();
        }
        Ok(self.position != before)
    }
}

/// A run as people follow it.
///
/// # Errors
/// When it can't be read.
pub async fn sketch(store: &Home, uid: &RunUid) -> Result<Sketch, CliError> {
    let mut sketch = Sketch::blank(store, uid).await?;
    sketch.look_again(store, uid).await?;
    Ok(sketch)
}

/// A run with everything its records say.
///
/// # Errors
/// When it can't be read.
pub async fn view(store: &Home, uid: &RunUid) -> Result<View, CliError> {
    let mut sketch = Sketch::blank(store, uid).await?;
    while sketch.next(store, uid).await?.is_some() {}
    Ok(sketch.view)
}

/// A run's records from the first on, part by part: of a wide run never all of them are in memory.
///
/// # Errors
/// When they can't be read, or `each` fails.
pub async fn records(
    store: &Home,
    uid: &RunUid,
    mut each: impl FnMut(&Record) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut position = 0;
    while let Some(part) = store.part(uid, position).await? {
        part.records.iter().try_for_each(&mut each)?;
        position = part.position;
    }
    Ok(())
}

async fn program(store: &Home, uid: &RunUid) -> Result<Arc<Program>, CliError> {
    let compiled = Program::compile(store.spec(uid).await?);
    compiled
        .map(Arc::new)
        .map_err(|why| CliError::Below { what: "compile the stored spec", why: why.to_string() })
}

/// The live run of this name, if there is one.
///
/// # Errors
/// When the store can't be read.
pub async fn live_named(store: &Home, namespace: &str, name: &str) -> Result<Option<RunUid>, CliError> {
    let entries = entries(store, Some(namespace)).await?;
    Ok(entries.into_iter().find(|e| e.name == name && !e.phase.completed()).map(|e| e.uid))
}
