//! Tags in an object's JSON text: which there are, and putting values in their place, as Argo does before it looks
//! at a template. A tag reaches from `{{` to the next `}}` of the whole text.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::tags::{self, Lookup, Scope, Strictness};

/// Values of variables.
pub(super) type Values = BTreeMap<String, String>;

/// What Argo puts in the place of a value that only a run knows.
pub(super) const PLACEHOLDER: &str = "__argo__internal__placeholder-";

pub(super) fn is_placeholder(text: &str) -> bool {
    text.starts_with(PLACEHOLDER)
}

/// A text cut at its tags.
struct Parts<'t> {
    /// What stands before a tag, and the tag.
    tags: Vec<(&'t str, &'t str)>,
    /// What stands after the last one.
    rest: &'t str,
}

fn split(text: &str) -> Result<Parts<'_>, String> {
    let mut tags = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let (before, from) = (&rest[..start], &rest[start + 2..]);
        let Some(end) = from.find("}}") else {
            let beginning: String = from.chars().take(60).collect();
            return Err(format!("Cannot find end tag=\"}}}}\" in the template starting from {beginning:?}"));
        };
        tags.push((before, &from[..end]));
        rest = &from[end + 2..];
    }
    Ok(Parts { tags, rest })
}

/// Hands every simple tag to `check`; the first answer is the text's.
pub(super) fn check(text: &str, mut check: impl FnMut(&str) -> Option<String>) -> Result<(), String> {
    let simple = split(text)?.tags.into_iter().map(|(_, tag)| tag).filter(|tag| !tag.starts_with('='));
    simple.map(&mut check).find_map(|wrong| wrong).map_or(Ok(()), Err)
}

/// The first tag that is left in a text.
pub(super) fn unresolved(text: &str) -> Result<(), String> {
    check(text, |tag| Some(format!("failed to resolve {{{{{tag}}}}}")))
}

/// The text with the values that are known in the place of their tags.
pub(super) fn replace(text: &str, values: &Values) -> Result<String, String> {
    let Parts { tags, rest } = split(text)?;
    if tags.is_empty() {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    for (before, tag) in tags {
        out.push_str(before);
        match tag.strip_prefix('=') {
            Some(expression) => out.push_str(&evaluate(expression, values)?),
            None => simple(tag, values, &mut out),
        }
    }
    out.push_str(rest);
    match serde_json::from_str::<serde::de::IgnoredAny>(&out) {
        Ok(_) => Ok(out),
        Err(_) => Err("cannot finish template replacement because the result was invalid JSON".to_owned()),
    }
}

fn simple(tag: &str, values: &Values, out: &mut String) {
    if let Some(value) = values.get(tag.trim()) {
        return quote(value, out);
    }
    // `{{a.{{b}}` whose end closes the outer tag in the next round.
    let nested = tag.rfind("{{").filter(|at| *at > 0);
    if let Some((at, value)) = nested.and_then(|at| Some((at, values.get(&tag[at + 2..])?))) {
        out.push_str("{{");
        out.push_str(&tag[..at]);
        return quote(value, out);
    }
    out.push_str("{{");
    out.push_str(tag);
    out.push_str("}}");
}

/// An expression's value; the expression as it stands where it has none yet.
fn evaluate(expression: &str, values: &Values) -> Result<String, String> {
    let stays = || format!("{{{{={expression}}}}}");
    let fixed = expression.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&");
    // A tag that is not closed goes on beyond its text, and is then no JSON.
    let written: String = serde_json::from_str(&format!("\"{fixed}\""))
        .map_err(|error| format!("failed to unmarshall JSON expression: {error}"))?;
    let tag = format!("{{{{={written}}}}}");
    match tags::replace(&tag, &Known(values), Strictness::Lenient) {
        Ok(value) if value != tag => {
            let mut out = String::new();
            quote(&value, &mut out);
            Ok(out)
        }
        _ => Ok(stays()),
    }
}

struct Known<'v>(&'v Values);

impl Scope for Known<'_> {
    fn get(&self, name: &str) -> Lookup {
        self.0.get(name).map_or(Lookup::Unknown, |value| Lookup::Value(Value::String(value.clone())))
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        let mut tree = Value::Null;
        for (name, value) in self.0 {
            let Some(rest) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) else {
                continue;
            };
            let mut at = &mut tree;
            for part in rest.split('.') {
                if !at.is_object() {
                    *at = Value::Object(serde_json::Map::new());
                }
                at = &mut at[part];
            }
            if at.is_null() {
                *at = Value::String(value.clone());
            }
        }
        (!tree.is_null()).then_some(tree)
    }
}

/// A value as Go's `strconv.Quote` writes it between its quotes: what JSON does not know, it writes all the same.
fn quote(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_control() && (c as u32) < 0x80 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() || is_unprintable(c) => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
}

/// Spaces and marks that Go takes for unprintable.
fn is_unprintable(c: char) -> bool {
    (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}')
}
