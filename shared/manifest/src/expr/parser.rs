//! Tokens to a tree, by operator precedence.

mod literals;

use std::sync::Arc;

use super::ExprError;
use super::ast::{Binary, Kind, Node, Unary};
use super::lexer::{Kind as Is, Token, tokens};

/// Expressions inside expressions. Each costs several stack frames, which are large in a debug build.
const NESTING_MAX: usize = 100;
/// Longest path through the tree: `1 + 1 + …` is one deep per operator without a bracket.
const DEPTH_MAX: usize = 256;
/// The limit of expr-lang.
const NODES_MAX: usize = 10_000;

/// Functions whose second argument is evaluated for each element.
pub(super) const PREDICATES: [&str; 15] = [
    "all",
    "none",
    "any",
    "one",
    "filter",
    "map",
    "count",
    "sum",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "groupBy",
    "sortBy",
    "reduce",
];

/// Parses a whole expression.
pub(super) fn parse(text: &str) -> Result<Node, ExprError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { text, tokens, next: 0, nesting: 0, predicates: 0, nodes: 0 };
    let node = parser.sequence()?;
    if parser.current().kind != Is::End {
        return Err(parser.unexpected());
    }
    Ok(node)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    nesting: usize,
    /// How many predicates are open around here: outside of all, `#` means nothing.
    predicates: usize,
    nodes: usize,
}

fn binary(text: &str) -> Option<(Binary, u32)> {
    Some(match text {
        "or" | "||" => (Binary::Or, 10),
        "and" | "&&" => (Binary::And, 15),
        "==" => (Binary::Equal, 20),
        "!=" => (Binary::Unequal, 20),
        "<" => (Binary::Less, 20),
        ">" => (Binary::Greater, 20),
        "<=" => (Binary::LessEqual, 20),
        ">=" => (Binary::GreaterEqual, 20),
        "in" => (Binary::In, 20),
        "matches" => (Binary::Matches, 20),
        "contains" => (Binary::Contains, 20),
        "startsWith" => (Binary::StartsWith, 20),
        "endsWith" => (Binary::EndsWith, 20),
        ".." => (Binary::Range, 25),
        "+" => (Binary::Add, 30),
        "-" => (Binary::Subtract, 30),
        "*" => (Binary::Multiply, 60),
        "/" => (Binary::Divide, 60),
        "%" => (Binary::Remainder, 60),
        "**" | "^" => (Binary::Power, 100),
        "??" => (Binary::Coalesce, 500),
        _ => return None,
    })
}

fn negatable(operator: Binary) -> bool {
    use Binary::{Contains, EndsWith, In, Matches, StartsWith};
    matches!(operator, In | Matches | Contains | StartsWith | EndsWith)
}

type Parsed = Result<Node, ExprError>;

impl Parser<'_> {
    fn current(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn error(&self, at: usize, message: impl Into<String>) -> ExprError {
        ExprError::syntax(self.text, at, message)
    }

    fn unexpected(&self) -> ExprError {
        let token = self.current();
        self.error(token.at, format!("unexpected token {}", token.shown()))
    }

    fn advance(&mut self) -> Token {
        let token = self.current().clone();
        self.next += 1;
        token
    }

    fn at_operator(&self, text: &str) -> bool {
        self.current().is(Is::Operator, text)
    }

    fn at_bracket(&self, text: &str) -> bool {
        self.current().is(Is::Bracket, text)
    }

    fn take(&mut self, kind: Is, text: &str) -> bool {
        let found = self.current().is(kind, text);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, kind: Is, text: &str) -> Result<(), ExprError> {
        if self.take(kind, text) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expect_name(&mut self) -> Result<Token, ExprError> {
        if self.current().kind == Is::Name { Ok(self.advance()) } else { Err(self.unexpected()) }
    }

    fn node(&mut self, at: usize, kind: Kind) -> Parsed {
        let node = Node::new(at, kind);
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self.error(at, "compilation failed: expression exceeds maximum allowed nodes"));
        }
        if node.depth > DEPTH_MAX {
            return Err(self.error(at, format!("the expression is more than {DEPTH_MAX} operations deep")));
        }
        Ok(node)
    }

    fn sequence(&mut self) -> Parsed {
        let mut nodes = vec![self.expression(0)?];
        while self.take(Is::Operator, ";") {
            if self.current().kind == Is::End {
                break;
            }
            nodes.push(self.expression(0)?);
        }
        if nodes.len() == 1 {
            return Ok(nodes.remove(0));
        }
        let at = nodes[0].at;
        self.node(at, Kind::Sequence(nodes))
    }

    fn expression(&mut self, precedence: u32) -> Parsed {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            let at = self.current().at;
            return Err(self.error(at, "the expression is nested too deeply"));
        }
        let node = self.expression_inside(precedence);
        self.nesting -= 1;
        node
    }

    fn expression_inside(&mut self, precedence: u32) -> Parsed {
        if precedence == 0 && self.at_operator("let") {
            return self.declaration();
        }
        if precedence == 0 && self.at_operator("if") {
            return self.if_else();
        }
        let mut left = self.primary()?;
        let mut previous = String::new();
        while self.current().kind == Is::Operator {
            let token = self.current().clone();
            let (extended, again) = self.operation(left, &token, precedence, &previous)?;
            left = extended;
            if !again {
                break;
            }
            previous = token.text;
        }
        if precedence == 0 { self.conditional(left) } else { Ok(left) }
    }

    /// Extends `left` by the operator at `token`; the flag says whether it was one for this precedence.
    fn operation(
        &mut self,
        left: Node,
        token: &Token,
        precedence: u32,
        previous: &str,
    ) -> Result<(Node, bool), ExprError> {
        if token.text == "|" {
            return self.pipe(left, precedence);
        }
        let negated = token.text == "not";
        let operator_at = self.next + usize::from(negated);
        let operator_token = self.tokens[operator_at.min(self.tokens.len() - 1)].clone();
        let found = (operator_token.kind == Is::Operator).then(|| binary(&operator_token.text)).flatten();
        if negated && !found.is_some_and(|(operator, _)| negatable(operator)) {
            self.next = operator_at;
            return Err(self.unexpected());
        }
        let Some((operator, strength)) = found.filter(|(_, strength)| *strength >= precedence) else {
            return Ok((left, false));
        };
        self.next = operator_at + 1;
        if previous == "??" && operator != Binary::Coalesce {
            let message = format!(
                "Operator ({}) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses.",
                operator_token.text
            );
            return Err(self.error(operator_token.at, message));
        }
        if operator.is_order() {
            return Ok((self.chain(left, operator, operator_token.at)?, true));
        }
        let right = self.expression(if operator == Binary::Power { strength } else { strength + 1 })?;
        let kind = Kind::Binary(operator, Box::new(left), Box::new(right));
        let mut node = self.node(operator_token.at, kind)?;
        if negated {
            node = self.node(token.at, Kind::Unary(Unary::Not, Box::new(node)))?;
        }
        Ok((node, true))
    }

    fn pipe(&mut self, left: Node, precedence: u32) -> Result<(Node, bool), ExprError> {
        if precedence > 0 {
            return Ok((left, false));
        }
        self.next += 1;
        let name = self.expect_name()?;
        let call = self.call(&name, vec![left])?;
        Ok((self.postfix(call)?, true))
    }

    fn chain(&mut self, left: Node, operator: Binary, at: usize) -> Parsed {
        let mut rest = vec![(operator, self.expression(21)?)];
        while let Some((operator, _)) = binary(&self.current().text).filter(|(o, _)| o.is_order()) {
            if self.current().kind != Is::Operator {
                break;
            }
            self.next += 1;
            rest.push((operator, self.expression(21)?));
        }
        if rest.len() > 1 {
            return self.node(at, Kind::Chain(Box::new(left), rest));
        }
        let (operator, right) = rest.remove(0);
        self.node(at, Kind::Binary(operator, Box::new(left), Box::new(right)))
    }

    fn declaration(&mut self) -> Parsed {
        self.expect(Is::Operator, "let")?;
        let name = self.expect_name()?;
        self.expect(Is::Operator, "=")?;
        let value = Box::new(self.expression(0)?);
        self.expect(Is::Operator, ";")?;
        let body = Box::new(self.sequence()?);
        self.node(name.at, Kind::Let { name: name.text.into(), value, body })
    }

    fn if_else(&mut self) -> Parsed {
        let at = self.advance().at;
        let condition = Box::new(self.expression(0)?);
        let yes = Box::new(self.block()?);
        self.expect(Is::Operator, "else")?;
        let no = if self.at_operator("if") { self.expression(0)? } else { self.block()? };
        self.node(at, Kind::Conditional(condition, Some(yes), Box::new(no)))
    }

    fn block(&mut self) -> Parsed {
        self.expect(Is::Bracket, "{")?;
        let node = self.sequence()?;
        self.expect(Is::Bracket, "}")?;
        Ok(node)
    }

    fn conditional(&mut self, mut node: Node) -> Parsed {
        while self.at_operator("?") {
            let at = self.advance().at;
            if self.take(Is::Operator, ":") {
                let no = self.expression(0)?;
                let kind = Kind::Conditional(Box::new(node), None, Box::new(no));
                node = self.node(at, kind)?;
                continue;
            }
            let yes = self.expression(0)?;
            self.expect(Is::Operator, ":")?;
            let no = self.expression(0)?;
            node = self.node(at, Kind::Conditional(Box::new(node), Some(Box::new(yes)), Box::new(no)))?;
        }
        Ok(node)
    }

    fn primary(&mut self) -> Parsed {
        let token = self.current().clone();
        if token.kind == Is::Operator {
            let unary = match token.text.as_str() {
                "not" | "!" => Some((Unary::Not, 50)),
                "-" => Some((Unary::Minus, 90)),
                "+" => Some((Unary::Plus, 90)),
                _ => None,
            };
            if let Some((unary, strength)) = unary {
                self.next += 1;
                let of = Box::new(self.expression(strength)?);
                let node = self.node(token.at, Kind::Unary(unary, of))?;
                return self.postfix(node);
            }
            if self.predicates > 0 && (token.text == "#" || token.text == ".") {
                return self.pointer(&token);
            }
            if token.text == "::" {
                self.next += 1;
                let name = self.expect_name()?;
                let call = self.call(&name, Vec::new())?;
                return self.postfix(call);
            }
        }
        if self.take(Is::Bracket, "(") {
            let node = self.sequence()?;
            self.expect(Is::Bracket, ")")?;
            return self.postfix(node);
        }
        let node = self.secondary()?;
        self.postfix(node)
    }

    fn pointer(&mut self, token: &Token) -> Parsed {
        let mut name = String::new();
        if token.text == "#" {
            self.next += 1;
            if self.current().kind == Is::Name && self.current().at == token.at + 1 {
                name = self.advance().text;
            }
        }
        let node = self.node(token.at, Kind::Pointer(name.into()))?;
        self.postfix(node)
    }

    fn secondary(&mut self) -> Parsed {
        let token = self.current().clone();
        match token.kind {
            Is::Name => {
                self.next += 1;
                let kind = match token.text.as_str() {
                    "true" => Kind::Bool(true),
                    "false" => Kind::Bool(false),
                    "nil" => Kind::Nil,
                    _ if self.at_bracket("(") => return self.call(&token, Vec::new()),
                    _ => Kind::Name(token.text.into()),
                };
                self.node(token.at, kind)
            }
            Is::Number => {
                self.next += 1;
                let kind = self.number(&token)?;
                self.node(token.at, kind)
            }
            Is::Text => {
                self.next += 1;
                self.node(token.at, Kind::Text(token.text.into()))
            }
            Is::Bracket if token.text == "[" => self.list(token.at),
            Is::Bracket if token.text == "{" => self.map(token.at),
            _ => Err(self.unexpected()),
        }
    }

    fn call(&mut self, name: &Token, mut arguments: Vec<Node>) -> Parsed {
        self.expect(Is::Bracket, "(")?;
        if PREDICATES.contains(&name.text.as_str()) {
            self.predicate_arguments(&name.text, &mut arguments)?;
        } else {
            arguments.extend(self.separated(")")?);
        }
        self.node(name.at, Kind::Call { name: Arc::from(name.text.as_str()), arguments })
    }

    fn predicate_arguments(&mut self, name: &str, arguments: &mut Vec<Node>) -> Result<(), ExprError> {
        let least = if matches!(name, "count" | "sum") { 1 } else { 2 };
        let most = if matches!(name, "sortBy" | "reduce") { 3 } else { 2 };
        let piped = arguments.len();
        while arguments.len() < most && !self.at_bracket(")") {
            if arguments.len() > piped {
                self.expect(Is::Operator, ",")?;
                if self.at_bracket(")") {
                    break;
                }
            }
            let argument = if arguments.len() == 1 { self.predicate()? } else { self.expression(0)? };
            arguments.push(argument);
        }
        if arguments.len() < least {
            let at = self.current().at;
            return Err(self.error(at, format!("expected at least {} arguments", least - piped)));
        }
        self.take(Is::Operator, ",");
        self.expect(Is::Bracket, ")")
    }

    fn predicate(&mut self) -> Parsed {
        self.predicates += 1;
        let node = if self.at_bracket("{") { self.block() } else { self.expression(0) };
        self.predicates -= 1;
        if self.at_operator(";") {
            let at = self.current().at;
            return Err(self.error(at, "wrap predicate with brackets { and }"));
        }
        node
    }

    fn postfix(&mut self, mut node: Node) -> Parsed {
        loop {
            let optional = self.at_operator("?.");
            if optional || self.at_operator(".") {
                self.next += 1;
                if optional && self.at_bracket("[") {
                    node = self.index(node, true)?;
                } else {
                    node = self.member(node, optional)?;
                }
            } else if self.at_bracket("[") {
                node = self.index(node, false)?;
            } else {
                return Ok(node);
            }
        }
    }

    fn member(&mut self, of: Node, optional: bool) -> Parsed {
        let token = self.current().clone();
        let word = token.kind == Is::Operator && token.text.starts_with(|c: char| c.is_alphabetic());
        if token.kind != Is::Name && !word {
            let message =
                if token.kind == Is::End { "unexpected end of expression" } else { "expected name" };
            return Err(self.error(token.at, message));
        }
        self.next += 1;
        let of = Box::new(of);
        if self.take(Is::Bracket, "(") {
            let arguments = self.separated(")")?;
            let name = token.text.into();
            return self.node(token.at, Kind::Method { of, name, arguments, optional });
        }
        let key = Box::new(self.node(token.at, Kind::Text(token.text.into()))?);
        self.node(token.at, Kind::Member { of, key, optional })
    }

    fn index(&mut self, of: Node, optional: bool) -> Parsed {
        let at = self.advance().at;
        let of = Box::new(of);
        let from = if self.at_operator(":") { None } else { Some(Box::new(self.expression(0)?)) };
        if self.take(Is::Operator, ":") {
            let to = if self.at_bracket("]") { None } else { Some(Box::new(self.expression(0)?)) };
            self.expect(Is::Bracket, "]")?;
            return self.node(at, Kind::Slice { of, from, to });
        }
        self.expect(Is::Bracket, "]")?;
        let key = from.expect("an index without a colon was parsed as an expression");
        self.node(at, Kind::Member { of, key, optional })
    }
}
