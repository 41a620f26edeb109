//! JSON text, whatever its whitespace: YAML readers refuse tabs, surrogate pairs and long keys, JSON has them.

use std::collections::HashMap;

use serde::de::IgnoredAny;

use super::{DEPTH_MAX, Entry, Error, Node, Position, Scalar, Value};

/// The values of a text that is JSON and begins with a mapping or a list; none when it is not JSON.
pub(super) fn read(text: &str) -> Option<(Vec<Node>, Vec<Error>)> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    // serde_json checks the grammar, so that the walk below can trust the text; it does not bound the depth here.
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    if !stream.by_ref().all(|value| value.is_ok()) {
        return None;
    }
    let mut walk = Walk { rest: text, at: Position::START, depth: 0 };
    let mut documents = Vec::new();
    let mut errors = Vec::new();
    loop {
        walk.skip_space();
        if walk.rest.is_empty() {
            return Some((documents, errors));
        }
        match walk.value() {
            Ok(node) => documents.push(node),
            Err(error) => {
                errors.push(error);
                return Some((documents, errors));
            }
        }
    }
}

struct Walk<'t> {
    rest: &'t str,
    at: Position,
    depth: usize,
}

impl<'t> Walk<'t> {
    fn value(&mut self) -> Result<Node, Error> {
        self.skip_space();
        let span = self.at;
        if self.depth > DEPTH_MAX {
            return Err(Error::TooDeep { limit: DEPTH_MAX, at: span });
        }
        self.depth += 1;
        let value = match self.rest.as_bytes().first() {
            Some(b'{') => self.map()?,
            Some(b'[') => self.seq()?,
            Some(b'"') => Value::Scalar(Scalar::Text(self.string()?)),
            _ => Value::Scalar(self.literal()),
        };
        self.depth -= 1;
        Ok(Node { value, span, text_at: None })
    }

    fn map(&mut self) -> Result<Value, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Position> = HashMap::new();
        self.advance(1);
        loop {
            self.skip_space();
            match self.rest.as_bytes().first() {
                Some(b'"') => {}
                Some(b',') => {
                    self.advance(1);
                    continue;
                }
                _ => {
                    self.advance(1);
                    return Ok(Value::Map(entries));
                }
            }
            let key_span = self.at;
            let key = self.string()?;
            if let Some(first) = seen.insert(key.clone(), key_span) {
                return Err(Error::DuplicateKey { key, first, at: key_span });
            }
            self.skip_space();
            self.advance(1);
            let value = self.value()?;
            entries.push(Entry { key, key_span, value });
        }
    }

    fn seq(&mut self) -> Result<Value, Error> {
        let mut items = Vec::new();
        self.advance(1);
        loop {
            self.skip_space();
            match self.rest.as_bytes().first() {
                Some(b']') | None => {
                    self.advance(1);
                    return Ok(Value::Seq(items));
                }
                Some(b',') => self.advance(1),
                Some(_) => items.push(self.value()?),
            }
        }
    }

    fn string(&mut self) -> Result<String, Error> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let end = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            end
        });
        let length = end.map_or(self.rest.len(), |(offset, _)| offset + 1);
        let text = serde_json::from_str(&self.rest[..length])
            .map_err(|error| Error::Syntax { message: error.to_string(), at: self.at })?;
        self.advance(length);
        Ok(text)
    }

    fn literal(&mut self) -> Scalar {
        let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}');
        let length = self.rest.find(ends).unwrap_or(self.rest.len()).max(1);
        let text = self.rest.get(..length).unwrap_or_default();
        let scalar = match serde_json::from_str(text) {
            Ok(serde_json::Value::Bool(value)) => Scalar::Bool(value),
            Ok(serde_json::Value::Number(number)) => number
                .as_i64()
                .map(Scalar::Int)
                .or_else(|| number.as_u64().map(Scalar::UInt))
                .unwrap_or_else(|| Scalar::Float(number.as_f64().unwrap_or_default())),
            _ => Scalar::Null,
        };
        self.advance(length);
        scalar
    }

    fn skip_space(&mut self) {
        let length = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        self.advance(length);
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        for c in passed.chars() {
            if c == '\n' {
                self.at = Position { line: self.at.line.saturating_add(1), column: 1 };
            } else {
                self.at.column = self.at.column.saturating_add(1);
            }
        }
        self.rest = rest;
    }
}
