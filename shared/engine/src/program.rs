//! A run's spec, compiled once when it is loaded: templates by name, what each text reads, each DAG's graph.
//!
//! Positions in these tables never reach a record.

pub mod hooks;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use dropforge_manifest::expr::depends::{self, Depends};
use dropforge_manifest::merge::with_template_defaults;
use dropforge_manifest::types::{Artifact, LifecycleHook, Step, Template, TemplateRef};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use self::hooks::Hook;
use self::reads::Reads;
use crate::record::TemplateKey;
use crate::spec::RunSpec;

mod reads;

/// The scope of templates that stand in the workflow itself.
pub const LOCAL: &str = "local";

/// A compiled run.
#[derive(Debug)]
pub struct Program {
    /// What it was compiled from.
    pub spec: RunSpec,
    /// The workflow's own hooks with expressions.
    pub hooks: Vec<Arc<Hook>>,
    /// Whether there is any hook with an expression at all.
    pub hooked: bool,
    /// Whether any text asks where a step or task ran.
    pub hosts_read: bool,
    scopes: BTreeMap<String, BTreeMap<String, Arc<Compiled>>>,
}

/// Why a spec can't be compiled. `check` finds all of these before a run is born, with line and column.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A `depends` text is no expression.
    #[error("templates.{template}.tasks.{task}: {why}")]
    Depends {
        /// The template.
        template: String,
        /// The task.
        task: String,
        /// The parser's words.
        why: String,
    },
    /// A task names another one that is not there.
    #[error("templates.{template}.tasks.{task}: dependency '{dependency}' not defined")]
    UnknownTask {
        /// The template.
        template: String,
        /// The task.
        task: String,
        /// What it names.
        dependency: String,
    },
    /// The tasks wait for each other.
    #[error("templates.{template}.tasks dependency cycle detected: {cycle}")]
    Cycle {
        /// The template.
        template: String,
        /// `A->B->A`.
        cycle: String,
    },
    /// There is no entrypoint.
    #[error("spec.entrypoint is required")]
    NoEntrypoint,
    /// The spec can't be written as JSON.
    #[error("encode template {template}")]
    Encode {
        /// The template.
        template: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// A compiled template.
#[derive(Debug)]
pub struct Compiled {
    /// Its name.
    pub key: TemplateKey,
    /// As written.
    pub template: Arc<Template>,
    /// As JSON, for substitution.
    pub body: Value,
    /// Whether no text in it holds a tag: it is the same for every node.
    pub fixed: bool,
    /// The groups of a `steps` template.
    pub groups: Vec<Vec<Call>>,
    /// The graph of a `dag` template.
    pub graph: Option<Graph>,
    slots: HashMap<Arc<str>, Slot>,
    hook_readers: HashMap<String, Vec<String>>,
    reads: Reads,
}

/// Where the steps or tasks of one name stand.
#[derive(Debug)]
struct Slot {
    /// One number for the name: a task's position.
    number: usize,
    /// (group, position); group 0 for a DAG.
    first: (usize, usize),
    /// Once their tags have values, steps of several groups may have one name.
    others: Vec<(usize, usize)>,
}

/// A step or task.
#[derive(Debug)]
pub struct Call {
    /// Its name.
    pub name: Arc<str>,
    /// What it adds to the full names of its nodes.
    pub label: Arc<str>,
    /// The template that it calls, as far as its name holds no tag.
    pub callee: TemplateKey,
    /// As written.
    pub step: Arc<Step>,
    /// Without its hooks, which are resolved when they fire.
    pub turn: Turn,
    /// Whether `{{item}}` can occur.
    pub looped: bool,
    /// Which of its aggregated outputs somebody in this template reads, if it is a loop.
    pub keeps_outputs: bool,
    /// Its hooks with expressions.
    pub hooks: Vec<Arc<Hook>>,
    /// What runs when it has ended.
    pub exit: Option<Arc<LifecycleHook>>,
}

/// What a step or task is when its turn comes.
#[derive(Debug)]
pub enum Turn {
    /// Nothing in it depends on the run: it is the same whenever that is.
    Fixed(Arc<Step>),
    /// As JSON, for substitution.
    Resolved(Value),
}

/// A DAG.
#[derive(Debug)]
pub struct Graph {
    /// Its tasks, in the order of the manifest.
    pub calls: Vec<Call>,
    /// What each task waits for: of other tasks, by their positions.
    pub depends: Vec<Option<Depends<usize>>>,
    /// Positions of the tasks each one waits for.
    pub dependencies: Vec<Vec<usize>>,
    /// Positions of the tasks that wait for each one, in visiting order.
    pub dependents: Vec<Vec<usize>>,
    /// The tasks that run, dependencies first, in Argo's visiting order.
    pub order: Vec<usize>,
    /// Positions of the targets.
    pub targets: Vec<usize>,
    /// Positions of the loops whose outputs are gathered, since somebody reads them.
    pub gathered: Vec<usize>,
    /// Each task's place in the visiting order; none: it does not run.
    places: Vec<Option<usize>>,
}

impl Graph {
    /// A task's place in the visiting order; none: it does not run.
    pub fn place(&self, task: usize) -> Option<usize> {
        *self.places.get(task)?
    }

    /// Whether task `of` may read the outputs of task `other`: whether it waits for it, however indirectly. A direct
    /// dependency is found at once; what was visited before `other` can't lead to it.
    pub fn sees(&self, of: usize, other: usize) -> bool {
        let mut open = vec![of];
        let mut seen = BTreeSet::new();
        while let Some(task) = open.pop() {
            if self.dependencies[task].contains(&other) {
                return true;
            }
            let later = |d: &&usize| self.places[**d] > self.places[other];
            open.extend(self.dependencies[task].iter().filter(later).filter(|d| seen.insert(**d)));
        }
        false
    }
}

impl Program {
    /// Compiles a spec.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn compile(spec: RunSpec) -> Result<Program, CompileError> {
        if spec.spec.entrypoint.is_none() {
            return Err(CompileError::NoEntrypoint);
        }
        let defaults = spec.spec.template_defaults.as_deref();
        let mut scopes = BTreeMap::from([(LOCAL.to_owned(), scope(LOCAL, &spec.spec.templates, defaults)?)]);
        for (object, stored) in &spec.library {
            scopes.insert(object.clone(), scope(object, &stored.templates, defaults)?);
        }
        let hooks = hooks::compile_workflows(&spec.spec.hooks);
        let calls = || scopes.values().flat_map(BTreeMap::values).flat_map(|template| template.calls());
        let hooked = !hooks.is_empty() || calls().any(|call| !call.hooks.is_empty());
        let hosts_read = scopes.values().flat_map(BTreeMap::values).any(|template| template.reads.hosts());
        Ok(Program { spec, hooks, hooked, hosts_read, scopes })
    }

    /// A template by its key.
    pub fn template(&self, key: &TemplateKey) -> Option<&Arc<Compiled>> {
        self.scopes.get(&*key.scope)?.get(&*key.name)
    }

    /// All templates, those inline in others too.
    pub fn templates(&self) -> impl Iterator<Item = &Compiled> {
        self.scopes.values().flat_map(|templates| templates.values()).map(|compiled| &**compiled)
    }

    /// Whether a stored object is known, whatever templates it has.
    pub fn holds(&self, scope: &str) -> bool {
        self.scopes.contains_key(scope)
    }

    /// The entrypoint's key.
    pub fn entrypoint(&self) -> TemplateKey {
        TemplateKey {
            scope: LOCAL.into(),
            name: self.spec.spec.entrypoint.as_deref().unwrap_or_default().into(),
        }
    }

    /// The workflow's exit handler: `onExit`, else the hook called `exit`.
    pub fn exit_hook(&self) -> Option<LifecycleHook> {
        match &self.spec.spec.on_exit {
            Some(template) => Some(LifecycleHook { template: template.clone(), ..LifecycleHook::default() }),
            None => self.spec.spec.hooks.get("exit").cloned(),
        }
    }

    /// The key that a hook standing in `scope` names, or a call that has no template inline.
    pub fn resolve(scope: &Arc<str>, template: &str, reference: Option<&TemplateRef>) -> TemplateKey {
        match reference {
            Some(r) => TemplateKey { scope: r.holder().scope().into(), name: r.template.as_str().into() },
            None => TemplateKey { scope: scope.clone(), name: template.into() },
        }
    }

    /// The key of what a step or task of the template `caller` calls.
    pub fn callee(caller: &TemplateKey, step: &Step) -> TemplateKey {
        match step.inline {
            Some(_) => caller.inline(&step.name),
            None => Program::resolve(&caller.scope, &step.template, step.template_ref.as_ref()),
        }
    }
}

impl PartialEq for Compiled {
    /// What was compiled decides.
    fn eq(&self, other: &Compiled) -> bool {
        self.key == other.key && self.template == other.template
    }
}

/// Stored as what it was compiled from.
impl Serialize for Compiled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.key, &self.template).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Compiled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Compiled, D::Error> {
        let (key, template) = <(TemplateKey, Template)>::deserialize(deserializer)?;
        Compiled::new(key, &template).map_err(serde::de::Error::custom)
    }
}

impl Compiled {
    /// Compiles a template.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn new(key: TemplateKey, template: &Template) -> Result<Compiled, CompileError> {
        let encode = |source| CompileError::Encode { template: key.name.to_string(), source };
        let body = serde_json::to_value(template).map_err(encode)?;
        let reads = Reads::of(&body.to_string());
        let mut compiled = Compiled {
            key,
            template: Arc::new(template.clone()),
            fixed: !has_tags(&body),
            body,
            groups: Vec::new(),
            graph: None,
            slots: HashMap::new(),
            hook_readers: HashMap::new(),
            reads,
        };
        let calls = |steps: &[Step]| -> Result<Vec<Call>, CompileError> {
            steps.iter().map(|s| compile_call(s, &compiled)).collect()
        };
        if let Some(steps) = &template.steps {
            let groups: Vec<Vec<Call>> = steps.iter().map(|group| calls(group)).collect::<Result<_, _>>()?;
            compiled.slots = slots(&groups);
            compiled.hook_readers = hooks::readers(groups.iter().flatten());
            compiled.groups = groups;
        } else if let Some(dag) = &template.dag {
            let groups = vec![calls(&dag.tasks)?];
            compiled.slots = slots(&groups);
            compiled.hook_readers = hooks::readers(groups.iter().flatten());
            let tasks = groups.into_iter().next().unwrap_or_default();
            compiled.graph = Some(graph(&compiled.key.name, tasks, dag.target.as_deref())?);
        }
        Ok(compiled)
    }

    /// Its steps or tasks.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.groups.iter().flatten().chain(self.graph.iter().flat_map(|graph| &graph.calls))
    }

    /// Whether there is a step or task called `name`.
    pub fn has_call(&self, name: &str) -> bool {
        self.slots.contains_key(name)
    }

    /// The number of a step's or task's name, of which there are as many as names: a task's position.
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.slots.get(name).map(|slot| slot.number)
    }

    /// The step called `name` of this group, or the task, whose group is 0, with its position there.
    pub fn call(&self, group: usize, name: &str) -> Option<(usize, &Call)> {
        let slot = self.slots.get(name)?;
        let (_, position) = *std::iter::once(&slot.first).chain(&slot.others).find(|at| at.0 == group)?;
        let call = match &self.graph {
            Some(graph) => graph.calls.get(position),
            None => self.groups.get(group)?.get(position),
        };
        Some((position, call?))
    }

    /// The position of the task called `name`.
    pub fn task(&self, name: &str) -> Option<usize> {
        self.call(0, name).map(|(position, _)| position)
    }

    /// The place of a task in a DAG's visiting order; none: there is no such task, or it does not run.
    pub fn place(&self, task: &str) -> Option<usize> {
        self.graph.as_ref()?.place(self.task(task)?)
    }

    /// Whether this template's text refers to `outputs.result` of its step or task `name` (Argo's rule O-1).
    pub fn reads_result(&self, name: &str) -> bool {
        self.reads.result(name)
    }

    /// The steps or tasks whose hooks look at the one called `name`, itself left out.
    pub fn hook_readers(&self, name: &str) -> &[String] {
        self.hook_readers.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

fn scope(
    name: &str,
    templates: &[Template],
    defaults: Option<&Template>,
) -> Result<BTreeMap<String, Arc<Compiled>>, CompileError> {
    let mut found = BTreeMap::new();
    for template in templates {
        let key = TemplateKey { scope: name.into(), name: template.name.as_str().into() };
        enter(key, &defaulted(template, defaults), &mut found)?;
    }
    Ok(found)
}

/// A template, and those inline in it, with the workflow's `templateDefaults` beneath.
pub fn defaulted(template: &Template, defaults: Option<&Template>) -> Template {
    let Some(defaults) = defaults else { return template.clone() };
    let mut template = with_template_defaults(template, defaults);
    let steps = template.steps.iter_mut().flatten().flatten();
    let tasks = template.dag.iter_mut().flat_map(|dag| &mut dag.tasks);
    for inline in steps.chain(tasks).filter_map(|call| call.inline.as_mut()) {
        **inline = defaulted(inline, Some(defaults));
    }
    template
}

/// Compiles a template and those inline in it.
fn enter(
    key: TemplateKey,
    template: &Template,
    found: &mut BTreeMap<String, Arc<Compiled>>,
) -> Result<(), CompileError> {
    let compiled = Compiled::new(key, template)?;
    for call in compiled.calls() {
        if let Some(inline) = &call.step.inline {
            enter(compiled.key.inline(&call.step.name), inline, found)?;
        }
    }
    found.insert(compiled.key.name.to_string(), Arc::new(compiled));
    Ok(())
}

fn slots(groups: &[Vec<Call>]) -> HashMap<Arc<str>, Slot> {
    let mut found: HashMap<Arc<str>, Slot> = HashMap::new();
    for (group, calls) in groups.iter().enumerate() {
        for (position, call) in calls.iter().enumerate() {
            let (number, at) = (found.len(), (group, position));
            found.entry(call.name.clone()).and_modify(|slot| slot.others.push(at)).or_insert_with(|| Slot {
                number,
                first: at,
                others: Vec::new(),
            });
        }
    }
    found
}

fn compile_call(step: &Step, enclosing: &Compiled) -> Result<Call, CompileError> {
    let step = Arc::new(step.clone());
    let mut bare = step.clone();
    if !step.hooks.is_empty() || step.on_exit.is_some() {
        bare = Arc::new(Step { hooks: BTreeMap::new(), on_exit: None, ..(*step).clone() });
    }
    let json = serde_json::to_value(&bare)
        .map_err(|source| CompileError::Encode { template: enclosing.key.name.to_string(), source })?;
    let keeps_outputs = enclosing.reads.outputs(&step.name);
    let hooks = hooks::compile(&step.hooks);
    let turn = if is_fixed(&bare, &json) { Turn::Fixed(bare) } else { Turn::Resolved(json) };
    let (name, label) = (step.name.as_str().into(), format!(".{}", step.name).into());
    let callee = Program::callee(&enclosing.key, &step);
    let (looped, exit) = (step.is_loop(), step.exit_hook().map(Arc::new));
    Ok(Call { name, label, callee, step, turn, looped, keeps_outputs, hooks, exit })
}

/// Whether a step needs no substitution: no tags, no condition, no items, and no artifact from elsewhere.
fn is_fixed(step: &Step, json: &Value) -> bool {
    let moved = |artifact: &Artifact| artifact.from.is_some() || artifact.from_expression.is_some();
    let conditional = step.when.is_some() || step.is_loop() || step.inline.is_some();
    !conditional && !step.arguments.artifacts.iter().any(moved) && !has_tags(json)
}

/// Whether a text in it may hold a tag.
pub(crate) fn has_tags(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{{"),
        Value::Array(items) => items.iter().any(has_tags),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains("{{") || has_tags(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn graph(template: &str, calls: Vec<Call>, target: Option<&str>) -> Result<Graph, CompileError> {
    let index: HashMap<&str, usize> =
        calls.iter().enumerate().map(|(i, c)| (c.step.name.as_str(), i)).collect();
    let mut depends = Vec::with_capacity(calls.len());
    let mut dependencies = Vec::with_capacity(calls.len());
    for call in &calls {
        let parsed = task_depends(template, call, &calls, &index)?;
        let position = |name: &str| position_of(template, &call.step.name, name, &index);
        let tasks = parsed.iter().flat_map(|depends| depends.tasks().into_keys());
        dependencies.push(tasks.map(position).collect::<Result<_, _>>()?);
        depends.push(parsed.map(|depends| depends.try_map(&position)).transpose()?);
    }
    let targets = targets(template, &calls, &dependencies, target, &index)?;
    let order = visiting_order(template, &calls, &dependencies, &targets)?;
    let mut dependents = vec![Vec::new(); calls.len()];
    for &task in &order {
        for &dependency in &dependencies[task] {
            dependents[dependency].push(task);
        }
    }
    let mut places = vec![None; calls.len()];
    order.iter().enumerate().for_each(|(place, &task)| places[task] = Some(place));
    let gathers = |call: &Call| call.looped && call.keeps_outputs;
    let gathered = calls.iter().enumerate().filter(|(_, call)| gathers(call)).map(|(task, _)| task).collect();
    Ok(Graph { calls, depends, dependencies, dependents, order, targets, gathered, places })
}

fn task_depends(
    template: &str,
    call: &Call,
    calls: &[Call],
    index: &HashMap<&str, usize>,
) -> Result<Option<Depends>, CompileError> {
    let continue_on = |name: &str| {
        let on = index.get(name).and_then(|&i| calls[i].step.continue_on.clone()).unwrap_or_default();
        depends::ContinueOn { error: on.error, failed: on.failed }
    };
    match (&call.step.depends, call.step.dependencies.is_empty()) {
        (None, true) => Ok(None),
        (None, false) => Ok(Some(depends::from_dependencies(
            call.step.dependencies.iter().map(String::as_str),
            &continue_on,
        ))),
        (Some(text), _) => depends::parse(text, &continue_on).map(Some).map_err(|e| CompileError::Depends {
            template: template.to_owned(),
            task: call.step.name.clone(),
            why: e.to_string(),
        }),
    }
}

/// The position of what a task names.
fn position_of(
    template: &str,
    task: &str,
    name: &str,
    index: &HashMap<&str, usize>,
) -> Result<usize, CompileError> {
    index.get(name).copied().ok_or_else(|| CompileError::UnknownTask {
        template: template.to_owned(),
        task: task.to_owned(),
        dependency: name.to_owned(),
    })
}

fn targets(
    template: &str,
    calls: &[Call],
    dependencies: &[Vec<usize>],
    target: Option<&str>,
    index: &HashMap<&str, usize>,
) -> Result<Vec<usize>, CompileError> {
    // Targets with tags are known when the DAG starts; until then it has the graph of all its tasks.
    if let Some(target) = target.filter(|t| !t.is_empty() && !t.contains("{{")) {
        return target.split(' ').map(|name| position_of(template, "target", name, index)).collect();
    }
    let needed: BTreeSet<usize> = dependencies.iter().flatten().copied().collect();
    let mut leaves: Vec<usize> = (0..calls.len()).filter(|i| !needed.contains(i)).collect();
    leaves.sort_by(|a, b| calls[*a].step.name.cmp(&calls[*b].step.name));
    Ok(leaves)
}

/// Depth-first from each target towards the roots, dependencies first (Argo's rule D-7).
fn visiting_order(
    template: &str,
    calls: &[Call],
    dependencies: &[Vec<usize>],
    targets: &[usize],
) -> Result<Vec<usize>, CompileError> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let cycle = |path: &[(usize, usize)], back_to: usize| {
        let start = path.iter().position(|(t, _)| *t == back_to).unwrap_or(0);
        let mut names: Vec<&str> = path[start..].iter().map(|(t, _)| calls[*t].step.name.as_str()).collect();
        names.push(&calls[back_to].step.name);
        CompileError::Cycle { template: template.to_owned(), cycle: names.join("->") }
    };
    // Tasks in a cycle that nothing depends on have no target: starting everywhere finds them too.
    let all = 0..calls.len();
    let mut marks = vec![Mark::New; calls.len()];
    let mut order = Vec::new();
    let mut wanted = 0;
    for (n, &start) in targets.iter().chain(all.collect::<Vec<_>>().iter()).enumerate() {
        if n == targets.len() {
            wanted = order.len();
        }
        let mut path = if marks[start] == Mark::New { vec![(start, 0)] } else { Vec::new() };
        while let Some((task, next)) = path.last_mut() {
            marks[*task] = Mark::Open;
            let Some(&dependency) = dependencies[*task].get(*next) else {
                marks[*task] = Mark::Done;
                order.push(*task);
                path.pop();
                continue;
            };
            *next += 1;
            match marks[dependency] {
                Mark::Done => {}
                Mark::New => path.push((dependency, 0)),
                Mark::Open => return Err(cycle(&path, dependency)),
            }
        }
    }
    order.truncate(if targets.is_empty() { 0 } else { wanted });
    Ok(order)
}
