//! A workflow's spec: what holds for it as a whole, its entrypoint, and then every template.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::json::Read;
use super::names::{self, Named, is_parameter};
use super::refusal::{Checked, Refusal, refuse};
use super::validation::{Arguments, Base, Call, Options, ScopeOf, Validation};
use super::world::{Object, World};
use super::{arguments, calls, cron, resources, selector};
use crate::codes::Code;

/// Looks at one object as `argo lint` does.
pub(super) fn check(world: &World, document: usize) -> Checked {
    let object = world.object(document);
    match object.kind {
        "CronWorkflow" => {
            cron::check(&object.value)?;
            spec(world, document, Options::default())
                .map_err(|refusal| refusal.after("cannot validate Workflow: "))
        }
        "Workflow" => {
            name_length(object, "workflow")?;
            spec(world, document, Options { lint: true, ..Options::default() })
        }
        kind => {
            name_length(
                object,
                if kind == "WorkflowTemplate" { "workflow template" } else { "cluster workflow template" },
            )?;
            let no_entrypoint = !world.spec(document).says("entrypoint");
            spec(world, document, Options { lint: true, template: true, no_entrypoint })
        }
    }
}

fn name_length(object: &Object, kind: &str) -> Checked {
    let name = object.name();
    if name.len() > 63 {
        let message = format!(
            "{kind} name {name:?} must not be more than 63 characters long (currently {})",
            name.len()
        );
        return refuse(Code::E101, message, "metadata.name");
    }
    Ok(())
}

fn spec(world: &World, document: usize, options: Options) -> Checked {
    let object = world.object(document);
    let namespaced = object.kind != "ClusterWorkflowTemplate";
    let mut validation = Validation::new(world, document, options, object.namespace(), namespaced);
    // Of a template and of a schedule Argo makes a workflow that has no name.
    let name = if object.kind == "Workflow" { object.name() } else { "" };
    let base = Base { scope: ScopeOf::Local, name: name.to_owned(), document };
    Spec { spec: world.spec(document), path: object.spec_path(), base, stored: &NOTHING }
        .check(&mut validation, object)
}

static NOTHING: Value = Value::Null;

struct Spec<'w> {
    spec: &'w Value,
    path: &'static str,
    base: Base,
    /// The spec of the template that it references.
    stored: &'w Value,
}

impl<'w> Spec<'w> {
    fn check(mut self, validation: &mut Validation<'w>, object: &Object) -> Checked {
        let spec = self.spec;
        let mut referenced = None;
        let reference = spec.field("workflowTemplateRef");
        if !reference.is_null() {
            if !spec.list("templates").is_empty() {
                let message =
                    "Templates is invalid field in spec if workflow referred WorkflowTemplate reference";
                return refuse(Code::E107, message, self.at("templates"));
            }
            let base = validation
                .referenced(reference)
                .map_err(|refusal| refusal.at(self.at("workflowTemplateRef")))?;
            self.stored = validation.world.spec(base.document);
            referenced = Some(reference);
        }
        names::check(spec.list("templates"), Named::Field, "spec.templates", &self.at("templates"))?;
        self.executor_plugins()?;
        let given = self.arguments(validation)?;
        self.metadata(validation, object);
        self.called(validation, referenced, &given)?;
        self.rest()?;
        self.templates(validation, referenced)
    }

    fn at(&self, field: &str) -> String {
        format!("{}.{field}", self.path)
    }

    fn executor_plugins(&self) -> Checked {
        for (index, plugin) in self.spec.list("executorPlugins").iter().enumerate() {
            let container = plugin.field("spec").field("sidecar").field("container");
            let resources = container.field("resources");
            let why = if !plugin.field("metadata").says("name") && !plugin.says("name") {
                "executor plugin metadata name is mandatory"
            } else if container.list("ports").is_empty() {
                "at least one port is mandatory"
            } else if !resources.has("requests") {
                "resources requests are mandatory"
            } else if !resources.has("limits") {
                "resources limits are mandatory"
            } else if !container.has("securityContext") {
                "security context is mandatory"
            } else {
                continue;
            };
            let path = self.at(&format!("executorPlugins[{index}]"));
            return refuse(Code::E108, format!("spec.executorPlugins: {why}"), path);
        }
        Ok(())
    }

    /// The arguments with those of the template that the spec references; they become variables.
    fn arguments(&self, validation: &mut Validation<'_>) -> Checked<Value> {
        let merged = |what: &str| {
            let own = self.spec.field("arguments").list(what);
            let mut all = own.to_vec();
            let mut known: BTreeSet<&str> = BTreeSet::new();
            if self.stored.is_null() {
                return Value::Array(all);
            }
            all.clear();
            let both = own.iter().chain(self.stored.field("arguments").list(what));
            all.extend(both.filter(|argument| known.insert(argument.text("name"))).cloned());
            Value::Array(all)
        };
        let given = json!({ "parameters": merged("parameters"), "artifacts": merged("artifacts") });
        let options = validation.options;
        arguments::check(&given, "spec.arguments.", &self.at("arguments"), options.lint || options.template)?;
        let parameters = given.list("parameters");
        if !parameters.is_empty() {
            validation.set_global("workflow.parameters");
            validation.set_global("workflow.parameters.json");
        }
        for parameter in parameters {
            let name = format!("workflow.parameters.{}", parameter.text("name"));
            if parameter.has("value") {
                validation.globals.insert(name, parameter.text("value").to_owned());
            } else {
                validation.set_global(&name);
            }
        }
        Ok(given)
    }

    /// Labels, annotations and the priority are variables too.
    fn metadata(&self, validation: &mut Validation<'_>, object: &Object) {
        let mut set = |what: &str, keys: &[&str]| {
            keys.iter().for_each(|key| validation.set_global(&format!("workflow.{what}.{key}")));
        };
        if object.kind == "CronWorkflow" {
            set("annotations", &["workflows.argoproj.io/scheduled-time"]);
            set("labels", &["workflows.argoproj.io/cron-workflow"]);
            if object.value.field("metadata").field("labels").has(INSTANCE) {
                set("labels", &[INSTANCE]);
            }
        } else {
            let metadata = object.value.field("metadata");
            set("annotations", &metadata.keys("annotations"));
            set("labels", &metadata.keys("labels"));
        }
        for spec in [self.spec, self.stored] {
            let metadata = spec.field("workflowMetadata");
            set("annotations", &metadata.keys("annotations"));
            set("labels", &metadata.keys("labels"));
            set("labels", &metadata.keys("labelsFrom"));
        }
        for name in ["annotations", "annotations.json", "labels", "labels.json", "status"] {
            validation.set_global(&format!("workflow.{name}"));
        }
        if self.spec.has("priority") {
            validation
                .globals
                .insert("workflow.priority".to_owned(), self.spec.field("priority").to_string());
        }
    }

    /// The entrypoint with the arguments, and the exit handler.
    fn called(&self, validation: &mut Validation<'_>, referenced: Option<&Value>, given: &Value) -> Checked {
        let own_or_stored = |field: &str| match self.spec.text(field) {
            "" => self.stored.text(field),
            own => own,
        };
        let entrypoint = own_or_stored("entrypoint");
        let options = validation.options;
        if !options.no_entrypoint {
            if entrypoint.is_empty() {
                return refuse(Code::E103, "spec.entrypoint is required", self.at("entrypoint"));
            }
            let arguments = if options.template { Arguments::Any } else { Arguments::Given(given) };
            self.call(validation, referenced, entrypoint, arguments)
                .map_err(|refusal| refusal.at(self.at("entrypoint")))?;
        }
        let on_exit = own_or_stored("onExit");
        if !on_exit.is_empty() {
            validation.set_global("workflow.failures");
            let templates = self.spec.list("templates").iter().chain(self.stored.list("templates"));
            let mut artifacts = templates.flat_map(|template| template.field("outputs").list("artifacts"));
            if artifacts.any(|artifact| is_parameter(artifact.text("globalName"))) {
                validation.set_global("workflow.outputs.artifacts.*");
            }
            let arguments = Arguments::Given(self.spec.field("arguments"));
            self.call(validation, referenced, on_exit, arguments)
                .map_err(|refusal| refusal.at(self.at("onExit")))?;
        }
        calls::check_hooks(self.spec.field("hooks"), "hooks", &self.at("hooks"))
    }

    fn call(
        &self,
        validation: &mut Validation<'_>,
        referenced: Option<&Value>,
        template: &str,
        arguments: Arguments<'_>,
    ) -> Checked {
        let reference = referenced.map(|reference| {
            json!({
                "name": reference.text("name"),
                "template": template,
                "clusterScope": reference.is_true("clusterScope"),
            })
        });
        let call = match &reference {
            Some(reference) => Call { reference: Some(reference), ..Call::default() },
            None => Call::named(template),
        };
        validation.called(&call, &self.base, arguments).map(|_| ()).map_err(Refusal::of_spec)
    }

    fn rest(&self) -> Checked {
        let pod_gc = self.spec.field("podGC");
        let strategies = ["", "OnPodCompletion", "OnPodSuccess", "OnWorkflowCompletion", "OnWorkflowSuccess"];
        let strategy = pod_gc.text("strategy");
        if !strategies.contains(&strategy) {
            let message = format!("podGC.strategy unknown strategy '{strategy}'");
            return refuse(Code::E503, message, self.at("podGC.strategy"));
        }
        if let Some(why) = selector::wrong(pod_gc.field("labelSelector")) {
            let message = format!("podGC.labelSelector invalid: {why}");
            return refuse(Code::E503, message, self.at("podGC.labelSelector"));
        }
        resources::check_pod(self.spec.field("podResources"), "spec.podResources", &self.at("podResources"))
    }

    /// Every template, also those that nothing calls, given whatever it asks for.
    fn templates(&self, validation: &mut Validation<'_>, referenced: Option<&Value>) -> Checked {
        let spec = if referenced.is_some() { self.stored } else { self.spec };
        for (index, template) in spec.list("templates").iter().enumerate() {
            let name = template.text("name");
            let path = match referenced {
                Some(_) => self.at("workflowTemplateRef"),
                None => self.at(&format!("templates[{index}]")),
            };
            self.call(validation, referenced, name, Arguments::Any)
                .map_err(|refusal| refusal.after(format!("templates.{name} ")).at(path))?;
        }
        Ok(())
    }
}

const INSTANCE: &str = "workflows.argoproj.io/controller-instanceid";
