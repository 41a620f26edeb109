//! `run`: one run, in the foreground.

use std::path::{Path, PathBuf};

use dropforge_driver::births::{Identity, Overrides, Site, run_spec};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::definitions::{self, Definitions};
use dropforge_driver::store::Runs;
use dropforge_engine::effect::Effect;
use dropforge_engine::ids::RunUid;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_engine::state::RunState;
use dropforge_manifest::parse::{AnyObject, Document};
use dropforge_manifest::types::{Holder, ObjectMeta, Workflow, WorkflowSpec, WorkflowTemplateRef};
use dropforge_storage::directory::DirectoryStore;

use crate::args::{Global, RunArgs, SourceArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::machine::gpu_notes;
use crate::output::{self, say};
use crate::project::{Sources, submitting};
use crate::session::{Happened, Session, settings};
use crate::{identity, lookup};

/// Runs a manifest, or goes on with a run.
///
/// # Errors
/// See [`CliError`].
#[tokio::main]
pub async fn run(global: &Global, args: &RunArgs) -> Result<Exit, CliError> {
    let sources = if args.resume.is_none() { Some(checked(&args.source)?) } else { None };
    let settings = settings(args.steps.config.as_deref(), &settings_folder(global, args).await?)?;
    for note in sources.iter().flat_map(|s| &s.documents).flat_map(|d| gpu_notes(d, &settings)) {
        say(&note);
    }
    let site = settings.site.clone();
    let mut session = Session::open(global, "dropforge run", &args.steps, settings, !args.no_logs)?;
    let uid = match (&sources, &args.resume) {
        (None, Some(wanted)) => {
            let entry = lookup::entry(&session.store, global, wanted).await?;
            say(&format!("going on with run {} (uid {})", entry.name, entry.uid));
            session.owner.adopt(&entry.uid).await?;
            entry.uid
        }
        _ => {
            let sources = sources.unwrap_or_default();
            let spec = born(&session.store, global, &args.source, &sources, &site).await?;
            say(&format!("run {} (uid {})", spec.name(), spec.uid));
            session.owner.submit(&spec).await?;
            spec.uid
        }
    };
    let ended = follow(&mut session, &uid).await?;
    say_what_is_left(&session, &uid);
    if ended == Ended::Interrupted {
        let (view, _) = lookup::view(&session.store, &uid).await?;
        let name = view.state.program.spec.name();
        say(&format!("interrupted: `dropforge run --continue {name}` goes on with it"));
        return Ok(Exit::Interrupted);
    }
    let (view, _) = lookup::view(&session.store, &uid).await?;
    output::run(&view, SystemClock.now(), args.output)?;
    Ok(exit_of(view.state.phase))
}

#[derive(PartialEq, Eq)]
enum Ended {
    Over,
    Interrupted,
}

/// Works until the run is over.
async fn follow(session: &mut Session, uid: &RunUid) -> Result<Ended, CliError> {
    while session.owner.run(uid).is_some_and(|state| !is_over(state)) {
        let happened = session.next().await;
        if matches!(happened, Happened::Interrupted) {
            session.display.clear();
            session.interrupt().await?;
            return Ok(Ended::Interrupted);
        }
        session.act(happened).await?;
    }
    session.display.clear();
    if let Some(state) = session.owner.run(uid) {
        let name = state.program.spec.name();
        say(&format!("not all is cleaned up: `dropforge run --continue {name}` tries it again"));
    }
    Ok(Ended::Over)
}

/// Runs that were submitted beside this one have no owner when it is over.
fn say_what_is_left(session: &Session, uid: &RunUid) {
    for other in session.owner.runs().filter(|state| state.program.spec.uid != *uid) {
        let name = other.program.spec.name();
        say(&format!(
            "run {name} is not over: `dropforge run --continue {name}` or `dropforge dev` goes on with it"
        ));
    }
}

/// What is left to do for a run that has ended was tried as it ended: waiting does not make it succeed.
fn is_over(state: &RunState) -> bool {
    let last = |effect: &Effect| matches!(effect, Effect::DeleteVolumes | Effect::AnnounceEnd { .. });
    state.phase.completed() && state.outbox.values().all(|effect| last(effect))
}

/// The exit code that goes with a run's phase.
pub fn exit_of(phase: RunPhase) -> Exit {
    match phase {
        RunPhase::Succeeded => Exit::Succeeded,
        RunPhase::Failed | RunPhase::Error => Exit::Failed,
        RunPhase::Pending | RunPhase::Running => Exit::Trouble,
    }
}

/// Reads and checks what is to be run.
///
/// # Errors
/// `Findings` when something is wrong; then nothing runs.
pub fn checked(source: &SourceArgs) -> Result<Sources, CliError> {
    if source.files.is_empty() && source.from.is_none() {
        return Err(CliError::Usage("name a manifest, `-`, or --from KIND/NAME".to_owned()));
    }
    let sources = Sources::read(&source.files)?;
    sources.require(&submitting(&source.parameters))?;
    Ok(sources)
}

/// The folder of the settings: the manifest's, also when its run goes on.
async fn settings_folder(global: &Global, args: &RunArgs) -> Result<PathBuf, CliError> {
    let Some(wanted) = &args.resume else { return Ok(folder(&args.source.files)) };
    let store = lookup::reader(global)?;
    let entry = lookup::entry(&store, global, wanted).await?;
    let source = store.load_run(&entry.uid).await?.spec.source.map(PathBuf::from);
    Ok(folder(source.as_slice()))
}

/// The folder of a run's settings: the first manifest's.
pub fn folder(files: &[PathBuf]) -> PathBuf {
    let first = files.iter().find(|f| f.as_os_str() != "-");
    match first {
        Some(path) if path.is_dir() => path.clone(),
        Some(path) => {
            path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
        }
        None => PathBuf::from("."),
    }
}

/// Makes the spec of a new run; nothing is stored yet.
///
/// # Errors
/// When there is not exactly one thing to run, or its name is live.
pub async fn born(
    store: &DirectoryStore,
    global: &Global,
    source: &SourceArgs,
    sources: &Sources,
    site: &Site,
) -> Result<RunSpec, CliError> {
    let (mut known, unreadable) = definitions::load(store, &global.namespace).await?;
    for why in unreadable {
        say(&why);
    }
    let mut workflows = Vec::new();
    for document in &sources.documents {
        match &document.object {
            AnyObject::Workflow(workflow) => workflows.push((**workflow).clone()),
            other => known.add(other.clone()),
        }
    }
    let mut workflow = the_one(source, workflows, &known, sources)?;
    workflow.metadata.namespace.get_or_insert_with(|| global.namespace.clone());
    let overrides = Overrides {
        parameters: source.parameters.clone(),
        name: source.name.clone(),
        ..Overrides::default()
    };
    let identity: Identity = identity::new();
    let cause = Cause::Person { by: identity::person() };
    let now = SystemClock.now();
    let mut spec = run_spec(workflow, &known.templates, site, &overrides, &identity, cause, now)?;
    spec.source = source.files.first().map(|f| origin(f));
    if let Some(uid) = lookup::live_named(store, spec.namespace(), spec.name()).await? {
        return Err(CliError::NameIsLive { name: spec.name().to_owned(), uid: uid.0 });
    }
    Ok(spec)
}

/// Where a manifest came from, so that it is found from any folder.
fn origin(file: &Path) -> String {
    match std::path::absolute(file) {
        Ok(path) if file.as_os_str() != "-" => path.display().to_string(),
        _ => file.display().to_string(),
    }
}

fn the_one(
    source: &SourceArgs,
    mut workflows: Vec<Workflow>,
    known: &Definitions,
    sources: &Sources,
) -> Result<Workflow, CliError> {
    if let Some(from) = &source.from {
        return stored(from, known);
    }
    let templates: Vec<Holder<'_>> = sources.documents.iter().filter_map(holder).collect();
    match (workflows.len(), templates.as_slice()) {
        (1, _) => Ok(workflows.remove(0)),
        (0, [only]) => Ok(of_template(*only)),
        (0, []) => Err(CliError::Usage("there is no Workflow in what was named".to_owned())),
        (0, several) => Err(CliError::Usage(format!(
            "there is no Workflow, but several WorkflowTemplates: choose one with --from KIND/NAME ({})",
            several
                .iter()
                .map(|holder| format!("{}/{}", holder.kind().to_lowercase(), holder.name))
                .collect::<Vec<_>>()
                .join(", ")
        ))),
        (n, _) => {
            Err(CliError::Usage(format!("there are {n} Workflows: `run` runs one; `submit` takes several")))
        }
    }
}

/// The stored templates that a document is.
fn holder(document: &Document) -> Option<Holder<'_>> {
    let name = document.object.name();
    match document.object {
        AnyObject::WorkflowTemplate(_) => Some(Holder { cluster: false, name }),
        AnyObject::ClusterWorkflowTemplate(_) => Some(Holder { cluster: true, name }),
        _ => None,
    }
}

/// A stored definition as a Workflow: `workflowtemplate/NAME`, `cronwf/NAME`, and Argo's other spellings.
fn stored(from: &str, known: &Definitions) -> Result<Workflow, CliError> {
    let (kind, name) = from.split_once('/').ok_or_else(|| {
        CliError::Usage(format!("--from {from:?}: expected KIND/NAME, e.g. workflowtemplate/train"))
    })?;
    let missing = |names: Vec<&String>| {
        let there: Vec<&str> = names.iter().map(|n| n.as_str()).collect();
        CliError::Usage(format!(
            "--from {from}: there is no such definition; there are: {}",
            there.join(", ")
        ))
    };
    let template = |cluster| {
        let holder = Holder { cluster, name };
        match known.templates.get(holder) {
            Some(_) => Ok(of_template(holder)),
            None => Err(missing(known.templates.of_kind(cluster).keys().collect())),
        }
    };
    match kind.to_lowercase().as_str() {
        "workflowtemplate" | "workflowtemplates" | "wftmpl" => template(false),
        "clusterworkflowtemplate" | "clusterworkflowtemplates" | "cwft" => template(true),
        "cronworkflow" | "cronworkflows" | "cronwf" => {
            let cron = known.crons.get(name).ok_or_else(|| missing(known.crons.keys().collect()))?;
            Ok(workflow(&format!("{name}-"), cron.spec.workflow_spec.clone()))
        }
        _ => Err(CliError::Usage(format!(
            "--from {from}: kinds are workflowtemplate, clusterworkflowtemplate and cronwf"
        ))),
    }
}

fn of_template(holder: Holder<'_>) -> Workflow {
    let reference = WorkflowTemplateRef { name: holder.name.to_owned(), cluster_scope: holder.cluster };
    workflow(
        &format!("{}-", holder.name),
        WorkflowSpec { workflow_template_ref: Some(reference), ..WorkflowSpec::default() },
    )
}

/// A Workflow of this spec, with a generated name.
pub fn workflow(generate_name: &str, spec: WorkflowSpec) -> Workflow {
    Workflow {
        api_version: "argoproj.io/v1alpha1".to_owned(),
        kind: "Workflow".to_owned(),
        metadata: ObjectMeta { generate_name: Some(generate_name.to_owned()), ..ObjectMeta::default() },
        spec,
        status: None,
    }
}

/// Stores a new run without running it; gives whether an owner was told.
///
/// # Errors
/// When it can't be stored.
pub async fn leave(store: &DirectoryStore, spec: &RunSpec) -> Result<bool, CliError> {
    store.create_run(spec).await?;
    let doorbell =
        dropforge_queue::doorbell::Doorbell::new(spec.uid.clone(), dropforge_queue::doorbell::Why::Submitted);
    crate::bell::ring(store.root(), &doorbell)
}
