//! Metrics in CloudWatch's embedded format: one line of the log holds the numbers and what they are, and costs no request.

use std::collections::BTreeMap;

use dropforge_driver::clock::{Clock, SystemClock};
use serde_json::{Value, json};

/// Where CloudWatch keeps them.
const NAMESPACE: &str = "Dropforge";

/// The variable that names the deployment. Two of them in one account share a namespace, so that this tells whose run
/// failed.
const STACK: &str = "DROPFORGE_STACK";

/// Counts of one call of a function, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// Adds to a count.
    pub fn add(&mut self, name: &'static str, many: u64) {
        *self.0.entry(name).or_default() += many;
    }

    /// Writes what was counted, where anything was.
    pub fn tell(&self) {
        let stack = std::env::var(STACK).ok().filter(|name| !name.is_empty());
        if let Some(line) = self.line(SystemClock.now().as_millisecond(), stack.as_deref()) {
            println!("{line}");
        }
    }

    fn line(&self, at: i64, stack: Option<&str>) -> Option<Value> {
        let counted = || self.0.iter().filter(|(_, many)| **many > 0);
        counted().next()?;
        let metrics: Vec<Value> = counted().map(|(name, _)| json!({"Name": name, "Unit": "Count"})).collect();
        let dimensions: &[&str] = if stack.is_some() { &["Stack"] } else { &[] };
        let about = json!({"Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics});
        let mut line = json!({"_aws": {"Timestamp": at, "CloudWatchMetrics": [about]}});
        if let Some(stack) = stack {
            line["Stack"] = json!(stack);
        }
        for (name, many) in counted() {
            line[*name] = json!(many);
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_one_line_that_says_what_they_are() {
        let mut counts = Counts::default();
        assert_eq!(counts.line(5, Some("forge")), None);
        counts.add("RunsFailed", 1);
        counts.add("RunsFailed", 1);
        counts.add("RunsStuck", 0);
        let about = |dimensions: Value| json!({"Namespace": "Dropforge", "Dimensions": [dimensions], "Metrics": [{"Name": "RunsFailed", "Unit": "Count"}]});
        let head = |dimensions: Value| json!({"Timestamp": 5, "CloudWatchMetrics": [about(dimensions)]});
        let of_stack = json!({"_aws": head(json!(["Stack"])), "Stack": "forge", "RunsFailed": 2});
        assert_eq!(counts.line(5, Some("forge")), Some(of_stack));
        let of_none = json!({"_aws": head(json!([])), "RunsFailed": 2});
        assert_eq!(counts.line(5, None), Some(of_none));
    }
}
