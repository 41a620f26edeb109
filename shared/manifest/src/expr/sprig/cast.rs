//! Sprig's forgiving conversions.

use jiff::civil::datetime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::expr::value::Val;
use crate::go::parse_integer;

/// `strval`: a text as it is, everything else as `fmt.Sprint` prints it.
pub(super) fn text(value: &Val) -> String {
    value.shown()
}

/// `strslice`: the elements of a list as texts, without nils; anything else is its only element.
pub(super) fn texts(value: &Val) -> Vec<String> {
    match value {
        Val::List(list) => {
            list.items.iter().filter(|item| !matches!(item, Val::Nil)).map(Val::shown).collect()
        }
        Val::Nil => Vec::new(),
        other => vec![other.shown()],
    }
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
        Val::Time(_) | Val::Zone(_) | Val::Version(_) => false,
    }
}

/// `toInt64`: what is no number is zero; a text may have a prefix for its base.
pub(super) fn int(value: &Val) -> i64 {
    match value {
        Val::Int(int) | Val::Duration(int) => *int,
        Val::Float(float) => cut(*float),
        Val::Bool(truth) => i64::from(*truth),
        Val::Text(text) => parse_integer(whole(text)).unwrap_or(0),
        _ => 0,
    }
}

/// What Go's conversion gives on amd64, also where the number is out of range.
fn cut(float: f64) -> i64 {
    let whole = float as i64;
    if float.is_nan() || whole == i64::MAX { i64::MIN } else { whole }
}

/// The part of a decimal number before its point.
fn whole(text: &str) -> &str {
    let Some((integer, fraction)) = text.split_once('.') else { return text };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(fraction) || !digits(integer.strip_prefix(['+', '-']).unwrap_or(integer)) {
        return text;
    }
    match integer {
        "" | "-" | "+" => "0",
        integer => integer,
    }
}

/// `toFloat64`: what is no number is zero.
pub(super) fn float(value: &Val) -> f64 {
    match value {
        Val::Text(text) => crate::go::parse_float(text).unwrap_or(0.0),
        Val::Bool(truth) => f64::from(u8::from(*truth)),
        Val::Duration(nanos) => *nanos as f64,
        other => other.as_number().unwrap_or(0.0),
    }
}

/// The zero of Go's times.
pub(super) fn zero_time() -> ZonedDateTime {
    datetime(1, 1, 1, 0, 0, 0, 0).to_zoned_datetime(TimeZone::UTC).expect("the year 1 is in range")
}

/// A value as a time. A text in RFC 3339 is one as well: `workflow.creationTimestamp` is a text here and a time in
/// Argo, and both have to give the same.
pub(super) fn moment(value: &Val) -> Option<ZonedDateTime> {
    match value {
        Val::Time(time) => Some((**time).clone()),
        Val::Text(text) => Some(text.parse::<Timestamp>().ok()?.to_zoned_datetime(TimeZone::UTC)),
        _ => None,
    }
}

/// The time a date function works on: what is no time is the present, a whole number is Unix seconds.
pub(super) fn time(value: &Val, now: Timestamp) -> ZonedDateTime {
    moment(value).unwrap_or_else(|| {
        let stamp = match value {
            Val::Int(seconds) => Timestamp::from_second(*seconds).unwrap_or(now),
            _ => now,
        };
        stamp.to_zoned_datetime(TimeZone::UTC)
    })
}

/// The type of a value as `%T` prints it.
pub(super) fn type_of(value: &Val) -> &'static str {
    value.type_name()
}

/// The kind of a value in Go's words.
pub(super) fn kind(value: &Val) -> &'static str {
    match value {
        Val::Nil => "invalid",
        Val::List(_) => "slice",
        Val::Map(_) => "map",
        Val::Time(_) => "struct",
        Val::Duration(_) => "int64",
        Val::Zone(_) | Val::Version(_) => "ptr",
        other => other.type_name(),
    }
}

/// `reflect.DeepEqual`: the same kind and the same content; 1 is not 1.0.
pub(super) fn same(a: &Val, b: &Val) -> bool {
    match (a, b) {
        (Val::Nil, Val::Nil) => true,
        (Val::Nil, _) | (_, Val::Nil) => false,
        (Val::Int(_), Val::Float(_)) | (Val::Float(_), Val::Int(_)) => false,
        (Val::List(a), Val::List(b)) => {
            a.is_nil == b.is_nil
                && a.items.len() == b.items.len()
                && a.items.iter().zip(&b.items).all(|(a, b)| same(a, b))
        }
        (Val::Map(a), Val::Map(b)) => {
            let pairs = a.fields.iter().zip(&b.fields);
            a.fields.len() == b.fields.len()
                && pairs.into_iter().all(|((ak, av), (bk, bv))| ak == bk && same(av, bv))
        }
        _ => crate::expr::value::equal(a, b),
    }
}
