//! What Argo 4.1.2 says to manifests: the verdict of `argo lint --offline` and its words, whatever of the language runs
//! here. `check` says what Dropforge says.
//!
//! It follows Argo's own way, which decides what is refused: each object is decoded strictly, its entrypoint is looked
//! at with the arguments that there are, then every template with placeholders for what it asks for. Values are put
//! into a template's JSON text before its fields are looked at, and the tags that are left must name variables. The
//! first refusal of an object ends it.

use std::collections::BTreeMap;
use std::fmt;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{self, Node, Position, Scalar, Value};

use decode::Problem;
use refusal::Refusal;
use world::{Object, World};

mod arguments;
mod artifacts;
mod calls;
mod cron;
mod dag;
mod decode;
mod fields;
mod json;
mod kind;
mod leaf;
mod metrics;
mod names;
mod outputs;
mod refusal;
mod replace;
mod resources;
mod scope;
mod selector;
mod template;
mod validation;
mod workflow;
mod world;

/// A file and its name.
#[derive(Clone, Copy, Debug)]
pub struct File<'f> {
    /// As findings name it.
    pub name: &'f str,
    /// What is in it.
    pub bytes: &'f [u8],
}

/// What Argo says to some files, which know each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Objects that were looked at.
    pub objects: usize,
    /// What is refused, and warnings of what Argo passes over.
    pub findings: Vec<Diagnostic>,
}

impl Verdict {
    /// Whether `argo lint` ends well: something was looked at, and nothing refused.
    pub fn accepts(&self) -> bool {
        self.objects > 0 && !self.findings.iter().any(Diagnostic::is_error)
    }
}

/// The kinds that are decoded; those that are looked at further come first.
const KINDS: [&str; 6] = [
    "Workflow",
    "WorkflowTemplate",
    "ClusterWorkflowTemplate",
    "CronWorkflow",
    "WorkflowEventBinding",
    "WorkflowTaskSet",
];

/// Looks at the files as one call of `argo lint --offline` does.
///
/// ```
/// use dropforge_manifest::argo;
/// let text = b"kind: Workflow\nmetadata: {name: hello}\nspec: {entrypoint: main, templates: [{name: main, container: {}}]}\n";
/// let verdict = argo::lint(&[argo::File { name: "hello.yaml", bytes: text }]);
/// assert_eq!(
///     verdict.findings[0].to_string(),
///     "hello.yaml:3:51: error[E108]: in \"hello\" (Workflow): templates.main.container.image may not be empty",
/// );
/// ```
pub fn lint(files: &[File<'_>]) -> Verdict {
    let mut reading = Reading::default();
    for (number, file) in files.iter().enumerate() {
        reading.file(number, file);
    }
    let Reading { world, mut findings, unknown, fatal } = reading;
    let looked_at = |object: &Object| object.is_read && KINDS[..4].contains(&object.kind);
    let objects = world.objects().iter().filter(|object| looked_at(object)).count();
    if fatal {
        return Verdict { objects, findings };
    }
    for (document, object) in world.objects().iter().enumerate() {
        let file = files[object.file].name;
        let strict = unknown.get(&document).filter(|_| object.is_read).map_or(&[][..], Vec::as_slice);
        for problem in strict {
            let mut finding = misfit(Code::E005, file, object, problem, "in");
            // A file with nothing else to look at is not refused for it.
            if !world.objects().iter().any(|other| other.file == object.file && looked_at(other)) {
                finding.severity = Severity::Warning;
            }
            findings.push(finding);
        }
        if !strict.is_empty() || !looked_at(object) {
            continue;
        }
        if let Err(refusal) = workflow::check(&world, document) {
            let refused = Refused::from(refusal);
            let at = moved(refused.at(&object.node), object.line);
            let message = format!("in {}: {refused}", object.label());
            findings.push(Diagnostic::new(refused.code, file, at, refused.path, message));
        }
    }
    Verdict { objects, findings }
}

/// Values of an object that Argo's decoder refuses for their type, as where an object is made; `check` and what runs here
/// take some of them for what they look like: a plain number or boolean in the place of a text.
pub fn mistyped(file: &str, kind: &str, object: &Node) -> Vec<Diagnostic> {
    let Some(kind) = KINDS.into_iter().find(|known| *known == kind) else { return Vec::new() };
    let found = decode::decode(object, kind).wrong.into_iter();
    found
        .map(|problem| {
            let remedy = if problem.message.ends_with("of type string") { "write it in quotes" } else { "" };
            Diagnostic::new(Code::E006, file, problem.at, problem.path, problem.message).remedy(remedy)
        })
        .collect()
}

/// Why Argo refuses a workflow, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The kind of finding.
    pub code: Code,
    /// In Argo's words.
    pub message: String,
    /// The field.
    pub path: String,
    /// The text that is wrong, somewhere below the field.
    text: Option<String>,
}

impl Refused {
    /// Where it stands in the object that is refused.
    pub fn at(&self, object: &Node) -> Position {
        let below = self.text.as_deref().and_then(|text| text_at(object.find(&self.path)?, text));
        below.unwrap_or_else(|| object.at(&self.path))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let path = refusal.path().to_owned();
        Refused { code: refusal.code, message: refusal.message, path, text: refusal.text }
    }
}

/// Why Argo's controller does not begin with a workflow that sees these stored templates; none: it does.
/// All are whole objects of one namespace, as JSON.
pub fn refused(workflow: &serde_json::Value, stored: &[serde_json::Value]) -> Option<Refused> {
    let mut reading = Reading::default();
    for (number, object) in std::iter::once(workflow).chain(stored).enumerate() {
        reading.file(number, &File { name: "", bytes: object.to_string().as_bytes() });
    }
    let document = reading.world.objects().iter().position(|object| object.file == 0)?;
    workflow::check(&reading.world, document).err().map(Refused::from)
}

#[derive(Default)]
struct Reading {
    world: World,
    findings: Vec<Diagnostic>,
    /// Unknown fields by object.
    unknown: BTreeMap<usize, Vec<Problem>>,
    /// Whether all files are refused, because Argo cannot read one of them.
    fatal: bool,
}

impl Reading {
    fn file(&mut self, number: usize, file: &File<'_>) {
        let text = match source::decode(file.bytes) {
            Ok(text) => text,
            Err(error) => return self.passed_over(file.name, 0, &error),
        };
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let parts = if is_json { vec![(0, &*text)] } else { parts(&text) };
        for (index, (line, part)) in parts.into_iter().enumerate() {
            if part.trim().is_empty() {
                continue;
            }
            let (documents, errors) = source::read_strictly(part);
            if let Some(error) = source::first_error(&documents, &errors) {
                self.passed_over(file.name, line, error);
                continue;
            }
            let place = Place { file: number, number: index + 1, line, is_json };
            let doubled = errors.iter().find(|error| matches!(error, source::Error::DuplicateKey { .. }));
            match doubled {
                // Strict reading refuses a doubled key: JSON's is told, YAML's makes Argo pass over the document.
                Some(error) if is_json => {
                    let at = moved(error.at(), line);
                    self.findings.push(Diagnostic::new(Code::E003, file.name, at, "", error.to_string()));
                }
                Some(error) => self.passed_over(file.name, line, error),
                None => {}
            }
            let Some(node) = documents.into_iter().next() else { continue };
            match source::endless(&node) {
                Some(error) => self.passed_over(file.name, line, &error),
                None => self.object(file.name, node, &place, doubled.is_none()),
            }
        }
    }

    /// A document that Argo logs and leaves out.
    fn passed_over(&mut self, file: &str, line: u32, error: &source::Error) {
        let message = format!("Argo passes over this document: {error}");
        let mut finding = Diagnostic::new(Code::E002, file, moved(error.at(), line), "", message);
        finding.severity = Severity::Warning;
        self.findings.push(finding);
    }

    fn object(&mut self, file: &str, node: Node, place: &Place, is_read: bool) {
        let written = node.get("kind").and_then(Node::as_str).unwrap_or_default();
        let kind = KINDS.into_iter().find(|kind| *kind == written);
        if written.is_empty() && !place.is_json {
            return;
        }
        // Any other object is read as metadata only.
        let decoded = decode::decode(&node, kind.unwrap_or("ObjectMeta"));
        let Place { file: number_of_file, number, line, .. } = *place;
        let object = Object {
            kind: kind.unwrap_or_default(),
            file: number_of_file,
            number,
            line,
            node,
            value: decoded.value,
            is_read,
        };
        for problem in &decoded.wrong {
            self.fatal = true;
            self.findings.push(misfit(Code::E006, file, &object, problem, "failed to parse YAML:"));
        }
        let Some(kind) = kind else { return };
        let label = object.label();
        let at = moved(object.node.at("metadata.name"), line);
        let document = self.world.objects().len();
        if self.world.add(object).is_none() {
            self.fatal = true;
            let message = format!("duplicate {kind} found: {label}");
            self.findings.push(Diagnostic::new(Code::E102, file, at, "metadata.name", message));
        }
        if !decoded.unknown.is_empty() {
            self.unknown.insert(document, decoded.unknown);
        }
    }
}

#[derive(Clone, Copy)]
struct Place {
    file: usize,
    number: usize,
    line: u32,
    /// Then an object without a kind is read too.
    is_json: bool,
}

/// The documents of a text, each with the lines before it. Argo cuts at every line that begins with `---`.
fn parts(text: &str) -> Vec<(u32, &str)> {
    let mut line = 0;
    let mut parts = Vec::new();
    for part in text.split("\n---") {
        parts.push((line, part));
        line += u32::try_from(part.matches('\n').count()).unwrap_or(0) + 1;
    }
    parts
}

fn moved(at: Position, lines: u32) -> Position {
    Position { line: at.line.saturating_add(lines), ..at }
}

/// Where a text stands below a node: exactly in a block scalar, its field elsewhere.
fn text_at(node: &Node, text: &str) -> Option<Position> {
    match &node.value {
        Value::Scalar(Scalar::Text(whole)) => {
            let before = &whole[..whole.find(text)?];
            let Some(first) = node.text_at else { return Some(node.span) };
            let lines = u32::try_from(before.matches('\n').count()).unwrap_or(0);
            let columns = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
            let column = first.column.saturating_add(u32::try_from(columns).unwrap_or(0));
            Some(Position { line: first.line.saturating_add(lines), column })
        }
        Value::Scalar(_) => None,
        Value::Seq(items) => items.iter().find_map(|item| text_at(item, text)),
        Value::Map(entries) => entries.iter().find_map(|entry| text_at(&entry.value, text)),
    }
}

fn misfit(code: Code, file: &str, object: &Object, problem: &Problem, word: &str) -> Diagnostic {
    let message = format!("{word} {}: {}", object.label(), problem.message);
    Diagnostic::new(code, file, moved(problem.at, object.line), problem.path.clone(), message)
}
