//! Operators on values that need nothing of the evaluator.

use super::ast::{Binary, Unary};
use super::functions;
use super::value::{Val, equal, order};
use crate::go::power;

pub(super) fn not_bool(value: &Val) -> String {
    format!("interface conversion: interface {{}} is {}, not bool", nil_or(value))
}

fn nil_or(value: &Val) -> &'static str {
    if matches!(value, Val::Nil) { "nil" } else { value.type_name() }
}

pub(super) fn undefined(operator: Binary, left: &Val, right: &Val) -> String {
    format!("invalid operation: {} {} {}", left.type_name(), operator.sign(), right.type_name())
}

pub(super) fn part_of(operator: Binary, text: &Val, part: &Val) -> Result<Val, String> {
    let (Val::Text(text), Val::Text(part)) = (text, part) else {
        return Err(undefined(operator, text, part));
    };
    Ok(Val::Bool(match operator {
        Binary::Contains => text.contains(&**part),
        Binary::StartsWith => text.starts_with(&**part),
        _ => text.ends_with(&**part),
    }))
}

pub(super) fn compared(operator: Binary, left: &Val, right: &Val) -> Result<bool, String> {
    if let (Some(a), Some(b)) = (left.as_number(), right.as_number())
        && (a.is_nan() || b.is_nan())
    {
        return Ok(false);
    }
    let order = order(left, right).ok_or_else(|| undefined(operator, left, right))?;
    Ok(match operator {
        Binary::Less => order.is_lt(),
        Binary::Greater => order.is_gt(),
        Binary::LessEqual => order.is_le(),
        _ => order.is_ge(),
    })
}

pub(super) fn inside(needle: &Val, container: &Val) -> Result<bool, String> {
    match container {
        Val::Nil => Ok(false),
        Val::List(list) => Ok(list.items.iter().any(|item| equal(item, needle))),
        Val::Map(map) => match needle {
            Val::Text(key) => Ok(map.fields.contains_key(&**key)),
            Val::Nil => Ok(false),
            other => Err(format!("value of type {} is not assignable to type string", other.type_name())),
        },
        Val::Time(_) | Val::Zone(_) if matches!(needle, Val::Text(_) | Val::Nil) => Ok(false),
        other => Err(format!("operator \"in\" not defined on {}", other.type_name())),
    }
}

pub(super) fn negated(unary: Unary, value: Val) -> Result<Val, String> {
    match (unary, value) {
        (Unary::Not, Val::Bool(truth)) => Ok(Val::Bool(!truth)),
        (Unary::Not, other) => Err(not_bool(&other)),
        (Unary::Minus, Val::Int(int)) => Ok(Val::Int(int.wrapping_neg())),
        (Unary::Minus, Val::Float(float)) => Ok(Val::Float(-float)),
        (Unary::Minus, Val::Duration(nanos)) => Ok(Val::Duration(nanos.wrapping_neg())),
        // Where the type is unknown before, nothing is done.
        (Unary::Plus, value) => Ok(value),
        (Unary::Minus, other) => Err(format!("invalid operation: - {}", other.type_name())),
    }
}

/// Whole numbers stay whole, except that `/` and `**` always give a float; overflow wraps, as in Go.
pub(super) fn whole(operator: Binary, a: i64, b: i64) -> Result<Val, String> {
    Ok(match operator {
        Binary::Add => Val::Int(a.wrapping_add(b)),
        Binary::Subtract => Val::Int(a.wrapping_sub(b)),
        Binary::Multiply => Val::Int(a.wrapping_mul(b)),
        Binary::Divide => Val::Float(a as f64 / b as f64),
        Binary::Power => Val::Float(power(a as f64, b as f64)),
        _ if b == 0 => return Err("integer divide by zero".to_owned()),
        _ => Val::Int(a.wrapping_rem(b)),
    })
}

/// A member of a map, or an element of a list or a byte of a text by index; negative indices count from the end.
pub(super) fn fetch(value: &Val, key: &Val) -> Result<Val, String> {
    match value {
        Val::Map(map) => match key {
            Val::Text(key) => Ok(map.fields.get(&**key).cloned().unwrap_or(Val::Nil)),
            Val::Int(key) => Ok(map.fields.get(key.to_string().as_str()).cloned().unwrap_or(Val::Nil)),
            _ => Ok(Val::Nil),
        },
        Val::List(list) => {
            let index = index(key, list.items.len())?;
            Ok(list.items[index].clone())
        }
        Val::Text(text) => {
            let index = index(key, text.len())?;
            Ok(Val::Int(i64::from(text.as_bytes()[index])))
        }
        other => Err(format!("cannot fetch {} from {}", key.shown(), other.type_name())),
    }
}

fn index(key: &Val, length: usize) -> Result<usize, String> {
    let index = functions::to_int(key)?;
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let index = if index < 0 { length.saturating_add(index) } else { index };
    match usize::try_from(index) {
        Ok(found) if index < length => Ok(found),
        _ => Err(format!("index out of range: {index} (array length is {length})")),
    }
}
