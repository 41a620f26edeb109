//! `run`: one run, in the foreground.

use std::path::{Path, PathBuf};

use dropforge_driver::births::{BirthError, Identity, Site, run_spec, validated};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::definitions::{self, Definitions};
use dropforge_driver::store::{Runs, StoreError};
use dropforge_engine::effect::Effect;
use dropforge_engine::ids::RunUid;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_engine::state::RunState;
use dropforge_engine::view::View;
use dropforge_manifest::diagnostic::Diagnostic;
use dropforge_manifest::parse::{AnyObject, Document};
use dropforge_manifest::types::{Holder, ObjectMeta, Workflow, WorkflowSpec, WorkflowTemplateRef};
use dropforge_queue::doorbell::{Doorbell, Why};

use crate::args::{RunArgs, RunOutput, SourceArgs};
use crate::commands::submit;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::home::Home;
use crate::machine::gpu_notes;
use crate::output::{self, say};
use crate::overrides::overrides;
use crate::project::{STDIN, Sources, submitting};
use crate::session::{Happened, Session, settings};
use crate::{identity, lookup};

/// Runs a manifest, or goes on with a run.
///
/// # Errors
/// See [`CliError`].
// One thread: what the steps report is handed on without waking another.
#[tokio::main(flavor = "current_thread")]
pub async fn run(global: &Global, args: &RunArgs) -> Result<Exit, CliError> {
    let sources = if args.resume.is_none() { checked(global, &args.source)? } else { Sources::default() };
    let settings = settings(args.steps.config.as_deref(), &settings_folder(global, args).await?)?;
    if args.source.dry_run {
        let known = stored(global).await?;
        let specs = births(known, global, &args.source, args.priority, &sources, &settings.site)?;
        return submit::preview(&specs, args.output);
    }
    for note in sources.documents.iter().flat_map(|d| gpu_notes(d, &settings)) {
        say(&note);
    }
    let site = settings.site.clone();
    let mut session = Session::open(global, "dropforge run", &args.steps, settings, !args.no_logs)?;
    let uids = match &args.resume {
        Some(wanted) => vec![go_on(&mut session, global, wanted).await?],
        None => begin(&mut session, global, args, &sources, &site).await?,
    };
    let ended = follow(&mut session, &uids).await?;
    say_what_is_left(&session, &uids);
    if ended == Ended::Interrupted {
        for uid in &uids {
            say_how_to_go_on(&session, uid).await?;
        }
        return Ok(Exit::Interrupted);
    }
    let mut exit = Exit::Succeeded;
    for uid in &uids {
        exit = exit.max(shown(&session, uid, args.output).await?);
    }
    Ok(exit)
}

/// Shows a run that is over. Somebody may have ended it to delete it, and then nothing is left to show.
async fn shown(session: &Session, uid: &RunUid, output: RunOutput) -> Result<Exit, CliError> {
    let seen = session.display.last_of(uid).filter(|view| suffices(view, output) && session.store.holds(uid));
    if let Some(view) = seen {
        output::run(&view, SystemClock.now(), output)?;
        return Ok(exit_of(view.state.phase));
    }
    match output::stored_run(&session.home, uid, output).await {
        Err(CliError::Store(StoreError::NotFound { what: "run", name })) => {
            say(&format!("run {name} was deleted"));
            Ok(Exit::Failed)
        }
        phase => phase.map(exit_of),
    }
}

/// Whether what was followed is all that is shown at the end: of a wide loop less is seen while it goes on.
fn suffices(view: &View, output: RunOutput) -> bool {
    match output {
        RunOutput::Name => true,
        RunOutput::Tree | RunOutput::Wide => view.nodes.values().all(|node| node.folded == 0),
        RunOutput::Json | RunOutput::Yaml => false,
    }
}

async fn go_on(session: &mut Session, global: &Global, wanted: &str) -> Result<RunUid, CliError> {
    let entry = lookup::entry(&session.home, global, wanted).await?;
    say(&format!("going on with run {} (uid {})", entry.name, entry.uid));
    session.store.catch_up()?;
    session.owner.adopt(&entry.uid).await?;
    Ok(entry.uid)
}

async fn begin(
    session: &mut Session,
    global: &Global,
    args: &RunArgs,
    sources: &Sources,
    site: &Site,
) -> Result<Vec<RunUid>, CliError> {
    let known = stored_in(&session.home, global).await?;
    let specs = births(known, global, &args.source, args.priority, sources, site)?;
    refuse_live_names(&session.home, &specs).await?;
    for spec in &specs {
        say(&format!("run {} (uid {})", spec.name(), spec.uid));
        session.display.keep(&spec.uid);
        session.owner.submit(spec).await?;
    }
    Ok(specs.into_iter().map(|spec| spec.uid).collect())
}

async fn say_how_to_go_on(session: &Session, uid: &RunUid) -> Result<(), CliError> {
    let sketch = lookup::sketch(&session.home, uid).await?;
    let view = &sketch.view;
    let name = view.state.program.spec.name();
    if !view.state.phase.completed() {
        say(&format!("interrupted: `dropforge run --continue {name}` goes on with it"));
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Ended {
    Over,
    Interrupted,
}

/// Works until the runs are over.
async fn follow(session: &mut Session, uids: &[RunUid]) -> Result<Ended, CliError> {
    while uids.iter().filter_map(|uid| session.owner.run(uid)).any(|state| !is_over(state)) {
        let happened = session.next().await;
        if matches!(happened, Happened::Interrupted) {
            session.display.clear();
            session.interrupt().await?;
            return Ok(Ended::Interrupted);
        }
        session.act(happened).await?;
    }
    session.display.clear();
    for state in uids.iter().filter_map(|uid| session.owner.run(uid)) {
        let name = state.program.spec.name();
        say(&format!("not all is cleaned up: `dropforge run --continue {name}` tries it again"));
    }
    Ok(Ended::Over)
}

/// Runs that were submitted beside these have no owner when they are over.
fn say_what_is_left(session: &Session, uids: &[RunUid]) {
    for other in session.owner.runs().filter(|state| !uids.contains(&state.program.spec.uid)) {
        let name = other.program.spec.name();
        say(&format!(
            "run {name} is not over: `dropforge run --continue {name}` or `dropforge dev` goes on with it"
        ));
    }
}

/// What is left to do for a run that has ended was tried as it ended: waiting does not make it succeed.
fn is_over(state: &RunState) -> bool {
    let last = |effect: &Effect| {
        matches!(
            effect,
            Effect::DeleteVolumes
                | Effect::DeleteArtifacts
                | Effect::AnnounceEnd { .. }
                | Effect::ReleaseLocks(_)
        )
    };
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
pub fn checked(global: &Global, source: &SourceArgs) -> Result<Sources, CliError> {
    if source.files.is_empty() && source.from.is_none() {
        return Err(CliError::Usage("name a manifest, `-`, or --from KIND/NAME".to_owned()));
    }
    let sources = Sources::read(&source.files)?;
    if let (Some(from), true) = (&source.from, sources.has_workflow()) {
        return Err(CliError::Usage(format!(
            "--from {from} chooses what runs: the files beside it may define templates and schedules, not a Workflow"
        )));
    }
    let given = overrides(&source.overrides, None)?;
    sources.require(&submitting(global, &given.parameters))?;
    Ok(sources)
}

/// The folder of the settings: the manifest's, also when its run goes on.
async fn settings_folder(global: &Global, args: &RunArgs) -> Result<PathBuf, CliError> {
    let Some(wanted) = &args.resume else { return Ok(folder(&args.source.files)) };
    let store = lookup::reader(global).await?;
    let entry = lookup::entry(&store, global, wanted).await?;
    // A definition that was stored stands in no folder.
    let source = store.spec(&entry.uid).await?.source.map(PathBuf::from).filter(|p| p.is_absolute());
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

/// The stored definitions; none where there is no store yet.
///
/// # Errors
/// When they can't be read.
pub async fn stored(global: &Global) -> Result<Definitions, CliError> {
    if !global.has_store() {
        return Ok(Definitions::default());
    }
    stored_in(&lookup::reader(global).await?, global).await
}

/// The definitions in a store.
///
/// # Errors
/// When they can't be read.
pub async fn stored_in(store: &Home, global: &Global) -> Result<Definitions, CliError> {
    let (known, unreadable) = definitions::load(store, &global.namespace).await?;
    unreadable.iter().for_each(|why| say(why));
    Ok(known)
}

/// What holds for every run, as the settings beside the manifests and the context's deployment say.
///
/// # Errors
/// When the settings are wrong.
pub fn site(global: &Global, files: &[PathBuf]) -> Result<Site, CliError> {
    let days_max = global.context.as_ref().and_then(|context| context.deployment.days_max);
    Ok(Site { days_max, ..settings(None, &folder(files))?.site })
}

/// Makes the specs of new runs; nothing is stored yet.
///
/// # Errors
/// When there is nothing to run, or one of them can't become a run.
pub fn births(
    mut known: Definitions,
    global: &Global,
    source: &SourceArgs,
    priority: Option<i64>,
    sources: &Sources,
    site: &Site,
) -> Result<Vec<RunSpec>, CliError> {
    let overrides = overrides(&source.overrides, priority)?;
    if site.referencing.is_some() {
        refuse_unstored(&known, sources)?;
    }
    let mut workflows = Vec::new();
    for document in &sources.documents {
        match &document.object {
            AnyObject::Workflow(workflow) => workflows.push(((**workflow).clone(), Some(document))),
            other => known.add(other.clone()),
        }
    }
    if let Some(from) = &source.from {
        workflows = vec![(of_stored(from, &known)?, None)];
    } else if workflows.is_empty() {
        let (workflow, document) = the_template(sources)?;
        workflows.push((workflow, Some(document)));
    }
    let from = source.from.as_deref().unwrap_or_default();
    let beside = source.files.first().map_or_else(|| from.to_owned(), |file| origin(&file.to_string_lossy()));
    if let (Some(name), [_, _, ..]) = (&overrides.name, workflows.as_slice()) {
        return Err(CliError::Usage(format!("--name {name} is for one run: there are {}", workflows.len())));
    }
    let mut specs: Vec<RunSpec> = Vec::new();
    for (mut workflow, document) in workflows {
        global.known(workflow.metadata.namespace.get_or_insert_with(|| global.namespace.clone()))?;
        let identity: Identity = identity::new();
        let cause = Cause::Person { by: identity::person() };
        let now = SystemClock.now();
        let spec = run_spec(workflow, &known.templates, site, &overrides, &identity, cause, now);
        let spec = spec.and_then(validated);
        let mut spec = spec.map_err(|why| match document {
            Some(document) => unborn(why, document, sources),
            None => CliError::Unborn { what: from.to_owned(), why },
        })?;
        spec.source = Some(document.map_or_else(|| beside.clone(), |document| origin(&document.file)));
        specs.push(spec);
    }
    Ok(specs)
}

/// Why a document can't become a run: what Argo refuses is told with its place, as `lint` tells it.
fn unborn(why: BirthError, document: &Document, sources: &Sources) -> CliError {
    let refused = match why {
        BirthError::Invalid { why } => why,
        why if sources.documents.len() < 2 => return CliError::Birth(why),
        why => return CliError::Unborn { what: document.file.clone(), why },
    };
    // What a workflow takes from a stored template stands there, if it is one of these files.
    let named = document.object.workflow_spec().and_then(|(spec, _)| spec.workflow_template_ref.as_ref());
    let named = named.filter(|_| document.node.find(&refused.path).is_none());
    let template = named.and_then(|named| {
        sources.documents.iter().find(|other| holder(other).is_some_and(|holder| holder == named.holder()))
    });
    let (file, at) = match (template, named) {
        (Some(template), _) => (&template.file, refused.at(&template.node)),
        (None, Some(_)) => (&document.file, document.node.at("spec.workflowTemplateRef")),
        (None, None) => (&document.file, refused.at(&document.node)),
    };
    let metadata = document.object.metadata();
    let name = metadata.name.as_ref().or(metadata.generate_name.as_ref()).map_or("", String::as_str);
    let message = format!("in {name:?} ({}): {refused}", document.object.kind());
    let help = format!("`dropforge explain {}` says what it may be", refused.code.name());
    say(&Diagnostic::new(refused.code, file, at, refused.path, message).remedy(help).to_string());
    CliError::Findings
}

/// Where only stored templates may run, a file's template is no other than the stored one.
fn refuse_unstored(known: &Definitions, sources: &Sources) -> Result<(), CliError> {
    let is_stored = |document: &&Document| {
        let Some(holder) = holder(document) else { return true };
        let own = document.object.workflow_spec().map(|(spec, _)| spec);
        known.templates.get(holder) == own
    };
    let Some(document) = sources.documents.iter().find(|document| !is_stored(document)) else {
        return Ok(());
    };
    let (kind, name, file) = (document.object.kind(), document.object.name(), &document.file);
    Err(CliError::Usage(format!(
        "{file}: {kind} {name:?} is not stored like this, and the settings restrict `template-referencing` to stored \
         templates: store it with `dropforge apply {file}`"
    )))
}

/// Refuses names that live runs have, or two of the new ones.
///
/// # Errors
/// `NameIsLive` names the run that has it.
pub async fn refuse_live_names(store: &Home, specs: &[RunSpec]) -> Result<(), CliError> {
    for (at, spec) in specs.iter().enumerate() {
        let same = |other: &&RunSpec| (other.namespace(), other.name()) == (spec.namespace(), spec.name());
        let before = specs[..at].iter().find(same).map(|other| other.uid.clone());
        let live = match before {
            Some(uid) => Some(uid),
            None => lookup::live_named(store, spec.namespace(), spec.name()).await?,
        };
        if let Some(uid) = live {
            return Err(CliError::NameIsLive { name: spec.name().to_owned(), uid: uid.to_string() });
        }
    }
    Ok(())
}

/// Where a manifest came from, so that it is found from any folder.
fn origin(file: &str) -> String {
    match std::path::absolute(file) {
        Ok(path) if file != STDIN => path.display().to_string(),
        _ => "-".to_owned(),
    }
}

/// The only template of the files, where they hold no Workflow.
fn the_template(sources: &Sources) -> Result<(Workflow, &Document), CliError> {
    let templates: Vec<(Holder<'_>, &Document)> =
        sources.documents.iter().filter_map(|document| Some((holder(document)?, document))).collect();
    match templates.as_slice() {
        [(only, document)] => Ok((of_template(*only), document)),
        [] => Err(CliError::Usage("there is no Workflow in what was named".to_owned())),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|(holder, _)| format!("{}/{}", holder.kind().to_lowercase(), holder.name))
                .collect();
            Err(CliError::Usage(format!(
                "there is no Workflow, but several templates: store them with `dropforge apply`, then choose one with --from KIND/NAME ({})",
                names.join(", ")
            )))
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
fn of_stored(from: &str, known: &Definitions) -> Result<Workflow, CliError> {
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
        "cronworkflow" | "cronworkflows" | "cronwf" | "cwf" => {
            let cron = known.crons.get(name).ok_or_else(|| missing(known.crons.keys().collect()))?;
            Ok(workflow(&format!("{name}-"), cron.spec.workflow_spec.clone()))
        }
        _ => Err(CliError::Usage(format!(
            "--from {from}: kinds are workflowtemplate, clusterworkflowtemplate and cronworkflow"
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
pub async fn leave(store: &Home, spec: &RunSpec) -> Result<bool, CliError> {
    store.create_run(spec).await?;
    store.ring(&Doorbell::new(spec.uid.clone(), Why::Submitted)).await
}
