//! Go's durations and the way Argo shows them to people.

use std::time::Duration;

const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// A duration as `time.ParseDuration` reads it, in nanoseconds: `1h30m`, `-1.5s`, `300ms`.
///
/// # Errors
/// Go's message.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if whole.len() + fraction.len() == 0 {
            return Err(invalid());
        }
        let unit_length = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, remaining) = after.split_at(unit_length);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
        let scale = scale.ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        total = whole
            .checked_mul(scale as i128)
            .and_then(|nanos| nanos.checked_add(fraction_nanos(fraction, scale)))
            .and_then(|nanos| total.checked_add(nanos))
            .ok_or_else(invalid)?;
        rest = remaining;
    }
    i64::try_from(sign * total).map_err(|_| invalid())
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn fraction_nanos(fraction: &str, scale: f64) -> i128 {
    if fraction.is_empty() {
        return 0;
    }
    let value: f64 = format!("0.{fraction}").parse().unwrap_or(0.0);
    (value * scale) as i128
}

/// A duration as Argo reads it: Go's form, or a bare whole number of seconds.
///
/// # Errors
/// Argo's message; also for a negative duration, which nothing can wait for.
pub fn parse_duration_or_seconds(text: &str) -> Result<Duration, String> {
    let unable = |why: &str| format!("unable to parse {text} as a duration: {why}");
    let nanos = match text.parse::<i64>() {
        Ok(seconds) => seconds.checked_mul(1_000_000_000).ok_or_else(|| unable("it is too long"))?,
        Err(_) => parse_duration(text).map_err(|why| unable(&why))?,
    };
    let nanos = u64::try_from(nanos).map_err(|_| unable("it is negative"))?;
    Ok(Duration::from_nanos(nanos))
}

/// A duration in nanoseconds as Go prints it: `1m30s`, `1.5ms`, `0s`.
pub fn duration_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let decimal = |unit: u64, name: &str| format!("{sign}{}{name}", decimal(size, unit));
    match size {
        0 => "0s".to_owned(),
        1..1_000 => decimal(1, "ns"),
        1_000..1_000_000 => decimal(1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(1_000_000, "ms"),
        _ => {
            let (minutes, rest) = (size / 60_000_000_000, size % 60_000_000_000);
            let seconds = format!("{}s", self::decimal(rest, 1_000_000_000));
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

fn decimal(size: u64, unit: u64) -> String {
    let (whole, part) = (size / unit, size % unit);
    if part == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{:0width$}", part).trim_end_matches('0').to_owned()
}

/// A duration in words, as in "Backoff for 1 minute 2 seconds": at most two units.
pub fn humanize(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let coarse = coarse(seconds);
    match seconds {
        0..60 => coarse,
        60..3600 => format!("{coarse} {} seconds", seconds % 60),
        3600..86400 => format!("{coarse} {} minutes", seconds / 60 % 60),
        _ => format!("{coarse} {} hours", seconds / 3600 % 24),
    }
}

const DAY: u64 = 86400;
const WEEK: u64 = 7 * DAY;
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 12 * MONTH;

/// The largest unit that fits, rounded down; years after one and a half are two.
fn coarse(seconds: u64) -> String {
    const UNITS: [(u64, &str); 7] = [
        (1, "second"),
        (60, "minute"),
        (3600, "hour"),
        (DAY, "day"),
        (WEEK, "week"),
        (MONTH, "month"),
        (YEAR, "year"),
    ];
    if (YEAR * 3 / 2..2 * YEAR).contains(&seconds) {
        return "2 years".to_owned();
    }
    match UNITS.iter().rev().find(|(unit, _)| seconds >= *unit) {
        None => "0 seconds".to_owned(),
        Some((unit, name)) if seconds < 2 * unit => format!("1 {name}"),
        Some((unit, name)) => format!("{} {name}s", seconds / unit),
    }
}
