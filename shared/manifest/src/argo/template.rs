//! One template: its inputs, the values put into it, and then what it does.

use serde_json::Value;

use super::artifacts::{check_location, has_location_or_key};
use super::json::{Read, encode, read};
use super::kind::Kind;
use super::names::{self, Named};
use super::refusal::{Checked, Place, Refusal, refuse};
use super::replace::{Values, replace};
use super::scope::Scope;
use super::validation::{Arguments, Base, Validation};
use super::{metrics, resources};
use crate::codes::Code;

const TYPES: &str =
    "choose one of: container, containerSet, steps, script, resource, dag, suspend, template, template ref";

const RETRIES: [&str; 5] =
    ["retries", "lastRetry.exitCode", "lastRetry.status", "lastRetry.duration", "lastRetry.message"];

/// Templates that call templates: beyond this depth a template is left to the look at all templates of its object, so
/// that a long chain does not exhaust the stack.
const DEPTH_MAX: usize = 100;

impl Validation<'_> {
    pub(super) fn template(
        &mut self,
        template: &Value,
        place: &Place,
        base: &Base,
        arguments: Arguments<'_>,
    ) -> Checked {
        let name = template.text("name");
        let known = format!("{:?}/{}{name}", base.scope, base.name);
        let given = self.given(place, arguments);
        if let Some(placeholders) = self.taken.get(&given).filter(|_| self.done.contains(&known)) {
            self.placeholders += placeholders;
            return Ok(());
        }
        let placeholders = self.placeholders;
        let Some(kind) = Kind::of(template).filter(|_| Kind::count(template) == 1) else {
            return refuse(
                Code::E105,
                format!("templates.{name} multiple template types specified. {TYPES}"),
                "",
            );
        };
        pod_resources(template, kind)?;
        let mut scope = inputs(template, kind)?;
        if template.list("initContainers").iter().any(|container| !container.says("name")) {
            return refuse(Code::E101, "initContainers must all have container name", "initContainers");
        }
        let mut local = Vec::new();
        if kind.is_pod() {
            local.push("pod.name");
        }
        if template.has("retryStrategy") {
            local.extend(RETRIES);
        }
        local.iter().for_each(|name| scope.add(*name));
        if kind.is_leaf() {
            own_paths(template, &mut scope);
        }
        let filled = self
            .fill(template, arguments, &local)
            .map_err(|refusal| refusal.after(format!("templates.{name} ")))?;
        let kind = Kind::of(&filled).unwrap_or(Kind::Unknown);
        fields_of_kind(&filled, kind)?;
        self.taken.insert(given, self.placeholders - placeholders);
        if self.depth >= DEPTH_MAX || !self.done.insert(known) {
            return Ok(());
        }
        self.depth += 1;
        let checked = self.body(&filled, kind, place, base, scope);
        self.depth -= 1;
        checked?;
        location_and_metrics(&filled)
    }

    /// All that decides whether a template takes what it is given. What is known of the workflow only grows.
    fn given(&self, place: &Place, arguments: Arguments<'_>) -> String {
        let arguments = match arguments {
            Arguments::Any => String::new(),
            Arguments::Given(given) => given.to_string(),
        };
        format!("{:?} {} {} {arguments}", place.document, place.path, self.globals.len())
    }

    fn body(&mut self, filled: &Value, kind: Kind, place: &Place, base: &Base, mut scope: Scope) -> Checked {
        match kind {
            Kind::Steps => self.steps(filled, place, base, &mut scope)?,
            Kind::Dag => self.dag(filled, place, base, &mut scope)?,
            _ => self.leaf(filled, kind, base, &scope)?,
        }
        self.outputs(filled, kind, &scope)
    }

    /// The template with values, or placeholders, in the place of what it is given.
    fn fill(&mut self, template: &Value, arguments: Arguments<'_>, local: &[&str]) -> Checked<Value> {
        let mut filled = template.clone();
        for (index, input) in template.field("inputs").list("parameters").iter().enumerate() {
            filled["inputs"]["parameters"][index] = self.parameter(input, index, arguments)?;
        }
        for (index, input) in template.field("inputs").list("artifacts").iter().enumerate() {
            filled["inputs"]["artifacts"][index] = artifact(input, index, arguments)?;
        }
        let mut values = self.globals.clone();
        for name in local {
            let value = self.placeholder();
            values.insert((*name).to_owned(), value);
        }
        substitute(&filled, values).map_err(|message| Refusal::new(Code::E203, message))
    }

    fn parameter(&mut self, input: &Value, index: usize, arguments: Arguments<'_>) -> Checked<Value> {
        let mut filled = input.clone();
        let name = input.text("name");
        if !filled.has("value") && filled.has("default") {
            filled["value"] = filled["default"].clone();
        }
        match arguments {
            Arguments::Any => set(&mut filled, "value", "valueFrom", Value::String(self.placeholder())),
            Arguments::Given(given) => {
                let argument = given.list("parameters").iter().find(|argument| argument.text("name") == name);
                match argument {
                    Some(argument) if argument.has("value") => {
                        set(&mut filled, "value", "valueFrom", argument["value"].clone());
                    }
                    Some(argument) => {
                        set(&mut filled, "valueFrom", "value", argument.field("valueFrom").clone());
                    }
                    None => {}
                }
            }
        }
        if !filled.field("valueFrom").has("configMapKeyRef") && !filled.has("value") {
            let message = format!("inputs.parameters.{name} was not supplied");
            return refuse(Code::E302, message, format!("inputs.parameters[{index}]"));
        }
        Ok(filled)
    }
}

/// Sets one field and removes the other.
fn set(filled: &mut Value, field: &str, other: &str, value: Value) {
    let Some(fields) = filled.as_object_mut() else { return };
    fields.remove(other);
    fields.insert(field.to_owned(), value);
    fields.retain(|_, value| !value.is_null());
}

fn artifact(input: &Value, index: usize, arguments: Arguments<'_>) -> Checked<Value> {
    let name = input.text("name");
    let given = match arguments {
        Arguments::Any => Some(serde_json::json!({ "name": name })),
        Arguments::Given(given) => {
            given.list("artifacts").iter().find(|argument| argument.text("name") == name).cloned()
        }
    };
    let Some(mut filled) = given else {
        if !input.is_true("optional") && !has_location_or_key(input) {
            let message = format!("inputs.artifacts.{name} was not supplied");
            return refuse(Code::E302, message, format!("inputs.artifacts[{index}]"));
        }
        return Ok(input.clone());
    };
    for field in ["path", "mode", "recurseMode"] {
        filled[field] = input.field(field).clone();
    }
    Ok(filled)
}

/// First what the workflow knows, then the template's own inputs, whose values may hold the workflow's.
fn substitute(template: &Value, mut values: Values) -> Result<Value, String> {
    let too_deep = || "the template is nested more than 128 levels deep".to_owned();
    let text = encode(template, "Template");
    if !text.contains("{{") {
        return read(&text).ok_or_else(too_deep);
    }
    let text = replace(&text, &values)?;
    let first = read(&text).ok_or_else(too_deep)?;
    let (inputs, outputs) = (first.field("inputs"), first.field("outputs"));
    for input in inputs.list("parameters") {
        if input.has("value") {
            values
                .insert(format!("inputs.parameters.{}", input.text("name")), input.text("value").to_owned());
        }
    }
    values.insert("inputs.parameters".to_owned(), parameters_json(inputs.list("parameters")));
    for (word, artifacts) in [("inputs", inputs), ("outputs", outputs)] {
        for artifact in artifacts.list("artifacts").iter().filter(|artifact| artifact.says("path")) {
            let name = format!("{word}.artifacts.{}.path", artifact.text("name"));
            values.insert(name, artifact.text("path").to_owned());
        }
    }
    for output in outputs.list("parameters") {
        let path = output.field("valueFrom").text("path");
        if !path.is_empty() {
            values.insert(format!("outputs.parameters.{}.path", output.text("name")), path.to_owned());
        }
    }
    read(&replace(&text, &values)?).ok_or_else(too_deep)
}

fn parameters_json(parameters: &[Value]) -> String {
    let all: Vec<String> = parameters.iter().map(|parameter| encode(parameter, "Parameter")).collect();
    if all.is_empty() { "null".to_owned() } else { format!("[{}]", all.join(",")) }
}

fn pod_resources(template: &Value, kind: Kind) -> Checked {
    let label = format!("templates.{}.podResources", template.text("name"));
    if template.has("podResources") && matches!(kind, Kind::Http | Kind::Plugin) {
        let message = format!("{label} is not supported for {kind} templates");
        return refuse(Code::E107, message, "podResources");
    }
    resources::check_pod(template.field("podResources"), &label, "podResources")
}

/// The inputs are well made; answers the variables that they are.
fn inputs(template: &Value, kind: Kind) -> Checked<Scope> {
    let name = template.text("name");
    let inputs = template.field("inputs");
    for what in ["parameters", "artifacts"] {
        let (label, path) = (format!("templates.{name}.inputs.{what}"), format!("inputs.{what}"));
        names::check(inputs.list(what), Named::Value, &label, &path)?;
    }
    let mut scope = Scope::default();
    for parameter in inputs.list("parameters") {
        scope.add(format!("inputs.parameters.{}", parameter.text("name")));
        scope.add("inputs.parameters");
    }
    for (index, artifact) in inputs.list("artifacts").iter().enumerate() {
        let variable = format!("inputs.artifacts.{}", artifact.text("name"));
        let (label, path) = (format!("templates.{name}.{variable}"), format!("inputs.artifacts[{index}]"));
        if kind.is_leaf() {
            if let Err(why) = names::artifact_path(artifact) {
                return refuse(Code::E303, format!("error in {label}: {why}"), path);
            }
            scope.add(format!("{variable}.path"));
        } else if artifact.says("path") {
            let message = format!("{label}.path only valid in container/script templates");
            return refuse(Code::E303, message, format!("{path}.path"));
        }
        if artifact.says("from") {
            return refuse(Code::E303, format!("{label}.from not valid in inputs"), format!("{path}.from"));
        }
        check_location(artifact, &label, &path)?;
        scope.add(variable);
    }
    Ok(scope)
}

/// Where a leaf leaves its outputs.
fn own_paths(template: &Value, scope: &mut Scope) {
    let outputs = template.field("outputs");
    for artifact in outputs.list("artifacts").iter().filter(|artifact| artifact.says("path")) {
        scope.add(format!("outputs.artifacts.{}.path", artifact.text("name")));
    }
    for output in outputs.list("parameters").iter().filter(|output| output.field("valueFrom").says("path")) {
        scope.add(format!("outputs.parameters.{}.path", output.text("name")));
    }
}

fn fields_of_kind(template: &Value, kind: Kind) -> Checked {
    let name = template.text("name");
    if !template.list("resourceClaims").is_empty() && !kind.is_pod() {
        let message = format!(
            "templates.{name}.resourceClaims is not supported for {kind} templates, which do not create a pod"
        );
        return refuse(Code::E107, message, "resourceClaims");
    }
    if template.says("timeout") {
        if !kind.is_leaf() {
            return refuse(Code::E107, format!("{kind} template doesn't support timeout field"), "timeout");
        }
        if crate::go::atoi(template.text("timeout")).is_ok() {
            return refuse(Code::E407, format!("{name} has invalid duration format in timeout"), "timeout");
        }
    }
    if template.says("pendingTimeout") && !kind.is_leaf() {
        let message = format!("{kind} template doesn't support pendingTimeout field");
        return refuse(Code::E107, message, "pendingTimeout");
    }
    Ok(())
}

fn location_and_metrics(template: &Value) -> Checked {
    let name = template.text("name");
    check_location(
        template.field("archiveLocation"),
        &format!("templates.{name}.archiveLocation"),
        "archiveLocation",
    )?;
    metrics::check(template)
}
