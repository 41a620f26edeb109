//! What runs have counted, added up for all runs of a store, in Prometheus' text format.
//!
//! Values are added after their record was committed: a process that dies in between loses at most those.

use std::collections::BTreeMap;
use std::fmt::Write;

use dropforge_engine::metric::{Metric, MetricKind};
use dropforge_manifest::types::MetricLabel;
use serde::{Deserialize, Serialize};

/// The version of the document that this code writes.
pub const METRICS_FORMAT: u32 = 1;

/// Argo's prefix of every metric.
const PREFIX: &str = "argo_workflows_";

/// The most combinations of labels that are kept, so that a label such as a run's name does not grow without end.
const SERIES_MAX: usize = 10_000;

/// Why a value is not counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    /// The name stands for something else already.
    #[error("metric {name} is already a {is} with the help {help:?}: give one of the two another name")]
    Differs {
        /// The metric.
        name: String,
        /// What it is.
        is: &'static str,
        /// Its help.
        help: String,
    },
    /// There are too many combinations of labels.
    #[error("metric {name} would be one more than the {SERIES_MAX} combinations of labels that are kept")]
    TooMany {
        /// The metric.
        name: String,
    },
}

/// All metrics of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registry {
    /// Version of this document.
    pub format: u32,
    families: BTreeMap<String, Family>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry { format: METRICS_FORMAT, families: BTreeMap::new() }
    }
}

/// One metric with all its labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Family {
    kind: FamilyKind,
    help: String,
    /// A histogram's upper bounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    buckets: Vec<f64>,
    /// By the labels as they are written.
    series: BTreeMap<String, Series>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
}

impl FamilyKind {
    fn word(self) -> &'static str {
        match self {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        }
    }
}

/// The value, or a histogram's sum with its counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Series {
    value: f64,
    #[serde(skip_serializing_if = "is_zero")]
    count: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    counts: Vec<u64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Registry {
    /// Counts a value.
    ///
    /// # Errors
    /// When the name stands for something else, or there are too many labels.
    pub fn add(&mut self, metric: &Metric) -> Result<(), NotCounted> {
        let (kind, buckets) = match &metric.kind {
            MetricKind::Counter => (FamilyKind::Counter, Vec::new()),
            MetricKind::Set | MetricKind::Add | MetricKind::Sub => (FamilyKind::Gauge, Vec::new()),
            MetricKind::Histogram { buckets } => (FamilyKind::Histogram, sorted(buckets)),
        };
        let labels = labels(&metric.labels);
        let all: usize = self.families.values().map(|family| family.series.len()).sum();
        let known = self.families.get(&metric.name);
        if all >= SERIES_MAX && known.is_none_or(|family| !family.series.contains_key(&labels)) {
            return Err(NotCounted::TooMany { name: metric.name.clone() });
        }
        let new = || Family { kind, help: metric.help.clone(), buckets, series: BTreeMap::new() };
        let family = self.families.entry(metric.name.clone()).or_insert_with(new);
        if family.kind != kind || family.help != metric.help {
            return Err(NotCounted::Differs {
                name: metric.name.clone(),
                is: family.kind.word(),
                help: family.help.clone(),
            });
        }
        let bounds = family.buckets.clone();
        family.series.entry(labels).or_default().add(metric, &bounds);
        Ok(())
    }

    /// Everything in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, family) in &self.families {
            family.write(&format!("{PREFIX}{name}"), &mut text);
        }
        text
    }
}

impl Series {
    fn add(&mut self, metric: &Metric, bounds: &[f64]) {
        match metric.kind {
            MetricKind::Counter | MetricKind::Add => self.value += metric.value,
            MetricKind::Sub => self.value -= metric.value,
            MetricKind::Set => self.value = metric.value,
            MetricKind::Histogram { .. } => {
                self.value += metric.value;
                self.count += 1;
                self.counts.resize(bounds.len(), 0);
                for (count, _) in
                    self.counts.iter_mut().zip(bounds).filter(|(_, bound)| metric.value <= **bound)
                {
                    *count += 1;
                }
            }
        }
    }
}

impl Family {
    fn write(&self, name: &str, text: &mut String) {
        let help = self.help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a text does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", self.kind.word());
        for (labels, series) in &self.series {
            if self.kind != FamilyKind::Histogram {
                let _ = writeln!(text, "{name}{} {}", braced(labels), series.value);
                continue;
            }
            let bounds = self.buckets.iter().map(f64::to_string).zip(series.counts.iter().copied());
            for (bound, count) in bounds.chain([("+Inf".to_owned(), series.count)]) {
                let comma = if labels.is_empty() { "" } else { "," };
                let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
            }
            let _ = writeln!(text, "{name}_sum{} {}", braced(labels), series.value);
            let _ = writeln!(text, "{name}_count{} {}", braced(labels), series.count);
        }
    }
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

fn sorted(bounds: &[f64]) -> Vec<f64> {
    let mut bounds = bounds.to_vec();
    bounds.sort_by(f64::total_cmp);
    bounds
}

fn labels(labels: &[MetricLabel]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let mut pairs: Vec<String> =
        labels.iter().map(|l| format!("{}=\"{}\"", l.key, escaped(&l.value))).collect();
    pairs.sort();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, kind: MetricKind, label: &str, value: f64) -> Metric {
        let labels = vec![MetricLabel { key: "model".into(), value: label.into() }];
        Metric { name: name.into(), help: "What it is".into(), labels, kind, value }
    }

    #[test]
    fn values_add_up_by_kind_and_labels() {
        let histogram = || MetricKind::Histogram { buckets: vec![10.0, 1.0] };
        let mut registry = Registry::default();
        for one in [
            metric("runs", MetricKind::Counter, "a", 1.0),
            metric("runs", MetricKind::Counter, "a", 2.5),
            metric("runs", MetricKind::Counter, "b\"", 1.0),
            metric("open", MetricKind::Set, "a", 7.0),
            metric("open", MetricKind::Add, "a", 2.0),
            metric("open", MetricKind::Sub, "a", 4.0),
            metric("time", histogram(), "a", 0.5),
            metric("time", histogram(), "a", 5.0),
            metric("time", histogram(), "a", 50.0),
        ] {
            registry.add(&one).unwrap();
        }
        let expected = "\
# HELP argo_workflows_open What it is
# TYPE argo_workflows_open gauge
argo_workflows_open{model=\"a\"} 5
# HELP argo_workflows_runs What it is
# TYPE argo_workflows_runs counter
argo_workflows_runs{model=\"a\"} 3.5
argo_workflows_runs{model=\"b\\\"\"} 1
# HELP argo_workflows_time What it is
# TYPE argo_workflows_time histogram
argo_workflows_time_bucket{model=\"a\",le=\"1\"} 1
argo_workflows_time_bucket{model=\"a\",le=\"10\"} 2
argo_workflows_time_bucket{model=\"a\",le=\"+Inf\"} 3
argo_workflows_time_sum{model=\"a\"} 55.5
argo_workflows_time_count{model=\"a\"} 3
";
        assert_eq!(registry.text(), expected);
        let stored = serde_json::to_string(&registry).unwrap();
        assert_eq!(serde_json::from_str::<Registry>(&stored).unwrap(), registry);
    }

    #[test]
    fn a_name_that_stands_for_something_else_is_not_counted() {
        let mut registry = Registry::default();
        registry.add(&metric("runs", MetricKind::Counter, "a", 1.0)).unwrap();
        let refused = registry.add(&metric("runs", MetricKind::Set, "a", 1.0));
        assert!(matches!(refused, Err(NotCounted::Differs { is: "counter", .. })), "{refused:?}");
    }
}
