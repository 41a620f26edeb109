//! Computing a condition.

use super::plan::Stage;
use super::tokens::Value;
use crate::go::{compile_pattern, power};

type Made = Result<Value, String>;

/// The value of a stage.
pub(super) fn evaluate(stage: &Stage) -> Made {
    Evaluation { searched: 0 }.stage(stage)
}

/// The work of all patterns of a condition, in steps of about 60 ns: some tenths of a second.
pub(super) const WORK_MAX: usize = 5_000_000;

struct Evaluation {
    searched: usize,
}

impl Evaluation {
    fn stage(&mut self, stage: &Stage) -> Made {
        match stage {
            Stage::Value(value) => Ok(value.clone()),
            Stage::Variable(name) => Err(format!("No parameter '{name}' found.")),
            Stage::Accessor(parts) => Err(format!("No parameter '{}' found.", parts[0])),
            Stage::Group(inner) => self.side(inner.as_deref()),
            Stage::Prefix(sign, of) => prefix(sign, &self.side(of.as_deref())?),
            Stage::Binary(sign, left, right) => self.binary(sign, left.as_deref(), right.as_deref()),
        }
    }

    fn side(&mut self, stage: Option<&Stage>) -> Made {
        stage.map_or(Ok(Value::Nil), |stage| self.stage(stage))
    }

    fn binary(&mut self, sign: &str, left: Option<&Stage>, right: Option<&Stage>) -> Made {
        let left = self.side(left)?;
        match (sign, &left) {
            ("&&", Value::Bool(false)) => return Ok(Value::Bool(false)),
            ("||", Value::Bool(true)) => return Ok(Value::Bool(true)),
            ("??" | ":", value) if *value != Value::Nil => return Ok(left),
            ("?", Value::Bool(false)) => return Ok(Value::Nil),
            _ => {}
        }
        let right = self.side(right)?;
        match sign {
            "&&" | "||" => logical(sign, &left, &right),
            "==" => Ok(Value::Bool(left == right)),
            "!=" => Ok(Value::Bool(left != right)),
            ">" | ">=" | "<" | "<=" => compared(sign, &left, &right),
            "=~" => self.matches(sign, &left, &right).map(Value::Bool),
            "!~" => self.matches(sign, &left, &right).map(|found| Value::Bool(!found)),
            "in" => match &right {
                Value::List(items) => Ok(Value::Bool(items.contains(&left))),
                other => Err(not_a_number("comparator", other, sign)),
            },
            "," => Ok(match left {
                Value::List(mut items) => {
                    items.push(right);
                    Value::List(items)
                }
                left => Value::List(vec![left, right]),
            }),
            "?" => match left {
                Value::Bool(_) => Ok(right),
                other => Err(format!(
                    "Value '{}' cannot be used with the ternary operator '?', it is not a bool",
                    other.shown()
                )),
            },
            ":" | "??" => Ok(right),
            _ => arithmetic(sign, &left, &right),
        }
    }

    fn matches(&mut self, sign: &str, left: &Value, right: &Value) -> Result<bool, String> {
        let (Value::Text(text), Value::Text(pattern)) = (left, right) else {
            let wrong = if matches!(left, Value::Text(_)) { right } else { left };
            return Err(not_a_number("comparator", wrong, sign));
        };
        let regex = compile_pattern(pattern);
        let regex = regex.map_err(|why| format!("Unable to compile regexp pattern '{pattern}': {why}"))?;
        self.searched = self.searched.saturating_add(regex.work(text)).saturating_add(regex.compilation());
        if self.searched > WORK_MAX {
            return Err(format!("the patterns of the condition take more than {WORK_MAX} steps"));
        }
        Ok(regex.regex().is_match(text))
    }
}

fn prefix(sign: &str, of: &Value) -> Made {
    match (sign, of) {
        ("!", Value::Bool(truth)) => Ok(Value::Bool(!truth)),
        ("-", Value::Number(number)) => Ok(Value::Number(-number)),
        ("~", Value::Number(number)) => Ok(Value::Number(!(*number as i64) as f64)),
        _ => Err(format!("Value '{}' cannot be used with the prefix '{sign}'", of.shown())),
    }
}

fn not_a_number(kind: &str, value: &Value, sign: &str) -> String {
    format!("Value '{}' cannot be used with the {kind} '{sign}', it is not a number", value.shown())
}

fn logical(sign: &str, left: &Value, right: &Value) -> Made {
    let truth = |value: &Value| match value {
        Value::Bool(truth) => Ok(*truth),
        other => Err(format!(
            "Value '{}' cannot be used with the logical operator '{sign}', it is not a bool",
            other.shown()
        )),
    };
    let (left, right) = (truth(left)?, truth(right)?);
    Ok(Value::Bool(if sign == "&&" { left && right } else { left || right }))
}

fn compared(sign: &str, left: &Value, right: &Value) -> Made {
    let order = match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => return Err(not_a_number("comparator", left, sign)),
    };
    let Some(order) = order else { return Ok(Value::Bool(false)) };
    Ok(Value::Bool(match sign {
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        "<" => order.is_lt(),
        _ => order.is_le(),
    }))
}

fn arithmetic(sign: &str, left: &Value, right: &Value) -> Made {
    if sign == "+" && (matches!(left, Value::Text(_)) || matches!(right, Value::Text(_))) {
        return Ok(Value::Text(format!("{}{}", left.shown(), right.shown())));
    }
    let (Value::Number(a), Value::Number(b)) = (left, right) else {
        let left_is_wrong = sign == "+" || !matches!(left, Value::Number(_));
        return Err(not_a_number("modifier", if left_is_wrong { left } else { right }, sign));
    };
    let whole = |f: fn(i64, i64) -> i64| f(*a as i64, *b as i64) as f64;
    Ok(Value::Number(match sign {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "%" => a % b,
        "**" => power(*a, *b),
        "&" => whole(|a, b| a & b),
        "|" => whole(|a, b| a | b),
        "^" => whole(|a, b| a ^ b),
        _ => shifted(sign, *a as u64, *b as u64) as f64,
    }))
}

/// Shifting further than there are bits gives zero.
fn shifted(sign: &str, a: u64, by: u64) -> u64 {
    let by = u32::try_from(by).unwrap_or(u32::MAX);
    let shifted = if sign == "<<" { a.checked_shl(by) } else { a.checked_shr(by) };
    shifted.unwrap_or(0)
}
