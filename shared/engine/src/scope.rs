//! The variables a text can name, looked up in the state when they are read (Argo's catalogue, rules 8 and 13).

use dropforge_manifest::tags::{Lookup, Scope};
use dropforge_manifest::text::Item;
use dropforge_manifest::types::{Artifact, Inputs, Outputs, Parameter};
use dropforge_manifest::{expr, go};
use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::ids::{NodeId, argo_node_id, argo_pod_name};
use crate::phase::NodePhase;
use crate::record::{NodeKind, Role};
use crate::state::{Body, Failure, Node, Results, RunState, Tried};

/// A text value.
pub fn text(value: impl Into<String>) -> Lookup {
    Lookup::Value(Value::String(value.into()))
}

fn absent() -> Lookup {
    Lookup::Absent { why: String::new() }
}

/// Parameters as Argo lists them, in the order of its fields.
fn parameter_list(parameters: &[Parameter]) -> String {
    const FIELDS: [&str; 7] = ["name", "default", "value", "valueFrom", "globalName", "enum", "description"];
    let one = |parameter: &Parameter| {
        let all = json!(parameter);
        let field = |name: &&str| Some(format!("\"{name}\":{}", expr::marshalled(all.get(name)?)));
        format!("{{{}}}", FIELDS.iter().filter_map(field).collect::<Vec<_>>().join(","))
    };
    format!("[{}]", parameters.iter().map(one).collect::<Vec<_>>().join(","))
}

/// A nested object of the names below `prefix`; None when there are none. Where both `a.b` and `a.b.c` exist,
/// the parent's value is dropped, as in Argo.
fn nest(prefix: &str, pairs: impl Iterator<Item = (String, Value)>) -> Option<Value> {
    let mut root = Map::new();
    for (name, value) in pairs {
        let rest = if prefix.is_empty() {
            Some(name.as_str())
        } else {
            name.strip_prefix(prefix).and_then(|r| r.strip_prefix('.'))
        };
        if let Some(rest) = rest {
            put(&mut root, rest, value);
        }
    }
    (!root.is_empty()).then_some(Value::Object(root))
}

fn put(map: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            if !map.get(path).is_some_and(Value::is_object) {
                map.insert(path.to_owned(), value);
            }
        }
        Some((first, rest)) => {
            let below = map.entry(first.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            if let Value::Object(below) = below {
                put(below, rest, value);
            }
        }
    }
}

/// An entry of `workflow.failures`, its fields in Argo's order. The pod's name is the node's id with the template's name in
/// it.
fn failure(run: &str, failed: &Failure) -> String {
    let hash = failed.pod_name.strip_prefix(run).unwrap_or_default();
    let template = Some(failed.template_name.as_str()).filter(|name| !name.is_empty() && !hash.is_empty());
    let pod = argo_pod_name(run, template, hash);
    let fields = [
        ("displayName", failed.display_name.clone()),
        ("message", failed.message.clone()),
        ("templateName", failed.template_name.clone()),
        ("phase", failed.phase.to_string()),
        ("podName", pod),
        ("finishedAt", whole_seconds(failed.finished_at)),
    ];
    let field =
        |(name, value): (&str, String)| format!("\"{name}\":{}", expr::marshalled(&Value::String(value)));
    format!("{{{}}}", fields.map(field).join(","))
}

/// Several scopes; the first that knows a name answers.
pub struct Layers<'a>(pub Vec<&'a dyn Scope>);

impl Scope for Layers<'_> {
    fn get(&self, name: &str) -> Lookup {
        self.0.iter().map(|s| s.get(name)).find(|l| *l != Lookup::Unknown).unwrap_or(Lookup::Unknown)
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        let mut found: Option<Value> = None;
        for value in self.0.iter().rev().filter_map(|s| s.subtree(prefix)) {
            match (&mut found, value) {
                (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
                (_, value) => found = Some(value),
            }
        }
        found
    }

    fn now(&self) -> Timestamp {
        self.0.first().map_or(Timestamp::UNIX_EPOCH, |s| s.now())
    }

    fn seed(&self) -> u64 {
        self.0.first().map_or(0, |s| s.seed())
    }
}

fn merge(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Object(b)), Value::Object(a)) => merge(b, a),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// `workflow.*`.
pub struct Globals<'a> {
    /// The run.
    pub state: &'a RunState,
    /// The time of the decision.
    pub now: Timestamp,
    /// Decides what random functions answer: differs by node and call.
    pub seed: u64,
}

impl Globals<'_> {
    fn parameters(&self) -> &[Parameter] {
        &self.state.program.spec.spec.arguments.parameters
    }

    fn status(&self) -> String {
        let root = self.state.root.and_then(|r| self.state.node(r));
        match root.map(|r| r.phase) {
            None => self.state.phase.to_string(),
            Some(NodePhase::Skipped | NodePhase::Omitted) => NodePhase::Succeeded.to_string(),
            Some(phase) => phase.to_string(),
        }
    }

    /// A JSON list quoted once more, since Argo's users paste it into JSON texts.
    fn failures(&self) -> String {
        let run = self.state.program.spec.name();
        let list: Vec<String> = self.state.failures.iter().map(|f| failure(run, f)).collect();
        go::quoted(&if list.is_empty() { "null".to_owned() } else { format!("[{}]", list.join(",")) })
    }

    fn duration(&self) -> String {
        let from = self.state.started_at.unwrap_or(self.now);
        format!("{:.6}", (self.now.as_microsecond() - from.as_microsecond()) as f64 / 1e6)
    }

    fn creation(&self, form: &str) -> Lookup {
        let created = self.state.program.spec.created_at;
        if form.is_empty() {
            return text(whole_seconds(created));
        }
        let letters = go::creation_timestamp_letters(created);
        letters.into_iter().find(|(l, _)| l == form).map_or(Lookup::Unknown, |(_, value)| text(value))
    }

    fn lookup(&self, name: &str) -> Lookup {
        let spec = &self.state.program.spec;
        // A parameter called `json` hides the list of all parameters, as in Argo.
        if let Some(found) =
            name.strip_prefix("parameters.").and_then(|p| self.parameters().iter().find(|x| x.name == p))
        {
            return self.state.argument(found).and_then(Result::ok).map_or(Lookup::Unknown, text);
        }
        let maps = |map: &std::collections::BTreeMap<String, String>| text(expr::marshalled(&json!(map)));
        match name {
            "name" => text(spec.name()),
            "namespace" => text(spec.namespace()),
            "uid" => text(spec.uid.as_str()),
            "serviceAccountName" => text(spec.spec.service_account_name.clone().unwrap_or_default()),
            "mainEntrypoint" => text(spec.spec.entrypoint.clone().unwrap_or_default()),
            "priority" => spec.spec.priority.map_or(Lookup::Unknown, |p| text(p.to_string())),
            "scheduledTime" => spec
                .metadata
                .annotations
                .get("workflows.argoproj.io/scheduled-time")
                .map_or(Lookup::Unknown, |t| text(t.as_str())),
            "status" => text(self.status()),
            "failures" => text(self.failures()),
            "duration" => text(self.duration()),
            "parameters" | "parameters.json" => text(parameter_list(self.parameters())),
            "labels" | "labels.json" => maps(&spec.metadata.labels),
            "annotations" | "annotations.json" => maps(&spec.metadata.annotations),
            "creationTimestamp" => self.creation(""),
            _ => self.lookup_below(name),
        }
    }

    fn lookup_below(&self, name: &str) -> Lookup {
        let spec = &self.state.program.spec;
        let or_unknown = |v: Option<&String>| v.map_or(Lookup::Unknown, |v| text(v.as_str()));
        if let Some(p) = name.strip_prefix("outputs.parameters.") {
            return or_unknown(self.state.global_parameters.get(p));
        }
        if let Some(a) = name.strip_prefix("outputs.artifacts.") {
            return self.state.global_artifacts.get(a).map_or(Lookup::Unknown, |a| Lookup::Value(json!(**a)));
        }
        if let Some(key) = name.strip_prefix("labels.") {
            return or_unknown(spec.metadata.labels.get(key));
        }
        if let Some(key) = name.strip_prefix("annotations.") {
            return or_unknown(spec.metadata.annotations.get(key));
        }
        name.strip_prefix("creationTimestamp.").map_or(Lookup::Unknown, |form| self.creation(form))
    }

    fn names(&self) -> Vec<String> {
        let spec = &self.state.program.spec;
        let plain = [
            "name",
            "namespace",
            "uid",
            "serviceAccountName",
            "mainEntrypoint",
            "priority",
            "scheduledTime",
            "status",
            "failures",
            "duration",
            "parameters.json",
            "labels.json",
            "annotations.json",
            "creationTimestamp.RFC3339",
            "creationTimestamp.s",
        ];
        let mut names: Vec<String> = plain.iter().map(|n| format!("workflow.{n}")).collect();
        names.extend(self.parameters().iter().map(|p| format!("workflow.parameters.{}", p.name)));
        names.extend(spec.metadata.labels.keys().map(|k| format!("workflow.labels.{k}")));
        names.extend(spec.metadata.annotations.keys().map(|k| format!("workflow.annotations.{k}")));
        names.extend(self.state.global_parameters.keys().map(|k| format!("workflow.outputs.parameters.{k}")));
        names.extend(self.state.global_artifacts.keys().map(|k| format!("workflow.outputs.artifacts.{k}")));
        names
    }
}

impl Scope for Globals<'_> {
    fn get(&self, name: &str) -> Lookup {
        name.strip_prefix("workflow.").map_or(Lookup::Unknown, |rest| self.lookup(rest))
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        if prefix.split('.').next() != Some("workflow") {
            return None;
        }
        let pairs = self.names().into_iter().filter_map(|name| match self.get(&name) {
            Lookup::Value(value) => Some((name, value)),
            _ => None,
        });
        nest(prefix, pairs)
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn seed(&self) -> u64 {
        self.seed
    }
}

/// A moment as Argo prints it: whole seconds.
pub fn whole_seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A handful of names with values: `node.name`, `pod.name`, `retries`, …
#[derive(Default)]
pub struct Locals(pub Vec<(String, String)>);

impl Scope for Locals {
    fn get(&self, name: &str) -> Lookup {
        self.0.iter().find(|(n, _)| n == name).map_or(Lookup::Unknown, |(_, v)| text(v.as_str()))
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        nest(prefix, self.0.iter().map(|(n, v)| (n.clone(), Value::String(v.clone()))))
    }
}

/// `inputs.*` and the paths of a template's own outputs.
pub struct Own<'a> {
    /// Inputs with values.
    pub inputs: &'a Inputs,
    /// Declared outputs.
    pub outputs: &'a Outputs,
}

impl Own<'_> {
    fn pairs(&self) -> Vec<(String, Value)> {
        let mut pairs = Vec::new();
        for p in &self.inputs.parameters {
            if let Some(value) = &p.value {
                pairs.push((format!("inputs.parameters.{}", p.name), Value::String(value.0.clone())));
            }
        }
        for a in &self.inputs.artifacts {
            if let Some(path) = &a.path {
                pairs.push((format!("inputs.artifacts.{}.path", a.name), Value::String(path.clone())));
            }
        }
        for a in &self.outputs.artifacts {
            if let Some(path) = &a.path {
                pairs.push((format!("outputs.artifacts.{}.path", a.name), Value::String(path.clone())));
            }
        }
        for p in &self.outputs.parameters {
            if let Some(path) = p.value_from.as_ref().and_then(|v| v.path.as_ref()) {
                pairs.push((format!("outputs.parameters.{}.path", p.name), Value::String(path.clone())));
            }
        }
        pairs
    }
}

impl Scope for Own<'_> {
    fn get(&self, name: &str) -> Lookup {
        if name == "inputs.parameters" {
            return text(parameter_list(&self.inputs.parameters));
        }
        if let Some(artifact) = name.strip_prefix("inputs.artifacts.")
            && let Some(found) = self.inputs.artifacts.iter().find(|a| a.name == artifact)
        {
            return Lookup::Value(json!(found));
        }
        self.pairs().into_iter().find(|(n, _)| n == name).map_or(Lookup::Unknown, |(_, v)| Lookup::Value(v))
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        nest(prefix, self.pairs().into_iter())
    }
}

/// `item` and `item.<key>` (Argo's rule L-4).
pub struct Looped<'a>(pub &'a Item);

impl Scope for Looped<'_> {
    fn get(&self, name: &str) -> Lookup {
        if name == "item" {
            return text(go::item_text(&self.0.0));
        }
        let Some(key) = name.strip_prefix("item.") else { return Lookup::Unknown };
        go::item_fields(&self.0.0)
            .into_iter()
            .find(|(k, _)| k == key)
            .map_or(Lookup::Unknown, |(_, v)| text(v))
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        nest(
            prefix,
            go::item_fields(&self.0.0).into_iter().map(|(k, v)| (format!("item.{k}"), Value::String(v))),
        )
    }
}

/// Who looks at the calls of a composite: what it may see depends on where it stands.
#[derive(Clone, Copy, Debug)]
pub enum Viewer {
    /// A step of this group: it sees earlier groups.
    Group(u32),
    /// A task of this position: it sees its ancestors.
    Task(usize),
    /// The composite's own outputs: they see everything.
    Outputs,
    /// The exit handler or a hook of a call: it sees what the call sees, and the call itself.
    Hook(NodeId),
}

impl Viewer {
    /// The step or task that a node stands for.
    pub fn of(state: &RunState, called: &Node) -> Option<Viewer> {
        let (position, _) = state.call_of(called)?;
        match state.node(called.boundary?)?.kind {
            NodeKind::Dag => Some(Viewer::Task(position)),
            _ => u32::try_from(state.group_of(called)).ok().map(Viewer::Group),
        }
    }
}

/// `steps.*` or `tasks.*` of one Steps or DAG node.
pub struct Calls<'a> {
    /// The run.
    pub state: &'a RunState,
    /// The Steps or DAG node.
    pub owner: &'a Node,
    /// Who looks.
    pub viewer: Viewer,
}

impl<'a> Calls<'a> {
    /// What the call of a node sees, then what those above it see.
    pub fn above(state: &'a RunState, node: NodeId) -> Vec<Calls<'a>> {
        let mut found = Vec::new();
        let mut next = state.called(node);
        while let Some(called) = next {
            let Some(owner) = called.boundary.and_then(|boundary| state.node(boundary)) else { break };
            found.extend(Viewer::of(state, called).map(|viewer| Calls { state, owner, viewer }));
            next = state.called(owner.id);
        }
        found
    }
}

impl Calls<'_> {
    /// A call's name and the field behind it; an item's own name may hold points.
    fn split<'n>(&self, name: &'n str) -> Option<(&'n str, &'n str)> {
        if let Viewer::Hook(own) = self.viewer
            && let Some((_, label)) = call_label(self.state, own)
            && let Some(field) = name.strip_prefix(label.as_str()).and_then(|rest| rest.strip_prefix('.'))
        {
            return Some((&name[..label.len()], field));
        }
        name.split_once('.')
    }

    fn word(&self) -> &'static str {
        if self.owner.kind == NodeKind::Dag { "tasks" } else { "steps" }
    }

    fn find(&self, name: &str) -> Option<&Node> {
        if let Viewer::Hook(own) = self.viewer
            && self.is_own(own, name)
        {
            return self.state.node(own).map(|node| &**node);
        }
        let calls = match &self.owner.body {
            Body::Steps { calls, .. } | Body::Dag { calls, .. } => calls,
            _ => return None,
        };
        let node = self.state.node(calls.named(name, self.state.template_of(self.owner)?)?)?;
        self.sees(name, node).then_some(&**node)
    }

    /// A hook of a loop's item knows the item by the loop's name and by its own.
    fn is_own(&self, own: NodeId, name: &str) -> bool {
        call_label(self.state, own).is_some_and(|(_, label)| {
            let item = label.strip_prefix(name).is_some_and(|rest| rest.starts_with('('));
            item || label == name
        })
    }

    fn sees(&self, name: &str, node: &Node) -> bool {
        match self.viewer {
            Viewer::Outputs => true,
            // Steps side by side see each other; a task's hook sees what has ended.
            Viewer::Hook(_) => self.owner.kind == NodeKind::Steps || node.settled(),
            Viewer::Group(index) => self.state.group_of(node) < index as usize,
            Viewer::Task(task) => {
                let template = self.state.template_of(self.owner);
                let other = template.and_then(|t| Some((t.graph.as_ref()?, t.task(name)?)));
                other.is_some_and(|(graph, other)| graph.sees(task, other))
            }
        }
    }

    fn field(&self, node: &Node, field: &str) -> Lookup {
        if let Body::Loop { .. } = &node.body
            && let Some(found) = self.aggregate(node, field)
        {
            return found;
        }
        match field {
            "id" => text(self.id_of(node)),
            "status" => text(self.phase(node).to_string()),
            "startedAt" => {
                let tried = self.state.last_try(node);
                text(whole_seconds(tried.map_or(node.started_at, |tried| tried.started_at)))
            }
            "finishedAt" => node.finished_at.map_or(Lookup::Unknown, |at| text(whole_seconds(at))),
            "exitCode" => node.outputs.exit_code.as_ref().map_or(Lookup::Unknown, |c| text(c.as_str())),
            "hostNodeName" => node.host.as_ref().map_or(Lookup::Unknown, |host| text(&**host)),
            "ip" => node.ip.as_ref().map_or(Lookup::Unknown, |ip| text(ip.as_str())),
            "outputs.result" => match &node.outputs.result {
                Some(result) => text(result.as_str()),
                None => self.never_ran(node),
            },
            _ => self.named_output(node, field),
        }
    }

    /// A looped step shows its group's phase to those that come after: they come only after one that succeeded.
    fn phase(&self, node: &Node) -> NodePhase {
        match self.viewer {
            Viewer::Group(_) | Viewer::Outputs if node.kind == NodeKind::Loop => NodePhase::Succeeded,
            _ => node.phase,
        }
    }

    /// Argo shows the last attempt of a retried step (its rule V-3), and the step group of a looped one.
    fn id_of(&self, node: &Node) -> String {
        if let (NodeKind::Loop, Some(group)) = (node.kind, node.parent) {
            return self.state.argo_id(group);
        }
        match self.state.last_try(node) {
            Some(Tried { number, .. }) => {
                let attempt = format!("{}({number})", self.state.name(node.id));
                argo_node_id(self.state.program.spec.name(), &attempt)
            }
            None => self.state.argo_id(node.id),
        }
    }

    fn named_output(&self, node: &Node, field: &str) -> Lookup {
        if let Some(name) = field.strip_prefix("outputs.parameters.") {
            let value =
                node.outputs.parameters.iter().find(|p| p.name == name).and_then(|p| p.value.as_ref());
            return match value {
                Some(value) => text(value.as_str()),
                None => self.declared_output(node, name),
            };
        }
        if let Some(name) = field.strip_prefix("outputs.artifacts.") {
            return match node.outputs.artifacts.iter().find(|a| a.name == name) {
                Some(artifact) => Lookup::Value(json!(artifact)),
                None => self.declared_artifact(node, name),
            };
        }
        Lookup::Unknown
    }

    /// A skipped step gives its artifacts without a location; a task gives none (Argo's rule A-5).
    fn declared_artifact(&self, node: &Node, name: &str) -> Lookup {
        if self.empty_artifacts(node).any(|declared| declared.name == name) {
            return Lookup::Value(json!(Artifact { name: name.to_owned(), ..Artifact::default() }));
        }
        self.never_ran(node)
    }

    fn empty_artifacts<'n>(&'n self, node: &'n Node) -> impl Iterator<Item = &'n Artifact> {
        let skipped =
            matches!(node.phase, NodePhase::Skipped | NodePhase::Omitted) && node.outputs.is_empty();
        let template = self.state.template_of(node).filter(|_| skipped && self.word() == "steps");
        template.map(|t| t.template.outputs.artifacts.iter()).into_iter().flatten()
    }

    /// A skipped or omitted node: its output will never exist.
    fn never_ran(&self, node: &Node) -> Lookup {
        match node.phase {
            NodePhase::Skipped | NodePhase::Omitted => absent(),
            _ => Lookup::Unknown,
        }
    }

    /// An output parameter without a value: the declared default where the node was skipped or omitted.
    fn declared_output(&self, node: &Node, name: &str) -> Lookup {
        if !matches!(node.phase, NodePhase::Skipped | NodePhase::Omitted) {
            return Lookup::Unknown;
        }
        let declared = self
            .state
            .template_of(node)
            .and_then(|t| t.template.outputs.parameters.iter().find(|p| p.name == name));
        match declared {
            None => Lookup::Unknown,
            Some(p) => match p.value_from.as_ref().and_then(|v| v.default.as_ref()) {
                Some(default) => text(default.as_str()),
                None => absent(),
            },
        }
    }

    /// Aggregated outputs of a loop (Argo's rules O-9 to O-11); None: a field that is not aggregated.
    fn aggregate(&self, node: &Node, field: &str) -> Option<Lookup> {
        let Body::Loop { results, .. } = &node.body else { return None };
        match field {
            "outputs.result" => Some(json_list(results)),
            "outputs.parameters" => {
                let mut list = JsonList::default();
                for outputs in results.values().filter(|o| !o.parameters.is_empty()) {
                    let parameters = outputs.parameters.iter();
                    list.push(&Value::Object(parameters.map(|p| (p.name.clone(), json!(p.value))).collect()));
                }
                Some(text(list.text()))
            }
            _ => {
                let name = field.strip_prefix("outputs.parameters.")?;
                Some(value_list(results, name))
            }
        }
    }

    fn fields(&self, node: &Node) -> Vec<String> {
        let mut fields: Vec<String> =
            ["id", "status", "startedAt", "finishedAt", "exitCode", "hostNodeName", "ip", "outputs.result"]
                .map(str::to_owned)
                .to_vec();
        let declared = self
            .state
            .template_of(node)
            .map(|t| t.template.outputs.parameters.as_slice())
            .unwrap_or_default();
        fields.extend(
            node.outputs.parameters.iter().chain(declared).map(|p| format!("outputs.parameters.{}", p.name)),
        );
        let artifacts = node.outputs.artifacts.iter().chain(self.empty_artifacts(node));
        fields.extend(artifacts.map(|a| format!("outputs.artifacts.{}", a.name)));
        fields
    }

    fn pairs(&self, name: &str, node: &Node) -> Vec<(String, Value)> {
        let word = self.word();
        self.fields(node)
            .into_iter()
            .filter_map(|field| match self.field(node, &field) {
                Lookup::Value(value) => Some((format!("{word}.{name}.{field}"), value)),
                _ => None,
            })
            .collect()
    }
}

/// Why a loop's results can't be gathered: one of them is not JSON. In Go's words.
pub fn unreadable_result(node: &Node) -> Option<String> {
    let Body::Loop { results, .. } = &node.body else { return None };
    results.unreadable().map(str::to_owned)
}

/// A list that is printed as it grows: of what a wide loop gave only the text is held.
#[derive(Default)]
struct JsonList(String);

impl JsonList {
    fn push(&mut self, value: &Value) {
        self.push_text(&expr::marshalled(value));
    }

    fn push_text(&mut self, text: &str) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        self.0.push_str(text);
    }

    fn text(self) -> String {
        if self.0.is_empty() { "[]".to_owned() } else { self.0 + "]" }
    }
}

/// Every result is taken as JSON, as Argo does, and keeps its own text; one that is none makes the list unreadable.
fn json_list(results: &Results) -> Lookup {
    let mut list = JsonList::default();
    for outputs in results.values() {
        let Some(result) = outputs.result.as_deref() else { continue };
        if let Err(why) = serde_json::from_str::<IgnoredAny>(result) {
            return Lookup::Absent {
                why: format!(
                    "a child of the loop printed a result that is not JSON ({why}): print JSON (a text in quotes), or use \
                     an output parameter"
                ),
            };
        }
        list.push_text(&go::json_compacted(result));
    }
    text(list.text())
}

/// The values of one parameter. Parsed only if every one is a map or a list; otherwise all are texts.
fn value_list(results: &Results, name: &str) -> Lookup {
    let of = |outputs: &Outputs| outputs.parameters.iter().find(|p| p.name == name)?.value.clone();
    let values = || results.values().filter_map(|outputs| of(&outputs));
    let parse =
        |text: &str| serde_json::from_str::<Value>(text).ok().filter(|v| v.is_object() || v.is_array());
    if values().next().is_none() {
        return Lookup::Unknown;
    }
    let parsed = values().try_fold(JsonList::default(), |mut list, value| {
        list.push(&parse(value.as_str())?);
        Some(list)
    });
    let list = parsed.unwrap_or_else(|| {
        values().fold(JsonList::default(), |mut list, value| {
            list.push(&Value::String(value.0));
            list
        })
    });
    text(list.text())
}

impl Scope for Calls<'_> {
    fn get(&self, name: &str) -> Lookup {
        let Some(rest) = name.strip_prefix(self.word()).and_then(|r| r.strip_prefix('.')) else {
            return Lookup::Unknown;
        };
        let Some((call, field)) = self.split(rest) else { return Lookup::Unknown };
        self.find(call).map_or(Lookup::Unknown, |node| self.field(node, field))
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        let mut parts = prefix.split('.');
        if parts.next() != Some(self.word()) {
            return None;
        }
        let pairs: Vec<(String, Value)> = match parts.next() {
            Some(call) => self.find(call).map(|n| self.pairs(call, n))?,
            None => {
                let calls = match &self.owner.body {
                    Body::Steps { calls, .. } | Body::Dag { calls, .. } => calls,
                    _ => return None,
                };
                calls
                    .sorted()
                    .into_keys()
                    .filter_map(|c| self.find(c).map(|n| self.pairs(c, n)))
                    .flatten()
                    .collect()
            }
        };
        nest(prefix, pairs.into_iter())
    }
}

/// The artifact a reference like `{{steps.a.outputs.artifacts.x}}` names.
pub fn artifact(scope: &dyn Scope, reference: &str) -> Result<Option<Artifact>, String> {
    let name = reference.trim().strip_prefix("{{").and_then(|r| r.strip_suffix("}}")).map(str::trim);
    let Some(name) = name else {
        return Err(format!("{reference:?} is not one tag like {{{{steps.a.outputs.artifacts.x}}}}"));
    };
    match scope.get(name) {
        Lookup::Value(value) => {
            serde_json::from_value(value).map(Some).map_err(|e| format!("{{{{{name}}}}} is no artifact: {e}"))
        }
        Lookup::Absent { .. } | Lookup::Unknown => Ok(None),
    }
}

/// The name by which a composite's calls see a node: the step or task name with its item's suffix.
pub fn call_label(state: &RunState, id: NodeId) -> Option<(&'static str, String)> {
    let mut node = state.node(id)?;
    let mut suffix = String::new();
    loop {
        match &node.role {
            Role::Call(name) => {
                let owner = state.node(node.boundary?)?;
                let word = if owner.kind == NodeKind::Dag { "tasks" } else { "steps" };
                return Some((word, format!("{name}{suffix}")));
            }
            Role::Item(_) => suffix = node.label.to_string(),
            Role::Attempt(_) => {}
            _ => return None,
        }
        node = state.node(node.parent?)?;
    }
}
