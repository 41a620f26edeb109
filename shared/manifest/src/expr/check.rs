//! Finding what is wrong with an expression before it is computed, as expr-lang's compiler does.

use std::sync::Arc;

use super::ast::{Binary, Kind, Node, Unary};
use super::types::Type::{self, Any, Bool, Duration, Float, Groups, Int, Map, Nil, Text, Time, Zone};
use super::{is_sprig, parser, signatures, sprig};
use crate::decode::nearest;
use crate::go::compile_pattern;

/// A mistake and its place.
#[derive(Debug)]
pub(super) struct Mistake {
    pub at: usize,
    pub message: String,
}

type Checked = Result<Type, Mistake>;

/// How thoroughly an expression is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// As expr-lang does.
    Types,
    /// Also what would go wrong whenever it is computed: calls of sprig that cannot work.
    Calls,
}

/// The type of an expression, where `variable` knows the type of a variable without a dot.
pub(super) fn check(root: &Node, depth: Depth, variable: &dyn Fn(&str) -> Type) -> Checked {
    Checker { depth, variable, locals: Vec::new(), predicates: Vec::new() }.node(root)
}

/// What `#` and its relatives are in a predicate.
struct Predicate {
    element: Type,
    has_index: bool,
    has_accumulator: bool,
}

struct Checker<'a> {
    depth: Depth,
    variable: &'a dyn Fn(&str) -> Type,
    locals: Vec<(Arc<str>, Type)>,
    predicates: Vec<Predicate>,
}

fn wrong<T>(node: &Node, message: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake { at: node.at, message: message.into() })
}

impl Checker<'_> {
    fn node(&mut self, node: &Node) -> Checked {
        Ok(match &node.kind {
            Kind::Nil => Nil,
            Kind::Bool(_) => Bool,
            Kind::Int(_) => Int,
            Kind::Float(_) => Float,
            Kind::Text(_) => Text,
            Kind::Name(name) => self.name(name),
            Kind::Pointer(name) => self.pointer(node, name)?,
            Kind::List(items) => self.list(items)?,
            Kind::Map(pairs) => {
                for (key, value) in pairs {
                    self.node(key)?;
                    self.node(value)?;
                }
                Map
            }
            Kind::Unary(unary, of) => self.unary(node, *unary, of)?,
            Kind::Binary(operator, left, right) => self.binary(node, *operator, left, right)?,
            Kind::Chain(first, rest) => {
                let mut left = self.node(first)?;
                for (operator, right) in rest {
                    let right = self.node(right)?;
                    operated(node, *operator, &left, &right)?;
                    left = right;
                }
                Bool
            }
            Kind::Member { of, key, .. } => self.member(node, of, key)?,
            Kind::Slice { of, from, to } => self.slice(node, of, [from.as_deref(), to.as_deref()])?,
            Kind::Conditional(condition, yes, no) => self.conditional(condition, yes.as_deref(), no)?,
            Kind::Let { name, value, body } => self.declaration(node, name, value, body)?,
            Kind::Sequence(nodes) => {
                let mut last = Any;
                for part in nodes {
                    last = self.node(part)?;
                }
                last
            }
            Kind::Call { name, arguments } => self.call(node, name, arguments)?,
            Kind::Method { of, name, arguments, .. } => self.method(node, of, name, arguments)?,
        })
    }

    fn name(&self, name: &str) -> Type {
        match self.locals.iter().rev().find(|(local, _)| **local == *name) {
            Some((_, known)) => known.clone(),
            None if name == "sprig" => Map,
            None => (self.variable)(name),
        }
    }

    fn pointer(&self, node: &Node, name: &str) -> Checked {
        let Some(predicate) = self.predicates.last() else {
            return wrong(node, "cannot use pointer accessor outside predicate");
        };
        match name {
            "" => Ok(predicate.element.clone()),
            "index" if predicate.has_index => Ok(Int),
            "acc" if predicate.has_accumulator => Ok(Any),
            _ => wrong(node, format!("unknown pointer #{name}")),
        }
    }

    fn list(&mut self, items: &[Node]) -> Checked {
        let mut types = items.iter().map(|item| self.node(item)).collect::<Result<Vec<_>, _>>()?;
        let alike = |pair: &[Type]| match (&pair[0], &pair[1]) {
            (Any | Nil, Any | Nil) | (Type::List(_), Type::List(_)) | (Map | Groups(_), Map | Groups(_)) => {
                true
            }
            (a, b) => a == b,
        };
        let same = types.windows(2).all(alike);
        Ok(Type::list(types.pop().filter(|_| same).unwrap_or(Any)))
    }

    fn unary(&mut self, node: &Node, unary: Unary, of: &Node) -> Checked {
        let given = self.node(of)?;
        match unary {
            Unary::Not if matches!(given, Bool | Any) => Ok(Bool),
            Unary::Minus | Unary::Plus if given.is_number() || given.is_any() => Ok(given),
            _ => {
                let sign = match unary {
                    Unary::Not => "!",
                    Unary::Minus => "-",
                    Unary::Plus => "+",
                };
                wrong(node, format!("invalid operation: {sign} (mismatched type {given})"))
            }
        }
    }

    fn binary(&mut self, node: &Node, operator: Binary, left: &Node, right: &Node) -> Checked {
        let (given, other) = (self.node(left)?, self.node(right)?);
        match operator {
            Binary::Coalesce => Ok(match (given, other) {
                (Nil, other) => other,
                (given, Nil) => given,
                (given, other) if other.assignable(&given) => given,
                _ => Any,
            }),
            Binary::In => inside(node, &given, &other),
            Binary::Matches => {
                if let Kind::Text(pattern) = &right.kind
                    && let Err(why) = compile_pattern(pattern)
                {
                    return wrong(node, why);
                }
                operated(node, operator, &given, &other)
            }
            _ => operated(node, operator, &given, &other),
        }
    }

    fn member(&mut self, node: &Node, of: &Node, key: &Node) -> Checked {
        let base = self.node(of)?;
        let by = self.node(key)?;
        let name = match &key.kind {
            Kind::Text(name) => Some(&**name),
            _ => None,
        };
        match (&base, name) {
            (Any, _) => Ok(Any),
            (Nil, Some(name)) => wrong(node, format!("type nil has no field {name}")),
            (Map, _) if matches!(by, Text | Any) => Ok(Any),
            (Groups(of), _) => Ok((**of).clone()),
            (Map, _) => wrong(key, format!("cannot use {by} to get an element from {base}")),
            (Type::List(of), _) if matches!(by, Int | Any) => Ok((**of).clone()),
            (Type::List(_), _) => {
                wrong(key, format!("array elements can only be selected using an integer (got {by})"))
            }
            (_, Some(name)) => wrong(node, format!("type {base} has no field {name}")),
            _ => wrong(node, format!("type {base}[{by}] is undefined")),
        }
    }

    fn slice(&mut self, node: &Node, of: &Node, bounds: [Option<&Node>; 2]) -> Checked {
        let given = self.node(of)?;
        match given {
            Any => return Ok(Any),
            Text | Type::List(_) => {}
            _ => return wrong(node, format!("cannot slice {given}")),
        }
        for bound in bounds.into_iter().flatten() {
            let by = self.node(bound)?;
            if !matches!(by, Int | Any) {
                return wrong(bound, format!("non-integer slice index {by}"));
            }
        }
        Ok(given)
    }

    fn conditional(&mut self, condition: &Node, yes: Option<&Node>, no: &Node) -> Checked {
        let given = self.node(condition)?;
        if !matches!(given, Bool | Any) {
            return wrong(condition, format!("non-bool expression (type {given}) used as condition"));
        }
        let yes = match yes {
            Some(yes) => self.node(yes)?,
            None => given,
        };
        Ok(yes.joined(self.node(no)?))
    }

    fn declaration(&mut self, node: &Node, name: &Arc<str>, value: &Node, body: &Node) -> Checked {
        if signatures::exists(name) || parser::PREDICATES.contains(&&**name) {
            return wrong(node, format!("cannot redeclare builtin {name}"));
        }
        if self.locals.iter().any(|(local, _)| local == name) {
            return wrong(node, format!("cannot redeclare variable {name}"));
        }
        let given = self.node(value)?;
        self.locals.push((name.clone(), given));
        let result = self.node(body);
        self.locals.pop();
        result
    }

    fn call(&mut self, node: &Node, name: &str, arguments: &[Node]) -> Checked {
        if parser::PREDICATES.contains(&name) {
            return self.predicate_call(node, name, arguments);
        }
        let types = arguments.iter().map(|argument| self.node(argument)).collect::<Result<Vec<_>, _>>()?;
        if !signatures::exists(name) {
            if self.depth == Depth::Types {
                return Ok(Any);
            }
            let known = signatures::names().chain(parser::PREDICATES);
            let near = nearest::nearest(name, known).map(|near| format!(", did you mean {near}?"));
            return wrong(node, format!("unknown function {name}{}", near.unwrap_or_default()));
        }
        signatures::called(name, &types).or_else(|call| {
            let place = call.argument.map_or(node, |index| &arguments[index]);
            wrong(place, call.message)
        })
    }

    fn method(&mut self, node: &Node, of: &Node, name: &str, arguments: &[Node]) -> Checked {
        if is_sprig(of) {
            // expr-lang knows nothing of these functions, and looks at no argument of what it does not know.
            if self.depth == Depth::Calls {
                if let Some(why) = sprig::wrong_call(name, arguments.len()) {
                    return wrong(node, why);
                }
                for argument in arguments {
                    self.node(argument)?;
                }
            }
            return Ok(Any);
        }
        let base = self.node(of)?;
        match base {
            Any | Time | Duration | Zone | Map | Groups(_) => Ok(Any),
            Nil => wrong(node, format!("type nil has no field {name}")),
            _ => wrong(node, format!("type {base} has no method {name}")),
        }
    }

    fn predicate_call(&mut self, node: &Node, name: &str, arguments: &[Node]) -> Checked {
        let over = self.node(&arguments[0])?;
        let element = match &over {
            Any => Any,
            Type::List(of) => (**of).clone(),
            other => {
                return wrong(&arguments[0], format!("builtin {name} takes only array (got {other})"));
            }
        };
        let Some(body) = arguments.get(1) else {
            return Ok(if name == "count" { Int } else { element });
        };
        self.predicates.push(Predicate {
            element: element.clone(),
            has_index: matches!(name, "map" | "reduce"),
            has_accumulator: name == "reduce",
        });
        let gives = self.node(body);
        self.predicates.pop();
        let gives = gives?;
        if gives == Nil {
            return wrong(body, "predicate should has one input and one output param");
        }
        let asks = !matches!(name, "map" | "sum" | "groupBy" | "sortBy" | "reduce");
        if asks && !matches!(gives, Bool | Any) {
            return wrong(body, format!("predicate should return boolean (got {gives})"));
        }
        if let Some(third) = arguments.get(2) {
            let third_type = self.node(third)?;
            if name == "sortBy" && !matches!(third_type, Text | Any) {
                return wrong(third, format!("sortBy order argument must be a string (got {third_type})"));
            }
        }
        Ok(match name {
            "all" | "any" | "none" | "one" => Bool,
            "count" | "findIndex" | "findLastIndex" => Int,
            "find" | "findLast" => element,
            "filter" => Type::list(element),
            "map" => Type::list(gives),
            "groupBy" => Groups(Box::new(Type::list(element))),
            "sortBy" => over,
            _ => {
                debug_assert!(matches!(name, "sum" | "reduce"), "{name} at {}", node.at);
                gives
            }
        })
    }
}

fn operated(node: &Node, operator: Binary, left: &Type, right: &Type) -> Checked {
    Type::operated(operator, left, right).map_or_else(|| wrong(node, mismatched(operator, left, right)), Ok)
}

fn mismatched(operator: Binary, left: &Type, right: &Type) -> String {
    format!("invalid operation: {} (mismatched types {left} and {right})", operator.sign())
}

fn inside(node: &Node, needle: &Type, container: &Type) -> Checked {
    match (needle, container) {
        (Text | Any, Time | Zone) | (_, Any) | (_, Groups(_)) | (Any, Text) => Ok(Bool),
        (Text | Any, Map) => Ok(Bool),
        (_, Map) => wrong(node, format!("cannot use {needle} as type string in map key")),
        (_, Type::List(of)) if needle.comparable(of) => Ok(Bool),
        (_, Type::List(of)) => wrong(node, format!("cannot use {needle} as type {of} in array")),
        _ => wrong(node, mismatched(Binary::In, needle, container)),
    }
}
