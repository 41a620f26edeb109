//! Times as people type them.

use dropforge_manifest::go::parse_duration;
use jiff::civil::Date;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::error::CliError;

/// A time, or how long ago: `2026-01-31T00:00:00Z`, `24h`, `7d`, `7d ago`.
///
/// # Errors
/// `Usage` when it is neither; `flag` says where it was typed.
pub fn moment(flag: &str, text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    let ago = text.trim_end_matches("ago").trim();
    let days = ago.strip_suffix('d').and_then(|days| days.parse::<i64>().ok());
    let length = match days {
        Some(days) => Some(SignedDuration::from_hours(days.saturating_mul(24))),
        None => parse_duration(ago).ok().map(SignedDuration::from_nanos),
    };
    let then = length.and_then(|length| now.checked_sub(length).ok());
    text.parse::<Timestamp>().ok().or(then).ok_or_else(|| {
        CliError::Usage(format!(
            "{flag} {text:?}: write a time like 2026-01-31T00:00:00Z, or how long ago: 10m, 24h, 7d"
        ))
    })
}

/// A point in time: a day (its beginning in UTC), a time, or what `date -R` prints.
///
/// # Errors
/// `Usage` when it is none; `flag` says where it was typed.
pub fn point(flag: &str, text: &str) -> Result<Timestamp, CliError> {
    let day = || TimeZone::UTC.to_timestamp(text.parse::<Date>().ok()?.at(0, 0, 0, 0)).ok();
    let mail = || Some(rfc2822::parse(text).ok()?.timestamp());
    text.parse::<Timestamp>().ok().or_else(day).or_else(mail).ok_or_else(|| {
        CliError::Usage(format!("{flag} {text:?}: write a time like 2026-01-31 or 2026-01-31T12:00:00Z"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let moment = |text: &str| super::moment("--since", text, now).unwrap().to_string();
        assert_eq!(moment("2026-01-01T00:00:00Z"), "2026-01-01T00:00:00Z");
        assert_eq!(
            (moment("24h").as_str(), moment("7d ago").as_str()),
            ("2026-01-30T12:00:00Z", "2026-01-24T12:00:00Z")
        );
        assert!(super::moment("--since", "yesterday", now).is_err());
    }

    #[test]
    fn a_point_is_a_day_or_a_time() {
        let point = |text: &str| super::point("--start", text).unwrap().to_string();
        assert_eq!(point("2026-01-31"), "2026-01-31T00:00:00Z");
        assert_eq!(point("2026-01-31T12:00:00+02:00"), "2026-01-31T10:00:00Z");
        assert_eq!(point("Sat, 31 Jan 2026 12:00:00 +0000"), "2026-01-31T12:00:00Z");
        assert!(super::point("--start", "24h").is_err());
    }
}
