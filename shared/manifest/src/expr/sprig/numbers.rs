//! Arithmetic: whole numbers, unless the name says float.

use bigdecimal::{BigDecimal, FromPrimitive as _, RoundingMode, Zero as _};

use super::Takes::{Any, Float, Int, Text};
use super::cast::{float, int};
use super::{Args, Function, Made, function, variadic};
use crate::expr::eval::Eval;
use crate::expr::value::Val;

/// The most numbers that `until` and `seq` give.
const RANGE_MAX: i64 = 1_000_000;
/// The decimal places of a quotient.
const PLACES: i64 = 16;

pub(super) const FUNCTIONS: &[Function] = &[
    function("atoi", &[Text], |_, a| Ok(Val::Int(a.text(0).parse().unwrap_or(0)))),
    function("int", &[Any], |_, a| Ok(Val::Int(int(a.get(0))))),
    function("int64", &[Any], |_, a| Ok(Val::Int(int(a.get(0))))),
    function("toDecimal", &[Any], |_, a| {
        Ok(Val::Int(i64::from_str_radix(&a.get(0).shown(), 8).unwrap_or(0)))
    }),
    function("add1", &[Any], |_, a| Ok(Val::Int(int(a.get(0)).wrapping_add(1)))),
    variadic("add", &[], Any, |_, a| Ok(Val::Int(a.rest().iter().map(int).fold(0, i64::wrapping_add)))),
    function("sub", &[Any, Any], |_, a| Ok(Val::Int(int(a.get(0)).wrapping_sub(int(a.get(1)))))),
    function("div", &[Any, Any], |_, a| divided(a, i64::wrapping_div)),
    function("mod", &[Any, Any], |_, a| divided(a, i64::wrapping_rem)),
    variadic("mul", &[Any], Any, |_, a| Ok(Val::Int(folded(a, i64::wrapping_mul)))),
    variadic("max", &[Any], Any, |_, a| Ok(Val::Int(folded(a, i64::max)))),
    variadic("biggest", &[Any], Any, |_, a| Ok(Val::Int(folded(a, i64::max)))),
    variadic("min", &[Any], Any, |_, a| Ok(Val::Int(folded(a, i64::min)))),
    function("until", &[Int], |eval, a| range(eval, 0, a.int(0), if a.int(0) < 0 { -1 } else { 1 })),
    function("untilStep", &[Int, Int, Int], |eval, a| range(eval, a.int(0), a.int(1), a.int(2))),
    variadic("seq", &[], Int, |eval, a| {
        let numbers: Vec<i64> = a.rest().iter().map(int).collect();
        match numbers[..] {
            [to] => sequence(eval, 1, if to < 1 { -1 } else { 1 }, to),
            [from, to] => sequence(eval, from, if to < from { -1 } else { 1 }, to),
            [from, step, to] if to >= from || step <= 0 => sequence(eval, from, step, to),
            _ => Ok(Val::text("")),
        }
    }),
];

pub(super) const FLOATS: &[Function] = &[
    function("float64", &[Any], |_, a| Ok(Val::Float(float(a.get(0))))),
    function("add1f", &[Any], |_, a| decimals(float(a.get(0)), &[Val::Int(1)], |a, b| Ok(a + b))),
    variadic("addf", &[], Any, |_, a| decimals(0.0, a.rest(), |a, b| Ok(a + b))),
    variadic("subf", &[Any], Any, |_, a| decimals(float(a.get(0)), a.rest(), |a, b| Ok(a - b))),
    variadic("mulf", &[Any], Any, |_, a| decimals(float(a.get(0)), a.rest(), |a, b| Ok(a * b))),
    variadic("divf", &[Any], Any, |_, a| decimals(float(a.get(0)), a.rest(), quotient)),
    variadic("maxf", &[Any], Any, |_, a| {
        Ok(Val::Float(a.rest().iter().map(float).fold(float(a.get(0)), go_max)))
    }),
    variadic("minf", &[Any], Any, |_, a| {
        Ok(Val::Float(-a.rest().iter().map(|value| -float(value)).fold(-float(a.get(0)), go_max)))
    }),
    function("ceil", &[Any], |_, a| Ok(Val::Float(float(a.get(0)).ceil()))),
    function("floor", &[Any], |_, a| Ok(Val::Float(float(a.get(0)).floor()))),
    variadic("round", &[Any, Int], Float, round),
];

fn folded(a: &Args, with: fn(i64, i64) -> i64) -> i64 {
    a.rest().iter().map(int).fold(int(a.get(0)), with)
}

fn divided(a: &Args, with: fn(i64, i64) -> i64) -> Made {
    match int(a.get(1)) {
        0 => Err("runtime error: integer divide by zero".to_owned()),
        by => Ok(Val::Int(with(int(a.get(0)), by))),
    }
}

/// Go's maximum: of a number and none it is none.
fn go_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

type Exact = Result<BigDecimal, String>;

/// Computes with decimal numbers, so that 0.1 and 0.2 are 0.3.
fn decimals(first: f64, rest: &[Val], with: fn(BigDecimal, BigDecimal) -> Exact) -> Made {
    let mut result = decimal(first)?;
    for value in rest {
        result = with(result, decimal(float(value))?)?;
    }
    let result: f64 = result.to_scientific_notation().parse().unwrap_or(f64::NAN);
    Ok(Val::Float(result + 0.0))
}

/// The number with the fewest digits that means this float.
fn decimal(float: f64) -> Exact {
    let exact = || format!("{float:e}").parse().ok().or_else(|| BigDecimal::from_f64(float));
    exact().ok_or_else(|| format!("Cannot create a Decimal from {}", crate::go::float_text(float)))
}

fn quotient(a: BigDecimal, b: BigDecimal) -> Exact {
    if b.is_zero() {
        return Err("decimal division by 0".to_owned());
    }
    Ok((a / b).with_scale_round(PLACES, RoundingMode::HalfUp))
}

/// Rounds up from `.5`, or from the third argument; also for negative numbers, which have a negative fraction.
fn round(_: &mut Eval<'_>, a: &Args) -> Made {
    let from = a.rest().first().map_or(0.5, float);
    let scale = crate::go::power(10.0, a.int(1) as f64);
    let scaled = float(a.get(0)) * scale;
    let whole = if scaled.fract() >= from { scaled.ceil() } else { scaled.floor() };
    Ok(Val::Float(whole / scale))
}

fn range(eval: &mut Eval<'_>, from: i64, to: i64, step: i64) -> Made {
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

/// The numbers from `from` to `to`, both included, as one text.
fn sequence(eval: &mut Eval<'_>, from: i64, step: i64, to: i64) -> Made {
    let numbers = range(eval, from, to.saturating_add(if to < from { -1 } else { 1 }), step)?;
    let shown = numbers.shown();
    Ok(Val::text(&shown[1..shown.len() - 1]))
}
