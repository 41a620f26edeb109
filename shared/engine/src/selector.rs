//! Argo's node field selector: `displayName=approve,phase!=Failed`.

use std::fmt;

use dropforge_manifest::types::{Holder, Inputs};

use crate::phase::NodePhase;
use crate::record::TemplateKey;

/// A parsed selector: all its requirements must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    field: String,
    equal: bool,
    value: String,
}

/// The fields that can be named (rule SD-8).
const FIELDS: [&str; 7] =
    ["displayName", "templateName", "phase", "name", "id", "templateRef.name", "templateRef.template"];

impl Selector {
    /// Parses Kubernetes' field selector grammar: `=`, `==`, `!=`, joined by commas.
    ///
    /// # Errors
    /// A sentence that names the part that is wrong and the fields there are.
    pub fn parse(text: &str) -> Result<Selector, String> {
        text.split(',').map(|part| requirement(part.trim())).collect::<Result<_, _>>().map(Selector)
    }

    /// Whether a node has what the selector wants; `field` gives its fields by name.
    pub fn matches(&self, field: impl Fn(&str) -> Option<String>) -> bool {
        self.0.iter().all(|r| (field(&r.field).unwrap_or_default() == r.value) == r.equal)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|r| format!("{}{}{}", r.field, if r.equal { "=" } else { "!=" }, r.value))
            .collect();
        f.write_str(&parts.join(","))
    }
}

fn requirement(part: &str) -> Result<Requirement, String> {
    let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
        (field, false, value)
    } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (field, true, value)
    } else {
        return Err(format!("node field selector {part:?} has no '=', '==' or '!='"));
    };
    let known = FIELDS.contains(&field) || is_input(field);
    if !known {
        let fields = FIELDS.join(", ");
        return Err(format!(
            "node field selector: unknown field {field:?}; there are {fields}, inputs.parameters.NAME.value"
        ));
    }
    Ok(Requirement { field: field.to_owned(), equal, value: value.to_owned() })
}

fn is_input(field: &str) -> bool {
    field.starts_with("inputs.parameters.") && field.ends_with(".value")
}

/// What the fields of a node are taken from.
pub(crate) struct Fields<'a> {
    pub display_name: String,
    pub name: String,
    pub id: String,
    pub phase: NodePhase,
    pub template: Option<&'a TemplateKey>,
    pub inputs: &'a Inputs,
}

impl Fields<'_> {
    pub fn get(&self, field: &str) -> Option<String> {
        let stored = self.template.and_then(|k| Holder::of_scope(&k.scope));
        match field {
            "displayName" => Some(self.display_name.clone()),
            "templateName" => self.template.and_then(|k| k.template_name()).map(str::to_owned),
            "phase" => Some(self.phase.to_string()),
            "name" => Some(self.name.clone()),
            "id" => Some(self.id.clone()),
            "templateRef.name" => stored.map(|object| object.name.to_owned()),
            "templateRef.template" => stored.and(self.template).map(|k| k.name.to_string()),
            _ => {
                let name = field.strip_prefix("inputs.parameters.")?.strip_suffix(".value")?;
                self.inputs.parameters.iter().find(|p| p.name == name)?.value.as_ref().map(|v| v.0.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_and_printed_back() {
        let text = "displayName=approve,phase!=Failed,inputs.parameters.a.value=1";
        assert_eq!(Selector::parse(text).unwrap().to_string(), text);
        assert_eq!(Selector::parse("name==x").unwrap().to_string(), "name=x");
    }

    #[test]
    fn an_unknown_field_is_named_with_those_there_are() {
        let why = Selector::parse("colour=red").unwrap_err();
        assert!(why.contains("\"colour\"") && why.contains("displayName"), "{why}");
        assert!(Selector::parse("approve").unwrap_err().contains("has no '='"));
    }
}
