//! A template's Prometheus metrics.

use serde_json::Value;

use super::json::Read;
use super::refusal::{Checked, refuse};
use crate::codes::Code;

fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub(super) fn check(template: &Value) -> Checked {
    let label = format!("templates.{}", template.text("name"));
    for (index, metric) in template.field("metrics").list("prometheus").iter().enumerate() {
        let name = metric.text("name");
        let path = format!("metrics.prometheus[{index}]");
        if !is_name(name) {
            let message = format!(
                "{label} metric name '{name}' is invalid. Metric names must contain alphanumeric characters or '_'"
            );
            return refuse(Code::E101, message, format!("{path}.name"));
        }
        for metric_label in metric.list("labels").iter().map(|label| label.text("key")) {
            if !is_name(metric_label) {
                let message = format!(
                    "metric label '{metric_label}' is invalid: keys may only contain alphanumeric characters or '_'"
                );
                return refuse(Code::E101, message, format!("{path}.labels"));
            }
        }
        if !metric.says("help") {
            let message = format!("{label} metric '{name}' must contain a help string under 'help: ' field");
            return refuse(Code::E108, message, path);
        }
        if let Some(why) = value(metric) {
            return refuse(Code::E108, format!("{label} metric '{name}' error: {why}"), path);
        }
    }
    Ok(())
}

fn value(metric: &Value) -> Option<&'static str> {
    let gauge = metric.field("gauge");
    let lacks = |kind: &str| metric.has(kind) && !metric.field(kind).says("value");
    if lacks("gauge") {
        Some("missing gauge.value")
    } else if gauge.is_true("realtime") && gauge.text("value").contains("resourcesDuration.") {
        Some("'resourcesDuration.*' metrics cannot be used in real-time")
    } else if lacks("counter") {
        Some("missing counter.value")
    } else {
        lacks("histogram").then_some("missing histogram.value")
    }
}
