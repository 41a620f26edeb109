//! Names and paths that Argo takes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::json::Read;
use super::refusal::{Checked, refuse};
use crate::codes::Code;

/// What is named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// Templates, steps, tasks, containers.
    Field,
    /// Parameters and artifacts.
    Value,
}

/// Why it is no name.
pub(super) fn invalid(name: &str, named: Named) -> Option<String> {
    let letters = |extra: &[u8]| name.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b));
    if named == Named::Value {
        return (name.is_empty() || !letters(b"-_")).then(|| {
            "Parameter/Artifact name must consist of alpha-numeric characters, '_' or '-' e.g. my_param_1, MY-PARAM-1"
                .to_owned()
        });
    }
    let mut wrong = Vec::new();
    if name.len() > 128 {
        wrong.push("must be no more than 128 characters");
    }
    if !letters(b"-") || !name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) {
        wrong.push(
            "name must consist of alpha-numeric characters or '-', and must start with an alpha-numeric character (e.g. My-name1-2, 123-NAME)",
        );
    }
    (!wrong.is_empty()).then(|| wrong.join(";"))
}

/// Each element of a list has a name that is allowed and stands once.
pub(super) fn check(items: &[Value], named: Named, prefix: &str, path: &str) -> Checked {
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let name = item.text("name");
        let at = format!("{path}[{index}].name");
        if name.is_empty() {
            return refuse(
                Code::E101,
                format!("{prefix}[{index}].name is required"),
                format!("{path}[{index}]"),
            );
        }
        if let Some(why) = invalid(name, named) {
            return refuse(Code::E101, format!("{prefix}[{index}].name: '{name}' is invalid: {why}"), at);
        }
        if !seen.insert(name) {
            return refuse(Code::E102, format!("{prefix}[{index}].name '{name}' is not unique"), at);
        }
    }
    Ok(())
}

/// Whether a text holds a simple tag, as Argo recognises one that only a run resolves.
pub(super) fn is_parameter(text: &str) -> bool {
    text.match_indices("{{").any(|(at, _)| {
        let inside = &text[at + 2..];
        let Some(end) = inside.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        else {
            return false;
        };
        let mut parts = inside[..end].split('.');
        let first = parts.next().unwrap_or_default();
        inside[end..].starts_with("}}")
            && !first.is_empty()
            && !first.contains('_')
            && parts.all(|part| !part.is_empty())
    })
}

/// Go's `filepath.Clean`.
pub(super) fn clean_path(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => _ = parts.pop(),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// An artifact's path is there and does not climb out of its folder.
pub(super) fn artifact_path(artifact: &Value) -> Result<(), String> {
    let (name, path) = (artifact.text("name"), artifact.text("path"));
    if path.is_empty() {
        return Err(format!("Artifact '{name}' did not specify a path"));
    }
    let bytes = path.as_bytes();
    let ends_short = bytes.len() >= 3 && bytes[bytes.len() - 3] == b'/';
    let safe = match path.split_once("/../") {
        Some((before, _)) => before,
        None if ends_short => path.get(..path.len() - 3).unwrap_or_default(),
        None => "",
    };
    let inside = format!("{safe}/");
    let cleaned = clean_path(path);
    if !safe.is_empty() && (!cleaned.starts_with(&inside) || cleaned.len() <= inside.len()) {
        return Err(format!(
            "Artifact '{name}' attempted to use a path containing '..'. Directory traversal is not permitted"
        ));
    }
    Ok(())
}
