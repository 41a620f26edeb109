//! From text to a schedule.

use crate::go::parse_duration;
use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::{Fields, Kind};

/// One field: its range and the names of its values.
struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTE: Bounds = Bounds { min: 0, max: 59, names: &[] };
const HOUR: Bounds = Bounds { min: 0, max: 23, names: &[] };
const DAY: Bounds = Bounds { min: 1, max: 31, names: &[] };
const MONTH: Bounds = Bounds {
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Bounds = Bounds { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// Marks a field that was written `*` or `?`.
const STAR: u64 = 1 << 63;

pub(super) fn schedule(text: &str) -> Result<Kind, String> {
    if text.is_empty() {
        return Err("empty spec string".to_owned());
    }
    let (zone, rest) = zone(text)?;
    match rest.strip_prefix('@') {
        Some(_) => descriptor(rest, zone),
        None => fields(rest).map(|fields| Kind::Fields { fields, zone }),
    }
}

fn zone(text: &str) -> Result<(TimeZone, &str), String> {
    let Some(named) = text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) else {
        return Ok((TimeZone::UTC, text));
    };
    let (name, rest) =
        named.split_once(' ').ok_or_else(|| format!("a time zone and nothing after it: {text}"))?;
    let zone = match name {
        "" | "UTC" => TimeZone::UTC,
        name => TimeZone::get(name)
            .map_err(|_| format!("provided bad location {name}: unknown time zone {name}"))?,
    };
    Ok((zone, rest.trim()))
}

fn descriptor(text: &str, zone: TimeZone) -> Result<Kind, String> {
    let written = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => match other.strip_prefix("@every ") {
            Some(duration) => return every(text, duration),
            None => return Err(format!("unrecognized descriptor: {text}")),
        },
    };
    fields(written).map(|fields| Kind::Fields { fields, zone })
}

/// Whole seconds, one at least.
fn every(text: &str, duration: &str) -> Result<Kind, String> {
    let nanos = parse_duration(duration).map_err(|why| format!("failed to parse duration {text}: {why}"))?;
    Ok(Kind::Every(SignedDuration::from_secs((nanos / 1_000_000_000).max(1))))
}

fn fields(text: &str) -> Result<Fields, String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = parts[..] else {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
    };
    let minute = field(minute, &MINUTE)?;
    let hour = field(hour, &HOUR)?;
    let day = field(day, &DAY)?;
    let month = field(month, &MONTH)?;
    let weekday = field(weekday, &WEEKDAY)?;
    Ok(Fields { minute, hour, day, month, weekday, any_day: (day | weekday) & STAR != 0 })
}

/// Parts between commas; empty ones count for nothing.
fn field(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts.map(|part| range(part, bounds)).try_fold(0, |all, bits| Ok(all | bits?))
}

/// `*`, `a`, `a-b`, each with `/step`; `a/step` goes on to the field's end.
fn range(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let mut parts = text.split('/');
    let (span, step) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        return Err(format!("too many slashes: {text}"));
    }
    let mut ends = span.split('-');
    let (first, last) = (ends.next().unwrap_or_default(), ends.next());
    let star = matches!(first, "*" | "?");
    let (start, mut end) = if star {
        (bounds.min, bounds.max)
    } else {
        let start = value(first, bounds)?;
        let end = last.map_or(Ok(start), |last| value(last, bounds))?;
        if ends.next().is_some() {
            return Err(format!("too many hyphens: {text}"));
        }
        (start, end)
    };
    let step = match step {
        None => 1,
        Some(step) => {
            if last.is_none() {
                end = bounds.max;
            }
            number(step)?
        }
    };
    let Bounds { min, max, .. } = bounds;
    if start < *min {
        return Err(format!("beginning of range ({start}) below minimum ({min}): {text}"));
    }
    if end > *max {
        return Err(format!("end of range ({end}) above maximum ({max}): {text}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    let bits = (start..=end).step_by(step as usize).fold(0, |bits, value| bits | (1 << value));
    Ok(if star && step == 1 { bits | STAR } else { bits })
}

fn value(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let named = bounds.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    match named.and_then(|at| u32::try_from(at).ok()) {
        Some(at) => Ok(at + bounds.min),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    let number: i64 = text.parse().map_err(|_| format!("failed to parse int from {text}"))?;
    u32::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}
