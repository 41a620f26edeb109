//! What a person puts in the place of what the manifest says.

use std::path::Path;

use dropforge_driver::births::Overrides;
use dropforge_manifest::source::{self, Node, Scalar, Value};

use crate::args::OverrideArgs;
use crate::error::CliError;
use crate::project::read_text;

/// Reads the flags, and the parameter file where one is named.
///
/// # Errors
/// When the file can't be read or holds no parameters.
pub fn overrides(args: &OverrideArgs, priority: Option<i64>) -> Result<Overrides, CliError> {
    let mut parameters = match &args.parameter_file {
        Some(file) => in_file(file)?,
        None => Vec::new(),
    };
    // The last one counts: those typed win over those in the file.
    parameters.extend(args.parameters.clone());
    Ok(Overrides {
        parameters,
        name: args.name.clone(),
        generate_name: args.generate_name.clone(),
        entrypoint: args.entrypoint.clone(),
        labels: args.labels.iter().cloned().collect(),
        service_account: args.serviceaccount.clone(),
        priority,
    })
}

fn in_file(path: &Path) -> Result<Vec<(String, String)>, CliError> {
    parameters(&read_text(path)?).map_err(|why| CliError::Usage(format!("{}: {why}", path.display())))
}

/// The parameters of a YAML or JSON mapping; what is no text is given as JSON, as Argo does.
fn parameters(text: &str) -> Result<Vec<(String, String)>, String> {
    let (nodes, errors) = source::read(text);
    if let Some(error) = errors.first() {
        return Err(format!("line {}: {error}", error.at().line));
    }
    let node = match nodes.as_slice() {
        [] => return Ok(Vec::new()),
        [node] => node,
        [_, second, ..] => return Err(format!("line {}: one document is expected", second.span.line)),
    };
    match &node.value {
        Value::Map(entries) => {
            Ok(entries.iter().map(|entry| (entry.key.clone(), value(&entry.value))).collect())
        }
        _ => Err(format!("expected a mapping of names to values, found {}", node.kind())),
    }
}

fn value(node: &Node) -> String {
    match &node.value {
        Value::Scalar(Scalar::Text(text)) => text.clone(),
        _ => json(node).to_string(),
    }
}

fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Map(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), json(&entry.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Seq(items) => items.iter().map(json).collect::<Vec<_>>().into(),
        Value::Scalar(scalar) => match scalar {
            Scalar::Null => serde_json::Value::Null,
            Scalar::Bool(value) => (*value).into(),
            Scalar::Int(value) => (*value).into(),
            Scalar::UInt(value) => (*value).into(),
            Scalar::Float(value) => (*value).into(),
            Scalar::Letter(_) | Scalar::Text(_) => scalar.text().into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parameters(text).unwrap()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn yaml_and_json_name_the_same_parameters() {
        let expected =
            [pair("a", "1"), pair("b", "x y"), pair("c", "[1,\"2\",{\"d\":true}]"), pair("e", "true")];
        assert_eq!(pairs("a: 1\nb: x y\nc: [1, '2', {d: true}]\ne: true\n"), expected);
        assert_eq!(pairs(r#"{"a": 1, "b": "x y", "c": [1, "2", {"d": true}], "e": true}"#), expected);
        assert_eq!(pairs(""), []);
    }

    #[test]
    fn what_holds_no_parameters_is_refused_with_its_place() {
        assert_eq!(parameters("- a\n").unwrap_err(), "expected a mapping of names to values, found a list");
        assert!(parameters("a: [1\n").unwrap_err().starts_with("line "));
    }
}
