//! The objects of all files, which know each other as if they were on a cluster.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::json::Read;
use super::refusal::Place;
use super::validation::Found;
use crate::source::Node;

/// One object.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) kind: &'static str,
    /// Its file, by number.
    pub(super) file: usize,
    /// Its number in the file, from 1.
    pub(super) number: usize,
    /// Lines of the file before it.
    pub(super) line: u32,
    pub(super) node: Node,
    pub(super) value: Value,
    /// Not so where a strict reader passes over it; others find it all the same.
    pub(super) is_read: bool,
}

impl Object {
    pub(super) fn name(&self) -> &str {
        self.value.field("metadata").text("name")
    }

    pub(super) fn namespace(&self) -> &str {
        self.value.field("metadata").text("namespace")
    }

    pub(super) fn spec_path(&self) -> &'static str {
        if self.kind == "CronWorkflow" { "spec.workflowSpec" } else { "spec" }
    }

    /// `"name" (Kind)`, as Argo names the object.
    pub(super) fn label(&self) -> String {
        let metadata = self.value.field("metadata");
        let name = match (metadata.text("name"), metadata.text("generateName")) {
            ("", "") => format!("object #{}", self.number),
            ("", generated) => generated.to_owned(),
            (name, _) => name.to_owned(),
        };
        format!("{name:?} ({})", self.kind)
    }
}

/// The objects, and the templates among them by name.
#[derive(Debug, Default)]
pub(super) struct World {
    objects: Vec<Object>,
    /// The templates of each object by name; the first one of a name counts.
    templates: Vec<HashMap<String, Arc<Found>>>,
    namespaced: BTreeMap<(String, String), usize>,
    cluster: BTreeMap<String, usize>,
}

static NULL: Value = Value::Null;

impl World {
    /// Takes an object; answers its number, or none for a template whose name is taken.
    pub(super) fn add(&mut self, object: Object) -> Option<usize> {
        let number = self.objects.len();
        let (namespace, name) = (object.namespace().to_owned(), object.name().to_owned());
        let taken = match object.kind {
            "WorkflowTemplate" => self.namespaced.insert((namespace, name), number),
            "ClusterWorkflowTemplate" => self.cluster.insert(name, number),
            _ => None,
        };
        self.objects.push(object);
        let templates = self.spec(number).list("templates").iter().enumerate().rev();
        let templates = templates.map(|(index, template)| {
            (template.text("name").to_owned(), Arc::new(self.labelled(number, index, template)))
        });
        let templates = templates.collect();
        self.templates.push(templates);
        taken.is_none().then_some(number)
    }

    pub(super) fn objects(&self) -> &[Object] {
        &self.objects
    }

    pub(super) fn object(&self, document: usize) -> &Object {
        &self.objects[document]
    }

    pub(super) fn namespaced(&self, namespace: &str, name: &str) -> Option<usize> {
        self.namespaced.get(&(namespace.to_owned(), name.to_owned())).copied()
    }

    pub(super) fn cluster(&self, name: &str) -> Option<usize> {
        self.cluster.get(name).copied()
    }

    /// The workflow's spec in an object.
    pub(super) fn spec(&self, document: usize) -> &Value {
        let object = &self.objects[document];
        let spec = object.value.field("spec");
        match object.kind {
            "CronWorkflow" => spec.field("workflowSpec"),
            "WorkflowEventBinding" | "WorkflowTaskSet" => &NULL,
            _ => spec,
        }
    }

    /// A template of an object by name, with the labels and annotations that the object has for its pods.
    pub(super) fn template(&self, document: usize, name: &str) -> Option<&Arc<Found>> {
        self.templates[document].get(name)
    }

    fn labelled(&self, document: usize, index: usize, template: &Value) -> Found {
        let spec = self.spec(document);
        let mut template = template.clone();
        for what in ["annotations", "labels"] {
            for (key, value) in spec.field("podMetadata").field(what).as_object().into_iter().flatten() {
                if !template.field("metadata").field(what).has(key) {
                    template["metadata"][what][key] = value.clone();
                }
            }
        }
        let path = format!("{}.templates[{index}]", self.objects[document].spec_path());
        Found { template, place: Place { document: Some(document), path } }
    }
}
