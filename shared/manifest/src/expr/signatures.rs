//! What the built-in functions and Argo's own take and give.

use super::types::Type::{self, Any, Bool, Duration, Float, Groups, Int, Map, Nil, Text, Time, Zone};

/// Why a function cannot be called so.
#[derive(Debug)]
pub(super) struct WrongCall {
    /// The argument that is wrong; none where it is their number.
    pub argument: Option<usize>,
    pub message: String,
}

impl From<String> for WrongCall {
    fn from(message: String) -> WrongCall {
        WrongCall { argument: None, message }
    }
}

impl WrongCall {
    fn at(argument: usize, message: String) -> WrongCall {
        WrongCall { argument: Some(argument), message }
    }
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug)]
enum Takes {
    Any,
    Text,
    Int,
    List,
}

/// What is given, and one list of parameters for each way of calling.
type Overloads = (fn() -> Type, &'static [&'static [Takes]]);

const A: Takes = Takes::Any;
const I: Takes = Takes::Int;
const L: Takes = Takes::List;
const T: Takes = Takes::Text;

fn overloads(name: &str) -> Option<Overloads> {
    let text: fn() -> Type = || Text;
    Some(match name {
        "type" | "string" | "toJSON" | "toJson" => (text, &[&[A]]),
        "upper" | "lower" | "toBase64" | "fromBase64" => (text, &[&[T]]),
        "trim" | "trimPrefix" | "trimSuffix" => (text, &[&[T, T], &[T]]),
        "split" | "splitAfter" => (|| Type::list(Text), &[&[T, T], &[T, T, I]]),
        "replace" => (text, &[&[T, T, T, I], &[T, T, T]]),
        "repeat" => (text, &[&[T, I]]),
        "join" => (text, &[&[L], &[L, T]]),
        "indexOf" | "lastIndexOf" => (|| Int, &[&[T, T]]),
        "hasPrefix" | "hasSuffix" => (|| Bool, &[&[T, T]]),
        "fromJSON" => (|| Any, &[&[T]]),
        "jsonpath" => (|| Any, &[&[T, T]]),
        "asInt" | "asFloat" => (|| Any, &[&[A]]),
        "duration" => (|| Duration, &[&[T]]),
        "timezone" => (|| Zone, &[&[T]]),
        "sort" => (|| Type::list(Any), &[&[L], &[L, T]]),
        "bitand" | "bitor" | "bitxor" | "bitnand" | "bitshl" | "bitshr" | "bitushr" => (|| Int, &[&[I, I]]),
        "bitnot" => (|| Int, &[&[I]]),
        _ => return None,
    })
}

/// Those that are described by more than a list of parameters.
const OTHERS: [&str; 24] = [
    "len",
    "abs",
    "ceil",
    "floor",
    "round",
    "int",
    "float",
    "max",
    "min",
    "mean",
    "median",
    "now",
    "date",
    "first",
    "last",
    "get",
    "take",
    "keys",
    "values",
    "toPairs",
    "fromPairs",
    "reverse",
    "uniq",
    "flatten",
];

const WITH_PARAMETERS: [&str; 36] = [
    "asFloat",
    "asInt",
    "bitand",
    "bitnand",
    "bitnot",
    "bitor",
    "bitshl",
    "bitshr",
    "bitushr",
    "bitxor",
    "concat",
    "duration",
    "fromBase64",
    "fromJSON",
    "hasPrefix",
    "hasSuffix",
    "indexOf",
    "join",
    "jsonpath",
    "lastIndexOf",
    "lower",
    "repeat",
    "replace",
    "sort",
    "split",
    "splitAfter",
    "string",
    "timezone",
    "toBase64",
    "toJSON",
    "toJson",
    "trim",
    "trimPrefix",
    "trimSuffix",
    "type",
    "upper",
];

/// The names of all functions that take no predicate.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OTHERS.into_iter().chain(WITH_PARAMETERS)
}

/// Whether there is such a function.
pub(super) fn exists(name: &str) -> bool {
    names().any(|known| known == name)
}

/// The type that a call gives.
///
/// # Errors
/// That it takes no such arguments, in expr-lang's words.
pub(super) fn called(name: &str, types: &[Type]) -> Result<Type, WrongCall> {
    match overloads(name) {
        Some((gives, ways)) => {
            let mut last = Ok(());
            for takes in ways {
                last = fits(name, takes, types);
                if last.is_ok() {
                    break;
                }
            }
            last.map(|()| gives())
        }
        None if name == "get" => {
            number(2, types)?;
            got(&types[0], &types[1])
        }
        None => Ok(other(name, types)?),
    }
}

fn fits(name: &str, takes: &[Takes], types: &[Type]) -> Result<(), WrongCall> {
    match types.len().cmp(&takes.len()) {
        std::cmp::Ordering::Greater => return Err(format!("too many arguments to call {name}").into()),
        std::cmp::Ordering::Less => return Err(format!("not enough arguments to call {name}").into()),
        std::cmp::Ordering::Equal => {}
    }
    for (index, (takes, given)) in takes.iter().zip(types).enumerate() {
        let (taken, wanted) = match takes {
            Takes::Any => continue,
            Takes::Text => (*given == Text, "string"),
            Takes::Int => (*given == Int, "int"),
            Takes::List => (given.is_list(), "[]interface {}"),
        };
        if *given == Nil {
            return Err(WrongCall::at(
                index,
                format!("cannot use nil as argument (type {wanted}) to call {name}"),
            ));
        }
        if !taken && !given.is_any() {
            return Err(WrongCall::at(
                index,
                format!("cannot use {given} as argument (type {wanted}) to call {name}"),
            ));
        }
    }
    Ok(())
}

fn number(count: usize, types: &[Type]) -> Result<(), String> {
    if types.len() == count {
        return Ok(());
    }
    Err(format!("invalid number of arguments (expected {count}, got {})", types.len()))
}

fn other(name: &str, types: &[Type]) -> Result<Type, String> {
    let invalid = |given: &Type| Err(format!("invalid argument for {name} (type {given})"));
    match name {
        "max" | "min" | "mean" | "median" => aggregated(name, types),
        "concat" if types.is_empty() => {
            Err("invalid number of arguments (expected at least 1, got 0)".to_owned())
        }
        "concat" => match types.iter().find(|given| !matches!(given, Any | Type::List(_))) {
            Some(given) => Err(format!("cannot concat {given}")),
            None => Ok(Type::list(Any)),
        },
        "now" => match types {
            [] | [Zone] => Ok(Time),
            _ => Err(format!("invalid number of arguments (expected 0, got {})", types.len())),
        },
        "date" => {
            let rest = types.strip_prefix(&[Zone]).unwrap_or(types);
            match (types, rest.len()) {
                ([], _) => Err("invalid number of arguments (expected at least 1, got 0)".to_owned()),
                (_, 4..) => {
                    Err(format!("invalid number of arguments (expected at most 3, got {})", rest.len()))
                }
                _ => Ok(Time),
            }
        }
        "take" => {
            number(2, types)?;
            match types {
                [Any | Type::List(_), Any | Int | Duration] => Ok(types[0].clone()),
                [Any | Type::List(_), count] => Err(format!("cannot take {count} elements")),
                _ => Err(format!("cannot take from {}", types[0])),
            }
        }
        _ => {
            number(1, types)?;
            let given = &types[0];
            match (name, given) {
                ("len", Any | Type::List(_) | Map | Groups(_) | Text) => Ok(Int),
                ("abs", Any | Int | Float | Duration) => Ok(given.clone()),
                ("ceil" | "floor" | "round", Any | Int | Float | Duration) => Ok(Float),
                ("int", Any | Int | Float | Duration | Text) => Ok(Int),
                ("float", Any | Int | Float | Duration | Text) => Ok(Float),
                ("first" | "last", Any) => Ok(Any),
                ("first" | "last", Type::List(of)) => Ok((**of).clone()),
                ("first" | "last", _) => Err(format!("cannot get {name} element from {given}")),
                ("keys" | "values" | "toPairs", Any | Map | Groups(_)) => Ok(Type::list(Any)),
                ("keys" | "values", _) => Err(format!("cannot get {name} from {given}")),
                ("toPairs", _) => Err(format!("cannot transform {given} to pairs")),
                ("fromPairs", Any | Type::List(_)) => Ok(Groups(Box::new(Any))),
                ("fromPairs", _) => Err(format!("cannot transform {given} from pairs")),
                ("reverse" | "uniq" | "flatten", Any | Type::List(_)) => Ok(Type::list(Any)),
                ("reverse" | "uniq" | "flatten", _) => Err(format!("cannot {name} {given}")),
                _ => invalid(given),
            }
        }
    }
}

fn aggregated(name: &str, types: &[Type]) -> Result<Type, String> {
    for given in types {
        match given {
            Any | Type::List(_) => return Ok(Any),
            Int | Float | Duration => {}
            _ => return Err(format!("invalid argument for {name} (type {given})")),
        }
    }
    types.first().cloned().ok_or_else(|| format!("not enough arguments to call {name}"))
}

fn got(of: &Type, key: &Type) -> Result<Type, WrongCall> {
    match of {
        Any => Ok(Any),
        Type::List(of) if matches!(key, Int | Any) => Ok((**of).clone()),
        Type::List(_) => Err(WrongCall::at(1, format!("non-integer slice index {key}"))),
        Map if matches!(key, Text | Any) => Ok(Any),
        Groups(of) => Ok((**of).clone()),
        Map => Err(WrongCall::at(1, format!("cannot use {key} to get an element from {of}"))),
        _ => Err(WrongCall::at(0, format!("type {of} does not support indexing"))),
    }
}
