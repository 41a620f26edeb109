//! What may be a name, in Argo's words.

/// Why `name` is no name of a template, step or task.
pub(super) fn workflow_field(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is required".to_owned());
    }
    if name.len() > 128 {
        return Some(format!("must be no more than 128 characters, it has {}", name.len()));
    }
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let start = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    (!letters || !start).then(|| {
        "must consist of alpha-numeric characters or '-', and must start with an alpha-numeric character"
            .to_owned()
    })
}

/// Why `name` is no name of a parameter or an artifact.
pub(super) fn parameter(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is required".to_owned());
    }
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    (!letters).then(|| "must consist of alpha-numeric characters, '_' or '-'".to_owned())
}

/// Why `value` is no value of a Kubernetes label.
pub fn label_value(value: &str) -> Option<String> {
    if value.len() > 63 {
        return Some(format!("must be no more than 63 characters, it has {}", value.len()));
    }
    let inner = value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let end = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let ends = end(value.as_bytes().first()) && end(value.as_bytes().last());
    (!inner || !ends).then(|| {
        "must consist of alpha-numeric characters, '-', '_' or '.', and begin and end with an alpha-numeric one"
            .to_owned()
    })
}

/// Why `name` is no name of a Kubernetes object.
pub fn object(name: &str, length_max: usize) -> Option<String> {
    if name.len() > length_max {
        return Some(format!(
            "must not be more than {length_max} characters long (currently {})",
            name.len()
        ));
    }
    let part = |part: &str| {
        let inner = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        inner && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
    };
    (!name.split('.').all(part))
        .then(|| "must consist of lower case letters, digits, '-' and '.', and begin and end with a letter or digit".to_owned())
}
