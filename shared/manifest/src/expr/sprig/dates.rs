//! Times and durations.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, ZonedDateTime};

use super::Takes::{Any, Text, Time};
use super::cast::{self, zero_time};
use super::{Args, Function, Made, function};
use crate::expr::eval::Eval;
use crate::expr::times;
use crate::expr::value::Val;
use crate::go::{duration_text, format_layout, parse_duration, parse_layout};

const DATE: &str = "2006-01-02";
const SECOND: i64 = 1_000_000_000;

pub(super) const FUNCTIONS: &[Function] = &[
    function("now", &[], |eval, _| times::now(eval.env.now, &[])),
    function("date", &[Text, Any], |eval, a| written(eval, a.text(0), a.get(1), "UTC")),
    function("htmlDate", &[Any], |eval, a| written(eval, DATE, a.get(0), "UTC")),
    function("dateInZone", &[Text, Any, Text], |eval, a| written(eval, a.text(0), a.get(1), a.text(2))),
    function("date_in_zone", &[Text, Any, Text], |eval, a| written(eval, a.text(0), a.get(1), a.text(2))),
    function("htmlDateInZone", &[Any, Text], |eval, a| written(eval, DATE, a.get(0), a.text(1))),
    function("toDate", &[Text, Text], |_, a| {
        let parsed = parse_layout(a.text(0), a.text(1), &TimeZone::UTC);
        Ok(Val::Time(Box::new(parsed.unwrap_or_else(|_| zero_time()))))
    }),
    function("mustToDate", &[Text, Text], |_, a| {
        Ok(Val::Time(Box::new(parse_layout(a.text(0), a.text(1), &TimeZone::UTC)?)))
    }),
    function("unixEpoch", &[Time], |_, a| Ok(Val::text(a.time(0).timestamp().as_second().to_string()))),
    function("dateModify", &[Text, Time], modify),
    function("date_modify", &[Text, Time], modify),
    function("mustDateModify", &[Text, Time], |_, a| shifted(a.time(1), parse_duration(a.text(0))?)),
    function("must_date_modify", &[Text, Time], |_, a| shifted(a.time(1), parse_duration(a.text(0))?)),
    function("ago", &[Any], |eval, a| {
        let now = eval.env.now;
        let past = now.duration_since(cast::time(a.get(0), now).timestamp());
        let seconds = past.round(jiff::Unit::Second).map_or(past.as_secs(), |rounded| rounded.as_secs());
        Ok(Val::text(duration_text(seconds.saturating_mul(SECOND))))
    }),
    function("duration", &[Any], |_, a| {
        let seconds = match a.get(0) {
            Val::Text(text) => text.parse().unwrap_or(0),
            Val::Int(seconds) => *seconds,
            _ => 0,
        };
        Ok(Val::text(duration_text(seconds.wrapping_mul(SECOND))))
    }),
    function("durationRound", &[Any], |eval, a| {
        let nanos = match a.get(0) {
            Val::Text(text) => parse_duration(text).unwrap_or(0),
            Val::Int(nanos) => *nanos,
            Val::Time(time) => {
                let past = eval.env.now.duration_since(time.timestamp()).as_nanos();
                past.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
            }
            _ => 0,
        };
        Ok(Val::text(rounded(nanos.unsigned_abs())))
    }),
];

fn written(eval: &Eval<'_>, layout: &str, time: &Val, zone: &str) -> Made {
    let zone = match times::timezone(zone) {
        Ok(Val::Zone(zone)) => zone,
        _ => TimeZone::UTC,
    };
    Ok(Val::text(format_layout(&cast::time(time, eval.env.now).with_time_zone(zone), layout)))
}

fn modify(_: &mut Eval<'_>, a: &Args) -> Made {
    match parse_duration(a.text(0)) {
        Ok(nanos) => shifted(a.time(1), nanos),
        Err(_) => Ok(a.get(1).clone()),
    }
}

fn shifted(time: &ZonedDateTime, nanos: i64) -> Made {
    let later = time.checked_add(SignedDuration::from_nanos(nanos));
    later.map(|time| Val::Time(Box::new(time))).map_err(|_| "the time is out of range".to_owned())
}

/// The largest unit that a duration has more than one of, cut off.
fn rounded(nanos: u64) -> String {
    const UNITS: [(u64, &str); 6] =
        [(31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let found = UNITS.iter().find(|(seconds, _)| nanos > seconds * SECOND.unsigned_abs());
    found.map_or("0s".to_owned(), |(seconds, unit)| {
        format!("{}{unit}", nanos / (seconds * SECOND.unsigned_abs()))
    })
}
