//! The texts of a part of a document.

use crate::source::{Node, Scalar, Value, join};

/// Every text below a node, with its path.
pub(super) fn texts<'n>(node: &'n Node, path: &str) -> Vec<(String, &'n str)> {
    let mut found = Vec::new();
    collect(node, path.to_owned(), &mut found);
    found
}

/// The texts below a node that may read something of `prefix`. A name is looked for in these alone, since a manifest has
/// many texts and many names.
pub(super) fn readers<'n>(node: &'n Node, prefix: &str) -> Vec<&'n str> {
    texts(node, "").into_iter().map(|(_, text)| text).filter(|text| text.contains(prefix)).collect()
}

fn collect<'n>(node: &'n Node, path: String, found: &mut Vec<(String, &'n str)>) {
    match &node.value {
        Value::Scalar(Scalar::Text(text)) => found.push((path, text)),
        Value::Scalar(_) => {}
        Value::Seq(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{path}[{index}]"), found);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                collect(&entry.value, join(&path, &entry.key), found);
            }
        }
    }
}

/// Whether a text names `prefix.name`, as a tag or in an expression, in either spelling.
pub(super) fn names(text: &str, prefix: &str, name: &str) -> bool {
    let quoted =
        [format!("{prefix}['{name}']"), format!("{prefix}[\"{name}\"]"), format!("{prefix}[\\\"{name}\\\"]")];
    if quoted.iter().any(|spelling| text.contains(spelling)) {
        return true;
    }
    let dotted = format!("{prefix}.{name}");
    text.match_indices(&dotted).any(|(at, _)| {
        let next = text[at + dotted.len()..].chars().next();
        next.is_none_or(|c| !(c.is_alphanumeric() || c == '-' || c == '_'))
    })
}

/// Whether a text reads all of `prefix` at once, as `{{inputs.parameters}}` does.
pub(super) fn names_all(text: &str, prefix: &str) -> bool {
    text.match_indices(prefix).any(|(at, _)| {
        let rest = &text[at + prefix.len()..];
        !rest.starts_with(['.', '[']) || rest.starts_with(".json")
    })
}
