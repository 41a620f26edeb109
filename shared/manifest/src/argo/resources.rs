//! What a pod as a whole may ask for.

use serde_json::Value;

use super::json::Read;
use super::refusal::{Checked, refuse};
use crate::codes::Code;

pub(super) fn check_pod(resources: &Value, label: &str, path: &str) -> Checked {
    if !resources.list("claims").is_empty() {
        let message = format!("{label}.claims is not supported for pod-level resources");
        return refuse(Code::E107, message, format!("{path}.claims"));
    }
    for kind in ["limits", "requests"] {
        for name in resources.keys(kind) {
            if !matches!(name, "cpu" | "memory") && !name.starts_with("hugepages-") {
                let message = format!(
                    "{label}: {name:?} is not a valid pod-level resource, only cpu, memory and hugepages-* are supported"
                );
                return refuse(Code::E107, message, format!("{path}.{kind}"));
            }
        }
    }
    Ok(())
}
