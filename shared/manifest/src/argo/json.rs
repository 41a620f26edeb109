//! Objects as the JSON text that Go writes, in which Argo looks for tags; and reading a value by its fields.

use std::fmt::Write;

use serde_json::Value;

use super::fields::{self, Type};

static NULL: Value = Value::Null;

/// A value's fields; what is absent is empty, as in Go.
pub(super) trait Read {
    fn field(&self, name: &str) -> &Value;
    fn text(&self, name: &str) -> &str;
    fn list(&self, name: &str) -> &[Value];

    /// Whether a pointer is not nil, a list not nil.
    fn has(&self, name: &str) -> bool {
        !self.field(name).is_null()
    }

    /// Whether there is a text that is not empty.
    fn says(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    fn is_true(&self, name: &str) -> bool {
        self.field(name).as_bool().unwrap_or_default()
    }

    /// The keys of a mapping.
    fn keys(&self, name: &str) -> Vec<&str> {
        self.field(name).as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
    }
}

impl Read for Value {
    fn field(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&NULL)
    }

    fn text(&self, name: &str) -> &str {
        self.field(name).as_str().unwrap_or_default()
    }

    fn list(&self, name: &str) -> &[Value] {
        self.field(name).as_array().map_or(&[], Vec::as_slice)
    }
}

/// The object's JSON.
pub(super) fn encode(value: &Value, object: &'static str) -> String {
    let mut out = String::new();
    write(value, &Type::Object(object), &mut out);
    out
}

/// The text of an object of which tags were replaced, read again.
pub(super) fn read(text: &str) -> Option<Value> {
    let mut value = serde_json::from_str(text).ok()?;
    drop_nulls(&mut value);
    Some(value)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            // An item of a loop is kept as it was written.
            fields.iter_mut().filter(|(key, _)| *key != "withItems").for_each(|(_, field)| drop_nulls(field));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn write(value: &Value, ty: &Type, out: &mut String) {
    match ty {
        Type::Object(object) => {
            out.push('{');
            let mut first = true;
            for field in fields::of(object) {
                let value = value.field(field.name);
                if field.omit_empty && is_empty(value, &field.ty) {
                    continue;
                }
                comma(&mut first, out);
                text(field.name, out);
                out.push(':');
                write(value, &field.ty, out);
            }
            out.push('}');
        }
        Type::Pointer(inner) if !value.is_null() => write(value, inner, out),
        Type::List(inner) => match value {
            Value::Array(items) => list(items, inner, out),
            _ => out.push_str("null"),
        },
        Type::ParallelSteps => match value {
            Value::Array(steps) => list(steps, &Type::Object("WorkflowStep"), out),
            _ => out.push_str("null"),
        },
        Type::Map(inner) => match value {
            Value::Object(fields) => {
                out.push('{');
                let mut first = true;
                for (key, value) in fields {
                    comma(&mut first, out);
                    text(key, out);
                    out.push(':');
                    write(value, inner, out);
                }
                out.push('}');
            }
            _ => out.push_str("null"),
        },
        Type::Text | Type::AnyString => text(value.as_str().unwrap_or_default(), out),
        _ => any(value, out),
    }
}

fn comma(first: &mut bool, out: &mut String) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

fn list(items: &[Value], inner: &Type, out: &mut String) {
    out.push('[');
    let mut first = true;
    for item in items {
        comma(&mut first, out);
        write(item, inner, out);
    }
    out.push(']');
}

/// Structures are never empty for Go, whatever is in them.
fn is_empty(value: &Value, ty: &Type) -> bool {
    match (value, ty) {
        (_, Type::Object(_)) => false,
        (Value::Null, _) => true,
        (_, Type::Pointer(_)) => false,
        (Value::String(text), _) => text.is_empty(),
        (Value::Bool(value), _) => !value,
        (Value::Number(number), Type::Int32 | Type::Int64 | Type::Float) => number.as_f64() == Some(0.0),
        (Value::Array(items), Type::List(_)) => items.is_empty(),
        (Value::Object(fields), Type::Map(_)) => fields.is_empty(),
        _ => false,
    }
}

fn any(value: &Value, out: &mut String) {
    match value {
        Value::String(value) => text(value, out),
        Value::Array(items) => {
            out.push('[');
            let mut first = true;
            for item in items {
                comma(&mut first, out);
                any(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            let mut first = true;
            for (key, value) in fields {
                comma(&mut first, out);
                text(key, out);
                out.push(':');
                any(value, out);
            }
            out.push('}');
        }
        other => _ = write!(out, "{other}"),
    }
}

/// A text as Go's JSON quotes it.
fn text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => _ = write!(out, "\\u{:04x}", c as u32),
            c if c.is_ascii_control() && c != '\u{7f}' => _ = write!(out, "\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out.push('"');
}
