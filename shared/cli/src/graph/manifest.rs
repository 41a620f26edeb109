//! The graph of a manifest: what its entrypoint calls, and so on.

use dropforge_engine::spec::RunSpec;
use dropforge_manifest::expr::depends;
use dropforge_manifest::types::{Step, Template, TemplateRef};

use super::Graph;

/// Boxes of a graph that a person can still look at; calls beyond are not opened.
const BOXES_MAX: usize = 1000;

/// The graph of what a run would do.
pub fn of_spec(spec: &RunSpec) -> Graph {
    let mut drawing = Drawing { spec, graph: Graph::default(), open: Vec::new() };
    let entrypoint = spec.spec.entrypoint.as_deref().unwrap_or_default();
    // A generated name is drawn for each run.
    let generated = spec.metadata.generate_name.as_deref().map(|prefix| prefix.trim_end_matches('-'));
    let main = drawing.template(generated.unwrap_or(spec.name()), entrypoint, None, None);
    if let Some(handler) = spec.spec.on_exit.as_deref() {
        let exit = drawing.template("onExit", handler, None, None);
        drawing.graph.arrow(main, exit, "exit");
    }
    drawing.graph
}

struct Drawing<'s> {
    spec: &'s RunSpec,
    graph: Graph,
    /// The templates around, by their scope and name: one of them called again is recursion.
    open: Vec<(String, String)>,
}

impl<'s> Drawing<'s> {
    /// Draws a call of a template; gives its box.
    fn template(
        &mut self,
        label: &str,
        name: &str,
        reference: Option<&TemplateRef>,
        within: Option<usize>,
    ) -> usize {
        let label =
            if label == name || name.is_empty() { label.to_owned() } else { format!("{label}\n{name}") };
        let own = self.graph.add(label, within);
        let scope = match (reference, self.open.last()) {
            (Some(reference), _) => reference.holder().scope(),
            (None, Some((scope, _))) => scope.clone(),
            (None, None) => String::new(),
        };
        let key = (scope, reference.map_or(name, |reference| &reference.template).to_owned());
        if self.open.contains(&key) {
            self.graph.boxes[own].label.push_str("\n(again)");
            return own;
        }
        if let Some(template) = self.find(&key) {
            self.open.push(key);
            self.body(template, own);
            self.open.pop();
        }
        own
    }

    fn find(&self, (scope, name): &(String, String)) -> Option<&'s Template> {
        let templates = match scope.as_str() {
            "" => &self.spec.spec.templates,
            stored => &self.spec.library.get(stored)?.templates,
        };
        templates.iter().find(|template| template.name == *name)
    }

    fn body(&mut self, template: &'s Template, own: usize) {
        if self.graph.boxes.len() >= BOXES_MAX {
            return;
        }
        if let Some(groups) = &template.steps {
            self.graph.boxes[own].group = true;
            let mut before: Vec<usize> = Vec::new();
            for group in groups {
                let these: Vec<usize> = group.iter().map(|step| self.call(step, own)).collect();
                for (from, to) in before.iter().flat_map(|from| these.iter().map(move |to| (*from, *to))) {
                    self.graph.arrow(from, to, "");
                }
                before = these;
            }
        }
        if let Some(dag) = &template.dag {
            self.graph.boxes[own].group = true;
            let boxes: Vec<usize> = dag.tasks.iter().map(|task| self.call(task, own)).collect();
            for (task, to) in dag.tasks.iter().zip(&boxes) {
                for (name, label) in awaited(task) {
                    if let Some(from) = dag.tasks.iter().position(|other| other.name == name) {
                        self.graph.arrow(boxes[from], *to, &label);
                    }
                }
            }
        }
    }

    fn call(&mut self, step: &'s Step, within: usize) -> usize {
        let name = step
            .template_ref
            .as_ref()
            .map_or(step.template.clone(), |r| format!("{}/{}", r.name, r.template));
        let own = match &step.inline {
            Some(template) => {
                let own = self.graph.add(step.name.clone(), Some(within));
                self.body(template, own);
                own
            }
            None => self.template(&step.name, &name, step.template_ref.as_ref(), Some(within)),
        };
        let label = &mut self.graph.boxes[own].label;
        if step.is_loop() {
            label.push_str(&format!("\n{}", times(step)));
        }
        if let Some(when) = &step.when {
            label.push_str(&format!("\nwhen {when}"));
        }
        own
    }
}

fn times(step: &Step) -> String {
    match step.with_items.len() {
        0 => "for each".to_owned(),
        n => format!("× {n}"),
    }
}

/// The tasks that one waits for, with the result it waits for where that is not simply their success.
fn awaited(task: &Step) -> Vec<(String, String)> {
    let plain = task.dependencies.iter().map(|name| (name.clone(), String::new()));
    let Some(text) = &task.depends else { return plain.collect() };
    let mut found: Vec<(String, String)> = Vec::new();
    // A condition that can't be read is the check's business.
    if let Ok(condition) = depends::parse(text, &|_| depends::ContinueOn::default()) {
        for name in condition.tasks().into_keys() {
            let label = if text.contains(&format!("{name}.")) { text.clone() } else { String::new() };
            found.push((name.to_owned(), label));
        }
    }
    found
}
