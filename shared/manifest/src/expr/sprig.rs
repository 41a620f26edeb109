//! The functions of sprig: `sprig.upper(x)`.
//!
//! Each has the parameters of its Go function, and arguments count as Go's reflection takes them: nil is the zero
//! value of what is asked for, and everything else has to be of that type. Nothing is changed in place: `set`,
//! `unset` and `merge` give a new dictionary.

mod cast;
mod dates;
mod dicts;
mod encodings;
mod lists;
mod logic;
mod merge;
mod numbers;
mod paths;
mod patterns;
mod random;
mod strings;
mod urls;
mod versions;
mod words;

use super::eval::Eval;
use super::value::{Fields, Val};
use crate::decode::nearest;

pub(super) use versions::{Version, method as version_method};

type Made = Result<Val, String>;

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Any,
    Text,
    Int,
    Float,
    Bool,
    Map,
    Time,
}

/// A function of sprig.
pub(super) struct Function {
    name: &'static str,
    takes: &'static [Takes],
    /// What any number of further arguments have to be.
    rest: Option<Takes>,
    run: fn(&mut Eval<'_>, &Args) -> Made,
}

const fn function(
    name: &'static str,
    takes: &'static [Takes],
    run: fn(&mut Eval<'_>, &Args) -> Made,
) -> Function {
    Function { name, takes, rest: None, run }
}

const fn variadic(
    name: &'static str,
    takes: &'static [Takes],
    rest: Takes,
    run: fn(&mut Eval<'_>, &Args) -> Made,
) -> Function {
    Function { name, takes, rest: Some(rest), run }
}

const FAMILIES: [&[Function]; 13] = [
    dates::FUNCTIONS,
    dicts::FUNCTIONS,
    encodings::FUNCTIONS,
    lists::FUNCTIONS,
    logic::FUNCTIONS,
    numbers::FUNCTIONS,
    numbers::FLOATS,
    paths::FUNCTIONS,
    patterns::FUNCTIONS,
    random::FUNCTIONS,
    strings::FUNCTIONS,
    urls::FUNCTIONS,
    versions::FUNCTIONS,
];

/// Functions that Argo has and that are refused, with the reason.
const REFUSED: [(&[&str], &str); 3] = [
    (
        &[
            "bcrypt",
            "htpasswd",
            "derivePassword",
            "genPrivateKey",
            "buildCustomCert",
            "genCA",
            "genCAWithKey",
            "genSelfSignedCert",
            "genSelfSignedCertWithKey",
            "genSignedCert",
            "genSignedCertWithKey",
            "encryptAES",
            "decryptAES",
        ],
        "it handles a secret, and what an expression gives is kept in the run's records; do it in a step",
    ),
    (&["getHostByName"], "expressions do not ask the network; do it in a step"),
    (&["env", "expandenv"], "expressions do not read the environment, in Argo neither; use a parameter"),
];

fn find(name: &str) -> Option<&'static Function> {
    FAMILIES.into_iter().flatten().find(|function| function.name == name)
}

fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.into_iter().flatten().map(|function| function.name)
}

/// Why no function has this name, or it cannot take so many arguments.
pub(super) fn wrong_call(name: &str, count: usize) -> Option<String> {
    let Some(function) = find(name) else {
        if let Some((_, why)) = REFUSED.iter().find(|(names, _)| names.contains(&name)) {
            return Some(format!("sprig.{name} is not supported: {why}"));
        }
        let unknown = format!("unknown function sprig.{name}");
        return Some(match nearest::nearest(name, names()) {
            Some(near) => format!("{unknown}, did you mean sprig.{near}?"),
            None => unknown,
        });
    };
    let least = function.takes.len();
    match function.rest {
        Some(_) if count < least => {
            Some(format!("invalid number of arguments: expected at least {least}, got {count}"))
        }
        None if count != least => Some(format!("invalid number of arguments: expected {least}, got {count}")),
        _ => None,
    }
}

/// Calls `sprig.name`.
pub(super) fn call(eval: &mut Eval<'_>, name: &str, arguments: Vec<Val>) -> Made {
    if let Some(why) = wrong_call(name, arguments.len()) {
        return Err(why);
    }
    let function = find(name).expect("a call that is not wrong is of a known function");
    let wanted = function.takes.iter().copied().chain(function.rest.into_iter().cycle());
    let taken = arguments.into_iter().zip(wanted).map(|(value, takes)| taken(name, value, takes));
    let args = Args { values: taken.collect::<Result<_, _>>()?, fixed: function.takes.len() };
    (function.run)(eval, &args)
}

fn taken(name: &str, value: Val, takes: Takes) -> Made {
    let (fits, type_name) = match takes {
        Takes::Any => return Ok(value),
        _ if matches!(value, Val::Nil) => return zero(takes),
        Takes::Text => (matches!(value, Val::Text(_)), "string"),
        Takes::Int => (matches!(value, Val::Int(_)), "int"),
        Takes::Float => (matches!(value, Val::Float(_)), "float64"),
        Takes::Bool => (matches!(value, Val::Bool(_)), "bool"),
        Takes::Map => (matches!(value, Val::Map(_)), "map[string]interface {}"),
        Takes::Time => match cast::moment(&value) {
            Some(time) => return Ok(Val::Time(Box::new(time))),
            None => (false, "time.Time"),
        },
    };
    if fits {
        return Ok(value);
    }
    Err(format!("cannot use {} as type {type_name} in a call of sprig.{name}", value.type_name()))
}

fn zero(takes: Takes) -> Made {
    Ok(match takes {
        Takes::Any => Val::Nil,
        Takes::Text => Val::text(""),
        Takes::Int => Val::Int(0),
        Takes::Float => Val::Float(0.0),
        Takes::Bool => Val::Bool(false),
        Takes::Map => Val::map([])?,
        Takes::Time => Val::Time(Box::new(cast::zero_time())),
    })
}

/// Arguments that fit the parameters of their function.
struct Args {
    values: Vec<Val>,
    /// How many there have to be; those after are the variadic ones.
    fixed: usize,
}

impl Args {
    fn get(&self, index: usize) -> &Val {
        &self.values[index]
    }

    fn text(&self, index: usize) -> &str {
        match &self.values[index] {
            Val::Text(text) => text,
            _ => unreachable!("the parameter takes a text"),
        }
    }

    fn int(&self, index: usize) -> i64 {
        match &self.values[index] {
            Val::Int(int) => *int,
            _ => unreachable!("the parameter takes a whole number"),
        }
    }

    fn truth(&self, index: usize) -> bool {
        matches!(self.values[index], Val::Bool(true))
    }

    fn map(&self, index: usize) -> &Fields {
        fields(&self.values[index])
    }

    fn time(&self, index: usize) -> &jiff::ZonedDateTime {
        match &self.values[index] {
            Val::Time(time) => time,
            _ => unreachable!("the parameter takes a time"),
        }
    }

    /// The variadic ones.
    fn rest(&self) -> &[Val] {
        &self.values[self.fixed..]
    }
}

fn fields(value: &Val) -> &Fields {
    match value {
        Val::Map(map) => map,
        _ => unreachable!("the parameter takes a map"),
    }
}
