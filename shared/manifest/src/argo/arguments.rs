//! Arguments: each has a value, or says where it comes from.

use serde_json::Value;

use super::artifacts::has_location_or_key;
use super::json::Read;
use super::names::{self, Named};
use super::refusal::{Checked, refuse};
use crate::codes::Code;

/// `label` begins Argo's messages, `path` is the arguments' place.
pub(super) fn check(arguments: &Value, label: &str, path: &str, may_be_empty: bool) -> Checked {
    for what in ["parameters", "artifacts"] {
        names::check(
            arguments.list(what),
            Named::Value,
            &format!("{label}{what}"),
            &format!("{path}.{what}"),
        )?;
    }
    for (index, parameter) in arguments.list("parameters").iter().enumerate() {
        let label = format!("{label}{}", parameter.text("name"));
        let path = format!("{path}.parameters[{index}]");
        value(parameter, &label, &path, may_be_empty)?;
        if !parameter.has("enum") {
            continue;
        }
        let choices = parameter.list("enum");
        if choices.is_empty() {
            let message = format!("{label}.enum should contain at least one value");
            return refuse(Code::E305, message, format!("{path}.enum"));
        }
        if !parameter.has("value") {
            // Argo then looks at nothing that follows either.
            if may_be_empty {
                return Ok(());
            }
            return refuse(Code::E301, format!("{label}.value is required"), path);
        }
        if !choices.contains(parameter.field("value")) {
            let message = format!("{label}.value should be present in {label}.enum list");
            return refuse(Code::E305, message, format!("{path}.value"));
        }
    }
    for (index, artifact) in arguments.list("artifacts").iter().enumerate() {
        let label = format!("{label}{}", artifact.text("name"));
        let path = format!("{path}.artifacts[{index}]");
        if !artifact.says("from") && !has_location_or_key(artifact) {
            return refuse(Code::E303, format!("{label}.from, artifact location, or key is required"), path);
        }
        if artifact.says("from") && artifact.says("fromExpression") {
            let message = format!("{label} shouldn't have both `from` and `fromExpression` in Artifact");
            return refuse(Code::E303, message, path);
        }
    }
    Ok(())
}

fn value(parameter: &Value, label: &str, path: &str, may_be_empty: bool) -> Checked {
    if !parameter.has("valueFrom") {
        if parameter.has("value") || may_be_empty {
            return Ok(());
        }
        return refuse(Code::E301, format!("{label}.value or {label}.valueFrom is required"), path);
    }
    let from = parameter.field("valueFrom");
    let allowed = from.has("configMapKeyRef") || from.says("event") || from.has("supplied");
    let forbidden = ["path", "jsonPath", "parameter", "expression"].iter().any(|field| from.says(field));
    if !allowed || forbidden {
        let message = format!("{label}.valueFrom only allows: default, configMapKeyRef and supplied");
        return refuse(Code::E301, message, format!("{path}.valueFrom"));
    }
    Ok(())
}
