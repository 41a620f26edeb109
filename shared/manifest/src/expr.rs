//! The expression language of `{{=…}}`, `expression:`, `fromExpression:` and the like: expr-lang with Argo's functions.
//!
//! Branches that are not taken (`? :`, `&&`, `||`, `??`) are never read, so that a variable which does not exist
//! yet matters only where its value is needed. Work, depth and memory of an evaluation are bounded.

mod ast;
mod budget;
mod check;
mod collections;
pub mod depends;
mod eval;
mod functions;
mod jsonpath;
mod lexer;
mod operators;
mod parser;
mod signatures;
mod sprig;
mod times;
mod types;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::tags::Scope;

/// The most bytes that one value may take in an expression.
pub const VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most of a message that is kept: it may quote a value, and becomes part of a run's record.
const MESSAGE_BYTES_MAX: usize = 4096;

/// What an expression may look at.
pub struct Env<'a> {
    /// The variables.
    pub scope: &'a dyn Scope,
    /// What `now()` answers.
    pub now: jiff::Timestamp,
    /// Decides what the random functions answer.
    pub seed: u64,
}

impl<'a> Env<'a> {
    /// The environment of a scope, with the scope's own time and seed.
    pub fn of(scope: &'a dyn Scope) -> Env<'a> {
        Env { scope, now: scope.now(), seed: scope.seed() }
    }
}

/// Why an expression has no value; displayed as Argo does, with the line and a mark below the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{place}")]
pub struct ExprError {
    /// What is wrong, without the place.
    pub message: String,
    /// Byte offset in the expression.
    pub offset: usize,
    /// What kind of mistake it is.
    pub kind: ExprErrorKind,
    place: String,
}

/// What kind of mistake an `ExprError` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExprErrorKind {
    /// The text is no expression.
    Syntax,
    /// This variable does not exist.
    Missing(String),
    /// Something went wrong while computing.
    Value,
}

impl ExprError {
    fn new(text: &str, offset: usize, kind: ExprErrorKind, message: impl Into<String>) -> ExprError {
        let place = if text.is_empty() { String::new() } else { place(text, offset) };
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
            message.push('…');
        }
        ExprError { message, offset, kind, place }
    }

    fn syntax(text: &str, offset: usize, message: impl Into<String>) -> ExprError {
        Self::new(text, offset, ExprErrorKind::Syntax, message)
    }
}

/// ` (line:column)`, the line, and a mark below it, in the layout of expr-lang.
fn place(text: &str, offset: usize) -> String {
    let before = &text[..text.floor_char_boundary(offset)];
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    if start == end || end - start > MESSAGE_BYTES_MAX {
        return String::new();
    }
    let column = before[start..].chars().count();
    let line = before.matches('\n').count() + 1;
    let shown = text[start..end].replace('\t', " ");
    format!(" ({line}:{})\n | {shown}\n | {}^", column + 1, ".".repeat(column))
}

/// A parsed expression.
#[derive(Clone, Debug)]
pub struct Expr {
    text: String,
    root: ast::Node,
}

impl Expr {
    /// The variables it may read, as dotted names: `steps['a'].status` is `steps.a.status`. Those left of `??` or
    /// before `?.` are included.
    pub fn reads(&self) -> Vec<String> {
        self.names(true)
    }

    /// The variables that have to exist for every part of it to have a value: none left of `??` or before `?.`.
    pub fn needs(&self) -> Vec<String> {
        self.names(false)
    }

    /// What would go wrong whenever it is computed, whatever the variables are: operations on types that do not go
    /// together, functions that do not exist or take no such arguments.
    pub fn mistake(&self) -> Option<ExprError> {
        let variable = |name: &str| match name {
            "retries" => types::Type::Text,
            _ => types::Type::Any,
        };
        let mistake = check::check(&self.root, check::Depth::Calls, &variable).err()?;
        Some(ExprError::new(&self.text, mistake.at, ExprErrorKind::Value, mistake.message))
    }

    fn names(&self, all: bool) -> Vec<String> {
        let mut walk = Names { all, guarded: false, locals: Vec::new(), found: BTreeSet::new() };
        walk.visit(&self.root);
        walk.found.into_iter().collect()
    }
}

struct Names<'a> {
    all: bool,
    /// Left of a `??`, where only the first part of a name has to exist.
    guarded: bool,
    locals: Vec<&'a str>,
    found: BTreeSet<String>,
}

impl<'a> Names<'a> {
    fn visit(&mut self, node: &'a ast::Node) {
        if let Some((path, optional)) = node.path() {
            if !self.locals.contains(&path[0]) {
                let length = if !self.all && (optional || self.guarded) { 1 } else { path.len() };
                self.found.insert(path[..length].join("."));
            }
            return;
        }
        match &node.kind {
            ast::Kind::Let { name, value, body } => {
                self.visit(value);
                self.locals.push(name);
                self.visit(body);
                self.locals.pop();
            }
            ast::Kind::Binary(ast::Binary::Coalesce, left, right) => {
                let outer = std::mem::replace(&mut self.guarded, true);
                self.visit(left);
                self.guarded = outer;
                self.visit(right);
            }
            ast::Kind::Method { of, arguments, .. } if is_sprig(of) => {
                arguments.iter().for_each(|argument| self.visit(argument));
            }
            _ => node.each(&mut |child| self.visit(child)),
        }
    }
}

fn is_sprig(node: &ast::Node) -> bool {
    matches!(&node.kind, ast::Kind::Name(name) if &**name == "sprig")
}

/// Parses an expression.
///
/// # Errors
/// `Syntax`, with expr-lang's message.
pub fn parse(text: &str) -> Result<Expr, ExprError> {
    Ok(Expr { text: text.to_owned(), root: parser::parse(text)? })
}

/// The value of an expression; nil is `Null`. A variable that does not exist, where what it would be in does, is nil.
///
/// # Errors
/// `Missing` names a variable that was needed and does not exist; `Value` is everything else.
pub fn evaluate(expr: &Expr, env: &Env<'_>) -> Result<Value, ExprError> {
    Ok(eval::run(&expr.text, &expr.root, env, eval::Unknown::IsNil)?.value.to_json())
}

/// As [`evaluate`], the value as Go's `fmt.Sprint` prints it; None for nil.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_shown(expr: &Expr, env: &Env<'_>) -> Result<Option<String>, ExprError> {
    let value = eval::run(&expr.text, &expr.root, env, eval::Unknown::IsNil)?.value;
    Ok((!value.is_nil()).then(|| value.shown()))
}

/// A value as Go's `encoding/json` writes one that it has read: numbers are floats, and `<`, `>` and `&` are escaped.
pub fn marshalled(value: &Value) -> String {
    let written = value::Val::from_parsed(value).ok();
    let written = written.and_then(|value| value::json_text(&value, None, VALUE_BYTES_MAX).ok());
    written.unwrap_or_else(|| value.to_string())
}

/// What is inserted for `{{=…}}`: a text as it is, everything else as JSON; None for nil.
pub(crate) fn evaluate_text(
    expr: &Expr,
    env: &Env<'_>,
) -> Result<(Option<String>, Vec<eval::AbsentRead>), ExprError> {
    let outcome = eval::run(&expr.text, &expr.root, env, eval::Unknown::IsMissing)?;
    let text = match &outcome.value {
        value::Val::Nil => None,
        value::Val::Text(text) => Some(text.to_string()),
        value::Val::Time(_) | value::Val::Version(_) => outcome.value.to_json().as_str().map(str::to_owned),
        other => Some(eval::json(other, None).map_err(|why| expr.error(why))?),
    };
    Ok((text, outcome.absent))
}

impl Expr {
    fn error(&self, message: String) -> ExprError {
        ExprError::new("", self.root.at, ExprErrorKind::Value, message)
    }
}

/// The truth of an expression.
///
/// # Errors
/// As `evaluate`, and when the value is no boolean, in Argo's words.
pub fn evaluate_bool(expr: &Expr, env: &Env<'_>) -> Result<bool, ExprError> {
    match eval::run(&expr.text, &expr.root, env, eval::Unknown::IsNil) {
        Ok(outcome) => match outcome.value {
            value::Val::Bool(truth) => Ok(truth),
            other => {
                let shown = match &other {
                    value::Val::Nil => "%!s(<nil>)".to_owned(),
                    value::Val::Text(text) => text.to_string(),
                    other => format!("%!s({}={})", other.type_name(), other.shown()),
                };
                Err(expr.error(format!("unable to cast expression result '{shown}' to bool")))
            }
        },
        Err(mut error) if error.kind == ExprErrorKind::Value => {
            error.message = format!("unable to evaluate expression '{}': {}", expr.text, error.message);
            Err(error)
        }
        Err(error) => Err(error),
    }
}
