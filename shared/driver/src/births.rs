//! From a manifest to a run: names, parameters, the stored templates it needs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use dropforge_engine::ids::RunUid;
use dropforge_engine::program::{CompileError, Program};
use dropforge_engine::spec::{Cause, RunSpec, SPEC_FORMAT, Settings, StoredTemplates};
use dropforge_engine::state::RunState;
use dropforge_manifest::argo::Refused;
use dropforge_manifest::check::label_value;
use dropforge_manifest::expr;
use dropforge_manifest::merge::{effective_spec, with_defaults};
use dropforge_manifest::tags::{self, Strictness};
use dropforge_manifest::types::{
    Holder, ObjectMeta, Parameter, Template, TemplateRef, Workflow, WorkflowDefaults, WorkflowSpec,
};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::packing::{self, PACKED_ANNOTATION};

mod valid;

pub use valid::validated;

/// The stored templates that a namespace's runs can take.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Library {
    /// Its WorkflowTemplates, by name.
    pub namespaced: BTreeMap<String, WorkflowSpec>,
    /// The ClusterWorkflowTemplates, which all namespaces share, by name.
    pub cluster: BTreeMap<String, WorkflowSpec>,
    /// What their runs take along, as it was noted on them, by `namespaced/<object>` or `cluster/<object>`.
    pub packed: BTreeMap<String, String>,
}

impl Library {
    /// The spec of a stored object.
    pub fn get(&self, holder: Holder<'_>) -> Option<&WorkflowSpec> {
        self.of_kind(holder.cluster).get(holder.name)
    }

    /// The stored templates of one kind.
    pub fn of_kind(&self, cluster: bool) -> &BTreeMap<String, WorkflowSpec> {
        if cluster { &self.cluster } else { &self.namespaced }
    }

    /// Adds a stored object.
    pub fn add(&mut self, cluster: bool, name: &str, metadata: &ObjectMeta, spec: WorkflowSpec) {
        let scope = Holder { cluster, name }.scope();
        match metadata.annotations.get(PACKED_ANNOTATION) {
            Some(text) => self.packed.insert(scope, text.clone()),
            None => self.packed.remove(&scope),
        };
        let objects = if cluster { &mut self.cluster } else { &mut self.namespaced };
        objects.insert(name.to_owned(), spec);
    }

    /// Adds other objects; where both have a name, the other's wins.
    pub fn extend(&mut self, other: Library) {
        for scope in other.holders().map(|holder| holder.scope()) {
            self.packed.remove(&scope);
        }
        self.namespaced.extend(other.namespaced);
        self.cluster.extend(other.cluster);
        self.packed.extend(other.packed);
    }

    /// All names.
    fn holders(&self) -> impl Iterator<Item = Holder<'_>> {
        let of = |cluster, name| Holder { cluster, name };
        let namespaced = self.namespaced.keys().map(move |name| of(false, name.as_str()));
        namespaced.chain(self.cluster.keys().map(move |name| of(true, name.as_str())))
    }
}

/// What holds for every run of a machine, whoever starts it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    /// Argo's `workflowDefaults`, beneath everything that a workflow or its template says.
    pub defaults: WorkflowDefaults,
    /// Argo's `workflowRestrictions.templateReferencing`.
    pub referencing: Option<Referencing>,
    /// How many days a run may last; none: as long as the engine lets it.
    pub days_max: Option<u32>,
    /// Argo's `parallelism`: how many runs go on side by side; none: no limit.
    pub parallelism: Option<u32>,
    /// Argo's `namespaceParallelism`: the same for the runs of each namespace.
    pub namespace_parallelism: Option<u32>,
}

impl Site {
    fn settings(&self) -> Settings {
        let usual = Settings::default();
        let (parallelism, namespace_parallelism) = (self.parallelism, self.namespace_parallelism);
        let days_max = self.days_max.unwrap_or(usual.days_max);
        Settings { days_max, parallelism, namespace_parallelism, ..usual }
    }
}

/// Runs may only be made of stored templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referencing {
    /// A workflow names a stored template and sets nothing of it that is not for it to say.
    Strict,
    /// The same, and the template may not change while the run goes on: no run's does, it is fixed at its birth.
    Secure,
}

/// What a person or a trigger changes of the manifest.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `-p name=value`, in order; unknown names are added.
    pub parameters: Vec<(String, String)>,
    /// A fixed name instead of the manifest's.
    pub name: Option<String>,
    /// The beginning of a generated name instead of the manifest's name.
    pub generate_name: Option<String>,
    /// Another entrypoint.
    pub entrypoint: Option<String>,
    /// Further labels.
    pub labels: BTreeMap<String, String>,
    /// Another service account; it says who a pod is.
    pub service_account: Option<String>,
    /// Another priority.
    pub priority: Option<i64>,
}

/// What makes a run unique; random, so given from outside.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The run's uid.
    pub uid: RunUid,
    /// Five characters for `generateName`.
    pub suffix: String,
}

/// Kubernetes' alphabet for generated names: no vowels, so that no words come out, and nothing alike.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Identity {
    /// The identity number `n` of a call that has a name of its own among all calls there ever are: as unique as that
    /// name, without a source of randomness.
    pub fn of_call(call: &str, n: u64) -> Identity {
        let mut hash: [u8; 32] =
            Sha256::new().chain_update(n.to_be_bytes()).chain_update(call).finalize().into();
        // It reads as a UUID of the kind whose bits are the maker's affair.
        hash[6] = (hash[6] & 0x0f) | 0x80;
        hash[8] = (hash[8] & 0x3f) | 0x80;
        let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let uid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
        let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
        Identity { uid: uid.into(), suffix: hash[16..21].iter().map(letter).collect() }
    }
}

/// Why a manifest can't become a run.
#[derive(Debug, thiserror::Error)]
pub enum BirthError {
    /// It references a stored template that is not there.
    #[error("workflowTemplateRef: there is no {kind} {name:?} in {place}; name the file that defines it too")]
    NoTemplate {
        /// Its kind.
        kind: &'static str,
        /// The template.
        name: String,
        /// Where it was looked for.
        place: String,
    },
    /// A parameter has no value.
    #[error("spec.arguments.{name}.value is required: give it a value in the manifest, or -p {name}=VALUE")]
    NoValue {
        /// The parameter.
        name: String,
    },
    /// A value is not among those allowed.
    #[error("spec.arguments.{name}.value {value:?} should be present in the enum list {allowed:?}")]
    NotInEnum {
        /// The parameter.
        name: String,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: Vec<String>,
    },
    /// Only stored templates may be run, and it names none.
    #[error(
        "workflows must use workflowTemplateRef to be executed: the settings restrict `template-referencing`"
    )]
    MustReference,
    /// It sets what only the stored template may say.
    #[error(
        "fields [{}] are not permitted when using workflowTemplateRef with templateReferencing restriction: they are the \
         template's to say",
        fields.join(" ")
    )]
    NotPermitted {
        /// The fields.
        fields: Vec<String>,
    },
    /// A label of `workflowMetadata` has no value, or a bad one.
    #[error("workflowMetadata: label {label:?}: {why}")]
    Label {
        /// The label.
        label: String,
        /// What is wrong.
        why: String,
    },
    /// The template to begin with is not there.
    #[error("--entrypoint {name}: there is no such template; there are: {}", there.join(", "))]
    NoEntrypoint {
        /// What was given.
        name: String,
        /// The templates of the spec.
        there: Vec<String>,
    },
    /// It has neither a name nor a generateName.
    #[error("metadata: name or generateName is required")]
    NoName,
    /// What it takes along is noted in a way that can't be read.
    #[error(
        "annotation {PACKED_ANNOTATION} is not as `dropforge apply` writes it: {source}; apply the definition again"
    )]
    Packed {
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Argo's own check of a workflow, which it makes before the first step.
    #[error("invalid spec: {why}")]
    Invalid {
        /// Argo's words, and where in the spec.
        why: Refused,
    },
    /// The spec contradicts itself.
    #[error("invalid spec: {source}")]
    Spec {
        /// Why.
        #[from]
        source: CompileError,
    },
}

/// Makes the document a run is born with.
///
/// # Errors
/// See [`BirthError`]; nothing is stored.
pub fn run_spec(
    workflow: Workflow,
    library: &Library,
    site: &Site,
    overrides: &Overrides,
    identity: &Identity,
    cause: Cause,
    now: Timestamp,
) -> Result<RunSpec, BirthError> {
    let mut metadata = workflow.metadata;
    metadata.name = Some(name(overrides, &metadata.name, &metadata.generate_name, identity)?);
    metadata.labels.extend(overrides.labels.clone());
    below(&mut metadata.labels, &site.defaults.metadata.labels);
    below(&mut metadata.annotations, &site.defaults.metadata.annotations);
    permitted(&workflow.spec, site)?;
    let mut spec = merged(&workflow.spec, library, site, &mut metadata)?;
    override_spec(&mut spec, overrides);
    require_entrypoint(&spec, overrides.entrypoint.as_ref())?;
    require_values(&mut spec.arguments.parameters)?;
    let reached = reachable(&spec, library);
    let first = workflow.spec.workflow_template_ref.iter().map(|reference| reference.holder().scope());
    let stored = first.chain(reached.keys().cloned()).filter_map(|scope| library.packed.get(&scope));
    let packed =
        packing::taken(&mut metadata.annotations, stored).map_err(|source| BirthError::Packed { source })?;
    let run = RunSpec {
        format: SPEC_FORMAT,
        uid: identity.uid.clone(),
        metadata,
        spec,
        library: reached,
        created_at: now,
        cause,
        settings: site.settings(),
        reused: Vec::new(),
        source: None,
        packed,
    };
    let program = Arc::new(Program::compile(run.clone())?);
    if run.spec.workflow_metadata.is_none() {
        return Ok(run);
    }
    let metadata = labelled(program, run.metadata.clone())?;
    Ok(RunSpec { metadata, ..run })
}

/// Entries that are not there yet.
fn below(own: &mut BTreeMap<String, String>, defaults: &BTreeMap<String, String>) {
    for (key, value) in defaults {
        own.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

/// The workflow over its stored template over the defaults: Argo's order, which nothing changes.
fn merged(
    own: &WorkflowSpec,
    library: &Library,
    site: &Site,
    metadata: &mut ObjectMeta,
) -> Result<WorkflowSpec, BirthError> {
    let Some(reference) = &own.workflow_template_ref else {
        return Ok(with_defaults(own, &site.defaults));
    };
    let holder = reference.holder();
    let template = library.get(holder).ok_or_else(|| BirthError::NoTemplate {
        kind: holder.kind(),
        name: reference.name.clone(),
        place: match holder.cluster {
            true => "the store".to_owned(),
            false => format!("namespace {}", metadata.namespace.as_deref().unwrap_or("default")),
        },
    })?;
    metadata.labels.insert(template_label(holder).to_owned(), reference.name.clone());
    Ok(with_defaults(&effective_spec(own, template), &site.defaults))
}

/// What a workflow may say beside the stored template that it names, where only stored templates may be run.
const PERMITTED: [&str; 14] = [
    "arguments",
    "entrypoint",
    "shutdown",
    "suspend",
    "activeDeadlineSeconds",
    "priority",
    "ttlStrategy",
    "podGC",
    "volumeClaimGC",
    "archiveLogs",
    "workflowMetadata",
    "workflowTemplateRef",
    "metrics",
    "artifactGC",
];

/// Parts of `artifactGC` that reach a pod.
const NOT_PERMITTED_OF_GC: [&str; 3] = ["podSpecPatch", "serviceAccountName", "podMetadata"];

fn permitted(own: &WorkflowSpec, site: &Site) -> Result<(), BirthError> {
    if site.referencing.is_none() {
        return Ok(());
    }
    if own.workflow_template_ref.is_none() {
        return Err(BirthError::MustReference);
    }
    let said = serde_json::to_value(own).unwrap_or_default();
    let set = said.as_object().into_iter().flat_map(|fields| fields.keys());
    let mut fields: Vec<String> = set.filter(|f| !PERMITTED.contains(&f.as_str())).cloned().collect();
    let of_gc = NOT_PERMITTED_OF_GC.iter().filter(|field| said["artifactGC"].get(field).is_some());
    fields.extend(of_gc.map(|field| format!("artifactGC.{field}")));
    if fields.is_empty() { Ok(()) } else { Err(BirthError::NotPermitted { fields }) }
}

/// The metadata with what `workflowMetadata` adds: labels and annotations, then labels from expressions over the
/// global variables, the new labels among them.
fn labelled(program: Arc<Program>, mut metadata: ObjectMeta) -> Result<ObjectMeta, BirthError> {
    let given = program.spec.spec.workflow_metadata.clone().unwrap_or_default();
    let bad = |label: &str, why: String| BirthError::Label { label: label.to_owned(), why };
    let state = RunState::new(program);
    let text = |label: &str, text: &str| {
        tags::replace(text, &state.globals(), Strictness::Lenient).map_err(|why| bad(label, why.to_string()))
    };
    for (label, value) in &given.labels {
        let value = text(label, value)?;
        if let Some(why) = label_value(&value) {
            return Err(bad(label, format!("invalid value {value:?}: {why}")));
        }
        metadata.labels.insert(label.clone(), value);
    }
    for (name, value) in &given.annotations {
        metadata.annotations.insert(name.clone(), text(name, value)?);
    }
    let mut run = state.program.spec.clone();
    run.metadata = metadata.clone();
    let program = Program::compile(run)?;
    let state = RunState::new(Arc::new(program));
    let globals = state.globals();
    for (label, from) in &given.labels_from {
        let expression = &from.expression;
        let value = expr::parse(expression)
            .and_then(|parsed| expr::evaluate(&parsed, &expr::Env::of(&globals)))
            .map_err(|why| bad(label, format!("failed to evaluate expression {expression:?}: {why}")))?;
        let Value::String(value) = value else {
            return Err(bad(
                label,
                format!("the expression {expression:?} gives {value} and must give a string"),
            ));
        };
        if let Some(why) = label_value(&value) {
            return Err(bad(
                label,
                format!("invalid value {value:?} of the expression {expression:?}: {why}"),
            ));
        }
        metadata.labels.insert(label.clone(), value);
    }
    Ok(metadata)
}

/// Puts what a person gave in the place of what the manifest says.
pub fn override_spec(spec: &mut WorkflowSpec, overrides: &Overrides) {
    if overrides.entrypoint.is_some() {
        spec.entrypoint.clone_from(&overrides.entrypoint);
    }
    if overrides.service_account.is_some() {
        spec.service_account_name.clone_from(&overrides.service_account);
    }
    if overrides.priority.is_some() {
        spec.priority = overrides.priority;
    }
    set_parameters(&mut spec.arguments.parameters, &overrides.parameters);
}

/// Labels of a run that its resubmission does not take over.
const OWN_LABELS: [&str; 6] = [
    "workflows.argoproj.io/creator",
    "workflows.argoproj.io/creator-email",
    "workflows.argoproj.io/creator-preferred-username",
    "workflows.argoproj.io/phase",
    "workflows.argoproj.io/completed",
    "workflows.argoproj.io/workflow-archiving-status",
];

/// Makes the document of a run that repeats another one (Argo's rule RR-7), with the same templates as that one.
///
/// # Errors
/// See [`BirthError`]; nothing is stored.
pub fn resubmitted(
    old: &RunSpec,
    overrides: &Overrides,
    identity: &Identity,
    cause: Cause,
    now: Timestamp,
) -> Result<RunSpec, BirthError> {
    let prefix = old.metadata.generate_name.clone().unwrap_or_else(|| format!("{}-", old.name()));
    let mut labels = old.metadata.labels.clone();
    labels.retain(|key, _| !OWN_LABELS.contains(&key.as_str()));
    labels.insert("workflows.argoproj.io/resubmitted-from-workflow".to_owned(), old.name().to_owned());
    labels.extend(overrides.labels.clone());
    let metadata = ObjectMeta {
        name: Some(generated(&prefix, identity)),
        generate_name: Some(prefix),
        labels,
        ..old.metadata.clone()
    };
    let mut spec = old.spec.clone();
    // A deadline of 0 once terminated the run.
    spec.active_deadline_seconds = spec.active_deadline_seconds.filter(|seconds| *seconds != 0);
    override_spec(&mut spec, overrides);
    require_values(&mut spec.arguments.parameters)?;
    let uid = identity.uid.clone();
    let run = RunSpec { uid, metadata, spec, created_at: now, cause, reused: Vec::new(), ..old.clone() };
    Program::compile(run.clone())?;
    Ok(run)
}

fn name(
    overrides: &Overrides,
    fixed: &Option<String>,
    generate: &Option<String>,
    identity: &Identity,
) -> Result<String, BirthError> {
    if let Some(name) = &overrides.name {
        return Ok(name.clone());
    }
    let fixed = fixed.as_ref().filter(|name| !name.is_empty() && overrides.generate_name.is_none());
    match (fixed, overrides.generate_name.as_ref().or(generate.as_ref())) {
        (Some(name), _) => Ok(name.clone()),
        (None, Some(prefix)) => Ok(generated(prefix, identity)),
        (None, None) => Err(BirthError::NoName),
    }
}

/// Kubernetes' bound for the beginning of a generated name: five characters more make a label's 63.
const PREFIX_BYTES_MAX: usize = 58;

/// A name as Kubernetes' API server generates it, which cuts what it begins with.
pub fn generated(prefix: &str, identity: &Identity) -> String {
    format!("{}{}", &prefix[..prefix.floor_char_boundary(PREFIX_BYTES_MAX)], identity.suffix)
}

fn set_parameters(parameters: &mut Vec<Parameter>, given: &[(String, String)]) {
    for (name, value) in given {
        match parameters.iter_mut().find(|p| p.name == *name) {
            Some(parameter) => {
                parameter.value = Some(value.as_str().into());
                parameter.value_from = None;
            }
            None => parameters.push(Parameter {
                name: name.clone(),
                value: Some(value.as_str().into()),
                ..Parameter::default()
            }),
        }
    }
}

fn require_entrypoint(spec: &WorkflowSpec, given: Option<&String>) -> Result<(), BirthError> {
    let there = || spec.templates.iter().map(|template| template.name.clone());
    match given.filter(|name| !there().any(|own| own == **name)) {
        None => Ok(()),
        Some(name) => Err(BirthError::NoEntrypoint { name: name.clone(), there: there().collect() }),
    }
}

fn require_values(parameters: &mut [Parameter]) -> Result<(), BirthError> {
    for parameter in parameters {
        if parameter.value.is_none() && parameter.value_from.is_none() {
            parameter.value = parameter.default.clone();
        }
        // Its config map is read when the run begins.
        let reads = parameter.value_from.as_ref().is_some_and(|from| from.config_map_key_ref.is_some());
        if parameter.value.is_none() && reads {
            continue;
        }
        let Some(value) = &parameter.value else {
            // What a config map holds is only known to the run.
            if parameter.value_from.as_ref().is_some_and(|from| from.config_map_key_ref.is_some()) {
                continue;
            }
            return Err(BirthError::NoValue { name: parameter.name.clone() });
        };
        if let Some(allowed) = parameter.enumeration.as_ref().filter(|e| !e.contains(value)) {
            return Err(BirthError::NotInEnum {
                name: parameter.name.clone(),
                value: value.0.clone(),
                allowed: allowed.iter().map(|v| v.0.clone()).collect(),
            });
        }
    }
    Ok(())
}

/// The label by which Argo finds the runs of a stored template.
fn template_label(holder: Holder<'_>) -> &'static str {
    if holder.cluster {
        "workflows.argoproj.io/cluster-workflow-template"
    } else {
        "workflows.argoproj.io/workflow-template"
    }
}

/// The stored templates that a spec can reach. A reference whose name is only known at run time reaches all.
fn reachable(spec: &WorkflowSpec, library: &Library) -> BTreeMap<String, StoredTemplates> {
    let mut wanted: VecDeque<TemplateRef> = references(&spec.templates).into();
    wanted.extend(spec.hooks.values().filter_map(|h| h.template_ref.clone()));
    let mut found = BTreeMap::new();
    while let Some(reference) = wanted.pop_front() {
        let holder = reference.holder();
        if holder.name.contains("{{") {
            let all = library.holders().filter(|h| !found.contains_key(&h.scope()));
            wanted.extend(all.map(reference_to));
            continue;
        }
        let Some(stored) = library.get(holder).filter(|_| !found.contains_key(&holder.scope())) else {
            continue;
        };
        wanted.extend(references(&stored.templates));
        found.insert(holder.scope(), StoredTemplates { templates: stored.templates.clone() });
    }
    found
}

fn reference_to(holder: Holder<'_>) -> TemplateRef {
    TemplateRef { name: holder.name.to_owned(), cluster_scope: holder.cluster, ..TemplateRef::default() }
}

fn references(templates: &[Template]) -> Vec<TemplateRef> {
    let calls = templates.iter().flat_map(|t| {
        let steps = t.steps.iter().flatten().flatten();
        let tasks = t.dag.iter().flat_map(|d| &d.tasks);
        steps.chain(tasks)
    });
    let mut found = Vec::new();
    for call in calls {
        found.extend(call.template_ref.clone());
        found.extend(call.hooks.values().filter_map(|h| h.template_ref.clone()));
        found.extend(call.inline.iter().flat_map(|inline| references(std::slice::from_ref(inline))));
    }
    found
}

#[cfg(test)]
mod tests;
