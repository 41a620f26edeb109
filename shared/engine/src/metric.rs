//! Metrics that a manifest asks for: what is counted when a node or the run begins and ends (Argo's rule MP-1).

use dropforge_manifest::tags::{self, Scope, Strictness};
use dropforge_manifest::types::{MetricLabel, Metrics, Prometheus};
use dropforge_manifest::when;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::record::NodeKind;
use crate::resolve;
use crate::scope::{Layers, Locals};
use crate::state::{Body, Node, RunState};

/// One value that is counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub help: String,
    /// Its labels, in the manifest's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<MetricLabel>,
    /// How it is counted.
    pub kind: MetricKind,
    /// The value.
    pub value: f64,
}

/// How values become one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MetricKind {
    /// They are added up.
    Counter,
    /// The last one counts.
    Set,
    /// They are added to what there is.
    Add,
    /// They are taken off what there is.
    Sub,
    /// They are counted by how large they are.
    Histogram {
        /// Upper bounds.
        buckets: Vec<f64>,
    },
}

/// When metrics are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The node exists: only values of the moment are known.
    Begin,
    /// The node has ended.
    End,
}

/// The metrics of a node as they are at this moment; the error of one is Argo's condition `MetricsError`.
pub fn computed(
    state: &RunState,
    now: Timestamp,
    metrics: &Metrics,
    node: &Node,
    moment: Moment,
) -> Vec<Result<Metric, String>> {
    let wanted = metrics.prometheus.iter().filter(|m| moment == Moment::End || m.is_realtime());
    let variables = variables(node, now);
    let names = resolve::locals(state, node.id);
    let globals = resolve::globals(state, now, node.id);
    let scope = Layers(vec![&variables, &names, &globals]);
    wanted.filter_map(|metric| compute(metric, &scope).transpose()).collect()
}

/// None: its `when` is false.
fn compute(metric: &Prometheus, scope: &dyn Scope) -> Result<Option<Metric>, String> {
    if metric.help.is_empty() {
        return Err(format!("metric '{}' must contain a help string under 'help: ' field", metric.name));
    }
    let unresolved =
        |why: String| format!("unable to substitute parameters for metric '{}': {why}", metric.name);
    let mut words = json!({
        "name": metric.name, "help": metric.help, "labels": metric.labels, "when": metric.when.clone().unwrap_or_default(),
    });
    tags::replace_value(&mut words, scope, Strictness::All).map_err(|why| unresolved(why.to_string()))?;
    let word = |key: &str| words.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = word("name");
    let condition = word("when");
    let proceed = when::evaluate(&condition)
        .map_err(|why| format!("unable to compute 'when' clause for metric '{name}': {why}"));
    if !condition.is_empty() && !proceed? {
        return Ok(None);
    }
    let text = value(metric, scope).map_err(unresolved)?;
    let value: f64 = match text.trim().parse() {
        Ok(value) if f64::is_finite(value) => value,
        _ => {
            return Err(format!(
                "could not construct metric '{name}': strconv.ParseFloat: parsing {text:?}: invalid syntax"
            ));
        }
    };
    let labels =
        serde_json::from_value(words["labels"].clone()).map_err(|why| unresolved(why.to_string()))?;
    let kind =
        kind(metric).ok_or_else(|| format!("could not construct metric '{name}': invalid metric spec"))?;
    Ok(Some(Metric { name, help: word("help"), labels, kind, value }))
}

fn value(metric: &Prometheus, scope: &dyn Scope) -> Result<String, String> {
    let text = metric.value().unwrap_or_default();
    if metric.is_realtime() && !matches!(text.trim(), "{{duration}}" | "{{workflow.duration}}") {
        return Err(format!("'{text}' is not available as a real time metric"));
    }
    tags::replace(text, scope, Strictness::All).map_err(|why| why.to_string())
}

fn kind(metric: &Prometheus) -> Option<MetricKind> {
    match (&metric.gauge, &metric.histogram, &metric.counter) {
        (Some(gauge), _, _) => Some(match gauge.operation.as_deref() {
            Some("Add") => MetricKind::Add,
            Some("Sub") => MetricKind::Sub,
            _ => MetricKind::Set,
        }),
        (None, Some(histogram), _) => Some(MetricKind::Histogram { buckets: histogram.buckets.clone() }),
        (None, None, Some(_)) => Some(MetricKind::Counter),
        (None, None, None) => None,
    }
}

/// What only a metric's fields may name (Argo's catalogue, `M`).
fn variables(node: &Node, now: Timestamp) -> Locals {
    let until = node.finished_at.unwrap_or(now);
    let seconds = until.duration_since(node.started_at).as_secs_f64().max(0.0);
    let mut names =
        vec![("duration".to_owned(), format!("{seconds:.6}")), ("status".to_owned(), node.phase.to_string())];
    for resource in ["cpu", "memory"] {
        if !node.resources.contains_key(resource) {
            names.push((format!("resourcesDuration.{resource}"), "0".to_owned()));
        }
    }
    for (resource, seconds) in &node.resources {
        names.push((format!("resourcesDuration.{resource}"), seconds.to_string()));
    }
    if let (NodeKind::Retry, Body::Retry { attempts, .. }) = (node.kind, &node.body) {
        names.push(("retries".to_owned(), attempts.saturating_sub(1).to_string()));
    }
    for input in &node.inputs.parameters {
        let value = input.value.clone().unwrap_or_default();
        names.push((format!("inputs.parameters.{}", input.name), value.0));
    }
    for output in &node.outputs.parameters {
        let value = output.value.clone().unwrap_or_default();
        names.push((format!("outputs.parameters.{}", output.name), value.0));
    }
    names.extend(node.outputs.result.clone().map(|result| ("outputs.result".to_owned(), result)));
    names.extend(node.outputs.exit_code.clone().map(|code| ("exitCode".to_owned(), code)));
    Locals(names)
}
