//! Stored definitions: WorkflowTemplates, CronWorkflows and Triggers of a namespace, and the ClusterWorkflowTemplates
//! of all, as the text a person wrote.

use std::collections::BTreeMap;

use dropforge_manifest::parse::{AnyObject, Document, parse};
use dropforge_manifest::types::{CronWorkflow, Trigger};

use crate::births::Library;
use crate::store::{Documents, ErrorKind, StoreError, Swap};
use crate::{crons, triggers};

pub mod folder;

/// The definitions of one namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// Specs of WorkflowTemplates and ClusterWorkflowTemplates.
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
                self.templates.add(false, &name, &template.metadata, template.spec);
            }
            AnyObject::ClusterWorkflowTemplate(template) => {
                self.templates.add(true, &name, &template.metadata, template.spec);
            }
            AnyObject::CronWorkflow(cron) => {
                self.crons.insert(name, *cron);
            }
            AnyObject::Trigger(trigger) => {
                self.triggers.insert(name, *trigger);
            }
            AnyObject::Workflow(_) => {}
        }
    }

    /// Adds another set; where both have a name, the other's wins.
    pub fn extend(&mut self, other: Definitions) {
        self.templates.extend(other.templates);
        self.crons.extend(other.crons);
        self.triggers.extend(other.triggers);
    }
}

/// The key of a stored definition. A ClusterWorkflowTemplate is in no namespace.
pub fn key(namespace: &str, kind: &str, name: &str) -> String {
    let kind = kind.to_lowercase();
    let place = if kind == CLUSTER_KIND { CLUSTER.to_owned() } else { prefix(namespace) };
    format!("{place}{kind}/{name}.yaml")
}

/// The kind and the name in a key of `namespace` or of what all namespaces share.
pub fn of_key<'k>(namespace: &str, key: &'k str) -> Option<(&'k str, &'k str)> {
    let own = key.strip_prefix(prefix(namespace).as_str()).or_else(|| key.strip_prefix(CLUSTER))?;
    own.strip_suffix(".yaml")?.split_once('/')
}

const CLUSTER_KIND: &str = "clusterworkflowtemplate";

/// No namespace's definitions lie here: their keys begin otherwise.
const CLUSTER: &str = "cluster-definitions/";

fn prefix(namespace: &str) -> String {
    format!("definitions/{namespace}/")
}

/// The keys of all definitions that a namespace has or shares.
///
/// # Errors
/// When they can't be listed.
pub async fn keys<S: Documents>(store: &S, namespace: &str) -> Result<Vec<String>, StoreError> {
    let mut keys = store.keys(CLUSTER).await?;
    keys.extend(store.keys(&prefix(namespace)).await?);
    Ok(keys)
}

/// Whether an object is one that is stored by name.
pub fn is_definition(object: &AnyObject) -> bool {
    !matches!(object, AnyObject::Workflow(_))
}

/// All definitions that a namespace has or shares. One that this version can't read is left out and named in the second value.
///
/// # Errors
/// When they can't be listed or read.
pub async fn load<S: Documents>(
    store: &S,
    namespace: &str,
) -> Result<(Definitions, Vec<String>), StoreError> {
    let mut definitions = Definitions::default();
    let mut unreadable = Vec::new();
    for key in keys(store, namespace).await? {
        let Some(stored) = store.get(&key).await? else { continue };
        let parsed = parse(&key, &String::from_utf8_lossy(&stored.body));
        unreadable.extend(parsed.diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string));
        for document in parsed.documents {
            definitions.add(document.object);
        }
    }
    Ok((definitions, unreadable))
}

/// The Triggers of a namespace, and why others of them can't be read: what those would take is not known.
///
/// # Errors
/// When they can't be listed or read.
pub async fn triggers<S: Documents>(
    store: &S,
    namespace: &str,
) -> Result<(Vec<Trigger>, Vec<StoreError>), StoreError> {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for key in store.keys(&format!("{}trigger/", prefix(namespace))).await? {
        let Some(name) = of_key(namespace, &key).map(|(_, name)| name) else { continue };
        match trigger(store, namespace, name).await {
            Ok(trigger) => found.extend(trigger),
            Err(why) if why.kind() == ErrorKind::Corrupt => unreadable.push(why),
            Err(why) => return Err(why),
        }
    }
    Ok((found, unreadable))
}

/// A Trigger, if it is there.
///
/// # Errors
/// When it can't be asked, or is there and can't be read.
pub async fn trigger<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
) -> Result<Option<Trigger>, StoreError> {
    let of = |object| match object {
        AnyObject::Trigger(trigger) => Some(*trigger),
        _ => None,
    };
    stored(store, &key(namespace, "Trigger", name), name, of).await
}

/// A CronWorkflow, if it is there.
///
/// # Errors
/// When it can't be asked, or is there and can't be read.
pub async fn cron<S: Documents>(
    store: &S,
    namespace: &str,
    name: &str,
) -> Result<Option<CronWorkflow>, StoreError> {
    let of = |object| match object {
        AnyObject::CronWorkflow(cron) => Some(*cron),
        _ => None,
    };
    stored(store, &key(namespace, "CronWorkflow", name), name, of).await
}

/// The definition under a key. One that this version can't read whole (somebody put it there, or a newer version) is not
/// taken for one that is gone, nor for what is left of it: `Damaged`.
async fn stored<S: Documents, T>(
    store: &S,
    key: &str,
    name: &str,
    of: impl Fn(AnyObject) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let Some(stored) = store.get(key).await? else { return Ok(None) };
    let parsed = parse(key, &String::from_utf8_lossy(&stored.body));
    let wrong = parsed.diagnostics.iter().find(|found| found.is_error()).map(ToString::to_string);
    let mut documents = parsed.documents.into_iter().map(|document| document.object);
    let object = documents.find(|object| object.name() == name).and_then(of);
    match (wrong, object) {
        (None, Some(object)) => Ok(Some(object)),
        (wrong, _) => Err(StoreError::Damaged {
            key: key.to_owned(),
            offset: 0,
            why: wrong.unwrap_or_else(|| "it holds no such object of this name".to_owned()),
        }),
    }
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

/// A stored definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its key.
    pub key: String,
    /// The text a person wrote.
    pub text: String,
    /// What it says.
    pub object: AnyObject,
}

/// The stored definitions of one kind that can be read, by name.
///
/// # Errors
/// When they can't be listed or read.
pub async fn of_kind<S: Documents>(
    store: &S,
    namespace: &str,
    kind: &str,
) -> Result<BTreeMap<String, Stored>, StoreError> {
    let mut found = BTreeMap::new();
    let is_of_kind = |key: &String| of_key(namespace, key).is_some_and(|(own, _)| own == kind.to_lowercase());
    for key in keys(store, namespace).await?.into_iter().filter(is_of_kind) {
        let Some(stored) = store.get(&key).await? else { continue };
        let text = String::from_utf8_lossy(&stored.body).into_owned();
        for document in parse(&key, &text).documents {
            let stored = Stored { key: key.clone(), text: text.clone(), object: document.object };
            found.insert(stored.object.name().to_owned(), stored);
        }
    }
    Ok(found)
}

/// Takes a definition away: nothing fires for it any more, and its runs go on.
///
/// # Errors
/// When it can't be removed.
pub async fn take_away<S: Documents>(
    store: &S,
    namespace: &str,
    kind: &str,
    name: &str,
) -> Result<(), StoreError> {
    remove(store, namespace, kind, name).await?;
    match kind.to_lowercase().as_str() {
        "trigger" => triggers::keep::forget(store, namespace, name).await,
        "cronworkflow" => crons::keep::forget(store, namespace, name).await,
        _ => Ok(()),
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
