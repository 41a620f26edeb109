//! Times and durations in expressions.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Span, Timestamp, ZonedDateTime};

use super::ast::Binary;
use super::sprig::version_method;
use super::value::Val;
use crate::go::{duration_text, format_layout, parse_duration, parse_layout};

/// A time plus or minus a duration, the duration between two times, and sums of durations; None for other operands.
pub(super) fn arithmetic(operator: Binary, left: &Val, right: &Val) -> Result<Option<Val>, String> {
    Ok(Some(match (operator, left, right) {
        (Binary::Add, Val::Time(time), Val::Duration(nanos)) => shifted(time, *nanos)?,
        (Binary::Add, Val::Duration(nanos), Val::Time(time)) => shifted(time, *nanos)?,
        (Binary::Subtract, Val::Time(time), Val::Duration(nanos)) => shifted(time, nanos.wrapping_neg())?,
        (Binary::Subtract, Val::Time(a), Val::Time(b)) => between(a, b),
        (Binary::Add, Val::Duration(a), Val::Duration(b)) => Val::Duration(a.wrapping_add(*b)),
        (Binary::Subtract, Val::Duration(a), Val::Duration(b)) => Val::Duration(a.wrapping_sub(*b)),
        (Binary::Multiply, Val::Duration(nanos), Val::Int(by) | Val::Duration(by))
        | (Binary::Multiply, Val::Int(by), Val::Duration(nanos)) => Val::Duration(nanos.wrapping_mul(*by)),
        (Binary::Multiply, Val::Duration(nanos), Val::Float(by))
        | (Binary::Multiply, Val::Float(by), Val::Duration(nanos)) => Val::Float(*nanos as f64 * by),
        _ => return Ok(None),
    }))
}

fn shifted(time: &ZonedDateTime, nanos: i64) -> Result<Val, String> {
    let later = time.checked_add(SignedDuration::from_nanos(nanos));
    later.map(|time| Val::Time(Box::new(time))).map_err(|_| "the time is out of range".to_owned())
}

/// The time from `b` to `a`, as much of it as a Go duration holds.
fn between(a: &ZonedDateTime, b: &ZonedDateTime) -> Val {
    let nanos = a.timestamp().duration_since(b.timestamp()).as_nanos();
    Val::Duration(nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

/// `now()`, or `now(zone)`.
pub(super) fn now(now: Timestamp, arguments: &[Val]) -> Result<Val, String> {
    let zone = match arguments {
        [] => TimeZone::UTC,
        [Val::Zone(zone)] => zone.clone(),
        _ => return Err(format!("invalid number of arguments (expected 0, got {})", arguments.len())),
    };
    Ok(Val::Time(Box::new(now.to_zoned_datetime(zone))))
}

/// `timezone(name)`.
pub(super) fn timezone(name: &str) -> Result<Val, String> {
    // The zones that the program brings along, so that an expression gives the same on every machine.
    let zones = TimeZoneDatabase::bundled();
    let zone = if matches!(name, "" | "Local" | "UTC") { Ok(TimeZone::UTC) } else { zones.get(name) };
    zone.map(Val::Zone).map_err(|_| format!("unknown time zone {name}"))
}

const LAYOUTS: [&str; 20] = [
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05Z07:00",
    "2006-01-02T15:04:05.999999999Z07:00",
    "Mon, 02 Jan 2006 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 -0700",
    "02 Jan 06 15:04 MST",
    "02 Jan 06 15:04 -0700",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon Jan _2 15:04:05 2006",
    "Mon Jan _2 15:04:05 MST 2006",
    "Mon Jan 02 15:04:05 -0700 2006",
    "3:04PM",
    "Jan _2 15:04:05",
    "Jan _2 15:04:05.000",
    "Jan _2 15:04:05.000000",
    "Jan _2 15:04:05.000000000",
    "2006-01-02T15:04:05",
    "2006-01-02 15:04",
];

/// `date(text)`, `date(text, layout)`, `date(text, layout, zone)`; a zone may also stand first.
pub(super) fn date(arguments: &[Val]) -> Result<Val, String> {
    let (mut zone, rest) = match arguments {
        [Val::Zone(zone), rest @ ..] => (zone.clone(), rest),
        _ => (TimeZone::UTC, arguments),
    };
    let text = |value: &Val| match value {
        Val::Text(text) => Ok(text.to_string()),
        other => Err(format!("invalid argument for date (type {})", other.type_name())),
    };
    let made = |time: ZonedDateTime| Val::Time(Box::new(time));
    match rest {
        [date] => {
            let date = text(date)?;
            let found = LAYOUTS.iter().find_map(|layout| parse_layout(layout, &date, &zone).ok());
            found.map(made).ok_or_else(|| format!("invalid date {date}"))
        }
        [date, layout, name @ ..] => {
            if let Some(name) = name.first() {
                let Val::Zone(named) = timezone(&text(name)?)? else { return Err("no zone".to_owned()) };
                zone = named;
            }
            parse_layout(&text(layout)?, &text(date)?, &zone).map(made)
        }
        [] => Err("invalid number of arguments (expected at least 1, got 0)".to_owned()),
    }
}

/// A method of Go's times and durations.
pub(super) fn method(of: &Val, name: &str, arguments: &[Val]) -> Result<Val, String> {
    let unknown = || format!("type {} has no method {name}", of.type_name());
    match of {
        Val::Time(time) => time_method(time, name, arguments).unwrap_or_else(|| Err(unknown())),
        Val::Duration(nanos) => duration_method(*nanos, name).ok_or_else(unknown),
        Val::Zone(_) if name == "String" => Ok(Val::text(of.shown())),
        Val::Version(version) => version_method(version, name, arguments).ok_or_else(unknown),
        _ => Err(unknown()),
    }
}

fn time_method(time: &ZonedDateTime, name: &str, arguments: &[Val]) -> Option<Result<Val, String>> {
    let stamp = time.timestamp();
    let int = |value: i64| Some(Ok(Val::Int(value)));
    let made = |time: ZonedDateTime| Some(Ok(Val::Time(Box::new(time))));
    match (name, arguments) {
        ("Year", []) => int(time.year().into()),
        ("Month", []) => int(time.month().into()),
        ("Day", []) => int(time.day().into()),
        ("Hour", []) => int(time.hour().into()),
        ("Minute", []) => int(time.minute().into()),
        ("Second", []) => int(time.second().into()),
        ("Nanosecond", []) => int(time.subsec_nanosecond().into()),
        ("YearDay", []) => int(time.day_of_year().into()),
        ("Weekday", []) => int(time.weekday().to_sunday_zero_offset().into()),
        ("Unix", []) => int(stamp.as_second()),
        ("UnixMilli", []) => int(stamp.as_millisecond()),
        ("UnixMicro", []) => int(stamp.as_microsecond()),
        ("UnixNano", []) => int(i64::try_from(stamp.as_nanosecond()).unwrap_or(i64::MAX)),
        ("String", []) => Some(Ok(Val::text(Val::Time(Box::new(time.clone())).shown()))),
        ("UTC" | "Local", []) => made(time.with_time_zone(TimeZone::UTC)),
        ("IsZero", []) => Some(Ok(Val::Bool(time.year() == 1 && stamp.as_second() == ZERO_SECONDS))),
        ("Compare", [Val::Time(other)]) => int(stamp.cmp(&other.timestamp()) as i64),
        ("Truncate", [Val::Duration(unit)]) => Some(shifted(time, -past(stamp, *unit))),
        ("Round", [Val::Duration(unit)]) => {
            let past = past(stamp, *unit);
            Some(shifted(time, if *unit > 0 && past + past >= *unit { unit - past } else { -past }))
        }
        ("In", [Val::Zone(zone)]) => made(time.with_time_zone(zone.clone())),
        ("Format", [Val::Text(layout)]) => Some(Ok(Val::text(format_layout(time, layout)))),
        ("Add", [Val::Duration(nanos)]) => Some(shifted(time, *nanos)),
        ("Sub", [Val::Time(other)]) => Some(Ok(between(time, other))),
        ("Before", [Val::Time(other)]) => Some(Ok(Val::Bool(stamp < other.timestamp()))),
        ("After", [Val::Time(other)]) => Some(Ok(Val::Bool(stamp > other.timestamp()))),
        ("Equal", [Val::Time(other)]) => Some(Ok(Val::Bool(stamp == other.timestamp()))),
        ("AddDate", [Val::Int(years), Val::Int(months), Val::Int(days)]) => {
            let span = Span::new().try_years(*years).and_then(|span| span.try_months(*months));
            let later = span.and_then(|span| span.try_days(*days)).and_then(|span| time.checked_add(span));
            Some(
                later
                    .map(|time| Val::Time(Box::new(time)))
                    .map_err(|_| "the time is out of range".to_owned()),
            )
        }
        _ => None,
    }
}

/// The zero of Go's times.
const ZERO_SECONDS: i64 = -62_135_596_800;

/// How far a time is past a multiple of a duration, counted from Go's zero.
fn past(stamp: Timestamp, unit: i64) -> i64 {
    if unit <= 0 {
        return 0;
    }
    let nanos = stamp.as_nanosecond() - i128::from(ZERO_SECONDS) * 1_000_000_000;
    i64::try_from(nanos.rem_euclid(i128::from(unit))).unwrap_or(0)
}

fn duration_method(nanos: i64, name: &str) -> Option<Val> {
    Some(match name {
        "Nanoseconds" => Val::Int(nanos),
        "Microseconds" => Val::Int(nanos / 1_000),
        "Milliseconds" => Val::Int(nanos / 1_000_000),
        "Seconds" => Val::Float(nanos as f64 / 1e9),
        "Minutes" => Val::Float(nanos as f64 / 60e9),
        "Hours" => Val::Float(nanos as f64 / 3600e9),
        "String" => Val::text(duration_text(nanos)),
        _ => return None,
    })
}

/// `duration(text)`.
pub(super) fn duration(text: &str) -> Result<Val, String> {
    parse_duration(text).map(Val::Duration)
}
