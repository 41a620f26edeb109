//! Walking the tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;

use super::ast::{Binary, Kind, Node};
use super::budget::Budget;
use super::check::{Depth, check};
use super::operators::{compared, fetch, inside, negated, not_bool, part_of, undefined, whole};
use super::types::Type;
use super::value::{Unwritable, Val, equal, json_text, too_large};
use super::{Env, ExprError, ExprErrorKind, VALUE_BYTES_MAX, functions, is_sprig, parser, sprig, times};
use crate::go::{Pattern, power};
use crate::tags::Lookup;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// A variable that was read and is known to have no value.
#[derive(Clone, Debug)]
pub(crate) struct AbsentRead {
    pub name: String,
    pub why: String,
}

pub(super) struct Outcome {
    pub value: Val,
    pub absent: Vec<AbsentRead>,
}

struct Fault {
    at: usize,
    kind: ExprErrorKind,
    message: String,
}

/// Why a part has no value. Boxed, since it goes through every frame of the recursion.
type Run<T> = Result<T, Box<Fault>>;

/// How a variable that does not exist counts, where what it would be in does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// It is nil, as in Argo's plain expressions.
    IsNil,
    /// It is missing, as in tags.
    IsMissing,
}

pub(super) fn run(text: &str, root: &Node, env: &Env<'_>, unknown: Unknown) -> Result<Outcome, ExprError> {
    let mut eval = Eval {
        env,
        text,
        unknown,
        budget: Budget::default(),
        draws: 0,
        guards: 0,
        locals: Vec::new(),
        frames: Vec::new(),
        read: BTreeMap::new(),
        absent: Vec::new(),
        patterns: BTreeMap::new(),
    };
    let known = |name: &str| eval_type(env, name);
    if let Err(mistake) = check(root, Depth::Types, &known) {
        return Err(ExprError::new(text, mistake.at, ExprErrorKind::Value, mistake.message));
    }
    match eval.node(root) {
        Ok(value) => Ok(Outcome { value, absent: eval.absent }),
        Err(fault) => Err(ExprError::new(text, fault.at, fault.kind, fault.message)),
    }
}

/// The type of a variable without a dot, which expr-lang knows before it computes.
fn eval_type(env: &Env<'_>, name: &str) -> Type {
    match env.scope.get(name) {
        Lookup::Value(_) if env.scope.subtree(name).is_some() => Type::Map,
        Lookup::Value(value) => Val::from_scope(&value).map_or(Type::Any, |value| Type::of(&value)),
        Lookup::Absent { .. } | Lookup::Unknown => Type::Any,
    }
}

/// The value as JSON, or why it has none.
pub(super) fn json(value: &Val, indent: Option<&str>) -> Result<String, String> {
    json_text(value, indent, VALUE_BYTES_MAX).map_err(|why| match why {
        Unwritable::Number(name) => format!("json: unsupported value: {name}"),
        Unwritable::TooLarge => too_large(),
    })
}

/// The element that a predicate looks at.
pub(super) struct Frame {
    pub item: Val,
    pub index: usize,
    pub acc: Option<Val>,
}

pub(super) struct Eval<'a> {
    pub env: &'a Env<'a>,
    text: &'a str,
    unknown: Unknown,
    pub budget: Budget,
    /// Calls of random functions so far.
    draws: u64,
    /// How many `??` and `?.` are open around here: a missing variable is nil inside of them.
    guards: usize,
    locals: Vec<(Arc<str>, Val)>,
    frames: Vec<Frame>,
    read: BTreeMap<String, Option<Val>>,
    absent: Vec<AbsentRead>,
    patterns: BTreeMap<Arc<str>, Pattern>,
}

fn fault(at: usize, message: impl Into<String>) -> Box<Fault> {
    Box::new(Fault { at, kind: ExprErrorKind::Value, message: message.into() })
}

trait At<T> {
    fn at(self, node: &Node) -> Run<T>;
}

impl<T> At<T> for Result<T, String> {
    fn at(self, node: &Node) -> Run<T> {
        self.map_err(|message| fault(node.at, message))
    }
}

impl Eval<'_> {
    fn node(&mut self, node: &Node) -> Run<Val> {
        self.budget.spend(1).at(node)?;
        match &node.kind {
            Kind::Nil => Ok(Val::Nil),
            Kind::Bool(bool) => Ok(Val::Bool(*bool)),
            Kind::Int(int) => Ok(Val::Int(*int)),
            Kind::Float(float) => Ok(Val::Float(*float)),
            Kind::Text(text) => Ok(Val::Text(text.clone())),
            Kind::Name(_) => self.name(node),
            Kind::Pointer(name) => self.pointer(node, name),
            Kind::List(nodes) => {
                let items = nodes.iter().map(|item| self.node(item)).collect::<Run<Vec<_>>>()?;
                self.budget.grow(items.len()).at(node)?;
                let list = Val::list(items).at(node)?;
                self.budget.charge(&list).at(node)?;
                Ok(list)
            }
            Kind::Map(pairs) => self.map(node, pairs),
            Kind::Unary(unary, of) => {
                let value = self.node(of)?;
                negated(*unary, value).at(node)
            }
            Kind::Binary(operator, left, right) => self.binary(node, *operator, left, right),
            Kind::Chain(first, rest) => self.chain(first, rest),
            Kind::Member { of, key, optional } => self.member(node, of, key, *optional),
            Kind::Slice { of, from, to } => self.slice(node, of, from.as_deref(), to.as_deref()),
            Kind::Conditional(condition, yes, no) => {
                let truth = self.truth(condition)?;
                match yes {
                    _ if !truth => self.node(no),
                    Some(yes) => self.node(yes),
                    None => Ok(Val::Bool(true)),
                }
            }
            Kind::Let { name, value, body } => {
                let value = self.node(value)?;
                self.locals.push((name.clone(), value));
                let result = self.node(body);
                self.locals.pop();
                result
            }
            Kind::Sequence(nodes) => {
                let mut last = Val::Nil;
                for part in nodes {
                    last = self.node(part)?;
                }
                Ok(last)
            }
            Kind::Call { name, arguments } => self.call(node, name, arguments),
            Kind::Method { of, name, arguments, optional } => {
                self.method(node, of, name, arguments, *optional)
            }
        }
    }

    fn truth(&mut self, node: &Node) -> Run<bool> {
        match self.node(node)? {
            Val::Bool(truth) => Ok(truth),
            other => Err(fault(node.at, not_bool(&other))),
        }
    }

    fn name(&mut self, node: &Node) -> Run<Val> {
        let Some((path, optional)) = node.path() else { return Err(fault(node.at, "not a name")) };
        if let Some((_, value)) = self.locals.iter().rev().find(|(name, _)| **name == *path[0]) {
            return Ok(value.clone());
        }
        self.variable(node, &path, optional)
    }

    /// A variable or something inside one: the longest known prefix of `path`, then members of its value.
    fn variable(&mut self, node: &Node, path: &[&str], optional: bool) -> Run<Val> {
        for length in (1..=path.len()).rev() {
            let Some(mut value) = self.lookup(node, path[..length].join("."))? else { continue };
            for (depth, key) in path.iter().enumerate().skip(length) {
                let found = match &value {
                    Val::Map(map) => map.fields.get(*key).cloned(),
                    _ => None,
                };
                let last = depth + 1 == path.len() && matches!(value, Val::Map(_));
                let guarded = optional || self.guards > 0 || last && self.unknown == Unknown::IsNil;
                match found {
                    Some(found) => value = found,
                    None if optional && !matches!(value, Val::Nil | Val::Map(_)) => {
                        return fetch(&value, &Val::text(*key)).at(node);
                    }
                    None if guarded => return Ok(Val::Nil),
                    None => return missing(node.at, path, format!("{} is missing", path.join("."))),
                }
            }
            return Ok(value);
        }
        // Not even the first part exists. That it is guarded then does not help: it may exist in a later round.
        missing(node.root().at, path, format!("unknown name {}", path[0]))
    }

    /// A variable of the scope. Where both `a.b` and `a.b.c` exist, `a.b` is the map.
    fn lookup(&mut self, node: &Node, name: String) -> Run<Option<Val>> {
        if let Some(known) = self.read.get(&name) {
            return Ok(known.clone());
        }
        let value = match self.env.scope.subtree(&name) {
            Some(tree) => Some(Val::from_scope(&tree).at(node)?),
            None => match self.env.scope.get(&name) {
                Lookup::Value(value) => Some(Val::from_scope(&value).at(node)?),
                Lookup::Absent { why } => {
                    self.absent.push(AbsentRead { name: name.clone(), why });
                    Some(Val::Nil)
                }
                Lookup::Unknown => None,
            },
        };
        if let Some(value) = &value {
            self.budget.charge(value).at(node)?;
        }
        self.read.insert(name, value.clone());
        Ok(value)
    }

    fn pointer(&mut self, node: &Node, name: &str) -> Run<Val> {
        let frame =
            self.frames.last().ok_or_else(|| fault(node.at, "cannot use # outside of a predicate"))?;
        match name {
            "" => Ok(frame.item.clone()),
            "index" => Ok(Val::Int(i64::try_from(frame.index).unwrap_or(i64::MAX))),
            "acc" if frame.acc.is_some() => Ok(frame.acc.clone().unwrap_or(Val::Nil)),
            _ => Err(fault(node.at, format!("unknown pointer #{name}"))),
        }
    }

    /// Evaluates a predicate for one element.
    pub fn predicate(&mut self, node: &Node, frame: Frame) -> Result<Val, Propagated> {
        self.frames.push(frame);
        let result = self.node(node);
        self.frames.pop();
        result.map_err(Propagated)
    }

    fn map(&mut self, node: &Node, pairs: &[(Node, Node)]) -> Run<Val> {
        let mut fields = BTreeMap::new();
        self.budget.grow(pairs.len()).at(node)?;
        for (key, value) in pairs {
            let Val::Text(key) = self.node(key)? else {
                return Err(fault(key.at, "a map key must be a string"));
            };
            fields.insert(key, self.node(value)?);
        }
        let map = Val::map(fields).at(node)?;
        self.budget.charge(&map).at(node)?;
        Ok(map)
    }

    fn chain(&mut self, first: &Node, rest: &[(Binary, Node)]) -> Run<Val> {
        let mut left = self.node(first)?;
        for (operator, node) in rest {
            let right = self.node(node)?;
            if !compared(*operator, &left, &right).at(node)? {
                return Ok(Val::Bool(false));
            }
            left = right;
        }
        Ok(Val::Bool(true))
    }

    fn binary(&mut self, node: &Node, operator: Binary, left: &Node, right: &Node) -> Run<Val> {
        match operator {
            Binary::And => return self.logical(left, right, true),
            Binary::Or => return self.logical(left, right, false),
            Binary::Coalesce => {
                self.guards += 1;
                let value = self.node(left);
                self.guards -= 1;
                return match value? {
                    value if value.is_nil() => self.node(right),
                    value => Ok(value),
                };
            }
            _ => {}
        }
        // A list of literal texts is a map to expr-lang, which takes nothing but texts as keys.
        let keys = operator == Binary::In && is_texts(right);
        let left = self.node(left)?;
        let right = self.node(right)?;
        if keys && !matches!(left, Val::Text(_) | Val::Nil) {
            let type_name = left.type_name();
            return Err(fault(
                node.at,
                format!("value of type {type_name} is not assignable to type string"),
            ));
        }
        self.operate(operator, &left, &right).at(node)
    }

    /// `&&`, which goes on from true, or `||`, which goes on from false. expr-lang looks only at the left side: what
    /// it goes on to is the result, whatever it is. A literal decides alone, on either side.
    fn logical(&mut self, left: &Node, right: &Node, goes_on: bool) -> Run<Val> {
        match (&left.kind, &right.kind) {
            (Kind::Bool(literal), _) if *literal == goes_on => self.node(right),
            (_, Kind::Bool(literal)) if *literal == goes_on => self.node(left),
            (Kind::Bool(_), _) | (_, Kind::Bool(_)) => Ok(Val::Bool(!goes_on)),
            _ if self.truth(left)? == goes_on => self.node(right),
            _ => Ok(Val::Bool(!goes_on)),
        }
    }

    /// An operation on two values.
    fn operate(&mut self, operator: Binary, left: &Val, right: &Val) -> Result<Val, String> {
        self.budget.look([left, right])?;
        match operator {
            Binary::Equal | Binary::Unequal => {
                Ok(Val::Bool(equal(left, right) == (operator == Binary::Equal)))
            }
            Binary::In => inside(left, right).map(Val::Bool),
            Binary::Matches => self.matches(left, right).map(Val::Bool),
            Binary::Contains | Binary::StartsWith | Binary::EndsWith => part_of(operator, left, right),
            Binary::Range => self.range(left, right),
            _ if operator.is_order() => compared(operator, left, right).map(Val::Bool),
            _ => self.arithmetic(operator, left, right),
        }
    }

    /// The seed of the next call of a random function: each gives something else.
    pub fn next_seed(&mut self) -> u64 {
        self.draws += 1;
        let text = self
            .text
            .bytes()
            .fold(self.env.seed ^ FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
        text ^ self.draws
    }

    /// The compiled pattern, for a search through `text`; each is compiled once per evaluation.
    pub fn pattern(&mut self, pattern: &str, text: &str) -> Result<&Regex, String> {
        if !self.patterns.contains_key(pattern) {
            self.patterns.insert(pattern.into(), self.budget.compile(pattern)?);
        }
        self.budget.search(&self.patterns[pattern], text)
    }

    fn matches(&mut self, text: &Val, pattern: &Val) -> Result<bool, String> {
        match (text, pattern) {
            (Val::Nil, _) | (_, Val::Nil) => Ok(false),
            (Val::Text(text), Val::Text(pattern)) => Ok(self.pattern(pattern, text)?.is_match(text)),
            _ => Err(undefined(Binary::Matches, text, pattern)),
        }
    }

    fn range(&mut self, from: &Val, to: &Val) -> Result<Val, String> {
        let (from, to) = (functions::to_int(from)?, functions::to_int(to)?);
        let length = (i128::from(to) - i128::from(from) + 1).max(0);
        self.budget.grow(usize::try_from(length).unwrap_or(usize::MAX))?;
        let list = Val::list((from..=to).map(Val::Int))?;
        self.budget.charge(&list)?;
        Ok(list)
    }

    fn arithmetic(&mut self, operator: Binary, left: &Val, right: &Val) -> Result<Val, String> {
        match (left, right) {
            (Val::Text(a), Val::Text(b)) if operator == Binary::Add => {
                self.budget.reserve(a.len() + b.len())?;
                return Ok(Val::text([&**a, &**b].concat()));
            }
            (Val::Int(a), Val::Int(b)) => return whole(operator, *a, *b),
            _ => {}
        }
        if let Some(result) = times::arithmetic(operator, left, right)? {
            return Ok(result);
        }
        let (Some(a), Some(b)) = (left.as_number(), right.as_number()) else {
            return Err(undefined(operator, left, right));
        };
        Ok(Val::Float(match operator {
            Binary::Add => a + b,
            Binary::Subtract => a - b,
            Binary::Multiply => a * b,
            Binary::Divide => a / b,
            Binary::Power => power(a, b),
            _ => return Err(undefined(operator, left, right)),
        }))
    }

    fn member(&mut self, node: &Node, of: &Node, key: &Node, optional: bool) -> Run<Val> {
        if let Some((path, guarded)) = node.path()
            && !self.locals.iter().any(|(name, _)| **name == *path[0])
        {
            return self.variable(node, &path, guarded);
        }
        if optional {
            self.guards += 1;
        }
        let value = self.node(of);
        if optional {
            self.guards -= 1;
        }
        let value = value?;
        // Everything after the first nil of an optional chain is nil as well.
        if matches!(value, Val::Nil) && (optional || chained(of)) {
            return Ok(Val::Nil);
        }
        let key = self.node(key)?;
        fetch(&value, &key).at(node)
    }

    fn slice(&mut self, node: &Node, of: &Node, from: Option<&Node>, to: Option<&Node>) -> Run<Val> {
        let value = self.node(of)?;
        let length = match &value {
            Val::List(list) => list.items.len(),
            Val::Text(text) => text.len(),
            other => return Err(fault(node.at, format!("cannot slice {}", other.shown()))),
        };
        let mut bound = |node: Option<&Node>, absent: usize| -> Run<usize> {
            let Some(node) = node else { return Ok(absent) };
            let index = functions::to_int(&self.node(node)?).at(node)?;
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            let index = if index < 0 { length.saturating_add(index).max(0) } else { index.min(length) };
            Ok(usize::try_from(index).unwrap_or(0))
        };
        let to = bound(to, length)?;
        let from = bound(from, 0)?.min(to);
        let part = match &value {
            Val::List(list) => Val::list(list.items[from..to].iter().cloned()).at(node)?,
            Val::Text(text) => Val::text(String::from_utf8_lossy(&text.as_bytes()[from..to]).as_ref()),
            _ => Val::Nil,
        };
        self.budget.charge(&part).at(node)?;
        Ok(part)
    }

    fn arguments(&mut self, nodes: &[Node]) -> Run<Vec<Val>> {
        nodes.iter().map(|node| self.node(node)).collect()
    }

    fn call(&mut self, node: &Node, name: &str, arguments: &[Node]) -> Run<Val> {
        if parser::PREDICATES.contains(&name) {
            let over = self.node(&arguments[0])?;
            let initial = match arguments.get(2) {
                Some(initial) => Some(self.node(initial)?),
                None => None,
            };
            let result = super::collections::predicate(self, name, &over, arguments.get(1), initial);
            return result.map_err(|failed| match failed {
                super::collections::Failed::Inside(Propagated(fault)) => fault,
                super::collections::Failed::Here(message) => fault(node.at, message),
            });
        }
        let values = self.arguments(arguments)?;
        self.budget.look(&values).at(node)?;
        let result = functions::call(self, name, &values).at(node)?;
        self.budget.charge(&result).at(node)?;
        Ok(result)
    }

    fn method(&mut self, node: &Node, of: &Node, name: &str, arguments: &[Node], optional: bool) -> Run<Val> {
        if is_sprig(of) {
            let values = self.arguments(arguments)?;
            self.budget.look(&values).at(node)?;
            let result = sprig::call(self, name, values).at(node)?;
            self.budget.charge(&result).at(node)?;
            return Ok(result);
        }
        let value = self.node(of)?;
        if optional && matches!(value, Val::Nil) {
            return Ok(Val::Nil);
        }
        let values = self.arguments(arguments)?;
        times::method(&value, name, &values).at(node)
    }
}

fn is_texts(node: &Node) -> bool {
    let Kind::List(items) = &node.kind else { return false };
    !items.is_empty() && items.iter().all(|item| matches!(item.kind, Kind::Text(_)))
}

/// A fault inside of a predicate, which keeps its own place.
pub(super) struct Propagated(Box<Fault>);

fn missing(at: usize, path: &[&str], message: String) -> Run<Val> {
    Err(Box::new(Fault { at, kind: ExprErrorKind::Missing(path.join(".")), message }))
}

fn chained(node: &Node) -> bool {
    match &node.kind {
        Kind::Member { of, optional, .. } => *optional || chained(of),
        Kind::Method { optional, .. } => *optional,
        _ => false,
    }
}
