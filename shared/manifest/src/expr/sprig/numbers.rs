//! Sprig's arithmetic: whole numbers, unless the name says float.

use super::Tried;
use super::cast::{float, int};
use super::words::Random;
use crate::expr::eval::Eval;
use crate::expr::value::Val;

/// The most numbers that `until` and `seq` give.
const RANGE_MAX: i64 = 1_000_000;

/// Calls a function on numbers.
pub(super) fn call(eval: &mut Eval<'_>, name: &str, arguments: &[Val]) -> Tried {
    Ok(Some(match (name, arguments) {
        ("int" | "int64" | "toInt" | "toInt64" | "atoi", [value]) => Val::Int(int(value)),
        ("float64" | "toFloat64", [value]) => Val::Float(float(value)),
        ("toDecimal", [value]) => Val::Int(i64::from_str_radix(&value.shown(), 8).unwrap_or(0)),
        ("add1", [value]) => Val::Int(int(value).wrapping_add(1)),
        ("add", values) => Val::Int(values.iter().map(int).fold(0, i64::wrapping_add)),
        ("mul", [_, _, ..]) => Val::Int(arguments.iter().map(int).fold(1, i64::wrapping_mul)),
        ("sub", [a, b]) => Val::Int(int(a).wrapping_sub(int(b))),
        ("div", [a, b]) => Val::Int(divided(int(a), int(b))?.0),
        ("mod", [a, b]) => Val::Int(divided(int(a), int(b))?.1),
        ("max" | "biggest", [_, ..]) => Val::Int(arguments.iter().map(int).max().unwrap_or(0)),
        ("min", [_, ..]) => Val::Int(arguments.iter().map(int).min().unwrap_or(0)),
        ("add1f", [value]) => Val::Float(float(value) + 1.0),
        ("addf", values) => Val::Float(values.iter().map(float).sum()),
        ("mulf", values) => Val::Float(values.iter().map(float).product()),
        ("subf", [first, rest @ ..]) => Val::Float(rest.iter().fold(float(first), |a, b| a - float(b))),
        ("divf", [first, rest @ ..]) => Val::Float(rest.iter().fold(float(first), |a, b| a / float(b))),
        ("maxf", [_, ..]) => Val::Float(arguments.iter().map(float).fold(f64::NEG_INFINITY, f64::max)),
        ("minf", [_, ..]) => Val::Float(arguments.iter().map(float).fold(f64::INFINITY, f64::min)),
        ("ceil", [value]) => Val::Float(float(value).ceil()),
        ("floor", [value]) => Val::Float(float(value).floor()),
        ("round", [value, places]) => {
            let scale = 10f64.powi(i32::try_from(int(places).clamp(-300, 300)).unwrap_or(0));
            Val::Float((float(value) * scale).round() / scale)
        }
        ("until", [end]) => range(eval, 0, int(end), if int(end) < 0 { -1 } else { 1 })?,
        ("untilStep", [from, to, step]) => range(eval, int(from), int(to), int(step))?,
        ("seq", [to]) => sequence(eval, 1, 0, int(to))?,
        ("seq", [from, to]) => sequence(eval, int(from), 0, int(to))?,
        ("seq", [from, step, to]) => sequence(eval, int(from), int(step), int(to))?,
        ("randInt", [from, to]) => Val::Int(random(eval, int(from), int(to))),
        _ => return Ok(None),
    }))
}

fn divided(a: i64, b: i64) -> Result<(i64, i64), String> {
    if b == 0 {
        return Err("runtime error: integer divide by zero".to_owned());
    }
    Ok((a.wrapping_div(b), a.wrapping_rem(b)))
}

fn range(eval: &mut Eval<'_>, from: i64, to: i64, step: i64) -> Result<Val, String> {
    let distance = i128::from(to) - i128::from(from);
    if step == 0 || (distance < 0) != (step < 0) {
        return Val::list(Vec::new());
    }
    if distance.abs() / i128::from(step.unsigned_abs()) >= i128::from(RANGE_MAX) {
        return Err("memory budget exceeded".to_owned());
    }
    let (mut items, mut at) = (Vec::new(), from);
    while if step > 0 { at < to } else { at > to } {
        items.push(Val::Int(at));
        at = at.saturating_add(step);
    }
    let list = Val::list(items)?;
    eval.budget.charge(&list)?;
    Ok(list)
}

/// The numbers from `from` to `to`, both included, as one text; a step of 0 is one towards the end.
fn sequence(eval: &mut Eval<'_>, from: i64, step: i64, to: i64) -> Result<Val, String> {
    let towards = if to < from { -1 } else { 1 };
    let step = if step == 0 { towards } else { step };
    let numbers = range(eval, from, to.saturating_add(towards), step)?;
    let shown = numbers.shown();
    Ok(Val::text(&shown[1..shown.len() - 1]))
}

/// A number from `from` up to but without `to`.
fn random(eval: &Eval<'_>, from: i64, to: i64) -> i64 {
    let width = to.saturating_sub(from).max(1).cast_unsigned();
    from.wrapping_add((Random::new(eval.env.seed).next() % width).cast_signed())
}
