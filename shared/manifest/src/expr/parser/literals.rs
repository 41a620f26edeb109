//! Numbers, lists and maps.

use super::super::ExprError;
use super::super::ast::{Kind, Node};
use super::super::lexer::{Kind as Is, Token};
use super::{Parsed, Parser};

impl Parser<'_> {
    pub(super) fn number(&self, token: &Token) -> Result<Kind, ExprError> {
        let text = token.text.replace('_', "").to_lowercase();
        let radix = match text.get(..2) {
            Some("0x") => Some(16),
            Some("0o") => Some(8),
            Some("0b") => Some(2),
            _ => None,
        };
        let invalid = |what| {
            self.error(
                token.at,
                format!("invalid {what} literal: parsing {:?}: value out of range", token.text),
            )
        };
        if let Some(radix) = radix {
            return i64::from_str_radix(&text[2..], radix).map(Kind::Int).map_err(|_| invalid("integer"));
        }
        if text.contains(['.', 'e']) {
            let float = text.parse::<f64>().ok().filter(|float| float.is_finite());
            return float.map(Kind::Float).ok_or_else(|| invalid("float"));
        }
        text.parse().map(Kind::Int).map_err(|_| invalid("integer"))
    }

    pub(super) fn list(&mut self, at: usize) -> Parsed {
        self.expect(Is::Bracket, "[")?;
        let items = self.separated("]")?;
        self.node(at, Kind::List(items))
    }

    /// Expressions separated by commas, up to and including `close`; a trailing comma is allowed.
    pub(super) fn separated(&mut self, close: &str) -> Result<Vec<Node>, ExprError> {
        let mut nodes = Vec::new();
        while !self.take(Is::Bracket, close) {
            if !nodes.is_empty() {
                self.expect(Is::Operator, ",")?;
                if self.take(Is::Bracket, close) {
                    break;
                }
            }
            nodes.push(self.expression(0)?);
        }
        Ok(nodes)
    }

    pub(super) fn map(&mut self, at: usize) -> Parsed {
        self.expect(Is::Bracket, "{")?;
        let mut pairs = Vec::new();
        while !self.take(Is::Bracket, "}") {
            if !pairs.is_empty() {
                self.expect(Is::Operator, ",")?;
                if self.take(Is::Bracket, "}") {
                    break;
                }
            }
            let key = self.key()?;
            self.expect(Is::Operator, ":")?;
            pairs.push((key, self.expression(0)?));
        }
        self.node(at, Kind::Map(pairs))
    }

    fn key(&mut self) -> Parsed {
        let token = self.current().clone();
        match token.kind {
            Is::Number | Is::Text | Is::Name => {
                self.next += 1;
                self.node(token.at, Kind::Text(token.text.into()))
            }
            Is::Bracket if token.text == "(" => self.expression(0),
            _ => {
                let message = format!(
                    "a map key must be a quoted string, a number, a identifier, or an expression enclosed in parentheses (unexpected token {})",
                    token.shown()
                );
                Err(self.error(token.at, message))
            }
        }
    }
}
