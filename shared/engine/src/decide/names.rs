//! Names that a template's start gives to its steps and targets: they may hold tags, and steps may come out with one name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dropforge_manifest::types::{Inputs, Template};

use super::Decider;
use super::calls::Place;
use crate::program::Compiled;
use crate::record::TemplateKey;
use crate::resolve;
use crate::scope::Locals;

impl Decider {
    /// A DAG's `target` may hold tags of globals and of its inputs, which are known when it starts.
    pub(super) fn with_targets(
        &self,
        place: &Place,
        compiled: &Arc<Compiled>,
        inputs: &Inputs,
    ) -> Result<Arc<Compiled>, String> {
        let target = compiled.template.dag.as_ref().and_then(|dag| dag.target.as_deref());
        let Some(target) = target.filter(|target| target.contains("{{")) else { return Ok(compiled.clone()) };
        let near = self.near(place);
        let target = resolve::own_text(&self.state, self.now, near, inputs, target)?;
        let mut template = (*compiled.template).clone();
        if let Some(dag) = &mut template.dag {
            dag.target = Some(target);
        }
        Compiled::new(compiled.key.clone(), &template).map(Arc::new).map_err(|why| why.to_string())
    }

    /// The names of steps may hold tags of globals and of inputs, which are known when their template starts.
    pub(super) fn with_names(
        &self,
        place: &Place,
        compiled: &Arc<Compiled>,
        inputs: &Inputs,
    ) -> Result<Arc<Compiled>, String> {
        if !compiled.calls().any(|call| call.name.contains("{{")) {
            return Ok(compiled.clone());
        }
        let none = Locals::default();
        let near = self.near(place);
        let entered = resolve::template(&self.state, self.now, near, compiled, inputs, &none, &none)?;
        let own = Template { inputs: compiled.template.inputs.clone(), ..(*entered).clone() };
        with_one_node_each(&compiled.key, own)
    }
}

/// A template whose names have their values, compiled. Steps of one group with the same name are one node, as in Argo: the
/// first one's, and the later ones start nothing. Steps of two groups are two nodes.
///
/// # Errors
/// Where only some nodes of two loops would be one, or tasks of a DAG have one name; in the words in which Argo refuses names
/// that are written so.
pub(super) fn with_one_node_each(key: &TemplateKey, mut own: Template) -> Result<Arc<Compiled>, String> {
    let twice =
        |place: String, name: &str| format!("templates.{}.{place}.name '{name}' is not unique", key.name);
    for (index, group) in own.steps.iter_mut().flatten().enumerate() {
        let mut seen = BTreeMap::new();
        for step in group.iter() {
            let other = seen.insert(step.name.clone(), step.is_loop());
            if other.is_some_and(|loops| loops || step.is_loop()) {
                return Err(twice(format!("steps[{index}]"), &step.name));
            }
        }
        let mut kept = BTreeSet::new();
        group.retain(|step| kept.insert(step.name.clone()));
    }
    let mut seen = BTreeSet::new();
    for (index, task) in own.dag.iter().flat_map(|dag| &dag.tasks).enumerate() {
        if !seen.insert(&task.name) {
            return Err(twice(format!("tasks[{index}]"), &task.name));
        }
    }
    Compiled::new(key.clone(), &own).map(Arc::new).map_err(|why| why.to_string())
}
