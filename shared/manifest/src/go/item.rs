//! Loop items as Argo shows them. An item is given by its JSON text, so that a number keeps the form it was written in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The kinds of items that Argo tells apart; null is a list to it.
enum Kind {
    Text(String),
    Map(BTreeMap<String, Box<RawValue>>),
    List(Vec<Box<RawValue>>),
    Scalar,
}

/// The JSON text of an item; text that is not JSON is a string.
fn json(raw: &str) -> Cow<'_, str> {
    let raw = raw.trim();
    match serde_json::from_str::<&RawValue>(raw) {
        Ok(_) => Cow::Borrowed(raw),
        Err(_) => Cow::Owned(serde_json::Value::from(raw).to_string()),
    }
}

fn kind(raw: &str) -> Kind {
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).map_or(Kind::Scalar, Kind::Text),
        Some(b'{') => serde_json::from_str(raw).map_or(Kind::Scalar, Kind::Map),
        Some(b'[') => serde_json::from_str(raw).map_or(Kind::Scalar, Kind::List),
        Some(b'n') => Kind::List(Vec::new()),
        _ => Kind::Scalar,
    }
}

/// What `{{item}}` stands for: a text as it is, a map with its keys sorted, everything else as it is written.
pub fn item_text(raw: &str) -> String {
    let raw = json(raw);
    match kind(&raw) {
        Kind::Text(text) => text,
        Kind::Map(fields) => {
            let entries = fields.iter().map(|(key, value)| {
                format!("{}:{}", serde_json::Value::from(key.as_str()), compact(value.get()))
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Kind::List(_) | Kind::Scalar => compact(&raw),
    }
}

/// What `{{item.key}}` stands for, by key, where the item is a map; none otherwise.
///
/// A text loses its quotes and keeps the escapes inside.
pub fn item_fields(raw: &str) -> Vec<(String, String)> {
    match kind(&json(raw)) {
        Kind::Map(fields) => fields.into_iter().map(|(key, value)| (key, shown(value.get()))).collect(),
        _ => Vec::new(),
    }
}

/// An item in the name of its node: map entries as `key:value`, lists as `[a b c]`, and no parentheses.
pub fn item_description(raw: &str) -> String {
    let raw = json(raw);
    let text = match kind(&raw) {
        Kind::Map(fields) => {
            let mut entries: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key}:{}", shown(value.get()))).collect();
            entries.sort();
            entries.join(",")
        }
        Kind::List(items) => {
            format!("[{}]", items.iter().map(|item| shown(item.get())).collect::<Vec<_>>().join(" "))
        }
        Kind::Text(_) | Kind::Scalar => shown(&raw),
    };
    text.replace(['(', ')'], "")
}

fn shown(raw: &str) -> String {
    let text = compact(raw);
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inside) => inside.to_owned(),
        None => text,
    }
}

/// JSON text that Go's `encoding/json` takes over as it is: without spaces, and `<`, `>` and `&` escaped.
pub fn json_compacted(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in compact(raw).chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            _ => out.push(c),
        }
    }
    out
}

/// JSON text without the spaces between its parts.
fn compact(raw: &str) -> String {
    let (mut out, mut inside, mut escaped) = (String::with_capacity(raw.len()), false, false);
    for c in raw.chars() {
        if !inside && c.is_ascii_whitespace() {
            continue;
        }
        if c == '"' && !escaped {
            inside = !inside;
        }
        escaped = inside && c == '\\' && !escaped;
        out.push(c);
    }
    out
}
