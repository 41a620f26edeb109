//! From objects to findings: Argo's own validation, what does not run here yet, and what will probably not do
//! what was meant. Every finding is reported, not only the first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Severity};
use crate::merge::effective_spec;
use crate::parse::{AnyObject, Document};
use crate::source::{Node, Position};
use crate::types::{Holder, Step, Template, TemplateRef, WorkflowSpec};

mod calls;
mod dag;
mod expressions;
mod flow;
mod garbage;
mod git;
mod http;
mod inputs;
mod language;
mod lint;
mod locks;
mod memoize;
mod mentions;
mod metadata;
mod metrics;
mod names;
pub use names::{label_value, object as object_name};
mod object;
mod order;
mod outputs;
mod pods;
mod recursion;
mod retry;
mod schedule;
mod stored;
pub mod support;
mod template;
mod trigger;
mod variables;
mod volumes;

#[cfg(test)]
mod tests;

/// What `check` may take for granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The Workflows among the documents are run now, so their arguments need values.
    pub submit: bool,
    /// Parameters that the person gives beside the documents (`-p name=value`).
    pub given: BTreeSet<String>,
    /// Templates may be stored elsewhere: one that no document defines is no error.
    pub stored_elsewhere: bool,
    /// Steps run as pods of a cluster, where all holds that a pod can be.
    pub pods: bool,
}

/// Every finding in the documents, which know each other, in the order of the documents and their lines.
///
/// ```
/// use dropforge_manifest::{check, parse};
/// let text = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  entrypoint: main\n  templates: []\n";
/// let parsed = parse::parse("a.yaml", text);
/// let findings = check::check(&parsed.documents, &check::Options::default());
/// let first = findings[0].to_string();
/// assert!(first.starts_with("a.yaml:4:3: error[E104]: template name 'main' undefined"), "{first}");
/// ```
pub fn check(documents: &[Document], options: &Options) -> Vec<Diagnostic> {
    let world = World::new(documents, options);
    let mut findings = Vec::new();
    findings.extend(object::check_unique(documents));
    for document in documents.iter().filter(|document| !document.damaged) {
        let mut own = Subject::new(&world, document).check();
        findings.append(&mut own);
    }
    let order = |file: &str| documents.iter().position(|document| document.file == file);
    findings.sort_by(|a, b| {
        (order(&a.file), a.line, a.column, a.code).cmp(&(order(&b.file), b.line, b.column, b.code))
    });
    findings.dedup();
    findings
}

/// What of a document does not run here, and nothing else about it.
pub fn supported(document: &Document) -> Vec<Diagnostic> {
    let options = Options::default();
    let world = World::new(&[], &options);
    let subject = Subject::new(&world, document);
    support::check(&subject);
    subject.findings.into_inner()
}

/// The stored templates that the documents know of each other.
struct World<'d> {
    templates: BTreeMap<Holder<'d>, &'d Document>,
    options: &'d Options,
}

/// The answer to "which template is it?".
enum Found<'s> {
    /// This one.
    Template(&'s Template),
    /// None; the text says so in Argo's words.
    Missing(String),
    /// It depends on the run, or it is defined elsewhere.
    Unknown,
}

impl<'s> Found<'s> {
    fn template(self) -> Option<&'s Template> {
        match self {
            Found::Template(template) => Some(template),
            Found::Missing(_) | Found::Unknown => None,
        }
    }
}

impl<'d> World<'d> {
    fn new(documents: &'d [Document], options: &'d Options) -> Self {
        let stored = documents.iter().filter_map(|document| {
            let name = document.object.name();
            match document.object {
                AnyObject::WorkflowTemplate(_) => Some((Holder { cluster: false, name }, document)),
                AnyObject::ClusterWorkflowTemplate(_) => Some((Holder { cluster: true, name }, document)),
                _ => None,
            }
        });
        World { templates: stored.collect(), options }
    }

    /// The spec of a stored template.
    fn stored(&self, holder: Holder<'_>) -> Option<&'d WorkflowSpec> {
        self.templates.get(&holder).and_then(|document| document.object.workflow_spec()).map(|(spec, _)| spec)
    }

    /// The names of the stored templates of one kind.
    fn names(&self, cluster: bool) -> impl Iterator<Item = &'d str> + Clone {
        self.templates.keys().filter(move |holder| holder.cluster == cluster).map(|holder| holder.name)
    }

    fn referenced(&self, reference: &TemplateRef) -> Found<'d> {
        let TemplateRef { name, template, .. } = reference;
        if name.contains("{{") || template.contains("{{") {
            return Found::Unknown;
        }
        let stored = self.stored(reference.holder());
        let found = stored.and_then(|spec| spec.templates.iter().find(|t| t.name == *template));
        match found {
            Some(template) => Found::Template(template),
            None if stored.is_none() && self.options.stored_elsewhere => Found::Unknown,
            None => Found::Missing(format!("template reference {name}.{template} not found")),
        }
    }
}

/// One document while it is checked.
struct Subject<'d> {
    world: &'d World<'d>,
    document: &'d Document,
    findings: RefCell<Vec<Diagnostic>>,
}

impl<'d> Subject<'d> {
    fn new(world: &'d World<'d>, document: &'d Document) -> Self {
        Subject { world, document, findings: RefCell::default() }
    }

    fn check(self) -> Vec<Diagnostic> {
        object::check(&self);
        support::check(&self);
        match &self.document.object {
            AnyObject::CronWorkflow(cron) => schedule::check(&self, &cron.spec),
            AnyObject::Trigger(trigger) => trigger::check(&self, &trigger.spec),
            _ => {}
        }
        if let Some((spec, path)) = self.document.object.workflow_spec() {
            SpecCheck::new(&self, spec, path).check();
        }
        self.findings.into_inner()
    }

    fn report(&self, code: Code, path: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.report_at(code, self.document.node.at(path), path, message, remedy);
    }

    fn report_at(
        &self,
        code: Code,
        at: Position,
        path: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let finding = Diagnostic::new(code, &self.document.file, at, path, message).remedy(remedy);
        self.findings.borrow_mut().push(finding);
    }

    /// As `report`, less severe than the code is by itself.
    fn warn(&self, code: Code, path: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.report(code, path, message, remedy);
        if let Some(last) = self.findings.borrow_mut().last_mut() {
            last.severity = Severity::Warning;
        }
    }

    /// The place of a byte of the text at `path`: exact in a block scalar, its field elsewhere.
    fn place_in_text(&self, path: &str, text: &str, offset: usize) -> Position {
        let Some(first) = self.document.node.find(path).and_then(|node| node.text_at) else {
            return self.document.node.at(path);
        };
        let before = text.get(..offset).unwrap_or_default();
        let lines = u32::try_from(before.matches('\n').count()).unwrap_or(0);
        let columns = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        Position {
            line: first.line.saturating_add(lines),
            column: first.column.saturating_add(u32::try_from(columns).unwrap_or(0)),
        }
    }

    fn node(&self, path: &str) -> Option<&'d Node> {
        self.document.node.find(path)
    }
}

/// A workflow's spec while it is checked.
struct SpecCheck<'s> {
    subject: &'s Subject<'s>,
    spec: &'s WorkflowSpec,
    /// Where the spec stands in its document.
    path: &'static str,
    /// The spec over the stored template that it references.
    merged: WorkflowSpec,
    /// Whether the spec is a library that others call, whose arguments may come from them.
    at_rest: bool,
}

impl<'s> SpecCheck<'s> {
    fn new(subject: &'s Subject<'s>, spec: &'s WorkflowSpec, path: &'static str) -> Self {
        let stored = spec
            .workflow_template_ref
            .as_ref()
            .and_then(|reference| subject.world.stored(reference.holder()));
        let mut merged = match stored {
            Some(stored) => effective_spec(spec, stored),
            None => spec.clone(),
        };
        let mut at_rest = false;
        match &subject.document.object {
            AnyObject::WorkflowTemplate(_) | AnyObject::ClusterWorkflowTemplate(_) => at_rest = true,
            AnyObject::Trigger(trigger) => {
                let arguments =
                    WorkflowSpec { arguments: trigger.spec.arguments.clone(), ..WorkflowSpec::default() };
                merged = effective_spec(&arguments, &merged);
            }
            AnyObject::Workflow(_) | AnyObject::CronWorkflow(_) => {}
        }
        SpecCheck { subject, spec, path, merged, at_rest }
    }

    fn check(&self) {
        object::check_spec(self);
        if let Some(block) = &self.spec.synchronization {
            locks::check(self, block, &format!("{}.synchronization", self.path));
        }
        for (index, template) in self.spec.templates.iter().enumerate() {
            let path = format!("{}.templates[{index}]", self.path);
            template::check(self, template, &path);
        }
        stored::check(self);
        lint::check_unused(self);
        recursion::check(self);
    }

    fn report(&self, code: Code, path: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.subject.report(code, path, message, remedy);
    }

    /// A template of this spec by name.
    fn local(&self, name: &str) -> Found<'_> {
        if name.contains("{{") {
            return Found::Unknown;
        }
        match self.merged.templates.iter().find(|template| template.name == name) {
            Some(template) => Found::Template(template),
            None if self.references_elsewhere() => Found::Unknown,
            None => Found::Missing(format!("template name '{name}' undefined")),
        }
    }

    /// Whether the spec takes its templates from an object that is not among the documents.
    fn references_elsewhere(&self) -> bool {
        let reference = self.spec.workflow_template_ref.as_ref();
        reference.is_some_and(|reference| self.subject.world.stored(reference.holder()).is_none())
    }

    /// The template that a call or a hook names.
    fn named(&self, template: &str, reference: Option<&TemplateRef>) -> Found<'_> {
        match reference {
            Some(reference) => self.subject.world.referenced(reference),
            None => self.local(template),
        }
    }

    /// The template that a step or task calls.
    fn callee<'c>(&'c self, call: &'c Step) -> Found<'c> {
        match &call.inline {
            Some(inline) => Found::Template(inline),
            None => self.named(&call.template, call.template_ref.as_ref()),
        }
    }
}

/// `name (did you mean x?)`, or nothing.
fn did_you_mean<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
    otherwise: impl Display,
) -> String {
    match crate::decode::nearest::nearest(name, candidates) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => otherwise.to_string(),
    }
}
