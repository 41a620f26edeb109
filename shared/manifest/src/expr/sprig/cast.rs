//! Sprig's forgiving conversions.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::expr::value::Val;

/// `strval`: a text as it is, everything else as `fmt.Sprint` prints it.
pub(super) fn text(value: &Val) -> String {
    value.shown()
}

/// Whether sprig takes a value for empty: zero, false, nil, and whatever has no elements.
pub(super) fn empty(value: &Val) -> bool {
    match value {
        Val::Nil => true,
        Val::Bool(truth) => !truth,
        Val::Int(int) | Val::Duration(int) => *int == 0,
        Val::Float(float) => *float == 0.0,
        Val::Text(text) => text.is_empty(),
        Val::List(list) => list.items.is_empty(),
        Val::Map(map) => map.fields.is_empty(),
        Val::Time(_) | Val::Zone(_) => false,
    }
}

/// `toInt64`: what is no number is zero; a text may have a prefix for its base.
pub(super) fn int(value: &Val) -> i64 {
    match value {
        Val::Int(int) | Val::Duration(int) => *int,
        Val::Float(float) => *float as i64,
        Val::Bool(truth) => i64::from(*truth),
        Val::Text(text) => based(text),
        _ => 0,
    }
}

fn based(text: &str) -> i64 {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let radix = match digits.get(..2) {
        Some("0x" | "0X") => 16,
        Some("0b" | "0B") => 2,
        Some("0o" | "0O") => 8,
        _ => return text.parse().unwrap_or_else(|_| text.parse::<f64>().map_or(0, |float| float as i64)),
    };
    i64::from_str_radix(&digits[2..], radix).map_or(0, |size| sign * size)
}

/// `toFloat64`: what is no number is zero.
pub(super) fn float(value: &Val) -> f64 {
    match value {
        Val::Text(text) => text.parse().unwrap_or(0.0),
        Val::Bool(truth) => f64::from(u8::from(*truth)),
        other => other.as_number().unwrap_or(0.0),
    }
}

/// The time a date function works on: what is no time is the present, a whole number is Unix seconds.
///
/// A text in RFC 3339 is read as well. In Argo a text is the present; `workflow.creationTimestamp` is a text here
/// and a time there, and both have to give the same.
pub(super) fn time(value: &Val, now: Timestamp) -> ZonedDateTime {
    let stamp = match value {
        Val::Time(time) => return (**time).clone(),
        Val::Int(seconds) => Timestamp::from_second(*seconds).unwrap_or(now),
        Val::Text(text) => text.parse().unwrap_or(now),
        _ => now,
    };
    stamp.to_zoned_datetime(TimeZone::UTC)
}

/// The kind of a value in Go's words.
pub(super) fn kind(value: &Val) -> &'static str {
    match value {
        Val::Nil => "invalid",
        Val::List(_) => "slice",
        Val::Map(_) => "map",
        Val::Time(_) => "struct",
        Val::Duration(_) => "int64",
        other => other.type_name(),
    }
}
