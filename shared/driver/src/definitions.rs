//! Stored definitions: WorkflowTemplates, CronWorkflows and Triggers, as the text a person wrote.

use std::collections::BTreeMap;

use dropforge_manifest::parse::{AnyObject, Document, parse};
use dropforge_manifest::types::{CronWorkflow, Trigger, WorkflowSpec};

use crate::births::Library;
use crate::store::{Documents, StoreError, Swap};

/// The definitions of one namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// Specs of WorkflowTemplates, by name.
    pub templates: Library,
    /// CronWorkflows, by name.
    pub crons: BTreeMap<String, CronWorkflow>,
    /// Triggers, by name.
    pub triggers: BTreeMap<String, Trigger>,
}

impl Definitions {
    /// Adds an object; a Workflow is no definition and is left out.
    pub fn add(&mut self, object: AnyObject) {
        let name = object.name().to_owned();
        match object {
            AnyObject::WorkflowTemplate(template) => {
                let spec: WorkflowSpec = template.spec;
                self.templates.insert(name, spec);
            }
            AnyObject::CronWorkflow(cron) => {
                self.crons.insert(name, *cron);
            }
            AnyObject::Trigger(trigger) => {
                self.triggers.insert(name, *trigger);
            }
            // Refused by the check until this version supports them.
            AnyObject::ClusterWorkflowTemplate(_) | AnyObject::Workflow(_) => {}
        }
    }

    /// Adds another set; where both have a name, the other's wins.
    pub fn extend(&mut self, other: Definitions) {
        self.templates.extend(other.templates);
        self.crons.extend(other.crons);
        self.triggers.extend(other.triggers);
    }
}

/// The key of a stored definition.
pub fn key(namespace: &str, kind: &str, name: &str) -> String {
    format!("{}{}/{name}.yaml", prefix(namespace), kind.to_lowercase())
}

fn prefix(namespace: &str) -> String {
    format!("definitions/{namespace}/")
}

/// Whether an object is one that is stored by name.
pub fn is_definition(object: &AnyObject) -> bool {
    !matches!(object, AnyObject::Workflow(_))
}

/// All definitions of a namespace. One that this version can't read is left out and named in the second value.
///
/// # Errors
/// When they can't be listed or read.
pub async fn load<S: Documents>(
    store: &S,
    namespace: &str,
) -> Result<(Definitions, Vec<String>), StoreError> {
    let mut definitions = Definitions::default();
    let mut unreadable = Vec::new();
    for key in store.keys(&prefix(namespace)).await? {
        let Some(stored) = store.get(&key).await? else { continue };
        let parsed = parse(&key, &String::from_utf8_lossy(&stored.body));
        unreadable.extend(parsed.diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string));
        for document in parsed.documents {
            definitions.add(document.object);
        }
    }
    Ok((definitions, unreadable))
}

/// Stores a definition, replacing an older one of the same kind and name. Gives whether anything changed.
///
/// # Errors
/// When it can't be stored.
pub async fn put<S: Documents>(
    store: &S,
    namespace: &str,
    document: &Document,
    text: &str,
) -> Result<bool, StoreError> {
    let key = key(namespace, document.object.kind(), document.object.name());
    loop {
        let stored = store.get(&key).await?;
        if stored.as_ref().is_some_and(|s| s.body == text.as_bytes()) {
            return Ok(false);
        }
        let expected = stored.as_ref().map(|s| s.version.as_str());
        if let Swap::Stored { .. } = store.swap(&key, expected, text.as_bytes()).await? {
            return Ok(true);
        }
    }
}

/// Removes a stored definition, if it is there.
///
/// # Errors
/// When it can't be removed.
pub async fn remove<S: Documents>(
    store: &S,
    namespace: &str,
    kind: &str,
    name: &str,
) -> Result<(), StoreError> {
    let key = key(namespace, kind, name);
    while let Some(stored) = store.get(&key).await? {
        if let Swap::Stored { .. } = store.remove(&key, &stored.version).await? {
            return Ok(());
        }
    }
    Ok(())
}
