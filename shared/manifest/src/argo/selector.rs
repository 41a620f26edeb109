//! Label selectors of Kubernetes.

use serde_json::Value;

use super::json::Read;

/// Why it selects nothing that could be.
pub(super) fn wrong(selector: &Value) -> Option<String> {
    for (key, value) in selector.field("matchLabels").as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if let Some(why) = key_wrong(key).or_else(|| value_wrong(key, value)) {
            return Some(why);
        }
    }
    for expression in selector.list("matchExpressions") {
        let (key, operator, values) =
            (expression.text("key"), expression.text("operator"), expression.list("values"));
        let why = match operator {
            "In" | "NotIn" if values.is_empty() => Some(
                "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
                    .to_owned(),
            ),
            "Exists" | "DoesNotExist" if !values.is_empty() => Some(
                "values: Invalid value: values set must be empty for exists and does not exist".to_owned(),
            ),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => None,
            other => Some(format!("{other:?} is not a valid label selector operator")),
        };
        let values = || values.iter().find_map(|value| value_wrong(key, value.as_str().unwrap_or_default()));
        if let Some(why) = why.or_else(|| key_wrong(key)).or_else(values) {
            return Some(why);
        }
    }
    None
}

fn is_word(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= 63
        && ends(text.as_bytes().first())
        && ends(text.as_bytes().last())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_domain(text: &str) -> bool {
    let part = |part: &str| {
        let inner = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        !part.is_empty() && inner && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

fn key_wrong(key: &str) -> Option<String> {
    let fine = match key.split_once('/') {
        Some((domain, name)) => is_domain(domain) && is_word(name),
        None => is_word(key),
    };
    (!fine).then(|| {
        format!("key: Invalid value: {key:?}: a label's key consists of letters, digits, '-', '_' and '.'")
    })
}

fn value_wrong(key: &str, value: &str) -> Option<String> {
    let fine = value.is_empty() || is_word(value);
    (!fine).then(|| {
        format!("values[0][{key}]: Invalid value: {value:?}: a label's value consists of letters, digits, '-', '_' and '.'")
    })
}
