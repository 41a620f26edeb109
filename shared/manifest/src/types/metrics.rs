//! `metrics`: what a template or a run counts.

use serde::{Deserialize, Serialize};

use crate::text::AnyString;

/// `metrics` of a template or a spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Metrics {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prometheus: Vec<Prometheus>,
}

/// One metric: exactly one of `gauge`, `histogram` and `counter` is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct Prometheus {
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<MetricLabel>,
    pub help: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gauge: Option<Gauge>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<Counter>,
}

impl Prometheus {
    /// Whether its value is one of the moment, known while the node still runs.
    pub fn is_realtime(&self) -> bool {
        self.gauge.as_ref().is_some_and(|gauge| gauge.realtime == Some(true))
    }

    /// The text of its value.
    pub fn value(&self) -> Option<&str> {
        let gauge = self.gauge.as_ref().map(|gauge| &gauge.value);
        let histogram = self.histogram.as_ref().map(|histogram| &histogram.value);
        let counter = self.counter.as_ref().map(|counter| &counter.value);
        gauge.or(histogram).or(counter).map(AnyString::as_str)
    }
}

/// One label of a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "Argo's own fields")]
pub struct MetricLabel {
    pub key: String,
    pub value: String,
}

/// A value that goes up and down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gauge {
    /// A number, or tags that give one.
    pub value: AnyString,
    /// Whether the value is one of the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime: Option<bool>,
    /// `Set` (default), `Add` or `Sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// A value that is counted by how large it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Histogram {
    /// A number, or tags that give one.
    pub value: AnyString,
    /// Upper bounds.
    pub buckets: Vec<f64>,
}

/// A value that is added up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counter {
    /// A number, or tags that give one.
    pub value: AnyString,
}
