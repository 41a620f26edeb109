//! From a tree with positions to what Go's decoder makes of it, and everything that the decoder refuses.

use serde_json::{Map, Value};

use super::fields::{self, Type};
use crate::quantity::{self, Quantity};
use crate::source::{Node, Position, Scalar, Value as Tree, join};

/// What the decoder refuses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) message: String,
    pub(super) path: String,
    pub(super) at: Position,
}

/// An object and what was wrong with its text.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// Absent fields and nil pointers are left out; empty lists and objects are kept.
    pub(super) value: Value,
    /// Values of the wrong type: even a reader that is not strict refuses them.
    pub(super) wrong: Vec<Problem>,
    /// Fields that the object does not have, which only a strict reader refuses.
    pub(super) unknown: Vec<Problem>,
}

/// Decodes the object of this name.
pub(super) fn decode(node: &Node, object: &'static str) -> Decoded {
    let mut decoder = Decoder { folds_case: false, out: Decoded::default() };
    let value = decoder.value(node, &Type::Object(object), "");
    Decoded { value, ..decoder.out }
}

struct Decoder {
    /// Inside `steps`, which Go's own JSON reader reads.
    folds_case: bool,
    out: Decoded,
}

impl Decoder {
    fn wrong(&mut self, node: &Node, path: &str, expected: &str) -> Value {
        let message = format!("json: cannot unmarshal {} into field {path} of type {expected}", word(node));
        self.out.wrong.push(Problem { message, path: path.to_owned(), at: node.span });
        Value::Null
    }

    fn value(&mut self, node: &Node, ty: &Type, path: &str) -> Value {
        let scalar = raw_scalar(node);
        match ty {
            Type::Pointer(inner) => match scalar {
                Some(Value::Null) => Value::Null,
                _ => self.value(node, inner, path),
            },
            Type::Raw => node.json(),
            Type::Object(object) => self.object(node, object, path),
            Type::List(inner) => match &node.value {
                Tree::Seq(items) => self.list(items, inner, path),
                Tree::Scalar(Scalar::Null) => Value::Null,
                _ => self.wrong(node, path, "list"),
            },
            Type::ParallelSteps => self.steps(node, path),
            Type::Map(inner) => self.map(node, inner, path),
            Type::Text => match scalar {
                Some(Value::String(_)) => scalar.unwrap_or_default(),
                Some(Value::Null) => Value::String(String::new()),
                _ => self.wrong(node, path, "string"),
            },
            Type::Bytes => match scalar {
                Some(Value::String(_) | Value::Null) => scalar.unwrap_or_default(),
                _ => self.wrong(node, path, "bytes"),
            },
            Type::Bool => match scalar {
                Some(Value::Bool(_)) => scalar.unwrap_or_default(),
                Some(Value::Null) => Value::Bool(false),
                _ => self.wrong(node, path, "bool"),
            },
            Type::Int32 | Type::Int64 => {
                let fits = |value: i64| *ty == Type::Int64 || i32::try_from(value).is_ok();
                match &scalar {
                    Some(Value::Number(number)) if number.as_i64().is_some_and(fits) => {
                        scalar.unwrap_or_default()
                    }
                    Some(Value::Null) => Value::from(0),
                    _ => self.wrong(node, path, "integer"),
                }
            }
            Type::Float => match scalar {
                Some(Value::Number(_)) => scalar.unwrap_or_default(),
                Some(Value::Null) => Value::from(0),
                _ => self.wrong(node, path, "number"),
            },
            Type::AnyString => Value::String(scalar.as_ref().map_or_else(String::new, any_string)),
            Type::IntOrString => match &scalar {
                Some(Value::String(_)) => scalar.unwrap_or_default(),
                Some(Value::Number(number)) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {
                    scalar.unwrap_or_default()
                }
                Some(Value::Null) => Value::from(0),
                _ => self.wrong(node, path, "int32 or string"),
            },
            Type::Quantity => self.quantity(node, scalar, path),
            Type::Time => match &scalar {
                Some(Value::Null) => Value::Null,
                Some(Value::String(text)) if text.parse::<jiff::Timestamp>().is_ok() => {
                    scalar.unwrap_or_default()
                }
                _ => self.wrong(node, path, "time"),
            },
            Type::Plugin => match &node.value {
                Tree::Map(entries) if entries.len() == 1 => node.json(),
                Tree::Map(entries) => {
                    let message = format!("expected exactly one key, got {}", entries.len());
                    self.out.wrong.push(Problem { message, path: path.to_owned(), at: node.span });
                    Value::Null
                }
                _ => self.wrong(node, path, "mapping"),
            },
        }
    }

    fn list(&mut self, items: &[Node], inner: &Type, path: &str) -> Value {
        let items = items.iter().enumerate();
        items.map(|(index, item)| self.value(item, inner, &format!("{path}[{index}]"))).collect()
    }

    fn map(&mut self, node: &Node, inner: &Type, path: &str) -> Value {
        match &node.value {
            Tree::Map(entries) => {
                let entries = entries.iter();
                entries
                    .map(|entry| {
                        (entry.key.clone(), self.value(&entry.value, inner, &join(path, &entry.key)))
                    })
                    .collect()
            }
            Tree::Scalar(Scalar::Null) => Value::Null,
            _ => self.wrong(node, path, "mapping"),
        }
    }

    fn quantity(&mut self, node: &Node, scalar: Option<Value>, path: &str) -> Value {
        let text = match &scalar {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Null) => return Value::String("0".to_owned()),
            _ => return self.wrong(node, path, "quantity"),
        };
        match text.trim().parse::<Quantity>() {
            Ok(_) | Err(quantity::Error::TooLarge { .. }) => Value::String(text),
            Err(_) => {
                let message = format!(
                    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$': {path} is '{text}'"
                );
                self.out.wrong.push(Problem { message, path: path.to_owned(), at: node.span });
                Value::Null
            }
        }
    }

    fn object(&mut self, node: &Node, object: &'static str, path: &str) -> Value {
        let entries = match &node.value {
            Tree::Map(entries) => entries,
            Tree::Scalar(Scalar::Null) => return Value::Object(Map::new()),
            _ => return self.wrong(node, path, object),
        };
        let known = fields::of(object);
        let mut out = Map::new();
        for entry in entries {
            let exact = known.iter().find(|field| field.name == entry.key);
            let field = exact.or_else(|| {
                let folded = || known.iter().find(|field| field.name.eq_ignore_ascii_case(&entry.key));
                self.folds_case.then(folded).flatten()
            });
            let inner = join(path, &entry.key);
            let Some(field) = field else {
                if !self.folds_case {
                    let message = format!("strict decoding error: unknown field \"{inner}\"");
                    self.out.unknown.push(Problem { message, path: inner, at: entry.key_span });
                }
                continue;
            };
            // What is null stays as it was.
            if !entry.value.is_null() || matches!(field.ty, Type::Plugin) {
                let value = self.value(&entry.value, &field.ty, &inner);
                out.insert(field.name.to_owned(), value);
            }
        }
        out.retain(|_, value| !value.is_null());
        Value::Object(out)
    }

    /// A group of steps is read by a function of its own, to which an unknown field of a step is an error at once.
    fn steps(&mut self, node: &Node, path: &str) -> Value {
        let items = match &node.value {
            Tree::Seq(items) => items,
            Tree::Scalar(Scalar::Null) => return Value::Array(Vec::new()),
            _ => return self.wrong(node, path, "[]map[string]interface {}"),
        };
        let known = fields::of("WorkflowStep");
        for (index, item) in items.iter().enumerate() {
            if !matches!(item.value, Tree::Map(_) | Tree::Scalar(Scalar::Null)) {
                return self.wrong(item, &format!("{path}[{index}]"), "map[string]interface {}");
            }
            for entry in item.entries().iter().filter(|entry| !known.iter().any(|f| f.name == entry.key)) {
                let path = join(&format!("{path}[{index}]"), &entry.key);
                let message = format!("json: unknown field \"{}\"", entry.key);
                self.out.wrong.push(Problem { message, path, at: entry.key_span });
            }
        }
        let before = std::mem::replace(&mut self.folds_case, true);
        let steps = self.list(items, &Type::Object("WorkflowStep"), path);
        self.folds_case = before;
        steps
    }
}

fn raw_scalar(node: &Node) -> Option<Value> {
    matches!(node.value, Tree::Scalar(_)).then(|| node.json())
}

fn word(node: &Node) -> &'static str {
    match raw_scalar(node) {
        Some(Value::Bool(_)) => "bool",
        Some(Value::Number(_)) => "number",
        Some(Value::String(_)) => "string",
        Some(_) => "null",
        None if matches!(node.value, Tree::Seq(_)) => "array",
        None => "object",
    }
}

/// Go keeps numbers as 64-bit floats and prints them without an exponent.
fn any_string(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.as_f64().map_or_else(String::new, |number| number.to_string()),
        _ => String::new(),
    }
}
