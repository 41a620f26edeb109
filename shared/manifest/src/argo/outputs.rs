//! Outputs: each has one source, of the kind that its template has.

use serde_json::Value;

use super::json::{Read, encode};
use super::kind::Kind;
use super::names::{self, Named, invalid, is_parameter};
use super::refusal::{Checked, refuse};
use super::scope::Scope;
use super::validation::Validation;
use crate::codes::Code;

impl Validation<'_> {
    pub(super) fn outputs(&self, template: &Value, kind: Kind, scope: &Scope) -> Checked {
        let label = format!("templates.{}.outputs", template.text("name"));
        let outputs = template.field("outputs");
        for what in ["parameters", "artifacts"] {
            names::check(
                outputs.list(what),
                Named::Value,
                &format!("{label}.{what} "),
                &format!("outputs.{what}"),
            )?;
        }
        self.resolve(scope, |_| false, &encode(outputs, "Outputs"))
            .map_err(|refusal| refusal.after(format!("{label} ")).at("outputs"))?;
        for (index, artifact) in outputs.list("artifacts").iter().enumerate() {
            let label = format!("{label}.artifacts.{}", artifact.text("name"));
            self::artifact(artifact, kind, &label, &format!("outputs.artifacts[{index}]"))?;
        }
        for (index, parameter) in outputs.list("parameters").iter().enumerate() {
            let label = format!("{label}.parameters.{}", parameter.text("name"));
            let path = format!("outputs.parameters[{index}]");
            source(parameter, &label, &path)?;
            if parameter.has("valueFrom") {
                source_of_kind(parameter.field("valueFrom"), kind, &label, &format!("{path}.valueFrom"))?;
            }
            global_name(parameter, &label, &path)?;
        }
        Ok(())
    }
}

fn artifact(artifact: &Value, kind: Kind, label: &str, path: &str) -> Checked {
    if kind.is_leaf() {
        if let Err(why) = names::artifact_path(artifact) {
            return refuse(Code::E303, format!("error in {label}: {why}"), path);
        }
    } else if artifact.says("path") {
        let message = format!("{label}.path only valid in container/script templates");
        return refuse(Code::E303, message, format!("{path}.path"));
    }
    global_name(artifact, label, path)
}

fn global_name(output: &Value, label: &str, path: &str) -> Checked {
    let name = output.text("globalName");
    if !name.is_empty()
        && !is_parameter(name)
        && let Some(why) = invalid(name, Named::Value)
    {
        return refuse(Code::E101, format!("{label}.globalName: {why}"), format!("{path}.globalName"));
    }
    Ok(())
}

fn source(parameter: &Value, label: &str, path: &str) -> Checked {
    match (parameter.has("valueFrom"), parameter.has("value")) {
        (true, true) => {
            let message = format!("{label} has both valueFrom and value specified, choose one");
            return refuse(Code::E304, message, path);
        }
        (false, true) => return Ok(()),
        (false, false) => {
            return refuse(Code::E304, format!("{label} does not have valueFrom or value specified"), path);
        }
        (true, false) => {}
    }
    let from = parameter.field("valueFrom");
    let texts = ["path", "jqFilter", "jsonPath", "parameter", "expression"];
    let kinds = texts.iter().filter(|field| from.says(field)).count() + usize::from(from.has("supplied"));
    let path = format!("{path}.valueFrom");
    match kinds {
        0 => {
            let message = "valueFrom type unspecified. choose one of: path, jqFilter, jsonPath, parameter, raw, expression";
            refuse(Code::E304, message, path)
        }
        1 => Ok(()),
        _ => {
            let message =
                "multiple valueFrom types specified. choose one of: path, jqFilter, jsonPath, parameter, raw";
            refuse(Code::E304, message, path)
        }
    }
}

fn source_of_kind(from: &Value, kind: Kind, label: &str, path: &str) -> Checked {
    let message = match kind {
        Kind::Container | Kind::ContainerSet | Kind::Script if !from.says("path") => {
            format!("{label}.path must be specified for {kind} templates")
        }
        Kind::Resource if !from.says("jqFilter") && !from.says("jsonPath") => {
            format!("{label} .jqFilter or jsonPath must be specified for {kind} templates")
        }
        Kind::Dag | Kind::Steps if !from.says("parameter") && !from.says("expression") => {
            format!("{label}.parameter or expression must be specified for {kind} templates")
        }
        _ => return Ok(()),
    };
    refuse(Code::E304, message, path)
}
