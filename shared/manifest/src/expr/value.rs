//! What an expression computes with.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::VALUE_BYTES_MAX;
use super::sprig::Version;
use crate::go::{duration_text, float_json, float_text};

/// Lists in lists: bounds the recursion of everything that walks a value.
const DEPTH_MAX: usize = 128;

/// A value; copying it copies no content.
#[derive(Clone, Debug)]
pub(super) enum Val {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    List(Arc<Items>),
    Map(Arc<Fields>),
    Time(Box<ZonedDateTime>),
    Duration(i64),
    Zone(TimeZone),
    Version(Box<Version>),
}

/// A list. What it holds is shared, so that `size` counts shared parts as often as they are reached: whoever walks
/// a value, whatever its shape, takes no more steps than that.
#[derive(Debug)]
pub(super) struct Items {
    pub items: Vec<Val>,
    /// Go's nil slice, which has no elements, is equal to nil and is written as null.
    pub is_nil: bool,
    depth: usize,
    size: usize,
}

#[derive(Debug)]
pub(super) struct Fields {
    pub fields: BTreeMap<Arc<str>, Val>,
    depth: usize,
    size: usize,
}

/// The depth and size of something while its parts are put together.
#[derive(Default)]
struct Measure {
    depth: usize,
    size: usize,
}

impl Measure {
    fn add(&mut self, part: &Val, name: usize) -> Result<(), String> {
        self.depth = self.depth.max(part.depth());
        self.size = self.size.saturating_add(part.size()).saturating_add(name);
        if self.depth >= DEPTH_MAX {
            return Err(format!("the value is nested more than {DEPTH_MAX} deep"));
        }
        if self.size > VALUE_BYTES_MAX {
            return Err(too_large());
        }
        Ok(())
    }
}

/// What a value takes besides its content.
const PART_BYTES: usize = 8;
/// The same of a text: its pointer, its length and its allocation.
const TEXT_BYTES: usize = 24;
/// The same of a map, which makes room for several fields at once.
pub(super) const MAP_BYTES: usize = 256;

/// The refusal of a value that is too large.
pub(super) fn too_large() -> String {
    format!("the value is larger than {} MiB", VALUE_BYTES_MAX >> 20)
}

impl Val {
    pub fn text(text: impl Into<Arc<str>>) -> Val {
        Val::Text(text.into())
    }

    /// A list. Items are taken one by one, so that a row without end is refused once it is too large.
    pub fn list(items: impl IntoIterator<Item = Val>) -> Result<Val, String> {
        Self::list_of(items.into_iter().map(Ok))
    }

    /// The list, which is Go's nil slice where it has no elements.
    pub fn list_or_nil(items: impl IntoIterator<Item = Val>) -> Result<Val, String> {
        match Self::list(items)? {
            Val::List(list) if list.items.is_empty() => {
                let (items, depth, size) = (Vec::new(), list.depth, list.size);
                Ok(Val::List(Arc::new(Items { items, is_nil: true, depth, size })))
            }
            list => Ok(list),
        }
    }

    /// Whether it is nil, or a list that was never made.
    pub fn is_nil(&self) -> bool {
        match self {
            Val::Nil => true,
            Val::List(list) => list.is_nil,
            _ => false,
        }
    }

    /// As `list`, where an item can fail.
    pub fn list_of(items: impl IntoIterator<Item = Result<Val, String>>) -> Result<Val, String> {
        let (mut measure, mut kept) = (Measure::default(), Vec::new());
        for item in items {
            let item = item?;
            measure.add(&item, 0)?;
            kept.push(item);
        }
        let Measure { depth, size } = measure;
        Ok(Val::List(Arc::new(Items {
            items: kept,
            is_nil: false,
            depth: depth + 1,
            size: size + PART_BYTES,
        })))
    }

    /// A map. Fields are taken one by one, as in `list`.
    pub fn map(pairs: impl IntoIterator<Item = (Arc<str>, Val)>) -> Result<Val, String> {
        Self::map_of(pairs.into_iter().map(Ok))
    }

    /// As `map`, where a value can fail.
    pub fn map_of(pairs: impl IntoIterator<Item = Result<(Arc<str>, Val), String>>) -> Result<Val, String> {
        let (mut measure, mut fields) = (Measure::default(), BTreeMap::new());
        for pair in pairs {
            let (name, value) = pair?;
            measure.add(&value, name.len() + TEXT_BYTES)?;
            fields.insert(name, value);
        }
        let Measure { depth, size } = measure;
        Ok(Val::Map(Arc::new(Fields { fields, depth: depth + 1, size: size + MAP_BYTES })))
    }

    /// About how many bytes it takes; walking it takes fewer steps.
    pub fn size(&self) -> usize {
        match self {
            Val::Text(text) => text.len() + TEXT_BYTES,
            Val::List(list) => list.size,
            Val::Map(map) => map.size,
            _ => PART_BYTES,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Val::List(list) => list.depth,
            Val::Map(map) => map.depth,
            _ => 0,
        }
    }

    /// A value of the environment: whole numbers stay whole.
    pub fn from_scope(value: &Value) -> Result<Val, String> {
        Self::from_json(value, &|number| match number.as_i64() {
            Some(int) => Val::Int(int),
            None => Val::Float(number.as_f64().unwrap_or(f64::NAN)),
        })
    }

    /// A parsed JSON text: all numbers are floats, as in Go.
    pub fn from_parsed(value: &Value) -> Result<Val, String> {
        Self::from_json(value, &|number| Val::Float(number.as_f64().unwrap_or(f64::NAN)))
    }

    fn from_json(value: &Value, number: &dyn Fn(&serde_json::Number) -> Val) -> Result<Val, String> {
        Ok(match value {
            Value::Null => Val::Nil,
            Value::Bool(bool) => Val::Bool(*bool),
            Value::Number(n) => number(n),
            Value::String(text) => Val::text(text.as_str()),
            Value::Array(items) => Val::list_of(items.iter().map(|item| Self::from_json(item, number)))?,
            Value::Object(fields) => {
                let pair = |(k, v): (&String, &Value)| Ok((k.as_str().into(), Self::from_json(v, number)?));
                Val::map_of(fields.iter().map(pair))?
            }
        })
    }

    /// As JSON; times and durations become what Go writes for them.
    pub fn to_json(&self) -> Value {
        match self {
            Val::Nil => Value::Null,
            Val::Bool(bool) => Value::Bool(*bool),
            Val::Int(int) | Val::Duration(int) => Value::from(*int),
            Val::Float(float) => Value::from(*float),
            Val::Text(text) => Value::from(&**text),
            Val::List(list) if list.is_nil => Value::Null,
            Val::List(list) => Value::Array(list.items.iter().map(Val::to_json).collect()),
            Val::Map(map) => {
                Value::Object(map.fields.iter().map(|(k, v)| (k.to_string(), v.to_json())).collect())
            }
            Val::Time(time) => Value::from(rfc3339(time)),
            Val::Zone(zone) => Value::from(zone_name(zone)),
            Val::Version(version) => Value::from(version.shown()),
        }
    }

    /// The name of the Go type, as messages show it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Val::Nil => "<nil>",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Float(_) => "float64",
            Val::Text(_) => "string",
            Val::List(_) => "[]interface {}",
            Val::Map(_) => "map[string]interface {}",
            Val::Time(_) => "time.Time",
            Val::Duration(_) => "time.Duration",
            Val::Zone(_) => "*time.Location",
            Val::Version(_) => "*semver.Version",
        }
    }

    /// As `fmt.Sprint` prints it.
    pub fn shown(&self) -> String {
        let mut out = String::new();
        self.show(&mut out);
        out
    }

    fn show(&self, out: &mut String) {
        match self {
            Val::Nil => out.push_str("<nil>"),
            Val::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
            Val::Int(int) => out.push_str(&int.to_string()),
            Val::Float(float) => out.push_str(&float_text(*float)),
            Val::Text(text) => out.push_str(text),
            Val::List(list) => {
                out.push('[');
                for (i, item) in list.items.iter().enumerate() {
                    out.push_str(if i > 0 { " " } else { "" });
                    item.show(out);
                }
                out.push(']');
            }
            Val::Map(map) => {
                out.push_str("map[");
                for (i, (key, value)) in map.fields.iter().enumerate() {
                    out.push_str(if i > 0 { " " } else { "" });
                    out.push_str(key);
                    out.push(':');
                    value.show(out);
                }
                out.push(']');
            }
            Val::Time(time) => {
                out.push_str(&crate::go::format_layout(time, "2006-01-02 15:04:05.999999999 -0700 MST"))
            }
            Val::Duration(nanos) => out.push_str(&duration_text(*nanos)),
            Val::Zone(zone) => out.push_str(&zone_name(zone)),
            Val::Version(version) => out.push_str(&version.shown()),
        }
    }

    pub fn as_number(&self) -> Option<f64> {
        match self {
            Val::Int(int) => Some(*int as f64),
            Val::Float(float) => Some(*float),
            _ => None,
        }
    }
}

fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

fn rfc3339(time: &ZonedDateTime) -> String {
    crate::go::format_layout(time, "2006-01-02T15:04:05.999999999Z07:00")
}

/// Whether two values are equal: numbers by size, everything else only with its own kind.
pub(super) fn equal(a: &Val, b: &Val) -> bool {
    match (a, b) {
        (Val::Nil, other) | (other, Val::Nil) => other.is_nil(),
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (Val::Int(a), Val::Int(b)) => a == b,
        (Val::Text(a), Val::Text(b)) => a == b,
        (Val::Duration(a), Val::Duration(b)) => a == b,
        (Val::Time(a), Val::Time(b)) => a.timestamp() == b.timestamp(),
        (Val::Zone(a), Val::Zone(b)) => zone_name(a) == zone_name(b),
        (Val::Version(a), Val::Version(b)) => a.order(b).is_eq(),
        (Val::List(a), Val::List(b)) => {
            a.items.len() == b.items.len() && a.items.iter().zip(&b.items).all(|(a, b)| equal(a, b))
        }
        (Val::Map(a), Val::Map(b)) => {
            a.fields.len() == b.fields.len()
                && a.fields.iter().zip(&b.fields).all(|((ak, av), (bk, bv))| ak == bk && equal(av, bv))
        }
        _ => matches!((a.as_number(), b.as_number()), (Some(a), Some(b)) if a == b),
    }
}

/// The order of two numbers, texts, times or durations; None for anything else.
pub(super) fn order(a: &Val, b: &Val) -> Option<Ordering> {
    match (a, b) {
        (Val::Int(a), Val::Int(b)) | (Val::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
        (Val::Text(a), Val::Text(b)) => Some(a.cmp(b)),
        (Val::Time(a), Val::Time(b)) => Some(a.timestamp().cmp(&b.timestamp())),
        _ => a.as_number()?.partial_cmp(&b.as_number()?),
    }
}

/// Why a value has no JSON text.
pub(super) enum Unwritable {
    Number(&'static str),
    TooLarge,
}

/// The value as `encoding/json` writes it, at most `limit` bytes; `indent` as in Go's MarshalIndent.
pub(super) fn json_text(value: &Val, indent: Option<&str>, limit: usize) -> Result<String, Unwritable> {
    let mut writer = Writer { out: String::new(), indent, limit };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct Writer<'a> {
    out: String,
    indent: Option<&'a str>,
    limit: usize,
}

impl Writer<'_> {
    fn value(&mut self, value: &Val, level: usize) -> Result<(), Unwritable> {
        match value {
            Val::Nil => self.out.push_str("null"),
            Val::Bool(bool) => self.out.push_str(if *bool { "true" } else { "false" }),
            Val::Int(int) | Val::Duration(int) => self.out.push_str(&int.to_string()),
            Val::Float(float) => {
                let name = if float.is_nan() {
                    "NaN"
                } else if *float > 0.0 {
                    "+Inf"
                } else {
                    "-Inf"
                };
                self.out.push_str(&float_json(*float).ok_or(Unwritable::Number(name))?);
            }
            Val::Text(text) => self.text(text),
            Val::Time(time) => self.text(&rfc3339(time)),
            Val::Zone(_) => self.out.push_str("{}"),
            Val::Version(version) => self.text(&version.shown()),
            Val::List(list) if list.is_nil => self.out.push_str("null"),
            Val::List(list) => self.list(&list.items, level)?,
            Val::Map(map) => self.map(&map.fields, level)?,
        }
        if self.out.len() > self.limit { Err(Unwritable::TooLarge) } else { Ok(()) }
    }

    fn line(&mut self, level: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            (0..level).for_each(|_| self.out.push_str(indent));
        }
    }

    fn list(&mut self, items: &[Val], level: usize) -> Result<(), Unwritable> {
        self.out.push('[');
        for (i, item) in items.iter().enumerate() {
            self.out.push_str(if i > 0 { "," } else { "" });
            self.line(level + 1);
            self.value(item, level + 1)?;
        }
        if !items.is_empty() {
            self.line(level);
        }
        self.out.push(']');
        Ok(())
    }

    fn map(&mut self, fields: &BTreeMap<Arc<str>, Val>, level: usize) -> Result<(), Unwritable> {
        self.out.push('{');
        for (i, (key, value)) in fields.iter().enumerate() {
            self.out.push_str(if i > 0 { "," } else { "" });
            self.line(level + 1);
            self.text(key);
            self.out.push_str(if self.indent.is_some() { ": " } else { ":" });
            self.value(value, level + 1)?;
        }
        if !fields.is_empty() {
            self.line(level);
        }
        self.out.push('}');
        Ok(())
    }

    /// A quoted text; `<`, `>` and `&` are escaped, as Go does by default.
    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                    let _ = write!(self.out, "\\u{:04x}", c as u32);
                }
                _ => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}
