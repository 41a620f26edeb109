//! The validation of one object: what is known while its templates are looked at, and which template a call means.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::json::{Read, encode};
use super::kind::Kind;
use super::refusal::{Checked, Place, Refusal, refuse};
use super::replace::{self, PLACEHOLDER, Values};
use super::world::World;
use crate::codes::Code;

/// How an object is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Arguments need no values.
    pub(super) lint: bool,
    /// A template at rest: arguments may come from those who use it.
    pub(super) template: bool,
    pub(super) no_entrypoint: bool,
}

/// The object in which a template is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) scope: ScopeOf,
    /// Empty for an object that Argo makes a workflow of.
    pub(super) name: String,
    pub(super) document: usize,
}

/// Where an object is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScopeOf {
    Local,
    Namespaced,
    Cluster,
}

impl ScopeOf {
    fn word(self) -> &'static str {
        match self {
            ScopeOf::Local => "local",
            ScopeOf::Namespaced => "namespaced",
            ScopeOf::Cluster => "cluster",
        }
    }
}

/// A call, hook or entrypoint: how it names its template.
#[derive(Clone, Debug, Default)]
pub(super) struct Call<'c> {
    pub(super) name: &'c str,
    pub(super) template: &'c str,
    pub(super) reference: Option<&'c Value>,
    pub(super) inline: Option<(&'c Value, Place)>,
}

impl<'c> Call<'c> {
    pub(super) fn named(template: &'c str) -> Self {
        Call { template, ..Call::default() }
    }

    /// Of a step or task in the template at `place`, in which it has the path `path`.
    pub(super) fn of(call: &'c Value, place: &Place, path: &str) -> Self {
        let inner = || Place { document: place.document, path: format!("{}.{path}.inline", place.path) };
        Call {
            name: call.text("name"),
            template: call.text("template"),
            reference: Some(call.field("templateRef")).filter(|reference| !reference.is_null()),
            inline: Some(call.field("inline"))
                .filter(|inline| !inline.is_null())
                .map(|inline| (inline, inner())),
        }
    }
}

/// What a template is given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arguments<'a> {
    /// Whatever it asks for.
    Any,
    Given(&'a Value),
}

#[derive(Debug)]
pub(super) struct Found {
    pub(super) template: Value,
    pub(super) place: Place,
}

/// One object while it is validated.
pub(super) struct Validation<'w> {
    pub(super) world: &'w World,
    pub(super) options: Options,
    pub(super) globals: Values,
    /// The document.
    pub(super) root: usize,
    namespace: String,
    /// Whether WorkflowTemplates can be asked for: not by a ClusterWorkflowTemplate.
    namespaced: bool,
    /// Scope and name of each template that was looked at, which is done once.
    pub(super) done: BTreeSet<String>,
    /// Templates of other objects that were used, by scope, object and name; Argo finds them by their name alone too.
    stored: BTreeMap<String, Arc<Found>>,
    /// What templates were given and took, with how many placeholders that took: a thousand tasks may call one template.
    pub(super) taken: HashMap<String, u64>,
    pub(super) placeholders: u64,
    /// Templates that call each other: how many are being looked at.
    pub(super) depth: usize,
}

impl<'w> Validation<'w> {
    pub(super) fn new(
        world: &'w World,
        root: usize,
        options: Options,
        namespace: &str,
        namespaced: bool,
    ) -> Self {
        let mut validation = Validation {
            world,
            options,
            globals: Values::new(),
            root,
            namespace: namespace.to_owned(),
            namespaced,
            done: BTreeSet::new(),
            stored: BTreeMap::new(),
            taken: HashMap::new(),
            placeholders: 0,
            depth: 0,
        };
        for name in ["name", "namespace", "mainEntrypoint", "serviceAccountName", "uid"] {
            validation.set_global(&format!("workflow.{name}"));
        }
        validation
    }

    pub(super) fn placeholder(&mut self) -> String {
        self.placeholders += 1;
        format!("{PLACEHOLDER}{}", self.placeholders - 1)
    }

    /// Makes a variable known, without a value.
    pub(super) fn set_global(&mut self, name: &str) {
        let value = self.placeholder();
        self.globals.insert(name.to_owned(), value);
    }

    fn by_name(&self, base: &Base, name: &str) -> Option<&Arc<Found>> {
        let own = self.world.template(base.document, name);
        let stored = || match base.scope {
            ScopeOf::Local => self.stored.values().find(|found| found.template.text("name") == name),
            ScopeOf::Namespaced | ScopeOf::Cluster => None,
        };
        own.or_else(stored)
    }

    /// The object that a reference names.
    pub(super) fn referenced(&self, reference: &Value) -> Checked<Base> {
        let name = reference.text("name");
        let cluster = reference.is_true("clusterScope");
        if !cluster && !self.namespaced {
            let message = format!(
                "workflow template {name:?} cannot be used by a ClusterWorkflowTemplate (the lint of Argo 4.1.2 breaks off here)"
            );
            return Err(Refusal::new(Code::E104, message));
        }
        let found =
            if cluster { self.world.cluster(name) } else { self.world.namespaced(&self.namespace, name) };
        let scope = if cluster { ScopeOf::Cluster } else { ScopeOf::Namespaced };
        match found {
            Some(document) => Ok(Base { scope, name: name.to_owned(), document }),
            None if cluster => {
                Err(Refusal::new(Code::E104, format!("couldn't find cluster workflow template {name:?}")))
            }
            None => {
                let message =
                    format!("couldn't find workflow template {name:?} in namespace {:?}", self.namespace);
                Err(Refusal::new(Code::E104, message))
            }
        }
    }

    /// Under which name a template of another object is stored.
    fn storage_key(base_scope: ScopeOf, base_name: &str, call: &Call<'_>) -> Option<String> {
        match (call.reference, base_scope) {
            (Some(reference), _) => {
                let scope =
                    if reference.is_true("clusterScope") { ScopeOf::Cluster } else { ScopeOf::Namespaced };
                Some(format!("{}/{}/{}", scope.word(), reference.text("name"), reference.text("template")))
            }
            (None, ScopeOf::Local) => None,
            (None, scope) if call.inline.is_some() => {
                Some(format!("{}/{base_name}/inline/{}", scope.word(), call.name))
            }
            (None, scope) => Some(format!("{}/{base_name}/{}", scope.word(), call.template)),
        }
    }

    /// The template of a call and the object it belongs to; none where only a run knows it.
    fn find(&mut self, call: &Call<'_>, base: &Base) -> Checked<Option<(Base, Arc<Found>)>> {
        let key = Self::storage_key(base.scope, &base.name, call);
        let stored = key.as_ref().and_then(|key| self.stored.get(key)).cloned();
        let found = match stored {
            Some(found) => found,
            None => {
                let Some(found) = self.fresh(call, base)? else { return Ok(None) };
                if let Some(key) = key {
                    self.stored.insert(key, found.clone());
                }
                self.store_inlines(call, base, &found);
                found
            }
        };
        let base = match call.reference {
            Some(reference) => self.referenced(reference)?,
            None => base.clone(),
        };
        if Kind::of(&found.template).is_none() {
            let message = format!("template '{}' type is unknown", found.template.text("name"));
            return Err(Refusal::new(Code::E105, message).within(&found.place, self.root));
        }
        Ok(Some((base, found)))
    }

    fn fresh(&self, call: &Call<'_>, base: &Base) -> Checked<Option<Arc<Found>>> {
        if let Some((inline, place)) = &call.inline {
            return Ok(Some(Arc::new(Found { template: (*inline).clone(), place: place.clone() })));
        }
        if let Some(reference) = call.reference {
            let object = self.referenced(reference)?;
            let template = reference.text("template");
            return match self.world.template(object.document, template) {
                Some(found) => Ok(Some(found.clone())),
                None if template.contains(PLACEHOLDER) => Ok(None),
                None => {
                    let message =
                        format!("template reference {}.{template} not found", reference.text("name"));
                    refuse(Code::E104, message, "templateRef")
                }
            };
        }
        match self.by_name(base, call.template) {
            Some(found) => Ok(Some(found.clone())),
            None => refuse(Code::E106, "failed to get a template", ""),
        }
    }

    /// Inline templates of another object are kept by the name of their step alone; the first one counts.
    fn store_inlines(&mut self, call: &Call<'_>, base: &Base, found: &Found) {
        let (scope, name) = match call.reference {
            Some(reference) if reference.is_true("clusterScope") => {
                (ScopeOf::Cluster, reference.text("name"))
            }
            Some(reference) => (ScopeOf::Namespaced, reference.text("name")),
            None => (base.scope, base.name.as_str()),
        };
        for (inner, path) in super::calls::all(&found.template) {
            let inner = Call::of(inner, &found.place, &path);
            if let Some((inline, place)) = &inner.inline
                && let Some(key) = Self::storage_key(scope, name, &inner)
            {
                let found = || Arc::new(Found { template: (*inline).clone(), place: place.clone() });
                self.stored.entry(key).or_insert_with(found);
            }
        }
    }

    /// Looks at the template that a call names, with what it is given; answers the template.
    pub(super) fn called(
        &mut self,
        call: &Call<'_>,
        base: &Base,
        arguments: Arguments<'_>,
    ) -> Checked<Option<Arc<Found>>> {
        if let Some(reference) = call.reference {
            if !call.template.is_empty() {
                return refuse(Code::E106, "template name cannot be specified with templateRef", "");
            }
            if !reference.says("name") {
                return refuse(Code::E106, "resource name is required", "templateRef");
            }
            if !reference.says("template") {
                return refuse(Code::E106, "template name is required", "templateRef");
            }
            if replace::unresolved(&encode(reference, "TemplateRef")).is_err() {
                return Ok(None);
            }
        } else if !call.template.is_empty() && self.by_name(base, call.template).is_none() {
            return refuse(Code::E104, format!("template name '{}' undefined", call.template), "template");
        }
        let Some((base, found)) = self.find(call, base)? else { return Ok(None) };
        let Found { template, place } = &*found;
        let root = self.root;
        let policy = template.field("retryStrategy").text("retryPolicy");
        if !matches!(policy, "" | "Always" | "OnError" | "OnFailure" | "OnTransientError") {
            let refusal = Refusal::new(Code::E406, format!("{policy} is not a valid RetryPolicy"));
            return Err(refusal.at("retryStrategy.retryPolicy").within(place, root));
        }
        self.template(template, place, &base, arguments).map_err(|refusal| refusal.within(place, root))?;
        Ok(Some(found))
    }
}
