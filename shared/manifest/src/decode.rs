//! From a tree with positions to Argo's objects, strictly: every unknown field and every wrong type is
//! reported with its place, not only the first.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::source::{Entry, Node, Position, Scalar, Value, join};

pub(crate) mod nearest;

#[cfg(test)]
mod tests;

/// One thing that did not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What did not fit.
    pub kind: ProblemKind,
    /// The field.
    pub path: String,
    /// Its key for an unknown field, its value for a wrong type.
    pub at: Position,
}

/// What did not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// A field that the object does not have.
    UnknownField {
        /// The field.
        field: String,
        /// The Rust type of the object that does not have it, such as `Template`.
        owner: &'static str,
        /// The nearest field that it has.
        suggestion: Option<&'static str>,
    },
    /// A value of the wrong type.
    WrongType {
        /// What was wanted.
        expected: String,
        /// What was found.
        found: &'static str,
    },
    /// A plain `y` or `n` where a string is wanted, which Argo's own tools take for a boolean.
    ReadAsBoolean {
        /// Which.
        letter: char,
    },
    /// A value that its type refuses.
    Refused {
        /// Why.
        message: String,
    },
}

/// The object in a tree, and everything in the tree that did not fit. Where a value has the wrong type the object
/// is made as if it were not there; the object is none when it cannot be made even so.
pub fn decode<T: DeserializeOwned>(node: &Node) -> (Option<T>, Vec<Problem>) {
    let context = Context::default();
    loop {
        let before = context.left_out.borrow().len();
        context.passing.borrow_mut().clear();
        let value = T::deserialize(De { node, path: &Path::Root, context: &context, owner: None });
        // Each failing pass leaves out one more node, so the loop ends.
        if value.is_ok() || context.left_out.borrow().len() == before {
            let mut problems = context.wrong.into_inner();
            problems.extend(context.passing.into_inner());
            problems.sort_by_key(|problem| problem.at);
            return (value.ok(), problems);
        }
    }
}

#[derive(Default)]
struct Context {
    /// What the current pass found that leaves nothing out.
    passing: RefCell<Vec<Problem>>,
    wrong: RefCell<Vec<Problem>>,
    /// Nodes of the wrong type, by address: the tree is not moved while it is decoded.
    left_out: RefCell<HashSet<*const Node>>,
}

impl Context {
    fn skips(&self, node: &Node) -> bool {
        self.left_out.borrow().contains(&std::ptr::from_ref(node))
    }
}

enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Key(parent, key) => f.write_str(&join(&parent.to_string(), key)),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Why a value could not be made.
#[derive(Debug)]
enum Fault {
    Wrong {
        expected: String,
    },
    Refused {
        message: String,
    },
    /// Already on record with its place.
    Placed,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Wrong { expected } => write!(f, "expected {expected}"),
            Fault::Refused { message } => f.write_str(message),
            Fault::Placed => f.write_str("on record"),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fault::Refused { message: message.to_string() }
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Fault::Wrong { expected: plain_words(&expected.to_string()) }
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Fault::Wrong { expected: plain_words(&expected.to_string()) }
    }
}

fn plain_words(expected: &str) -> String {
    match expected {
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        "i64" | "i32" => "an integer".to_owned(),
        "u64" | "u32" => "an integer from 0".to_owned(),
        text if text.starts_with("struct ") => "a mapping".to_owned(),
        text => text.to_owned(),
    }
}

/// Which struct a field belongs to.
#[derive(Clone, Copy)]
struct Owner {
    name: &'static str,
    fields: &'static [&'static str],
    key_span: Position,
}

struct De<'a> {
    node: &'a Node,
    path: &'a Path<'a>,
    context: &'a Context,
    owner: Option<Owner>,
}

impl<'a> De<'a> {
    /// Puts a fault on record as being this node's, unless a deeper node took it already.
    fn placed<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        let kind = match result {
            Ok(value) => return Ok(value),
            Err(Fault::Placed) => return Err(Fault::Placed),
            Err(Fault::Wrong { expected }) => ProblemKind::WrongType { expected, found: self.node.kind() },
            Err(Fault::Refused { message }) => ProblemKind::Refused { message },
        };
        let problem = Problem { kind, path: self.path.to_string(), at: self.node.span };
        self.context.wrong.borrow_mut().push(problem);
        self.context.left_out.borrow_mut().insert(std::ptr::from_ref(self.node));
        Err(Fault::Placed)
    }

    fn wrong<T>(&self, expected: &str) -> Result<T, Fault> {
        self.placed(Err(Fault::Wrong { expected: expected.to_owned() }))
    }

    fn fields(&self, entries: &'a [Entry], owner: Option<Owner>) -> Fields<'a> {
        // For Go a field that is null is a field that is not there; a free mapping keeps its nulls.
        let is_field = |key: &str| owner.is_some_and(|owner| owner.fields.contains(&key));
        let left_out = |entry: &Entry| {
            (entry.value.is_null() && is_field(&entry.key)) || self.context.skips(&entry.value)
        };
        let entries: Vec<&Entry> = entries.iter().filter(|entry| !left_out(entry)).collect();
        Fields { entries: entries.into_iter(), current: None, path: self.path, context: self.context, owner }
    }
}

impl<'de> Deserializer<'de> for De<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let result = match &self.node.value {
            Value::Scalar(Scalar::Null) => visitor.visit_unit(),
            Value::Scalar(Scalar::Bool(value)) => visitor.visit_bool(*value),
            Value::Scalar(Scalar::Letter(letter)) => visitor.visit_bool(letter.eq_ignore_ascii_case(&'y')),
            Value::Scalar(Scalar::Int(value)) => visitor.visit_i64(*value),
            Value::Scalar(Scalar::UInt(value)) => visitor.visit_u64(*value),
            Value::Scalar(Scalar::Float(value)) => visitor.visit_f64(*value),
            Value::Scalar(Scalar::Text(text)) => visitor.visit_str(text),
            Value::Seq(items) => visitor.visit_seq(Items::new(items, self.path, self.context)),
            Value::Map(entries) => visitor.visit_map(self.fields(entries, None)),
        };
        self.placed(result)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Scalar(scalar) => {
                if let Scalar::Letter(letter) = scalar {
                    let kind = ProblemKind::ReadAsBoolean { letter: *letter };
                    let problem = Problem { kind, path: self.path.to_string(), at: self.node.span };
                    self.context.passing.borrow_mut().push(problem);
                }
                self.placed(visitor.visit_string(scalar.text()))
            }
            _ => self.wrong("a string"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            // JSON has one kind of number: 2.0 is an integer for Go as well.
            Value::Scalar(Scalar::Float(value)) if value.fract() == 0.0 && value.abs() < 9e15 => {
                self.placed(visitor.visit_i64(*value as i64))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Seq(items) => self.placed(visitor.visit_seq(Items::new(items, self.path, self.context))),
            Value::Scalar(Scalar::Null) => {
                self.placed(visitor.visit_seq(Items::new(&[], self.path, self.context)))
            }
            _ => self.wrong("a list"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Map(entries) => self.placed(visitor.visit_map(self.fields(entries, None))),
            Value::Scalar(Scalar::Null) => self.placed(visitor.visit_map(self.fields(&[], None))),
            _ => self.wrong("a mapping"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let owner = Some(Owner { name, fields, key_span: self.node.span });
        match &self.node.value {
            Value::Map(entries) => self.placed(visitor.visit_map(self.fields(entries, owner))),
            Value::Scalar(Scalar::Null) => self.placed(visitor.visit_map(self.fields(&[], owner))),
            _ => self.wrong("a mapping"),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// serde asks for this only where a struct does not have the field.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if let (Some(owner), Path::Key(_, field)) = (self.owner, self.path) {
            let kind = ProblemKind::UnknownField {
                field: (*field).to_owned(),
                owner: owner.name,
                suggestion: nearest::nearest(field, owner.fields.iter().copied()),
            };
            let problem = Problem { kind, path: self.path.to_string(), at: owner.key_span };
            self.context.passing.borrow_mut().push(problem);
        }
        visitor.visit_unit()
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_i64(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
    }
}

struct Fields<'a> {
    entries: std::vec::IntoIter<&'a Entry>,
    current: Option<&'a Entry>,
    path: &'a Path<'a>,
    context: &'a Context,
    owner: Option<Owner>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.current = self.entries.next();
        let Some(entry) = self.current else { return Ok(None) };
        seed.deserialize(de::value::StrDeserializer::<Fault>::new(&entry.key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let entry = self.current.take().expect("serde asks for a value after its key");
        let owner = self.owner.map(|owner| Owner { key_span: entry.key_span, ..owner });
        let path = Path::Key(self.path, &entry.key);
        let de = De { node: &entry.value, path: &path, context: self.context, owner };
        seed.deserialize(de)
    }
}

struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    path: &'a Path<'a>,
    context: &'a Context,
}

impl<'a> Items<'a> {
    fn new(items: &'a [Node], path: &'a Path<'a>, context: &'a Context) -> Self {
        Items { items: items.iter().enumerate(), path, context }
    }
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let context = self.context;
        let Some((index, node)) = self.items.find(|(_, node)| !context.skips(node)) else { return Ok(None) };
        let path = Path::Index(self.path, index);
        seed.deserialize(De { node, path: &path, context, owner: None }).map(Some)
    }
}
