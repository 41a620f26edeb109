//! Putting values in the place of tags.

use serde_json::Value;

use super::scan::next;
use super::{Lookup, Scope, Strictness, Tag, TagError, TagKind};
use crate::expr::{self, Env, Expr, ExprErrorKind, VALUE_BYTES_MAX};

/// Variables that are filled in late. While one of them is unknown, an expression that reads it stays whole, so
/// that an earlier round does not decide without it.
const LATE: [&str; 8] = [
    "item",
    "retries",
    "lastRetry.exitCode",
    "lastRetry.status",
    "lastRetry.duration",
    "lastRetry.message",
    "workflow.status",
    "workflow.failures",
];

/// Replaces every tag of `text` that the scope knows.
///
/// ```
/// use dropforge_manifest::tags::{Lookup, Scope, Strictness, replace};
/// use serde_json::{Value, json};
///
/// struct One;
/// impl Scope for One {
///     fn get(&self, name: &str) -> Lookup {
///         if name == "item" { Lookup::Value(json!("3")) } else { Lookup::Unknown }
///     }
///     fn subtree(&self, _: &str) -> Option<Value> {
///         None
///     }
/// }
///
/// let text = "{{item}} * 2 = {{=asInt(item) * 2}}, {{later}}";
/// assert_eq!(replace(text, &One, Strictness::Lenient).unwrap(), "3 * 2 = 6, {{later}}");
/// ```
///
/// # Errors
/// See `TagError`. An expression that cannot be parsed, and a variable known to have no value, are errors however
/// lenient the call is.
pub fn replace(text: &str, scope: &dyn Scope, strictness: Strictness) -> Result<String, TagError> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(Ok(tag)) = next(text, at) {
        out.push_str(&text[at..tag.range.start]);
        let raw = &text[tag.range.clone()];
        match tag.kind {
            TagKind::Simple => simple(raw, &tag, scope, strictness, &mut out)?,
            TagKind::Expression => expression(raw, &tag, scope, strictness, &mut out)?,
        }
        at = tag.range.end;
        if out.len() > VALUE_BYTES_MAX {
            return Err(TagError::TooLarge);
        }
    }
    out.push_str(&text[at..]);
    Ok(out)
}

/// Replaces the tags in every text of a JSON value, the keys of its objects included.
///
/// # Errors
/// As `replace`; the value is then partly replaced and must not be used. All that was replaced together is bounded
/// as one text is.
pub fn replace_value(value: &mut Value, scope: &dyn Scope, strictness: Strictness) -> Result<(), TagError> {
    let mut bytes = 0;
    each_text(value, &mut |text| {
        let new = replace(text, scope, strictness)?;
        bytes += new.len();
        if bytes > VALUE_BYTES_MAX { Err(TagError::TooLarge) } else { Ok(new) }
    })
}

/// Changes every text that has a tag.
fn each_text(
    value: &mut Value,
    change: &mut dyn FnMut(&str) -> Result<String, TagError>,
) -> Result<(), TagError> {
    match value {
        Value::String(text) if text.contains("{{") => *text = change(text)?,
        Value::Array(items) => {
            for item in items {
                each_text(item, change)?;
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                each_text(field, change)?;
            }
            if fields.keys().any(|key| key.contains("{{")) {
                let old = std::mem::take(fields);
                for (key, field) in old {
                    let key = if key.contains("{{") { change(&key)? } else { key };
                    fields.insert(key, field);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn simple(
    raw: &str,
    tag: &Tag,
    scope: &dyn Scope,
    strictness: Strictness,
    out: &mut String,
) -> Result<(), TagError> {
    let name = &tag.content;
    match scope.get(name) {
        Lookup::Value(Value::String(text)) => out.push_str(&text),
        Lookup::Value(value) => out.push_str(&value.to_string()),
        Lookup::Absent { why } => return Err(TagError::Absent { name: name.clone(), why }),
        Lookup::Unknown => {
            if nested(raw, scope, out)? {
                return Ok(());
            }
            // Artifacts are resolved later and may be optional, so that their tags stay even in a strict round.
            let artifact = strictness != Strictness::All && name.contains(".outputs.artifacts.");
            if strictness.demands(name) && !artifact {
                return Err(TagError::Missing { name: name.clone() });
            }
            out.push_str(raw);
        }
    }
    Ok(())
}

/// Replaces the inner tag of `{{a.{{b}}` when it is known; what follows closes the outer tag in a later round.
fn nested(raw: &str, scope: &dyn Scope, out: &mut String) -> Result<bool, TagError> {
    let inside = &raw[2..raw.len() - 2];
    let Some(at) = inside.rfind("{{").filter(|at| *at > 0) else { return Ok(false) };
    let name = &inside[at + 2..];
    match scope.get(name) {
        Lookup::Value(Value::String(text)) => {
            out.push_str("{{");
            out.push_str(&inside[..at]);
            out.push_str(&text);
            Ok(true)
        }
        Lookup::Absent { why } => Err(TagError::Absent { name: name.to_owned(), why }),
        Lookup::Value(_) | Lookup::Unknown => Ok(false),
    }
}

fn expression(
    raw: &str,
    tag: &Tag,
    scope: &dyn Scope,
    strictness: Strictness,
    out: &mut String,
) -> Result<(), TagError> {
    let expression = || tag.content.clone();
    // With its surrounding spaces, so that messages point at the same column as Argo's.
    let parsed = expr::parse(&raw["{{=".len()..raw.len() - "}}".len()])
        .map_err(|source| TagError::Expression { expression: expression(), source })?;
    if strictness != Strictness::All && waits(&parsed, scope) {
        return stay(raw, &parsed, scope, strictness, out);
    }
    // Two tags with the same expression draw different random values.
    let seed = scope.seed().wrapping_add(tag.range.start as u64);
    match expr::evaluate_text(&parsed, &Env { seed, ..Env::of(scope) }) {
        Ok((Some(text), _)) => out.push_str(&text),
        Ok((None, _)) | Err(_) if strictness == Strictness::Lenient => out.push_str(raw),
        Ok((None, absent)) => {
            return Err(match absent.into_iter().next() {
                Some(read) => TagError::Absent { name: read.name, why: read.why },
                None => TagError::Nil { expression: expression() },
            });
        }
        Err(error) => match error.kind {
            ExprErrorKind::Missing(name) if strictness.demands(&name) => {
                return Err(TagError::MissingInExpression { name, expression: expression() });
            }
            ExprErrorKind::Missing(_) => return stay(raw, &parsed, scope, strictness, out),
            _ => return Err(TagError::Expression { expression: expression(), source: error }),
        },
    }
    Ok(())
}

/// Leaves an expression for a later round, unless something it needs had to exist in this one.
fn stay(
    raw: &str,
    parsed: &Expr,
    scope: &dyn Scope,
    strictness: Strictness,
    out: &mut String,
) -> Result<(), TagError> {
    let demanded = parsed.needs().into_iter().find(|name| strictness.demands(name) && unknown(scope, name));
    if let Some(name) = demanded {
        return Err(TagError::MissingInExpression {
            name,
            expression: raw["{{=".len()..raw.len() - "}}".len()].trim().to_owned(),
        });
    }
    out.push_str(raw);
    Ok(())
}

fn waits(parsed: &Expr, scope: &dyn Scope) -> bool {
    let late = |name: &str| {
        LATE.iter()
            .any(|late| name.strip_prefix(late).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    };
    parsed.needs().iter().any(|name| late(name) && unknown(scope, name))
}

fn unknown(scope: &dyn Scope, name: &str) -> bool {
    scope.get(name) == Lookup::Unknown && scope.subtree(name).is_none()
}
