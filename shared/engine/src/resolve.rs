//! Turning what the manifest says at a place into values: arguments, loops, inputs, outputs, leaf templates.
//! Everything here is a pure function of the state; the order of substitution is Argo's (rule S-7).

mod artifacts;
mod hooks;
mod loops;
mod pods;

use std::sync::Arc;

use artifacts::{Source, put_artifacts, take_sources};
pub use hooks::{hook_arguments, hook_expression};
#[cfg(test)]
pub use loops::ITEMS_MAX;
pub use loops::item;
use loops::{expand, loops, resolve_loosely};
pub use pods::pod_fields;

use dropforge_manifest::tags::{self, Lookup, Scope, Strictness, TagError, TagKind};
use dropforge_manifest::text::AnyString;
use dropforge_manifest::types::{
    Arguments, Artifact, Inputs, KeySelector, Outputs, Parameter, Step, Synchronization, Template, ValueFrom,
};
use dropforge_manifest::{expr, when};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::config::{ConfigFound, ConfigKey};
use crate::ids::NodeId;
use crate::program::{Call, Compiled, Program, Turn, has_tags};
use crate::record::{LoopItems, TemplateKey};
use crate::scope::{Calls, Globals, Layers, Locals, Own, Viewer, call_label};
use crate::spec::RunSpec;
use crate::state::{Node, RunState};

/// References to steps and tasks must resolve; everything else may wait for a later round.
const CALLS: Strictness = Strictness::Strict(&["steps", "tasks"]);

/// What becomes of a step or task when its turn comes.
pub enum Resolved {
    /// It does not run; why, in Argo's words.
    Skip(String),
    /// It runs once.
    Once(Ready),
    /// It runs once for each item.
    Loop(LoopItems),
}

impl Resolved {
    /// Whether nothing of it runs.
    pub fn runs_nothing(&self) -> bool {
        match self {
            Resolved::Skip(_) => true,
            Resolved::Once(_) => false,
            Resolved::Loop(items) => items.items.is_empty(),
        }
    }
}

/// A call with values.
pub struct Ready {
    /// The step, every tag replaced.
    pub step: Arc<Step>,
    /// The template that it calls.
    pub key: TemplateKey,
    /// Arguments whose value is an output that a skipped or omitted node never had.
    pub absent: Vec<String>,
}

/// A step, task or hook that can't be resolved; in Argo's words.
pub type Why = String;

/// Why a call can't be made.
#[derive(Debug)]
pub enum Uncallable {
    /// A reference or a condition that has no value.
    References(Why),
    /// What it loops over is no list.
    Items(Why),
}

impl From<Why> for Uncallable {
    fn from(why: Why) -> Self {
        Uncallable::References(why)
    }
}

fn seed(state: &RunState, node: NodeId) -> u64 {
    let uid = state.program.spec.uid.as_str().bytes();
    uid.fold(node.0.wrapping_add(0x9e37_79b9_7f4a_7c15), |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// `workflow.*` at the time of a decision.
pub fn globals(state: &RunState, now: Timestamp, node: NodeId) -> Globals<'_> {
    Globals { state, now, seed: seed(state, node) }
}

/// `node.name`, and `steps.name` or `tasks.name` of the call a node stands for.
pub fn locals(state: &RunState, id: NodeId) -> Locals {
    let mut names = vec![("node.name".to_owned(), state.name(id))];
    // What no step calls is a nameless step to Argo: the entry template, hooks, exit handlers.
    let (word, name) = call_label(state, id).unwrap_or(("steps", String::new()));
    names.push((format!("{word}.name"), name));
    Locals(names)
}

/// What a call reads of its enclosing template: globals, the template's inputs, and then the other calls.
struct Surroundings<'a> {
    globals: Globals<'a>,
    locals: Locals,
    own: Own<'a>,
    calls: Calls<'a>,
}

impl<'a> Surroundings<'a> {
    fn new(
        state: &'a RunState,
        now: Timestamp,
        owner: &'a Node,
        viewer: Viewer,
        outputs: &'a Outputs,
    ) -> Self {
        Surroundings {
            globals: globals(state, now, owner.id),
            locals: locals(state, owner.id),
            own: Own { inputs: &owner.inputs, outputs },
            calls: Calls { state, owner, viewer },
        }
    }

    /// The rounds that Argo runs over the enclosing template when it starts: globals, then inputs beside them, since what
    /// the first round put in may name a global itself.
    fn enter(&self, value: &mut Value) -> Result<(), TagError> {
        tags::replace_value(value, &Layers(vec![&self.globals, &self.locals]), Strictness::Lenient)?;
        tags::replace_value(value, &Layers(vec![&self.globals, &self.locals, &self.own]), Strictness::Lenient)
    }

    /// As [`Self::enter`], of one text.
    fn text(&self, text: &str) -> Result<String, TagError> {
        let mut value = Value::String(text.to_owned());
        self.enter(&mut value)?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// What a call reads when its turn comes.
    fn turn(&self) -> Layers<'_> {
        Layers(vec![&self.globals, &self.calls, &self.own])
    }
}

/// Resolves a step or task of `owner`, whose turn has come.
///
/// # Errors
/// In Argo's words: a reference that can't be resolved, a bad `when`, a list that is none.
pub fn call(
    state: &RunState,
    now: Timestamp,
    owner: &Node,
    viewer: Viewer,
    call: &Call,
) -> Result<Resolved, Uncallable> {
    let json = match &call.turn {
        Turn::Fixed(step) => {
            let (step, key) = (step.clone(), call.callee.clone());
            return Ok(Resolved::Once(Ready { step, key, absent: Vec::new() }));
        }
        Turn::Resolved(json) => json,
    };
    let nothing = Outputs::default();
    let around = Surroundings::new(state, now, owner, viewer, &nothing);
    let mut json = json.clone();
    let sources = take_sources(&mut json);
    around.enter(&mut json).map_err(|e| e.to_string())?;
    let scope = around.turn();
    let condition = resolve_when(&mut json, &scope, call.looped).map_err(|e| e.to_string())?;
    let skip = match condition.as_deref().map(when::evaluate) {
        None => false,
        Some(Ok(runs)) => !runs,
        // It may hold what only an item knows.
        Some(Err(_)) if call.looped => false,
        Some(Err(why)) => return Err(why.to_string().into()),
    };
    // What does not run needs no values: a loop's list that names an output stays text, and so is none.
    if skip && call.looped && loops(&json) {
        resolve_loosely(&mut json, &scope)?;
        return expand(json, None).map(Resolved::Loop).map_err(Uncallable::Items);
    }
    if skip {
        return Ok(Resolved::Skip(skipped(&condition.unwrap_or_default())));
    }
    let inline = take_inline(&mut json, &scope)?;
    let absent = resolve_rest(&mut json, &scope)?;
    put_artifacts(&mut json, &sources, &scope)?;
    put_inline(&mut json, inline);
    if call.looped && loops(&json) {
        return expand(json, Some(&scope)).map(Resolved::Loop).map_err(Uncallable::Items);
    }
    let step: Step = serde_json::from_value(json).map_err(|e| e.to_string())?;
    let caller = owner.template.as_ref();
    let key = caller.map_or_else(|| call.callee.clone(), |caller| Program::callee(caller, &step));
    Ok(Resolved::Once(Ready { step: Arc::new(step), key, absent }))
}

/// An inline template with the tags replaced that its call knows; its own inputs and calls come when it starts.
fn take_inline(json: &mut Value, scope: &dyn Scope) -> Result<Option<Value>, Why> {
    let Some(mut inline) = json.as_object_mut().and_then(|call| call.remove("inline")) else {
        return Ok(None);
    };
    tags::replace_value(&mut inline, scope, Strictness::Lenient).map_err(|e| explained(&e))?;
    Ok(Some(inline))
}

fn put_inline(json: &mut Value, inline: Option<Value>) {
    if let (Some(inline), Some(call)) = (inline, json.as_object_mut()) {
        call.insert("inline".to_owned(), inline);
    }
}

fn skipped(condition: &str) -> String {
    format!("when '{condition}' evaluated false")
}

/// `when` with its tags replaced; a loop's may still hold `{{item}}`.
fn resolve_when(json: &mut Value, scope: &dyn Scope, looped: bool) -> Result<Option<String>, TagError> {
    let Some(text) = json.get("when").and_then(Value::as_str).filter(|w| !w.is_empty()) else {
        return Ok(None);
    };
    let strictness = if looped { Strictness::Lenient } else { CALLS };
    let text = tags::replace(text, scope, strictness)?;
    json["when"] = Value::String(text.clone());
    Ok(Some(text))
}

/// Replaces the tags of everything but `when`; gives the names of absent arguments.
fn resolve_rest(json: &mut Value, scope: &dyn Scope) -> Result<Vec<String>, Why> {
    let condition = json.as_object_mut().and_then(|o| o.remove("when"));
    let absent = take_absent(json, scope);
    tags::replace_value(json, scope, CALLS).map_err(|e| explained(&e))?;
    if let (Some(condition), Some(object)) = (condition, json.as_object_mut()) {
        object.insert("when".to_owned(), condition);
    }
    Ok(absent)
}

/// Removes the parameters that are exactly one tag naming an output that will never exist; gives their names (Argo's rule
///
fn take_absent(json: &mut Value, scope: &dyn Scope) -> Vec<String> {
    let mut absent = Vec::new();
    if let Some(parameters) = json.pointer_mut("/arguments/parameters").and_then(Value::as_array_mut) {
        parameters.retain(|p| {
            let gone = p.get("value").and_then(Value::as_str).is_some_and(|v| is_absent(v, scope));
            if gone {
                absent.push(p.get("name").and_then(Value::as_str).unwrap_or_default().to_owned());
            }
            !gone
        });
    }
    absent
}

/// Argo would wait for ever for a variable that never comes; here it is an error that says what to do.
fn explained(error: &TagError) -> Why {
    match error.missing() {
        Some(name) => format!(
            "{error}: no step or task that has ended before gives it; give the consumer's input a default, or use an \
             expression such as {{{{={name} ?? 'default'}}}}"
        ),
        None => error.to_string(),
    }
}

fn is_absent(value: &str, scope: &dyn Scope) -> bool {
    let Ok(found) = tags::scan(value) else { return false };
    match found.as_slice() {
        [tag] if tag.range == (0..value.len()) && tag.kind == TagKind::Simple => {
            // One that has no value for a reason of its own is an error, never the input's default.
            matches!(scope.get(&tag.content), Lookup::Absent { why } if why.is_empty())
        }
        _ => false,
    }
}

/// The inputs of a call: the template's defaults, then the caller's arguments (Argo's rules I-1, I-2, I-4).
///
/// # Errors
/// In Argo's words: an input that was not supplied.
pub fn inputs(
    template: &Template,
    arguments: &Arguments,
    absent: &[String],
    config: &Config<'_>,
) -> Result<Inputs, Why> {
    let parameters = template
        .inputs
        .parameters
        .iter()
        .map(|declared| input_parameter(declared, arguments, absent, config))
        .collect::<Result<_, _>>()?;
    let mut artifacts = Vec::new();
    for declared in &template.inputs.artifacts {
        artifacts.push(input_artifact(declared, arguments)?);
    }
    Ok(Inputs { parameters, artifacts })
}

/// Gives the value of a config map, which is known by then.
type Config<'a> = dyn Fn(&KeySelector) -> Result<(ConfigKey, ConfigFound), Why> + 'a;

/// Where an input's value comes from: the caller's argument, or else what the template declares. What reads a config
/// map counts more than a value beside it.
fn input_source<'a>(
    declared: &'a Parameter,
    arguments: &'a Arguments,
) -> (Option<AnyString>, Option<&'a ValueFrom>) {
    match arguments.parameters.iter().find(|a| a.name == declared.name) {
        Some(Parameter { value: Some(value), .. }) => (Some(value.clone()), None),
        Some(given) => (None, given.value_from.as_ref()),
        None => (declared.value.clone().or_else(|| declared.default.clone()), declared.value_from.as_ref()),
    }
}

/// The values of config maps that a call of this template needs.
pub fn config_references<'a>(template: &'a Template, arguments: &'a Arguments) -> Vec<&'a KeySelector> {
    let sources = template.inputs.parameters.iter().map(|declared| input_source(declared, arguments).1);
    sources.flatten().filter_map(|from| from.config_map_key_ref.as_ref()).collect()
}

/// The value of a config map that a reference names; its name and key may hold globals. Clock and chance stand still for
/// them, so that what is asked for is what is looked up when the answer has come.
///
/// # Errors
/// When one of them can't be resolved.
pub fn config_key(state: &RunState, reference: &KeySelector) -> Result<ConfigKey, Why> {
    let globals = globals(state, state.program.spec.created_at, NodeId(0));
    let text = |text: &str| {
        tags::replace(text, &globals, Strictness::All)
            .map_err(|e| format!("failed to substitute configMapKeyRef: {e}"))
    };
    let named =
        KeySelector { name: text(&reference.name)?, key: text(&reference.key)?, ..KeySelector::default() };
    Ok(plain_config_key(&state.program.spec, &named))
}

/// The value of a config map that a reference without tags names.
pub fn plain_config_key(spec: &RunSpec, reference: &KeySelector) -> ConfigKey {
    ConfigKey {
        namespace: spec.namespace().to_owned(),
        name: reference.name.clone(),
        key: reference.key.clone(),
    }
}

/// What was found in a config map that was asked for before.
///
/// # Errors
/// When its name can't be resolved.
pub fn config(state: &RunState, reference: &KeySelector) -> Result<(ConfigKey, ConfigFound), Why> {
    let key = config_key(state, reference)?;
    let found = state.config.get(&key).map(|found| (**found).clone());
    let found = found.unwrap_or(ConfigFound::NoMap { expected: String::new() });
    Ok((key, found))
}

fn configured(
    name: &str,
    from: &ValueFrom,
    (key, found): (ConfigKey, ConfigFound),
) -> Result<AnyString, Why> {
    match (found.value(&key), &from.default) {
        (Ok(value), _) => Ok(value.into()),
        (Err(_), Some(default)) if found.is_missing() => Ok(default.clone()),
        (Err(why), _) => Err(format!("unable to retrieve inputs.parameters.{name} from ConfigMap: {why}")),
    }
}

fn input_parameter(
    declared: &Parameter,
    arguments: &Arguments,
    absent: &[String],
    config: &Config<'_>,
) -> Result<Parameter, Why> {
    let name = &declared.name;
    let (value, from) = input_source(declared, arguments);
    let value = match from.and_then(|from| Some((from, from.config_map_key_ref.as_ref()?))) {
        Some((from, reference)) => Some(configured(name, from, config(reference)?)?),
        None => value,
    };
    let Some(value) = value else {
        return Err(if absent.contains(name) {
            format!(
                "inputs.parameters.{name}: argument references an absent optional (skipped/omitted node output with \
                 no default)"
            )
        } else {
            format!("inputs.parameters.{name} was not supplied")
        });
    };
    if value.0.len() > PARAMETER_BYTES_MAX {
        let bytes = value.0.len();
        return Err(format!(
            "inputs.parameters.{name} has {bytes} bytes, more than {PARAMETER_BYTES_MAX}: pass it as an artifact"
        ));
    }
    Ok(Parameter { value: Some(value), value_from: None, ..declared.clone() })
}

/// The longest value of an input parameter. Argo's whole run has to fit into 1.5 MB of etcd; here every attempt keeps
/// its inputs.
pub const PARAMETER_BYTES_MAX: usize = 1024 * 1024;

fn input_artifact(declared: &Artifact, arguments: &Arguments) -> Result<Artifact, Why> {
    let name = &declared.name;
    let given = arguments.artifacts.iter().find(|a| a.name == *name);
    let artifact = match given {
        Some(given) if !given.has_location() && !declared.has_location() && !declared.optional => {
            return Err(format!("inputs.artifacts.{name} missing location information"));
        }
        Some(given) => Artifact {
            path: declared.path.clone(),
            mode: declared.mode,
            recurse_mode: declared.recurse_mode,
            optional: declared.optional || given.optional,
            from: None,
            ..given.clone()
        },
        None if declared.has_location() || declared.optional => declared.clone(),
        None => return Err(format!("inputs.artifacts.{name} was not supplied")),
    };
    Ok(artifact)
}

/// The template with every tag replaced: globals and locals first, then inputs, then what only an attempt knows. Each
/// later round knows what those before it did: a value that was put in may hold tags itself.
///
/// # Errors
/// When the replaced text is no template any more.
pub fn template(
    state: &RunState,
    now: Timestamp,
    node: NodeId,
    compiled: &Compiled,
    inputs: &Inputs,
    locals: &Locals,
    attempt: &Locals,
) -> Result<Arc<Template>, Why> {
    if let Some(template) = fixed_template(compiled, inputs) {
        return Ok(template);
    }
    let mut body = compiled.body.clone();
    if let Some(object) = body.as_object_mut() {
        object.insert("inputs".to_owned(), json!(inputs));
    }
    let globals = globals(state, now, node);
    let failed = |e: TagError| e.to_string();
    tags::replace_value(&mut body, &Layers(vec![&globals, locals]), Strictness::Lenient).map_err(failed)?;
    let inputs: Inputs = serde_json::from_value(body["inputs"].clone()).map_err(|e| e.to_string())?;
    let own = Own { inputs: &inputs, outputs: &compiled.template.outputs };
    let entered = Layers(vec![&globals, locals, &own]);
    tags::replace_value(&mut body, &entered, Strictness::Lenient).map_err(failed)?;
    let tried = Layers(vec![&globals, locals, &own, attempt]);
    tags::replace_value(&mut body, &tried, Strictness::Lenient).map_err(failed)?;
    serde_json::from_value(body)
        .map(Arc::new)
        .map_err(|e| format!("template {} after its tags were replaced: {e}", compiled.key.name))
}

/// The template of an attempt of Steps or a DAG, whose calls may name `retries` and `lastRetry.*`; None: it doesn't.
///
/// # Errors
/// As [`template`].
pub fn tried(
    state: &RunState,
    now: Timestamp,
    near: NodeId,
    compiled: &Compiled,
    inputs: &Inputs,
    attempt: &Locals,
) -> Result<Option<Template>, Why> {
    if attempt.0.is_empty() || compiled.fixed || !mentions_attempt(&compiled.body.to_string()) {
        return Ok(None);
    }
    let replaced = template(state, now, near, compiled, inputs, &Locals::default(), attempt)?;
    Ok(Some(Template { inputs: compiled.template.inputs.clone(), ..(*replaced).clone() }))
}

fn mentions_attempt(body: &str) -> bool {
    body.contains("retries") || body.contains("lastRetry")
}

/// A template that is the same for every node without inputs.
pub fn fixed_template(compiled: &Compiled, inputs: &Inputs) -> Option<Arc<Template>> {
    (compiled.fixed && inputs.is_empty()).then(|| compiled.template.clone())
}

/// The patches of a step's pod, the workflow's first, with every tag replaced.
///
/// # Errors
/// When a tag is broken.
pub fn pod_spec_patches(
    state: &RunState,
    now: Timestamp,
    node: &Node,
    template: &Template,
    locals: &Locals,
) -> Result<Vec<String>, Why> {
    let (globals, own) =
        (globals(state, now, node.id), Own { inputs: &node.inputs, outputs: &template.outputs });
    let scope = Layers(vec![&globals, locals, &own]);
    let workflow = state.program.spec.spec.pod_spec_patch.as_deref();
    let patches =
        workflow.into_iter().chain(template.pod_spec_patch.as_deref()).filter(|text| !text.is_empty());
    patches.map(|text| tags::replace(text, &scope, Strictness::Lenient).map_err(|e| e.to_string())).collect()
}

/// A text of a template with the tags of globals and of the template's inputs replaced.
///
/// # Errors
/// When a tag is broken.
pub fn own_text(
    state: &RunState,
    now: Timestamp,
    near: NodeId,
    inputs: &Inputs,
    text: &str,
) -> Result<String, Why> {
    let nothing = Outputs::default();
    let (globals, own) = (globals(state, now, near), Own { inputs, outputs: &nothing });
    tags::replace(text, &Layers(vec![&globals, &own]), Strictness::Lenient).map_err(|e| e.to_string())
}

/// Inputs with the tags of their values replaced by globals and locals, as Argo does when a template starts.
///
/// # Errors
/// When the replaced text holds no inputs any more.
pub fn entered_inputs(
    state: &RunState,
    now: Timestamp,
    node: NodeId,
    inputs: &Inputs,
    locals: &Locals,
) -> Result<Inputs, Why> {
    if inputs.is_empty() {
        return Ok(Inputs::default());
    }
    let mut value = json!(inputs);
    if !value.to_string().contains("{{") {
        return Ok(inputs.clone());
    }
    let globals = globals(state, now, node);
    tags::replace_value(&mut value, &Layers(vec![&globals, locals]), Strictness::Lenient)
        .map_err(|e| e.to_string())?;
    serde_json::from_value(value).map_err(|e| e.to_string())
}

/// The run's own locks with globals replaced.
///
/// # Errors
/// When a tag is broken.
pub fn synchronization(
    state: &RunState,
    now: Timestamp,
    block: &Synchronization,
) -> Result<Synchronization, Why> {
    let mut value = json!(block);
    let globals = globals(state, now, NodeId(0));
    tags::replace_value(&mut value, &globals, Strictness::Lenient).map_err(|e| e.to_string())?;
    serde_json::from_value(value).map_err(|e| e.to_string())
}

/// The outputs of a Steps or DAG node that succeeded (Argo's rules O-6, O-7, A-4).
///
/// # Errors
/// In Argo's words: an output that can't be resolved and has no default.
pub fn outputs(state: &RunState, now: Timestamp, owner: &Node) -> Result<Outputs, Why> {
    let Some(compiled) = state.template_of(owner) else { return Ok(Outputs::default()) };
    let declared = &compiled.template.outputs;
    let around = Surroundings::new(state, now, owner, Viewer::Outputs, declared);
    let scope = around.turn();
    let mut given = Outputs::default();
    for parameter in &declared.parameters {
        let value = output_parameter(parameter, &around, &scope)?;
        given.parameters.push(Parameter {
            value: Some(AnyString(value)),
            value_from: None,
            ..parameter.clone()
        });
    }
    for wanted in &declared.artifacts {
        let Some(source) = Source::of(wanted) else { continue };
        let unresolved = |why: String| format!("unable to resolve outputs from scope: {why}");
        match source.artifact(wanted, &scope).map_err(unresolved)? {
            Some(found) => {
                given.artifacts.push(Artifact { global_name: wanted.global_name.clone(), ..found })
            }
            None if wanted.optional => {}
            None => return Err(unresolved(format!("Unable to resolve: {source}"))),
        }
    }
    Ok(given)
}

fn output_parameter(
    parameter: &Parameter,
    around: &Surroundings<'_>,
    scope: &Layers<'_>,
) -> Result<String, Why> {
    if let Some(value) = &parameter.value {
        return tags::replace(value.as_str(), scope, Strictness::Lenient).map_err(|e| e.to_string());
    }
    let from = parameter.value_from.clone().unwrap_or_default();
    let found = match (&from.expression, &from.parameter) {
        (Some(expression), _) => output_expression(expression, around, scope)?,
        (None, Some(tag)) => output_reference(&parameter.name, tag, around, scope)?,
        (None, None) => Err("output parameters must have a valueFrom specified".to_owned()),
    };
    match (found, from.default) {
        (Err(_), Some(default)) => around.text(&default.0).map_err(|e| e.to_string()),
        (found, _) => found,
    }
}

/// A value, or why there is none, where a default takes its place.
type Output = Result<String, Why>;

fn output_expression(expression: &str, around: &Surroundings<'_>, scope: &Layers<'_>) -> Result<Output, Why> {
    let text = around.text(expression).map_err(|e| e.to_string())?;
    let parsed = expr::parse(&text).map_err(|e| e.to_string())?;
    let nil = || format!("failed to evaluate expression {text:?}");
    match expr::evaluate_shown(&parsed, &expr::Env::of(scope)) {
        Ok(value) => Ok(value.ok_or_else(nil)),
        Err(e) if matches!(e.kind, expr::ExprErrorKind::Missing(_)) => Ok(Err(nil())),
        Err(e) => Err(format!("failed to evaluate expression: {e}")),
    }
}

/// What the one tag of `valueFrom.parameter` stands for.
fn output_reference(
    parameter: &str,
    tag: &str,
    around: &Surroundings<'_>,
    scope: &Layers<'_>,
) -> Result<Output, Why> {
    let text = around.text(tag).map_err(|e| e.to_string())?;
    let Some(name) = text.trim().strip_prefix("{{").and_then(|t| t.strip_suffix("}}")) else {
        return Ok(Ok(text));
    };
    if let Some(expression) = name.strip_prefix('=') {
        return output_expression(expression, around, scope);
    }
    Ok(match scope.get(name.trim()) {
        Lookup::Value(Value::String(value)) => Ok(value),
        Lookup::Value(value) => Ok(value.to_string()),
        Lookup::Absent { why } if !why.is_empty() => Err(why),
        Lookup::Absent { .. } => Err(format!(
            "output parameter {parameter:?}: {text:?} is an absent optional (skipped/omitted node output with no default)"
        )),
        Lookup::Unknown => Err(format!("Unable to resolve: {:?}", name.trim())),
    })
}

/// The spec's volumes with globals replaced, and what the calls above the node read, and one for each claim template; the
/// names of the run's own claims.
///
/// # Errors
/// When a tag is broken.
pub fn volumes(state: &RunState, now: Timestamp, node: NodeId) -> Result<(Vec<Value>, Vec<String>), Why> {
    let spec = &state.program.spec.spec;
    let globals = globals(state, now, node);
    let mut volumes = spec.volumes.clone();
    let calls = if volumes.iter().any(has_tags) { Calls::above(state, node) } else { Vec::new() };
    let mut scope = Layers(vec![&globals]);
    scope.0.extend(calls.iter().map(|calls| calls as &dyn Scope));
    for volume in &mut volumes {
        tags::replace_value(volume, &scope, Strictness::Lenient).map_err(|e| e.to_string())?;
    }
    let mut claims = Vec::new();
    for template in &spec.volume_claim_templates {
        let mut template = template.clone();
        tags::replace_value(&mut template, &globals, Strictness::Lenient).map_err(|e| e.to_string())?;
        let name = template.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let claim = format!("{}-{name}", state.program.spec.name());
        let mut volume = Map::new();
        volume.insert("name".to_owned(), Value::String(name.to_owned()));
        volume.insert("persistentVolumeClaim".to_owned(), json!({ "claimName": claim }));
        volumes.push(Value::Object(volume));
        claims.push(claim);
    }
    Ok((volumes, claims))
}

/// Arguments with the tags of globals replaced; an artifact may name one of the run's global outputs.
///
/// # Errors
/// When a tag is broken or an artifact is none.
pub fn global_arguments(given: &Arguments, globals: &Globals<'_>) -> Result<Arguments, Why> {
    let mut json = json!({ "arguments": given });
    let sources = take_sources(&mut json);
    tags::replace_value(&mut json, globals, Strictness::Lenient).map_err(|e| e.to_string())?;
    put_artifacts(&mut json, &sources, globals)?;
    serde_json::from_value(json["arguments"].take()).map_err(|e| e.to_string())
}
