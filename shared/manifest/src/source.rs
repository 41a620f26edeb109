//! YAML and JSON text as trees in which every key and value knows its line and column.
//!
//! Plain scalars mean what Kubernetes' `sigs.k8s.io/yaml` (go-yaml v2, YAML 1.1) makes of them, since manifests
//! are written for it: `yes` is a boolean and `0777` is 511.

use std::borrow::Cow;
use std::fmt;

mod json;
mod path;
mod resolve;
mod yaml;

#[cfg(test)]
mod tests;

pub(crate) use path::join;
pub use resolve::go_float;

/// A place in a file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

impl Position {
    /// The first character of a file.
    pub const START: Position = Position { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value of a document and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Its first character.
    pub span: Position,
    /// For a block scalar (`|`): where its text begins.
    pub text_at: Option<Position>,
}

impl Node {
    /// The value as Kubernetes' reader makes JSON of it.
    pub fn json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Scalar(scalar) => match scalar {
                Scalar::Null => Json::Null,
                Scalar::Bool(value) => Json::Bool(*value),
                Scalar::Letter(letter) => Json::Bool(letter.eq_ignore_ascii_case(&'y')),
                Scalar::Int(value) => Json::from(*value),
                Scalar::UInt(value) => Json::from(*value),
                // Go writes a whole number without a fraction.
                Scalar::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
                    Json::from(*value as i64)
                }
                Scalar::Float(value) => serde_json::Number::from_f64(*value).map_or(Json::Null, Json::Number),
                Scalar::Text(text) => Json::String(text.clone()),
            },
            Value::Seq(items) => Json::Array(items.iter().map(Node::json).collect()),
            Value::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.value.json())).collect()
            }
        }
    }
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping, in the order it was written.
    Map(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key as text.
    pub key: String,
    /// Where the key stands.
    pub key_span: Position,
    /// The value.
    pub value: Node,
}

/// A single value after YAML 1.1 resolution.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `yes`, `on`, …
    Bool(bool),
    /// A plain `y` or `n`: a boolean for Kubernetes, and far more often meant as a name.
    Letter(char),
    /// An integer that fits `i64`.
    Int(i64),
    /// A larger one that fits `u64`.
    UInt(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
}

impl Scalar {
    /// The text that Kubernetes makes of the scalar where a string is wanted.
    pub fn text(&self) -> String {
        match self {
            Scalar::Null => String::new(),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Letter(letter) => letter.to_string(),
            Scalar::Int(value) => value.to_string(),
            Scalar::UInt(value) => value.to_string(),
            Scalar::Float(value) => go_float(*value),
            Scalar::Text(text) => text.clone(),
        }
    }

    /// What a person calls such a value.
    pub fn kind(&self) -> &'static str {
        match self {
            Scalar::Null => "nothing",
            Scalar::Bool(_) | Scalar::Letter(_) => "a boolean",
            Scalar::Int(_) | Scalar::UInt(_) => "an integer",
            Scalar::Float(_) => "a number",
            Scalar::Text(_) => "a string",
        }
    }
}

impl Node {
    /// The entry of a mapping.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value of a mapping's key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The elements of a list; none of anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Seq(items) => items,
            _ => &[],
        }
    }

    /// The entries of a mapping; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a string scalar.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether the value is null or was left out.
    pub fn is_null(&self) -> bool {
        self.value == Value::Scalar(Scalar::Null)
    }

    /// What a person calls such a value.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) => scalar.kind(),
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Why a text is no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no UTF-8 text.
    #[error("the file is not UTF-8 text: byte 0x{byte:02x}")]
    NotUtf8 {
        /// The first byte that is wrong.
        byte: u8,
        /// Where.
        at: Position,
    },
    /// A character that YAML does not allow, as binary files have.
    #[error("the file holds the control character U+{:04X}, which YAML does not allow", *character as u32)]
    ControlCharacter {
        /// Which.
        character: char,
        /// Where.
        at: Position,
    },
    /// The text is not YAML.
    #[error("{message}")]
    Syntax {
        /// The parser's words.
        message: String,
        /// Where.
        at: Position,
    },
    /// A mapping has a key twice.
    #[error("key \"{key}\" is already set at line {}, column {}", first.line, first.column)]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it was first.
        first: Position,
        /// Where it is again.
        at: Position,
    },
    /// A value with a tag that calls it what it is not: `!!int x`.
    #[error("cannot decode !!{is} `{text}` as a !!{wanted}")]
    Misnamed {
        /// The value.
        text: String,
        /// What it is.
        is: &'static str,
        /// What the tag calls it.
        wanted: &'static str,
        /// Where.
        at: Position,
    },
    /// A number that JSON has no word for.
    #[error("unsupported value: {value}")]
    Endless {
        /// The number.
        value: String,
        /// Where.
        at: Position,
    },
    /// A key that is a list or a mapping.
    #[error("a key must be a single value, but this one is {kind}")]
    ComplexKey {
        /// What it is.
        kind: &'static str,
        /// Where.
        at: Position,
    },
    /// `<<` over something that is not a mapping.
    #[error("`<<` merges mappings, but this is {kind}")]
    Merge {
        /// What it is.
        kind: &'static str,
        /// Where.
        at: Position,
    },
    /// An alias inside the value that its own anchor names.
    #[error("the alias refers to a value that it is part of")]
    RecursiveAlias {
        /// Where.
        at: Position,
    },
    /// Aliases that unfold to more than is sensible.
    #[error("the aliases unfold to more than {limit_bytes} bytes")]
    AliasBomb {
        /// The limit.
        limit_bytes: u64,
        /// Where it was passed.
        at: Position,
    },
    /// More levels than is sensible.
    #[error("values are nested more than {limit} levels deep")]
    TooDeep {
        /// The limit.
        limit: usize,
        /// Where it was passed.
        at: Position,
    },
}

impl Error {
    /// Where the text is wrong.
    pub fn at(&self) -> Position {
        match self {
            Error::NotUtf8 { at, .. }
            | Error::ControlCharacter { at, .. }
            | Error::Syntax { at, .. }
            | Error::DuplicateKey { at, .. }
            | Error::Misnamed { at, .. }
            | Error::Endless { at, .. }
            | Error::ComplexKey { at, .. }
            | Error::Merge { at, .. }
            | Error::RecursiveAlias { at }
            | Error::AliasBomb { at, .. }
            | Error::TooDeep { at, .. } => *at,
        }
    }
}

/// Levels of nesting that are still read; Kubernetes' own JSON reader stops at 10,000, real manifests at 30.
const DEPTH_MAX: usize = 200;

/// The documents of a text, empty ones left out, and every error. After an error the rest of that document
/// is lost; what came before is kept.
pub fn read(text: &str) -> (Vec<Node>, Vec<Error>) {
    let yaml::Read { documents, errors, .. } = read_all(text);
    (documents, errors)
}

/// As [`read`]; a key that a merge brings once more is doubled, too, as it is to Argo's strict reader.
pub(crate) fn read_strictly(text: &str) -> (Vec<Node>, Vec<Error>) {
    let yaml::Read { documents, mut errors, overridden } = read_all(text);
    errors.extend(overridden);
    (documents, errors)
}

fn read_all(text: &str) -> yaml::Read {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (documents, errors) = match (control_character(text), json::read(text)) {
        (Some(error), _) => (Vec::new(), vec![error]),
        (None, Some(read)) => read,
        (None, None) => return yaml::read(text),
    };
    yaml::Read { documents, errors, overridden: Vec::new() }
}

/// What a reader of the first document alone complains of, if it takes doubled keys for good.
pub(crate) fn first_error<'e>(documents: &[Node], errors: &'e [Error]) -> Option<&'e Error> {
    errors.iter().find(|error| match error {
        Error::DuplicateKey { .. } => false,
        Error::Syntax { .. } => documents.is_empty(),
        _ => true,
    })
}

/// The first number that JSON has no word for: `.inf`, `-.inf`, `.nan`.
pub(crate) fn endless(node: &Node) -> Option<Error> {
    match &node.value {
        Value::Scalar(Scalar::Float(value)) => {
            (!value.is_finite()).then(|| Error::Endless { value: go_float(*value), at: node.span })
        }
        Value::Scalar(_) => None,
        Value::Seq(items) => items.iter().find_map(endless),
        Value::Map(entries) => entries.iter().find_map(|entry| endless(&entry.value)),
    }
}

/// The text of a file's bytes: UTF-8, or UTF-16 where a byte order mark says so.
///
/// # Errors
/// When they are neither; the error says where.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    let words = |word: fn([u8; 2]) -> u16| -> Option<String> {
        let (pairs, rest) = bytes.as_chunks();
        let words: Vec<u16> = pairs.iter().map(|pair| word(*pair)).collect();
        rest.is_empty().then(|| String::from_utf16(&words).ok()).flatten()
    };
    let wide = match bytes {
        [0xff, 0xfe, ..] => words(u16::from_le_bytes),
        [0xfe, 0xff, ..] => words(u16::from_be_bytes),
        _ => None,
    };
    wide.map_or_else(|| decode_utf8(bytes).map(Cow::Borrowed), |text| Ok(Cow::Owned(text)))
}

fn decode_utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        let valid = String::from_utf8_lossy(valid);
        Error::NotUtf8 { byte: rest.first().copied().unwrap_or_default(), at: position(&valid, valid.len()) }
    })
}

/// The position of a byte offset.
fn position(text: &str, offset: usize) -> Position {
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    Position { line: narrow(line), column: narrow(column) }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn control_character(text: &str) -> Option<Error> {
    let allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | '\u{85}')
            || !(c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'))
    };
    let (offset, character) = text.char_indices().find(|(_, c)| !allowed(*c))?;
    Some(Error::ControlCharacter { character, at: position(text, offset) })
}
