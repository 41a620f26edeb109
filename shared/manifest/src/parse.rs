//! From a file's text to the objects in it.

use serde::de::DeserializeOwned;

use crate::codes::Code;
use crate::decode::nearest::nearest;
use crate::decode::{self, Problem, ProblemKind};
use crate::diagnostic::Diagnostic;
use crate::source::{self, Node, Position, Value};
use crate::types::{CronWorkflow, ObjectMeta, Trigger, Workflow, WorkflowSpec, WorkflowTemplate};

#[cfg(test)]
mod tests;

/// `apiVersion` of Argo's kinds.
pub const ARGO_VERSION: &str = "argoproj.io/v1alpha1";
/// `apiVersion` of ours.
pub const TRIGGER_VERSION: &str = "dropforge.dev/v1alpha1";

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The objects, in order.
    pub documents: Vec<Document>,
    /// Everything wrong with the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether the text holds something that must be repaired first.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// One object and the text it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The file, as it was named by who read it.
    pub file: String,
    /// The object.
    pub object: AnyObject,
    /// Its tree.
    pub node: Node,
    /// Whether values of the wrong type were left out of `object`; findings about what is missing would mislead.
    pub damaged: bool,
}

/// An object of a kind that is read here.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "Argo's own kinds, and Trigger")]
pub enum AnyObject {
    Workflow(Box<Workflow>),
    WorkflowTemplate(Box<WorkflowTemplate>),
    ClusterWorkflowTemplate(Box<WorkflowTemplate>),
    CronWorkflow(Box<CronWorkflow>),
    Trigger(Box<Trigger>),
}

impl AnyObject {
    /// The object's kind, as written in `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            AnyObject::Workflow(_) => "Workflow",
            AnyObject::WorkflowTemplate(_) => "WorkflowTemplate",
            AnyObject::ClusterWorkflowTemplate(_) => "ClusterWorkflowTemplate",
            AnyObject::CronWorkflow(_) => "CronWorkflow",
            AnyObject::Trigger(_) => "Trigger",
        }
    }

    /// The object's metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            AnyObject::Workflow(object)
            | AnyObject::WorkflowTemplate(object)
            | AnyObject::ClusterWorkflowTemplate(object) => &object.metadata,
            AnyObject::CronWorkflow(object) => &object.metadata,
            AnyObject::Trigger(object) => &object.metadata,
        }
    }

    /// The same, to be changed.
    pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            AnyObject::Workflow(object)
            | AnyObject::WorkflowTemplate(object)
            | AnyObject::ClusterWorkflowTemplate(object) => &mut object.metadata,
            AnyObject::CronWorkflow(object) => &mut object.metadata,
            AnyObject::Trigger(object) => &mut object.metadata,
        }
    }

    /// The object's name; empty when it has none.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// The workflow's spec within the object, and its path.
    pub fn workflow_spec(&self) -> Option<(&WorkflowSpec, &'static str)> {
        match self {
            AnyObject::Workflow(object)
            | AnyObject::WorkflowTemplate(object)
            | AnyObject::ClusterWorkflowTemplate(object) => Some((&object.spec, "spec")),
            AnyObject::CronWorkflow(object) => Some((&object.spec.workflow_spec, "spec.workflowSpec")),
            AnyObject::Trigger(object) => object.spec.workflow.as_ref().map(|spec| (spec, "spec.workflow")),
        }
    }
}

/// Reads the bytes of a file; what is not UTF-8 is a finding.
pub fn parse_bytes(file: &str, bytes: &[u8]) -> Parsed {
    match source::decode(bytes) {
        Ok(text) => parse(file, &text),
        Err(error) => Parsed { documents: Vec::new(), diagnostics: vec![unreadable(file, &error)] },
    }
}

/// Reads YAML (several documents, separated by `---`) or JSON. Never fails: what is wrong is in the diagnostics.
///
/// ```
/// let parsed = dropforge_manifest::parse::parse("a.yaml", "kind: Workflow\napiVersion: argoproj.io/v1alpha1\n");
/// assert_eq!(parsed.diagnostics[0].to_string().lines().next(), Some("a.yaml:1:1: error[E108]: spec is required"));
/// ```
pub fn parse(file: &str, text: &str) -> Parsed {
    let (nodes, errors) = source::read(text);
    let mut parsed = Parsed { documents: Vec::new(), diagnostics: Vec::new() };
    parsed.diagnostics.extend(errors.iter().map(|error| unreadable(file, error)));
    for node in nodes {
        object(file, node, &mut parsed);
    }
    parsed
}

pub(crate) fn unreadable(file: &str, error: &source::Error) -> Diagnostic {
    use source::Error::*;
    let (code, remedy) = match error {
        NotUtf8 { .. } => (Code::E001, "save the file as UTF-8; if it is no manifest, leave it out"),
        ControlCharacter { .. } => (Code::E001, "remove the character; if the file is binary, leave it out"),
        Syntax { .. } => {
            (Code::E002, "check indentation, quotes and brackets on this line and the one before it")
        }
        Misnamed { .. } => (Code::E002, "leave the tag out, or write a value of its kind"),
        Endless { .. } => (Code::E002, "quote it to make a text of it"),
        ComplexKey { .. } => {
            (Code::E002, "quote text that begins with `{` or `[`: \"{{inputs.parameters.x}}\"")
        }
        Merge { .. } => (Code::E002, "give `<<` an alias of a mapping, or a list of such aliases"),
        DuplicateKey { .. } => (Code::E003, "keep one of the two"),
        RecursiveAlias { .. } | AliasBomb { .. } => {
            (Code::E004, "write the values out instead of using the alias")
        }
        TooDeep { .. } => (Code::E004, "use fewer levels; a manifest needs about twenty"),
    };
    Diagnostic::new(code, file, error.at(), "", error.to_string()).remedy(remedy)
}

/// Kinds of Argo's that describe something to run and are not read here.
const ARGO_OTHERS: &[&str] =
    &["WorkflowEventBinding", "WorkflowTaskSet", "WorkflowTaskResult", "WorkflowArtifactGCTask"];
const KINDS: &[&str] =
    &["Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow", "Trigger"];

fn object(file: &str, node: Node, parsed: &mut Parsed) {
    if !matches!(node.value, Value::Map(_)) {
        let message = format!("expected an object with `apiVersion` and `kind`, found {}", node.kind());
        parsed.diagnostics.push(Diagnostic::new(Code::E007, file, node.span, "", message));
        return;
    }
    let text = |key: &str| node.get(key).and_then(Node::as_str).unwrap_or_default().to_owned();
    let (kind, version) = (text("kind"), text("apiVersion"));
    if kind == "List"
        || kind == "WorkflowList"
        || kind == "WorkflowTemplateList"
        || kind == "CronWorkflowList"
    {
        node.get("items")
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .for_each(|item| object(file, item.clone(), parsed));
        return;
    }
    let wrong = |at: Position, path: &str, message: String, remedy: String| {
        Diagnostic::new(Code::E007, file, at, path, message).remedy(remedy)
    };
    let expected = if kind == "Trigger" { TRIGGER_VERSION } else { ARGO_VERSION };
    let finding = if kind.is_empty() {
        Some(wrong(
            node.at("kind"),
            "kind",
            "kind is required".into(),
            format!("set kind to one of {}", KINDS.join(", ")),
        ))
    } else if version.is_empty() {
        let remedy = if KINDS.contains(&kind.as_str()) {
            format!("add `apiVersion: {expected}`")
        } else {
            "add it".into()
        };
        Some(wrong(node.at("apiVersion"), "apiVersion", "apiVersion is required".into(), remedy))
    } else if KINDS.contains(&kind.as_str()) && version != expected {
        let message = format!("apiVersion of a {kind} is {expected}, found {version}");
        Some(wrong(node.at("apiVersion"), "apiVersion", message, format!("write `apiVersion: {expected}`")))
    } else if ARGO_OTHERS.contains(&kind.as_str()) {
        let message = format!("kind {kind} is not supported yet");
        let remedy = "Workflow, WorkflowTemplate, CronWorkflow and Trigger are supported; a Trigger starts a run when an object is dropped";
        Some(Diagnostic::new(Code::E601, file, node.at("kind"), "kind", message).remedy(remedy))
    } else if !KINDS.contains(&kind.as_str()) {
        Some(foreign(file, &node, &kind, &version))
    } else {
        None
    };
    match finding {
        Some(finding) => parsed.diagnostics.push(finding),
        None => known(file, node, &kind, parsed),
    }
}

/// A kind that is none of ours: a misspelt one, or some other Kubernetes object.
fn foreign(file: &str, node: &Node, kind: &str, version: &str) -> Diagnostic {
    let at = node.at("kind");
    let ours = version.starts_with("argoproj.io/") || version.starts_with("dropforge.dev/");
    match nearest(kind, KINDS.iter().copied()) {
        Some(meant) => Diagnostic::new(Code::E007, file, at, "kind", format!("unknown kind \"{kind}\""))
            .remedy(format!("did you mean {meant}?")),
        None if ours => Diagnostic::new(Code::E007, file, at, "kind", format!("unknown kind \"{kind}\" in {version}"))
            .remedy(format!("use one of {}", KINDS.join(", "))),
        None => Diagnostic::new(Code::N801, file, at, "kind", format!("{kind} is a Kubernetes object and is skipped here"))
            .remedy(match local_folder(kind) {
                Some(folder) => format!(
                    "write each of its keys to a file {folder}/NAME/KEY beside dropforge.toml, or name another folder there"
                ),
                None => "claims are local folders; `kubectl apply` takes this object on a cluster".to_owned(),
            }),
    }
}

/// Where the keys of an object stand on a laptop.
fn local_folder(kind: &str) -> Option<&'static str> {
    match kind {
        "ConfigMap" => Some(".dropforge/config-maps"),
        "Secret" => Some(".dropforge/secrets"),
        _ => None,
    }
}

fn known(file: &str, node: Node, kind: &str, parsed: &mut Parsed) {
    if node.get("spec").is_none_or(Node::is_null) {
        let finding = Diagnostic::new(Code::E108, file, node.span, "spec", "spec is required");
        parsed.diagnostics.push(finding.remedy("add a `spec` with what the object is to do"));
        return;
    }
    let (object, problems) = match kind {
        "Workflow" => decoded(&node, AnyObject::Workflow),
        "WorkflowTemplate" => decoded(&node, AnyObject::WorkflowTemplate),
        "ClusterWorkflowTemplate" => decoded(&node, AnyObject::ClusterWorkflowTemplate),
        "CronWorkflow" => decoded(&node, AnyObject::CronWorkflow),
        _ => decoded(&node, AnyObject::Trigger),
    };
    let whole = |kind: &ProblemKind| {
        matches!(kind, ProblemKind::UnknownField { .. } | ProblemKind::ReadAsBoolean { .. })
    };
    let damaged = problems.iter().any(|problem| !whole(&problem.kind));
    parsed.diagnostics.extend(problems.iter().map(|problem| misfit(file, problem)));
    if let Some(object) = object {
        parsed.documents.push(Document { file: file.to_owned(), object, node, damaged });
    }
}

fn decoded<T: DeserializeOwned>(
    node: &Node,
    wrap: fn(Box<T>) -> AnyObject,
) -> (Option<AnyObject>, Vec<Problem>) {
    let (object, problems) = decode::decode(node);
    (object.map(Box::new).map(wrap), problems)
}

pub(crate) fn misfit(file: &str, problem: &Problem) -> Diagnostic {
    let (code, message, remedy) = match &problem.kind {
        ProblemKind::UnknownField { field, owner, suggestion } => (
            Code::E005,
            format!("unknown field \"{field}\""),
            unknown_field_remedy(owner, field, *suggestion),
        ),
        ProblemKind::WrongType { expected, found } => {
            (Code::E006, format!("expected {expected}, found {found}"), wrong_type_remedy(expected, found))
        }
        ProblemKind::ReadAsBoolean { letter } => {
            let message = format!("Argo's own tools read a plain {letter} as a boolean");
            (Code::W710, message, format!("quote it: \"{letter}\""))
        }
        ProblemKind::Refused { message } => (Code::E006, message.clone(), String::new()),
    };
    Diagnostic::new(code, file, problem.at, problem.path.clone(), message).remedy(remedy)
}

fn wrong_type_remedy(expected: &str, found: &str) -> String {
    match (expected, found) {
        ("a list", "a mapping") => {
            "put `- ` before it; in `steps` each group is a list of its own (`- - name: …`)"
        }
        ("an integer" | "an integer from 0" | "a boolean", "a string") => {
            "write it without quotes; this field takes no {{tags}}"
        }
        _ => "",
    }
    .to_owned()
}

/// Fields that people put into the wrong object, and where they belong.
fn unknown_field_remedy(owner: &str, field: &str, suggestion: Option<&str>) -> String {
    match (owner, field) {
        (
            "Template",
            "when" | "withItems" | "withParam" | "withSequence" | "continueOn" | "dependencies" | "depends",
        ) => {
            format!("a template has no `{field}`: move it to the step or task that calls the template")
        }
        ("Template", "arguments") => {
            "a template takes `inputs`; `arguments` belong to the step or task that calls it".to_owned()
        }
        ("Template", "image" | "command" | "args" | "source" | "env" | "volumeMounts" | "resources") => {
            format!("move `{field}` into the template's `container` or `script`")
        }
        ("Step", "inputs") => "a call gives `arguments`; `inputs` belong to the template it calls".to_owned(),
        (
            "Step",
            "retryStrategy"
            | "timeout"
            | "activeDeadlineSeconds"
            | "parallelism"
            | "outputs"
            | "container"
            | "script",
        ) => {
            format!("a call has no `{field}`: move it to the template it calls")
        }
        ("WorkflowSpec", "schedule" | "schedules" | "timezone" | "concurrencyPolicy") => {
            format!("`{field}` belongs to a CronWorkflow, whose `workflowSpec` this would be")
        }
        ("CronWorkflowSpec", "schedule") => "write the list `schedules: [\"…\"]`".to_owned(),
        ("CronWorkflowSpec", "entrypoint" | "templates" | "arguments") => {
            format!("move `{field}` into `spec.workflowSpec`")
        }
        _ => match suggestion {
            Some(suggestion) => format!("did you mean `{suggestion}`?"),
            None => "remove it; Argo refuses unknown fields".to_owned(),
        },
    }
}
