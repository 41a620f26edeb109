//! YAML text to trees, from the parser's events.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::{DEPTH_MAX, Entry, Error, Node, Position, Scalar, Value, narrow, resolve};
use repair::Repaired;

mod repair;

/// What aliases may unfold to, keys, texts and 64 bytes for each node counted: far more than a manifest needs, and
/// little enough for a small Lambda function.
const ALIAS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a text holds.
pub(super) struct Read {
    pub(super) documents: Vec<Node>,
    /// Everything wrong with it.
    pub(super) errors: Vec<Error>,
    /// Keys that a merge (`<<`) brings once more, as YAML allows.
    pub(super) overridden: Vec<Error>,
}

/// The documents of a text and everything wrong with it.
pub(super) fn read(text: &str) -> Read {
    let mut repaired = Repaired::new(text);
    loop {
        let (mut builder, mut texts) = (Builder::default(), Vec::new());
        let error = events(&repaired, &mut builder, &mut texts);
        if error.as_ref().is_some_and(|error| repaired.repair(error)) || repaired.restore(texts) {
            continue;
        }
        builder.errors.extend(error.map(|error| syntax(text, &error)));
        let Builder { documents, errors, overridden, .. } = builder;
        return Read { documents, errors, overridden };
    }
}

/// Hands the events to the builder, and notes the places of texts with a colon where a repair asks for them.
fn events(
    repaired: &Repaired<'_>,
    builder: &mut Builder,
    texts: &mut Vec<Range<Position>>,
) -> Option<ScanError> {
    for event in Parser::new_from_str(&repaired.text) {
        match event {
            Ok((event, span)) => {
                let place = |at: Marker| repaired.position(at.line(), at.col());
                let at = place(span.start);
                if is_text(&event) && repaired.wants_texts() {
                    texts.push(at..place(span.end));
                }
                builder.take(event, at);
            }
            Err(error) => return Some(error),
        }
        if builder.gave_up {
            break;
        }
    }
    None
}

/// Whether it is a quoted text or a block in which a tab may follow a colon.
fn is_text(event: &Event<'_>) -> bool {
    matches!(event, Event::Scalar(text, style, ..) if *style != ScalarStyle::Plain && text.contains(": "))
}

fn syntax(text: &str, error: &ScanError) -> Error {
    let at = start(error.marker().line(), error.marker().col());
    let line = text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    let message = if line[..indent].contains('\t') {
        "the line is indented with a tab; YAML takes only spaces".to_owned()
    } else {
        format!("not valid YAML: {}", error.info())
    };
    Error::Syntax { message, at }
}

fn start(line: usize, column: usize) -> Position {
    Position { line: narrow(line), column: narrow(column + 1) }
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    errors: Vec<Error>,
    overridden: Vec<Error>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    alias_bytes: u64,
    gave_up: bool,
}

/// A value that aliases refer to, with its size and its levels.
struct Anchored {
    node: Node,
    bytes: u64,
    levels: usize,
}

/// A list or mapping whose end has not come.
struct Open {
    span: Position,
    anchor: usize,
    content: OpenContent,
}

enum OpenContent {
    Seq(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    /// Every key so far and its place.
    seen: HashMap<String, Position>,
    /// The key whose value has not come.
    key: Option<(String, Position)>,
    merges: Vec<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                // The parser's place of a block scalar is its first letter, or its tag.
                let blank = narrow(text.bytes().take_while(|b| *b == b'\n').count());
                let text_at = (style == ScalarStyle::Literal && tag.is_none())
                    .then(|| Position { line: at.line.saturating_sub(blank), column: at.column });
                let value = scalar(text.into_owned(), style, tag.as_deref());
                let core = tag.filter(|tag| tag.is_yaml_core_schema());
                self.errors.extend(core.and_then(|tag| misnamed(&value, &tag.suffix, at)));
                self.finish(Node { value: Value::Scalar(value), span: at, text_at }, anchor);
            }
            Event::SequenceStart(anchor, _) => self.enter(at, anchor, OpenContent::Seq(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.enter(at, anchor, OpenContent::Map(OpenMap::default()));
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Alias(anchor) => self.alias(anchor, at),
        }
    }

    fn enter(&mut self, span: Position, anchor: usize, content: OpenContent) {
        if self.open.len() >= DEPTH_MAX {
            self.give_up(Error::TooDeep { limit: DEPTH_MAX, at: span });
            return;
        }
        self.open.push(Open { span, anchor, content });
    }

    fn leave(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let value = match open.content {
            OpenContent::Seq(items) => Value::Seq(items),
            OpenContent::Map(mut map) => {
                for merge in std::mem::take(&mut map.merges) {
                    self.merge(&mut map, merge);
                }
                Value::Map(map.entries)
            }
        };
        self.finish(Node { value, span: open.span, text_at: None }, open.anchor);
    }

    /// `<<`: keys of the mapping itself win over merged ones, earlier merged ones over later.
    fn merge(&mut self, map: &mut OpenMap, merge: Node) {
        match merge.value {
            Value::Map(merged) => {
                for entry in merged {
                    if let Some(first) = map.seen.get(&entry.key) {
                        let (key, first) = (entry.key, *first);
                        self.overridden.push(Error::DuplicateKey { key, first, at: merge.span });
                    } else {
                        map.seen.insert(entry.key.clone(), entry.key_span);
                        map.entries.push(entry);
                    }
                }
            }
            Value::Seq(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
                items.into_iter().for_each(|item| self.merge(map, item));
            }
            _ => self.errors.push(Error::Merge { kind: merge.kind(), at: merge.span }),
        }
    }

    fn alias(&mut self, anchor: usize, at: Position) {
        let Some(Anchored { node, bytes, levels }) = self.anchors.get(&anchor) else {
            self.give_up(Error::RecursiveAlias { at });
            return;
        };
        self.alias_bytes = self.alias_bytes.saturating_add(*bytes);
        if self.alias_bytes > ALIAS_BYTES_MAX {
            self.give_up(Error::AliasBomb { limit_bytes: ALIAS_BYTES_MAX, at });
        } else if self.open.len() + levels > DEPTH_MAX {
            self.give_up(Error::TooDeep { limit: DEPTH_MAX, at });
        } else {
            let node = Node { span: at, ..node.clone() };
            self.finish(node, 0);
        }
    }

    fn finish(&mut self, node: Node, anchor: usize) {
        // Zero is the parser's word for "no anchor".
        if anchor != 0 {
            let (bytes, levels) = weight(&node);
            self.anchors.insert(anchor, Anchored { node: node.clone(), bytes, levels });
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None if node.is_null() => {}
            None => self.documents.push(node),
            Some(OpenContent::Seq(items)) => items.push(node),
            Some(OpenContent::Map(map)) => match map.key.take() {
                Some((name, _)) if name == MERGE_KEY => map.merges.push(node),
                Some((name, key_span)) => map.entries.push(Entry { key: name, key_span, value: node }),
                None => self.errors.extend(map.begin(&node)),
            },
        }
    }

    fn give_up(&mut self, error: Error) {
        self.errors.push(error);
        self.gave_up = true;
    }
}

/// A key that no text can be: YAML forbids control characters.
const MERGE_KEY: &str = "\u{0}<<";

impl OpenMap {
    /// Takes a key; says what is wrong with it. Of a key that stands twice the last value is kept.
    fn begin(&mut self, node: &Node) -> Option<Error> {
        let Value::Scalar(scalar) = &node.value else {
            self.key = Some((String::new(), node.span));
            return Some(Error::ComplexKey { kind: node.kind(), at: node.span });
        };
        let key = scalar.text();
        if key == "<<" {
            self.key = Some((MERGE_KEY.to_owned(), node.span));
            return None;
        }
        self.key = Some((key.clone(), node.span));
        match self.seen.get(&key) {
            Some(first) => {
                self.entries.retain(|entry| entry.key != key);
                Some(Error::DuplicateKey { key, first: *first, at: node.span })
            }
            None => {
                self.seen.insert(key, node.span);
                None
            }
        }
    }
}

/// Bytes of a value and levels in it.
fn weight(node: &Node) -> (u64, usize) {
    let deeper = |(bytes, levels): (u64, usize), node: &Node| {
        let (more, inner) = weight(node);
        (bytes + more, levels.max(inner + 1))
    };
    let (bytes, levels) = match &node.value {
        Value::Scalar(Scalar::Text(text)) => (text.len() as u64, 0),
        Value::Scalar(_) => (0, 0),
        Value::Seq(items) => items.iter().fold((0, 1), deeper),
        Value::Map(entries) => entries
            .iter()
            .fold((0, 1), |sum, entry| deeper((sum.0 + entry.key.len() as u64, sum.1), &entry.value)),
    };
    (bytes + 64, levels)
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Scalar {
    let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    match (core, style) {
        (Some("str" | "binary"), _) => Scalar::Text(text),
        (Some("int" | "float" | "bool" | "null"), _) => resolve::plain(&text),
        // A tag of one's own says that it is no plain value.
        (None, ScalarStyle::Plain) if tag.is_none() => resolve::plain(&text),
        (Some(_), ScalarStyle::Plain) => resolve::plain(&text),
        _ => Scalar::Text(text),
    }
}

/// A value that a tag of YAML's own calls what it is not. A whole number is a `!!float` too.
fn misnamed(value: &Scalar, tag: &str, at: Position) -> Option<Error> {
    let is = match value {
        Scalar::Null => "null",
        Scalar::Bool(_) | Scalar::Letter(_) => "bool",
        Scalar::Int(_) | Scalar::UInt(_) => "int",
        Scalar::Float(_) => "float",
        Scalar::Text(_) => "str",
    };
    let wanted = ["null", "bool", "int", "float"].into_iter().find(|name| *name == tag)?;
    let fits = is == wanted || (is, wanted) == ("int", "float");
    (!fits).then(|| Error::Misnamed { text: value.text(), is, wanted, at })
}
