//! The built-in functions of expr-lang and Argo's own, except those that take a predicate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::VALUE_BYTES_MAX;
use super::collections::{descending, sorted};
use super::eval::{Eval, json};
use super::operators::fetch;
use super::value::{MAP_BYTES, Val, equal, order};
use super::{jsonpath, signatures, times};
use crate::go::{base64_decode, base64_encode, json_error};

type Made = Result<Val, String>;

/// Calls a function by its name.
pub(super) fn call(eval: &mut Eval<'_>, name: &str, arguments: &[Val]) -> Made {
    if let Some(result) = text_function(eval, name, arguments).transpose() {
        return result;
    }
    if let Some(result) = number_function(name, arguments).transpose() {
        return result;
    }
    if let Some(result) = list_function(eval, name, arguments).transpose() {
        return result;
    }
    match (name, arguments) {
        ("type", [value]) => Ok(Val::text(kind(value))),
        ("string", [value]) => Ok(Val::text(value.shown())),
        ("toJson", [value]) => json(value, None).map(Val::text),
        ("toJSON", [value]) => json(value, Some("  ")).map(Val::text),
        ("fromJSON", [Val::Text(text)]) => from_json(eval, text),
        ("jsonpath", [Val::Text(text), Val::Text(path)]) => {
            let of = from_json(eval, text)?;
            jsonpath::query(eval, &of, path)
        }
        ("toBase64", [Val::Text(text)]) => {
            eval.budget.reserve(text.len() * 4 / 3)?;
            Ok(Val::text(base64_encode(text.as_bytes())))
        }
        ("fromBase64", [Val::Text(text)]) => from_base64(text),
        ("now", _) => times::now(eval.env.now, arguments),
        ("date", _) => times::date(arguments),
        ("duration", [Val::Text(text)]) => times::duration(text),
        ("timezone", [Val::Text(name)]) => times::timezone(name),
        _ => Err(mismatch(name, arguments)),
    }
}

fn mismatch(name: &str, arguments: &[Val]) -> String {
    if !signatures::exists(name) {
        return format!("unknown function {name}");
    }
    match arguments {
        [] => format!("not enough arguments to call {name}"),
        [one] => format!("invalid argument for {name} (type {})", one.type_name()),
        _ => {
            let types: Vec<_> = arguments.iter().map(Val::type_name).collect();
            format!("invalid arguments for {name} (types {})", types.join(", "))
        }
    }
}

fn kind(value: &Val) -> &'static str {
    match value {
        Val::Nil => "nil",
        Val::Bool(_) => "bool",
        Val::Int(_) => "int",
        Val::Float(_) => "float",
        Val::Text(_) => "string",
        Val::List(_) => "array",
        Val::Map(_) => "map",
        other => other.type_name().trim_start_matches('*'),
    }
}

/// Parses JSON; every element is counted before any is made.
pub(super) fn from_json(eval: &mut Eval<'_>, text: &str) -> Made {
    let count = |wanted: &[u8]| text.bytes().filter(|byte| wanted.contains(byte)).count();
    eval.budget.reserve(text.len())?;
    eval.budget.reserve(count(b",[") * 16 + count(b"{") * MAP_BYTES)?;
    let parsed =
        serde_json::from_str(text).map_err(|error| json_error(text).unwrap_or_else(|| error.to_string()))?;
    Val::from_parsed(&parsed)
}

fn from_base64(text: &str) -> Made {
    let bytes = base64_decode(text)?;
    Ok(Val::text(String::from_utf8_lossy(&bytes).as_ref()))
}

fn int(n: usize) -> Val {
    Val::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn texts<'a>(parts: impl Iterator<Item = &'a str>) -> Made {
    Val::list(parts.map(Val::text))
}

/// A text without the characters of `cut` at its ends; both may be long.
pub(super) fn trimmed<'t>(text: &'t str, cut: &str) -> &'t str {
    let cut: BTreeSet<char> = cut.chars().collect();
    text.trim_matches(|c| cut.contains(&c))
}

/// One more part than a list can hold, which refuses it then.
const PIECES_MAX: usize = VALUE_BYTES_MAX / 24 + 1;

/// The parts of a text between separators, at most `limit`; an empty separator stands between any two characters.
pub(super) fn pieces<'a>(text: &'a str, separator: &str, limit: usize) -> Vec<&'a str> {
    let limit = limit.min(PIECES_MAX);
    if !separator.is_empty() {
        return text.splitn(limit, separator).collect();
    }
    let mut ends: Vec<usize> = text.char_indices().map(|(at, _)| at).skip(1).take(limit - 1).collect();
    if !text.is_empty() {
        ends.push(text.len());
    }
    let mut start = 0;
    ends.into_iter().map(|end| &text[std::mem::replace(&mut start, end)..end]).collect()
}

/// `split` with Go's meaning of a limit: 0 is nothing, negative is no limit.
fn split(text: &str, separator: &str, limit: Option<i64>, after: bool) -> Made {
    let limit = match limit {
        Some(0) => return Val::list([]),
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    if !after || separator.is_empty() {
        return texts(pieces(text, separator, limit).into_iter());
    }
    let (mut pieces, mut rest) = (Vec::new(), text);
    while pieces.len() + 1 < limit
        && let Some(at) = rest.find(separator)
    {
        let (piece, tail) = rest.split_at(at + separator.len());
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    texts(pieces.into_iter())
}

/// Replaces up to `limit` places, refusing a result that would be too large before it is made.
pub(super) fn replace(eval: &mut Eval<'_>, text: &str, old: &str, new: &str, limit: i64) -> Made {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let places = text.matches(old).take(limit).count();
    eval.budget.reserve((text.len() + places * new.len()).saturating_sub(places * old.len()))?;
    Ok(Val::text(text.replacen(old, new, limit)))
}

/// Repeats a text, refusing a result that would be too large before it is made.
pub(super) fn repeat(eval: &mut Eval<'_>, text: &str, times: i64) -> Made {
    let times = usize::try_from(times)
        .map_err(|_| format!("invalid argument for repeat (expected positive integer, got {times})"))?;
    eval.budget.reserve(text.len().saturating_mul(times))?;
    Ok(Val::text(text.repeat(times)))
}

/// Go changes the case of characters one by one: one that would become two stays.
fn one_by_one<I: ExactSizeIterator<Item = char>>(text: &str, change: impl Fn(char) -> I) -> String {
    let changed = |c: char| {
        let mut parts = change(c);
        if parts.len() == 1 { parts.next().unwrap_or(c) } else { c }
    };
    text.chars().map(changed).collect()
}

pub(super) fn upper(text: &str) -> String {
    one_by_one(text, char::to_uppercase)
}

pub(super) fn lower(text: &str) -> String {
    one_by_one(text, char::to_lowercase)
}

fn text_function(eval: &mut Eval<'_>, name: &str, arguments: &[Val]) -> Result<Option<Val>, String> {
    let text = |value: &str| Ok(Some(Val::text(value)));
    match (name, arguments) {
        ("trim", [Val::Text(a)]) => text(a.trim()),
        ("trim", [Val::Text(a), Val::Text(cut)]) => text(trimmed(a, cut)),
        ("trimPrefix", [Val::Text(a)]) => text(a.strip_prefix(' ').unwrap_or(a)),
        ("trimPrefix", [Val::Text(a), Val::Text(cut)]) => text(a.strip_prefix(&**cut).unwrap_or(a)),
        ("trimSuffix", [Val::Text(a)]) => text(a.strip_suffix(' ').unwrap_or(a)),
        ("trimSuffix", [Val::Text(a), Val::Text(cut)]) => text(a.strip_suffix(&**cut).unwrap_or(a)),
        ("upper", [Val::Text(a)]) => text(&upper(a)),
        ("lower", [Val::Text(a)]) => text(&lower(a)),
        ("split", [Val::Text(a), Val::Text(by)]) => split(a, by, None, false).map(Some),
        ("split", [Val::Text(a), Val::Text(by), n]) => split(a, by, Some(to_int(n)?), false).map(Some),
        ("splitAfter", [Val::Text(a), Val::Text(by)]) => split(a, by, None, true).map(Some),
        ("splitAfter", [Val::Text(a), Val::Text(by), n]) => split(a, by, Some(to_int(n)?), true).map(Some),
        ("replace", [Val::Text(a), Val::Text(old), Val::Text(new)]) => {
            replace(eval, a, old, new, -1).map(Some)
        }
        ("replace", [Val::Text(a), Val::Text(old), Val::Text(new), n]) => {
            replace(eval, a, old, new, to_int(n)?).map(Some)
        }
        ("repeat", [Val::Text(a), n]) => {
            let n = to_int(n)?;
            eval.budget.grow(a.len().max(1).saturating_mul(usize::try_from(n).unwrap_or(0)))?;
            repeat(eval, a, n).map(Some)
        }
        ("indexOf", [Val::Text(a), Val::Text(b)]) => Ok(Some(a.find(&**b).map_or(Val::Int(-1), int))),
        ("lastIndexOf", [Val::Text(a), Val::Text(b)]) => Ok(Some(a.rfind(&**b).map_or(Val::Int(-1), int))),
        ("hasPrefix", [Val::Text(a), Val::Text(b)]) => Ok(Some(Val::Bool(a.starts_with(&**b)))),
        ("hasSuffix", [Val::Text(a), Val::Text(b)]) => Ok(Some(Val::Bool(a.ends_with(&**b)))),
        ("join", [Val::List(list)]) => join(eval, &list.items, "").map(Some),
        ("join", [Val::List(list), Val::Text(glue)]) => join(eval, &list.items, glue).map(Some),
        _ => Ok(None),
    }
}

pub(super) fn join(eval: &mut Eval<'_>, items: &[Val], glue: &str) -> Made {
    let mut texts = Vec::with_capacity(items.len());
    for item in items {
        let Val::Text(text) = item else {
            return Err(format!("interface conversion: interface {{}} is {}, not string", item.type_name()));
        };
        texts.push(&**text);
    }
    eval.budget.reserve(texts.iter().map(|text| text.len() + glue.len()).sum())?;
    Ok(Val::text(texts.join(glue)))
}

/// A number as a whole one, cut off towards zero.
pub(super) fn to_int(value: &Val) -> Result<i64, String> {
    match value {
        Val::Int(int) | Val::Duration(int) => Ok(*int),
        Val::Float(float) => Ok(*float as i64),
        other => Err(format!("invalid operation: int({})", other.type_name())),
    }
}

fn int_of(value: &Val) -> Made {
    match value {
        Val::Text(text) => text.parse().map(Val::Int).map_err(|_| format!("invalid operation: int({text})")),
        other => to_int(other).map(Val::Int),
    }
}

fn float_of(value: &Val) -> Made {
    match value {
        Val::Text(text) => {
            let parsed = text.parse::<f64>().map_err(|_| format!("invalid operation: float({text})"));
            parsed.map(Val::Float)
        }
        other => match other.as_number() {
            Some(number) => Ok(Val::Float(number)),
            None => Err(format!("invalid operation: float({})", other.type_name())),
        },
    }
}

fn number_function(name: &str, arguments: &[Val]) -> Result<Option<Val>, String> {
    Ok(Some(match (name, arguments) {
        ("int" | "asInt", [value]) => int_of(value)?,
        ("float" | "asFloat", [value]) => float_of(value)?,
        ("abs", [Val::Int(int)]) => Val::Int(int.wrapping_abs()),
        ("abs", [Val::Float(float)]) => Val::Float(float.abs()),
        ("ceil", [number]) => Val::Float(rounded(name, number)?.ceil()),
        ("floor", [number]) => Val::Float(rounded(name, number)?.floor()),
        ("round", [number]) => Val::Float(rounded(name, number)?.round()),
        ("bitand", [Val::Int(a), Val::Int(b)]) => Val::Int(a & b),
        ("bitor", [Val::Int(a), Val::Int(b)]) => Val::Int(a | b),
        ("bitxor", [Val::Int(a), Val::Int(b)]) => Val::Int(a ^ b),
        ("bitnand", [Val::Int(a), Val::Int(b)]) => Val::Int(a & !b),
        ("bitnot", [Val::Int(a)]) => Val::Int(!a),
        ("bitshl" | "bitshr" | "bitushr", [Val::Int(_), Val::Int(by)]) if *by < 0 => {
            return Err(format!("invalid operation: negative shift count {by} (type int)"));
        }
        ("bitshl", [Val::Int(a), Val::Int(by)]) => Val::Int(shift(*by, |by| a.checked_shl(by), 0)),
        ("bitshr", [Val::Int(a), Val::Int(by)]) => Val::Int(shift(*by, |by| a.checked_shr(by), a >> 63)),
        ("bitushr", [Val::Int(a), Val::Int(by)]) => {
            Val::Int(shift(*by, |by| a.cast_unsigned().checked_shr(by).map(u64::cast_signed), 0))
        }
        ("max" | "min", [alone @ (Val::Text(_) | Val::Time(_))]) => alone.clone(),
        ("max", _) if !arguments.is_empty() => extreme(name, arguments, std::cmp::Ordering::Greater)?,
        ("min", _) if !arguments.is_empty() => extreme(name, arguments, std::cmp::Ordering::Less)?,
        ("mean", _) if !arguments.is_empty() => {
            let numbers = numbers(name, arguments)?;
            let sum: f64 = numbers.iter().sum();
            Val::Float(if numbers.is_empty() { 0.0 } else { sum / numbers.len() as f64 })
        }
        ("median", _) if !arguments.is_empty() => Val::Float(median(numbers(name, arguments)?)),
        _ => return Ok(None),
    }))
}

fn shift(by: i64, shifted: impl Fn(u32) -> Option<i64>, beyond: i64) -> i64 {
    u32::try_from(by).ok().and_then(shifted).unwrap_or(beyond)
}

fn rounded(name: &str, value: &Val) -> Result<f64, String> {
    value.as_number().ok_or_else(|| format!("invalid argument for {name} (type {})", value.type_name()))
}

/// Calls `visit` with every number in the arguments, those in lists included.
fn each_number(name: &str, values: &[Val], visit: &mut dyn FnMut(&Val)) -> Result<(), String> {
    for value in values {
        match value {
            Val::List(list) => each_number(name, &list.items, visit)?,
            Val::Int(_) | Val::Float(_) | Val::Duration(_) => visit(value),
            other => return Err(format!("invalid argument for {name} (type {})", other.type_name())),
        }
    }
    Ok(())
}

/// A number as a float; a duration is its nanoseconds.
fn size(value: &Val) -> f64 {
    match value {
        Val::Duration(nanos) => *nanos as f64,
        other => other.as_number().unwrap_or(f64::NAN),
    }
}

fn numbers(name: &str, values: &[Val]) -> Result<Vec<f64>, String> {
    let mut numbers = Vec::new();
    each_number(name, values, &mut |value| numbers.push(size(value)))?;
    Ok(numbers)
}

fn extreme(name: &str, values: &[Val], wanted: std::cmp::Ordering) -> Made {
    let mut best = Val::Nil;
    each_number(name, values, &mut |value| {
        if matches!(best, Val::Nil) || order(value, &best) == Some(wanted) {
            best = value.clone();
        }
    })?;
    Ok(best)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let half = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        length if length % 2 == 1 => numbers[half],
        _ => (numbers[half - 1] + numbers[half]) / 2.0,
    }
}

fn list_function(eval: &mut Eval<'_>, name: &str, arguments: &[Val]) -> Result<Option<Val>, String> {
    Ok(Some(match (name, arguments) {
        ("len", [Val::Text(text)]) => int(text.chars().count()),
        ("len", [Val::List(list)]) => int(list.items.len()),
        ("len", [Val::Map(map)]) => int(map.fields.len()),
        ("first", [Val::List(list)]) => list.items.first().cloned().unwrap_or(Val::Nil),
        ("first", [Val::Text(text)]) => text.bytes().next().map_or(Val::Nil, |byte| Val::Int(byte.into())),
        ("last", [Val::Text(text)]) => text.bytes().last().map_or(Val::Nil, |byte| Val::Int(byte.into())),
        ("last", [Val::List(list)]) => list.items.last().cloned().unwrap_or(Val::Nil),
        ("get", [Val::Nil, _]) => Val::Nil,
        ("get", [Val::List(list), key]) => {
            fetch(&Val::List(list.clone()), &Val::Int(to_int(key)?)).unwrap_or(Val::Nil)
        }
        ("get", [of, key]) => fetch(of, key).unwrap_or(Val::Nil),
        ("take", [Val::List(list), n]) => {
            let n = usize::try_from(to_int(n)?)
                .map_err(|_| "cannot take a negative number of elements".to_owned())?;
            Val::list(list.items[..n.min(list.items.len())].iter().cloned())?
        }
        ("keys", [Val::Map(map)]) => Val::list(map.fields.keys().map(|key| Val::Text(key.clone())))?,
        ("values", [Val::Map(map)]) => Val::list(map.fields.values().cloned())?,
        ("toPairs", [Val::Map(map)]) => {
            let pair =
                |(key, value): (&Arc<str>, &Val)| Val::list(vec![Val::Text(key.clone()), value.clone()]);
            Val::list_of(map.fields.iter().map(pair))?
        }
        ("fromPairs", [Val::List(list)]) => from_pairs(&list.items)?,
        ("reverse", [Val::List(list)]) => {
            eval.budget.grow(list.items.len())?;
            Val::list(list.items.iter().rev().cloned())?
        }
        ("uniq", [Val::List(list)]) => uniq(eval, &list.items)?,
        ("concat", [_, ..]) => {
            let mut all = Vec::new();
            for argument in arguments {
                let Val::List(list) = argument else {
                    return Err(format!("cannot concat {}", argument.type_name()));
                };
                eval.budget.charge(argument)?;
                eval.budget.grow(list.items.len())?;
                all.extend(list.items.iter().cloned());
            }
            Val::list_or_nil(all)?
        }
        ("flatten", [Val::List(list)]) => {
            let mut flat = Vec::new();
            flatten(eval, &list.items, &mut flat)?;
            Val::list(flat)?
        }
        // Only where its type is not known before: Go finds nothing to sort.
        ("sort", [Val::Text(_)]) => Val::list_or_nil(Vec::new())?,
        ("sort", [Val::List(list), direction @ ..]) if direction.len() < 2 => {
            eval.budget.grow(list.items.len())?;
            let pairs = list.items.iter().map(|item| (item.clone(), item.clone())).collect();
            Val::list(sorted(pairs, descending(direction.first())?)?)?
        }
        _ => return Ok(None),
    }))
}

fn from_pairs(items: &[Val]) -> Made {
    let mut fields = BTreeMap::new();
    for item in items {
        match item {
            Val::List(pair) if pair.items.len() == 2 => {
                let key = match &pair.items[0] {
                    Val::Text(key) => key.clone(),
                    other => other.shown().into(),
                };
                fields.insert(key, pair.items[1].clone());
            }
            Val::List(_) => return Err(format!("invalid pair length {}", item.shown())),
            _ => return Err(format!("invalid pair {}", item.shown())),
        }
    }
    Val::map(fields)
}

/// The elements without those equal to an earlier one. Texts and numbers are found by a key, so that long lists of
/// them take no quadratic time.
pub(super) fn uniq(eval: &mut Eval<'_>, items: &[Val]) -> Made {
    let (mut kept, mut seen, mut others) = (Vec::new(), std::collections::BTreeSet::new(), Vec::new());
    for item in items {
        eval.budget.compare(item, others.len())?;
        let new = match item {
            Val::Text(text) => seen.insert((0, text.to_string())),
            Val::Int(_) | Val::Float(_) => {
                let number = item.as_number().unwrap_or_default();
                seen.insert((1, (number + 0.0).to_bits().to_string()))
            }
            other if others.iter().any(|seen| equal(seen, other)) => false,
            other => {
                others.push(other.clone());
                true
            }
        };
        if new {
            kept.push(item.clone());
        }
    }
    Val::list(kept)
}

fn flatten(eval: &mut Eval<'_>, items: &[Val], flat: &mut Vec<Val>) -> Result<(), String> {
    eval.budget.grow(items.len())?;
    for item in items {
        match item {
            Val::List(list) => flatten(eval, &list.items, flat)?,
            other => flat.push(other.clone()),
        }
    }
    Ok(())
}
