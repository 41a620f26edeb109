//! What a manifest says of a leaf's pod beside its containers and volumes.

use std::collections::BTreeMap;

use dropforge_manifest::tags::{self, Strictness};
use dropforge_manifest::types::{Template, WorkflowSpec};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Why, globals};
use crate::attempt::PodFields;
use crate::scope::{Layers, Own};
use crate::state::{Node, RunState};

/// Fields whose whole value the template gives, else the workflow; under the pod's own names.
type Field = (&'static str, fn(&Template) -> Option<&Value>, fn(&WorkflowSpec) -> Option<&Value>);

const FIELDS: [Field; 13] = [
    ("affinity", |t| t.affinity.as_ref(), |w| w.affinity.as_ref()),
    ("nodeSelector", |t| t.node_selector.as_ref(), |w| w.node_selector.as_ref()),
    ("tolerations", |t| t.tolerations.as_ref(), |w| w.tolerations.as_ref()),
    ("schedulerName", |t| t.scheduler_name.as_ref(), |w| w.scheduler_name.as_ref()),
    ("priorityClassName", |t| t.priority_class_name.as_ref(), |w| w.pod_priority_class_name.as_ref()),
    ("securityContext", |t| t.security_context.as_ref(), |w| w.security_context.as_ref()),
    (
        "automountServiceAccountToken",
        |t| t.automount_service_account_token.as_ref(),
        |w| w.automount_service_account_token.as_ref(),
    ),
    ("resources", |t| t.pod_resources.as_ref(), |w| w.pod_resources.as_ref()),
    ("resourceClaims", |t| t.resource_claims.as_ref(), |w| w.resource_claims.as_ref()),
    ("imagePullSecrets", |_| None, |w| w.image_pull_secrets.as_ref()),
    ("hostNetwork", |_| None, |w| w.host_network.as_ref()),
    ("dnsPolicy", |_| None, |w| w.dns_policy.as_ref()),
    ("dnsConfig", |_| None, |w| w.dns_config.as_ref()),
];

/// Of these the calling template comes between the two (rule PD-10).
const CALLERS: [&str; 3] = ["affinity", "nodeSelector", "tolerations"];

/// The pod's own fields: `template` is the leaf's, every tag replaced, as are `patches`.
///
/// # Errors
/// When a tag is broken, or a patch is none.
pub fn pod_fields(
    state: &RunState,
    now: Timestamp,
    node: &Node,
    template: &Template,
    patches: &[String],
) -> Result<PodFields, Why> {
    let workflow = &state.program.spec.spec;
    let mut spec = Map::new();
    for (name, of_template, of_workflow) in FIELDS {
        let value = match of_template(template) {
            Some(value) => Some(value.clone()),
            None => match of_caller(state, now, node, name, of_template)? {
                Some(value) => Some(value),
                None => of_workflow(workflow).map(|value| global(state, now, node, value)).transpose()?,
            },
        };
        spec.extend(value.map(|value| (name.to_owned(), value)));
    }
    if let Some(account) = service_account(state, now, node, template)? {
        spec.insert("serviceAccountName".to_owned(), account);
    }
    let aliases = host_aliases(state, now, node, template)?;
    if !aliases.is_empty() {
        spec.insert("hostAliases".to_owned(), Value::Array(aliases));
    }
    let (labels, annotations) = metadata(state, now, node, template)?;
    let patches = patches.iter().map(|text| dropforge_manifest::patch::parse(text));
    let patches = patches.collect::<Result<_, _>>().map_err(|why| why.to_string())?;
    let claims = claims(state, now, node)?;
    Ok(PodFields { labels, annotations, spec, patches, claims })
}

fn claims(state: &RunState, now: Timestamp, node: &Node) -> Result<Vec<Value>, Why> {
    let templates = &state.program.spec.spec.volume_claim_templates;
    if !templates.iter().any(|template| template.to_string().contains("{{")) {
        return Ok(Vec::new());
    }
    templates.iter().map(|template| global(state, now, node, template)).collect()
}

/// A value of the workflow's spec with the tags of globals replaced.
fn global(state: &RunState, now: Timestamp, node: &Node, value: &Value) -> Result<Value, Why> {
    let mut value = value.clone();
    tags::replace_value(&mut value, &globals(state, now, node.id), Strictness::Lenient)
        .map_err(|e| e.to_string())?;
    Ok(value)
}

fn of_caller(
    state: &RunState,
    now: Timestamp,
    node: &Node,
    name: &str,
    of_template: fn(&Template) -> Option<&Value>,
) -> Result<Option<Value>, Why> {
    let caller = node.boundary.filter(|_| CALLERS.contains(&name)).and_then(|id| state.node(id));
    let compiled = caller.and_then(|caller| state.template_of(caller));
    let (Some(caller), Some(value)) = (caller, compiled.and_then(|c| of_template(&c.template))) else {
        return Ok(None);
    };
    let (globals, own) =
        (globals(state, now, node.id), Own { inputs: &caller.inputs, outputs: &caller.outputs });
    let mut value = value.clone();
    tags::replace_value(&mut value, &Layers(vec![&globals, &own]), Strictness::Lenient)
        .map_err(|e| e.to_string())?;
    Ok(Some(value))
}

fn service_account(
    state: &RunState,
    now: Timestamp,
    node: &Node,
    template: &Template,
) -> Result<Option<Value>, Why> {
    let own = template.service_account_name.clone().filter(|name| name != "");
    let workflow = state.program.spec.spec.service_account_name.clone().filter(|name| !name.is_empty());
    match (own, workflow) {
        (Some(own), _) => Ok(Some(own)),
        (None, Some(name)) => global(state, now, node, &Value::String(name)).map(Some),
        (None, None) => Ok(None),
    }
}

/// The workflow's, followed by the template's.
fn host_aliases(
    state: &RunState,
    now: Timestamp,
    node: &Node,
    template: &Template,
) -> Result<Vec<Value>, Why> {
    let list = |value: Value| match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    let workflow = state.program.spec.spec.host_aliases.as_ref();
    let workflow = workflow.map(|value| global(state, now, node, value)).transpose()?;
    Ok(workflow.into_iter().chain(template.host_aliases.clone()).flat_map(list).collect())
}

type Texts = BTreeMap<String, String>;

/// Labels and annotations: `podMetadata`, over which the template's.
fn metadata(
    state: &RunState,
    now: Timestamp,
    node: &Node,
    template: &Template,
) -> Result<(Texts, Texts), Why> {
    let workflow = state.program.spec.spec.pod_metadata.as_ref();
    let workflow = workflow.map(|value| global(state, now, node, value)).transpose()?;
    let both: Vec<Value> = workflow.into_iter().chain(template.metadata.clone()).collect();
    let texts = |field: &str| {
        let entries = both.iter().filter_map(|metadata| metadata.get(field)?.as_object()).flatten();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        entries.map(|(name, value)| (name.clone(), text(value))).collect()
    };
    Ok((texts("labels"), texts("annotations")))
}
