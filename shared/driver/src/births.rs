//! From a manifest to a run: names, parameters, the stored templates it needs.

use std::collections::{BTreeMap, VecDeque};

use dropforge_engine::ids::RunUid;
use dropforge_engine::program::{CompileError, Program};
use dropforge_engine::spec::{Cause, RunSpec, SPEC_FORMAT, Settings, StoredTemplates};
use dropforge_manifest::merge::effective_spec;
use dropforge_manifest::types::{Holder, Parameter, Template, TemplateRef, Workflow, WorkflowSpec};
use jiff::Timestamp;

/// The stored templates that a namespace's runs can take.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Library {
    /// Its WorkflowTemplates, by name.
    pub namespaced: BTreeMap<String, WorkflowSpec>,
    /// The ClusterWorkflowTemplates, which all namespaces share, by name.
    pub cluster: BTreeMap<String, WorkflowSpec>,
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

    /// All names.
    fn holders(&self) -> impl Iterator<Item = Holder<'_>> {
        let of = |cluster, name| Holder { cluster, name };
        let namespaced = self.namespaced.keys().map(move |name| of(false, name.as_str()));
        namespaced.chain(self.cluster.keys().map(move |name| of(true, name.as_str())))
    }
}

/// What a person or a trigger changes of the manifest.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `-p name=value`, in order; unknown names are added.
    pub parameters: Vec<(String, String)>,
    /// A fixed name instead of the manifest's.
    pub name: Option<String>,
    /// Another entrypoint.
    pub entrypoint: Option<String>,
    /// Further labels.
    pub labels: BTreeMap<String, String>,
}

/// What makes a run unique; random, so given from outside.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The run's uid.
    pub uid: RunUid,
    /// Five characters for `generateName`.
    pub suffix: String,
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
    /// It has neither a name nor a generateName.
    #[error("metadata: name or generateName is required")]
    NoName,
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
    overrides: &Overrides,
    identity: &Identity,
    cause: Cause,
    now: Timestamp,
) -> Result<RunSpec, BirthError> {
    let mut metadata = workflow.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    metadata.name = Some(name(overrides, &metadata.name, &metadata.generate_name, identity)?);
    metadata.labels.extend(overrides.labels.clone());
    let mut spec = match &workflow.spec.workflow_template_ref {
        None => workflow.spec,
        Some(reference) => {
            let holder = reference.holder();
            let template = library.get(holder).ok_or_else(|| BirthError::NoTemplate {
                kind: holder.kind(),
                name: reference.name.clone(),
                place: if holder.cluster { "the store".to_owned() } else { format!("namespace {namespace}") },
            })?;
            metadata.labels.insert(template_label(holder).to_owned(), reference.name.clone());
            effective_spec(&workflow.spec, template)
        }
    };
    if overrides.entrypoint.is_some() {
        spec.entrypoint.clone_from(&overrides.entrypoint);
    }
    set_parameters(&mut spec.arguments.parameters, &overrides.parameters)?;
    let library = reachable(&spec, library);
    let run = RunSpec {
        format: SPEC_FORMAT,
        uid: identity.uid.clone(),
        metadata,
        spec,
        library,
        created_at: now,
        cause,
        settings: Settings::default(),
        source: None,
    };
    Program::compile(run.clone())?;
    Ok(run)
}

fn name(
    overrides: &Overrides,
    fixed: &Option<String>,
    generate: &Option<String>,
    identity: &Identity,
) -> Result<String, BirthError> {
    match (&overrides.name, fixed, generate) {
        (Some(name), _, _) => Ok(name.clone()),
        (None, Some(name), _) if !name.is_empty() => Ok(name.clone()),
        (None, _, Some(prefix)) => Ok(format!("{prefix}{}", identity.suffix)),
        (None, _, None) => Err(BirthError::NoName),
    }
}

fn set_parameters(parameters: &mut Vec<Parameter>, given: &[(String, String)]) -> Result<(), BirthError> {
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
    for parameter in parameters {
        if parameter.value.is_none() {
            parameter.value = parameter.default.clone();
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
mod tests {
    use super::*;

    fn workflow(spec: &str) -> Workflow {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "wf-"},
            "spec": serde_json::from_str::<serde_json::Value>(spec).unwrap(),
        }))
        .unwrap()
    }

    fn born(spec: &str, parameters: &[(&str, &str)]) -> Result<RunSpec, BirthError> {
        let overrides = Overrides {
            parameters: parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            ..Overrides::default()
        };
        let identity = Identity { uid: "u".into(), suffix: "abcde".to_owned() };
        let cause = Cause::Person { by: "me".to_owned() };
        run_spec(workflow(spec), &Library::default(), &overrides, &identity, cause, Timestamp::UNIX_EPOCH)
    }

    const MAIN: &str = r#""entrypoint":"m","templates":[{"name":"m","container":{"image":"x"}}]"#;

    #[test]
    fn a_generated_name_and_given_parameters_reach_the_spec() {
        let spec = format!(r#"{{{MAIN},"arguments":{{"parameters":[{{"name":"a","value":"1"}}]}}}}"#);
        let run = born(&spec, &[("a", "2"), ("b", "3")]).unwrap();
        assert_eq!(run.name(), "wf-abcde");
        let values: Vec<_> =
            run.spec.arguments.parameters.iter().map(|p| p.value.clone().unwrap().0).collect();
        assert_eq!(values, ["2", "3"]);
    }

    #[test]
    fn a_parameter_without_value_or_outside_its_enum_is_named() {
        let none = format!(r#"{{{MAIN},"arguments":{{"parameters":[{{"name":"a"}}]}}}}"#);
        assert!(matches!(born(&none, &[]), Err(BirthError::NoValue { name }) if name == "a"));
        let listed = format!(r#"{{{MAIN},"arguments":{{"parameters":[{{"name":"a","enum":["x"]}}]}}}}"#);
        assert!(matches!(born(&listed, &[("a", "y")]), Err(BirthError::NotInEnum { .. })));
    }

    fn object(spec: serde_json::Value) -> WorkflowSpec {
        serde_json::from_value(spec).unwrap()
    }

    fn born_from(spec: &str, library: &Library) -> Result<RunSpec, BirthError> {
        let identity = Identity { uid: "u".into(), suffix: "abcde".to_owned() };
        let cause = Cause::Person { by: "me".to_owned() };
        run_spec(workflow(spec), library, &Overrides::default(), &identity, cause, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_run_takes_the_stored_templates_that_it_reaches_each_of_its_kind() {
        let call = |name: &str, cluster: bool| serde_json::json!({"name": "a", "templateRef": {"name": name, "template": "t", "clusterScope": cluster}});
        let steps = |call: serde_json::Value| {
            object(serde_json::json!({"entrypoint": "t", "templates": [{"name": "t", "steps": [[call]]}]}))
        };
        let leaf = || object(serde_json::json!({"templates": [{"name": "t", "container": {"image": "x"}}]}));
        let inline = serde_json::json!({"name": "i", "inline": {"steps": [[call("one", true)]]}});
        let library = Library {
            namespaced: [("one".to_owned(), leaf()), ("two".to_owned(), steps(inline))].into(),
            cluster: [("one".to_owned(), steps(call("three", true))), ("three".to_owned(), leaf())].into(),
        };
        let run = born_from(r#"{"workflowTemplateRef":{"name":"two"}}"#, &library).unwrap();
        assert_eq!(run.library.keys().collect::<Vec<_>>(), ["cluster/one", "cluster/three"]);
        assert_eq!(run.metadata.labels["workflows.argoproj.io/workflow-template"], "two");
        let run =
            born_from(r#"{"workflowTemplateRef":{"name":"one","clusterScope":true}}"#, &library).unwrap();
        assert_eq!(run.library.keys().collect::<Vec<_>>(), ["cluster/three"]);
        assert_eq!(run.metadata.labels["workflows.argoproj.io/cluster-workflow-template"], "one");
        let why = born_from(r#"{"workflowTemplateRef":{"name":"two","clusterScope":true}}"#, &library);
        let why = why.unwrap_err().to_string();
        assert!(why.contains("no ClusterWorkflowTemplate \"two\" in the store"), "{why}");
    }

    #[test]
    fn a_missing_stored_template_is_named() {
        let why = born(r#"{"workflowTemplateRef":{"name":"gone"}}"#, &[]).unwrap_err().to_string();
        assert!(why.contains("\"gone\"") && why.contains("namespace default"), "{why}");
    }
}
