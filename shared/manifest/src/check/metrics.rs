//! `metrics` of templates and specs, by the rules of Argo's own validation.

use crate::codes::Code;
use crate::types::{Metrics, Prometheus};

use super::{SpecCheck, language};

pub(super) fn check(check: &SpecCheck<'_>, metrics: Option<&Metrics>, path: &str) {
    for (index, metric) in metrics.into_iter().flat_map(|metrics| &metrics.prometheus).enumerate() {
        one(check, metric, &format!("{path}.metrics.prometheus[{index}]"));
    }
}

fn one(check: &SpecCheck<'_>, metric: &Prometheus, path: &str) {
    let name = &metric.name;
    if !language::has_tag(name) && !is_name(name) {
        let message =
            format!("metric name '{name}' is invalid: names may only contain alphanumeric characters or '_'");
        check.report(Code::E101, &format!("{path}.name"), message, "choose a name such as training_accuracy");
    }
    if metric.help.is_empty() {
        let message = format!("metric '{name}' must contain a help string under 'help: ' field");
        check.report(
            Code::E108,
            path,
            message,
            "say in a sentence what is measured: `help: Accuracy of the model`",
        );
    }
    for (index, label) in metric.labels.iter().enumerate().filter(|(_, label)| !is_name(&label.key)) {
        let message = format!(
            "metric label '{}' is invalid: keys may only contain alphanumeric characters or '_'",
            label.key
        );
        check.report(
            Code::E101,
            &format!("{path}.labels[{index}].key"),
            message,
            "choose a key such as model",
        );
    }
    kind(check, metric, path);
    if let Some(when) = metric.when.as_deref().filter(|when| !when.is_empty())
        && let Err(why) = language::when(when)
    {
        let message = format!("invalid 'when' expression: {why}");
        check.report(Code::E204, &format!("{path}.when"), message, "for example: \"{{status}} == Failed\"");
    }
}

fn kind(check: &SpecCheck<'_>, metric: &Prometheus, path: &str) {
    let name = &metric.name;
    let kinds = [metric.gauge.is_some(), metric.histogram.is_some(), metric.counter.is_some()];
    match kinds.iter().filter(|set| **set).count() {
        1 => {}
        0 => {
            let message = format!("metric '{name}' is of no kind");
            return check.report(Code::E108, path, message, "add `counter`, `gauge` or `histogram`");
        }
        _ => {
            let message = format!("metric '{name}' is of several kinds");
            return check.report(Code::E108, path, message, "keep one of `counter`, `gauge` and `histogram`");
        }
    }
    if metric.value().is_none_or(str::is_empty) {
        let message = format!("metric '{name}': its value is missing");
        check.report(Code::E108, path, message, "add `value`: a number, or tags such as \"{{duration}}\"");
    }
    if let Some(gauge) = &metric.gauge {
        let operation = gauge.operation.as_deref().unwrap_or_default();
        if !matches!(operation, "" | "Set" | "Add" | "Sub") {
            let message = format!("metric '{name}': operation '{operation}' is not one of Set, Add, Sub");
            check.report(Code::E503, &format!("{path}.gauge.operation"), message, "leave it out for Set");
        }
        if metric.is_realtime() && gauge.value.as_str().contains("resourcesDuration.") {
            let message = "'resourcesDuration.*' metrics cannot be used in real-time";
            check.report(Code::E108, &format!("{path}.gauge"), message, "leave out `realtime`");
        }
    }
}

fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(fine)
}
