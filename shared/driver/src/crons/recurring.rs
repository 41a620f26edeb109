//! A CronWorkflow's schedules as EventBridge Scheduler keeps them: what it can say recurs by itself, and the ticks that
//! it would not tell of are asked for one by one.
//!
//! Scheduler's cron has six fields, counts Sunday as 1, and wants `?` in one of the two day fields; where clocks are put
//! back, a local time that comes twice fires once. So a schedule whose day fields mean "one or the other" becomes two,
//! and ticks at a local time that comes twice, and every `@every`, are not told of by what recurs. A firing that is no
//! tick is harmless: what is due is read off the schedule's document.

use std::future::Future;

use dropforge_manifest::schedule::{Calendar, Schedule};
use dropforge_manifest::types::{CronWorkflow, CronWorkflowSpec};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::reminders::Starter;
use crate::store::StoreError;

/// A schedule that fires again and again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recurring {
    /// `cron(0 6 ? * 2-6 *)`.
    pub expression: String,
    /// The IANA name of its time zone.
    pub timezone: String,
}

/// Keeps schedules that remind of a CronWorkflow.
pub trait Schedules: Send + Sync {
    /// Sees to it that exactly these remind of it. Asking twice is harmless.
    ///
    /// # Errors
    /// When it is unknown whether they do.
    fn keep(&self, of: &Starter, wanted: &[Recurring])
    -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// How far ahead local times that come twice are looked for: clocks are put back once a year, if at all.
const AHEAD: SignedDuration = SignedDuration::from_hours(24 * 400);

/// What recurs for a CronWorkflow.
pub fn recurring(cron: &CronWorkflow) -> Vec<Recurring> {
    let mut all: Vec<Recurring> = schedules(&cron.spec).iter().flat_map(of_schedule).collect();
    all.sort();
    all.dedup();
    all
}

/// The first tick after `time` that nothing that recurs tells of.
pub fn untold(cron: &CronWorkflow, time: Timestamp) -> Option<Timestamp> {
    schedules(&cron.spec).iter().filter_map(|schedule| untold_by(schedule, time)).min()
}

/// Whether ticks are told of by nothing but one reminder after the other, so that a lost one would be the last.
pub fn chained(cron: &CronWorkflow, time: Timestamp) -> bool {
    let chained =
        |schedule: &Schedule| of_schedule(schedule).is_empty() && schedule.next_after(time).is_some();
    schedules(&cron.spec).iter().any(chained)
}

/// Those that can't be read were refused when they were stored.
fn schedules(spec: &CronWorkflowSpec) -> Vec<Schedule> {
    let zone = spec.timezone.as_deref();
    spec.schedules.iter().filter_map(|text| Schedule::parse(text, zone).ok()).collect()
}

fn of_schedule(schedule: &Schedule) -> Vec<Recurring> {
    let Some(calendar) = schedule.calendar() else { return Vec::new() };
    let Some(timezone) = named(&calendar.zone) else { return Vec::new() };
    let Calendar { minutes, hours, days, months, weekdays, .. } = &calendar;
    let time = format!("{} {}", list(minutes, 0, 59), list(hours, 0, 23));
    let month = list(months, 1, 12);
    let by_day = possible(days, months).then(|| format!("cron({time} {} {month} ? *)", list(days, 1, 31)));
    let sunday_first: Vec<u8> = weekdays.iter().map(|weekday| weekday + 1).collect();
    let by_weekday = Some(format!("cron({time} ? {month} {} *)", list(&sunday_first, 1, 7)));
    let expressions = match (calendar.either, weekdays.len() == 7) {
        (true, _) => [by_day, by_weekday],
        (false, true) => [by_day, None],
        // Every day of the month: otherwise both fields would have to hold.
        (false, false) => [None, by_weekday],
    };
    let recurring = |expression| Recurring { expression, timezone: timezone.clone() };
    expressions.into_iter().flatten().map(recurring).collect()
}

/// Whether any of the months has any of the days; Scheduler refuses the 30th of February.
fn possible(days: &[u8], months: &[u8]) -> bool {
    let last = |month: &u8| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    months.iter().any(|month| days.iter().any(|day| *day <= last(month)))
}

/// `*`, or values and ranges: Scheduler takes 256 characters in all.
fn list(values: &[u8], min: u8, max: u8) -> String {
    if values.len() == usize::from(max - min) + 1 {
        return "*".to_owned();
    }
    let ranges = values.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        one => one.first().map(ToString::to_string).unwrap_or_default(),
    });
    ranges.collect::<Vec<_>>().join(",")
}

fn named(zone: &TimeZone) -> Option<String> {
    zone.iana_name().map(str::to_owned)
}

fn untold_by(schedule: &Schedule, time: Timestamp) -> Option<Timestamp> {
    let Some(zone) = schedule.calendar().map(|calendar| calendar.zone).filter(|zone| named(zone).is_some())
    else {
        return schedule.next_after(time);
    };
    let end = time.checked_add(AHEAD).unwrap_or(Timestamp::MAX);
    repeated(&zone, time, end).find_map(|(from, to)| {
        let before = from.checked_sub(SignedDuration::from_secs(1)).unwrap_or(from);
        let mut next = schedule.next_after(time.max(before));
        while let Some(tick) = next.filter(|tick| *tick < to) {
            if comes_twice(&zone, tick) {
                return Some(tick);
            }
            next = schedule.next_after(tick);
        }
        None
    })
}

/// The stretches of time, up to `end` and not over at `time`, whose local times come twice.
fn repeated(
    zone: &TimeZone,
    time: Timestamp,
    end: Timestamp,
) -> impl Iterator<Item = (Timestamp, Timestamp)> + use<'_> {
    // The stretch around a change reaches a few hours to both sides of it.
    const REACH: SignedDuration = SignedDuration::from_hours(25);
    let from = time.checked_sub(REACH).unwrap_or(Timestamp::MIN);
    let changes: Vec<Timestamp> =
        zone.following(from).map(|change| change.timestamp()).take_while(|at| *at <= end).collect();
    changes.into_iter().filter_map(move |at| {
        let before = zone_offset(at.checked_sub(SignedDuration::from_secs(1)).ok()?, zone);
        let back = SignedDuration::from_secs(i64::from(before - zone_offset(at, zone)));
        let stretch = (at.checked_sub(back).ok()?, at.checked_add(back).ok()?);
        (back > SignedDuration::ZERO && stretch.1 > time).then_some(stretch)
    })
}

fn zone_offset(at: Timestamp, zone: &TimeZone) -> i32 {
    zone.to_offset(at).seconds()
}

fn comes_twice(zone: &TimeZone, at: Timestamp) -> bool {
    let local = zone.to_datetime(at);
    matches!(zone.to_ambiguous_timestamp(local).offset(), AmbiguousOffset::Fold { .. })
}

#[cfg(test)]
mod tests {
    use jiff::civil::DateTime;

    use super::*;
    use crate::crons::Times;

    fn cron(schedule: &str, zone: Option<&str>) -> CronWorkflow {
        let mut cron = CronWorkflow::default();
        cron.spec.schedules = vec![schedule.to_owned()];
        cron.spec.timezone = zone.map(str::to_owned);
        cron
    }

    fn expressions(schedule: &str) -> Vec<String> {
        recurring(&cron(schedule, None)).into_iter().map(|recurring| recurring.expression).collect()
    }

    #[test]
    fn fields_are_written_as_the_scheduler_reads_them() {
        let table: [(&str, &[&str]); 10] = [
            ("30 2 * * *", &["cron(30 2 * * ? *)"]),
            ("*/15 * * * *", &["cron(0,15,30,45 * * * ? *)"]),
            ("0 6 * * mon-fri", &["cron(0 6 ? * 2-6 *)"]),
            ("0 6 * * 0", &["cron(0 6 ? * 1 *)"]),
            ("0 0 1 jan,jul *", &["cron(0 0 1 1,7 ? *)"]),
            ("0 0 13 * fri", &["cron(0 0 13 * ? *)", "cron(0 0 ? * 6 *)"]),
            ("@weekly", &["cron(0 0 ? * 1 *)"]),
            ("0 0 30 2 *", &[]),
            ("0 0 30 2 mon", &["cron(0 0 ? 2 2 *)"]),
            ("@every 1h", &[]),
        ];
        for (schedule, expected) in table {
            assert_eq!(expressions(schedule), expected, "{schedule}");
        }
    }

    #[test]
    fn no_expression_is_longer_than_the_scheduler_takes() {
        let odd = "1-59/2 1-23/2 1-31/2 1-12/2 1-6/2";
        assert!(expressions(odd).iter().all(|expression| expression.len() <= 256), "{:?}", expressions(odd));
    }

    /// Whether the scheduler fires at a local time, read off the expression as its documentation says.
    fn fires(expression: &str, local: DateTime) -> bool {
        let fields = expression.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')')).unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        let holds = |field: &str, value: i8| {
            matches!(field, "*" | "?")
                || field.split(',').any(|part| {
                    let (first, last) = part.split_once('-').unwrap_or((part, part));
                    (first.parse().unwrap()..=last.parse().unwrap()).contains(&value)
                })
        };
        assert_eq!((fields.len(), fields[5], fields[2] == "?" || fields[4] == "?"), (6, "*", true));
        assert!(fields[2] != "?" || fields[4] != "?");
        holds(fields[0], local.minute())
            && holds(fields[1], local.hour())
            && holds(fields[2], local.day())
            && holds(fields[3], local.month())
            && holds(fields[4], local.weekday().to_sunday_one_offset())
            && local.second() == 0
    }

    /// Whether something that recurs tells of the time; at a local time that comes twice, nothing is relied on.
    fn told(recurring: &[Recurring], zone: &TimeZone, at: Timestamp) -> bool {
        let local = zone.to_datetime(at);
        !comes_twice(zone, at) && recurring.iter().any(|recurring| fires(&recurring.expression, local))
    }

    const SCHEDULES: [&str; 16] = [
        "* * * * *",
        "*/20 * * * *",
        "0 * * * *",
        "30 */2 * * *",
        "30 1 * * *",
        "30 2 * * *",
        "0 0 * * *",
        "59 23 * * *",
        "0 3 * * sun",
        "30 2 * * 0,6",
        "0 6 1 * *",
        "0 0 31 * *",
        "15 2 13 * fri",
        "0 0 29 2 *",
        "30 2 25-31 mar,oct *",
        "@every 37m",
    ];

    const ZONES: [Option<&str>; 9] = [
        None,
        Some("Europe/Berlin"),
        Some("America/New_York"),
        Some("Australia/Lord_Howe"),
        Some("America/Havana"),
        Some("Asia/Beirut"),
        Some("Africa/Casablanca"),
        Some("America/Santiago"),
        Some("Asia/Kolkata"),
    ];

    /// Shortly before clocks change in Europe; a thousand hourly firings reach the changes elsewhere.
    const STARTS: [&str; 2] = ["2026-10-24T12:00:00Z", "2026-03-28T12:00:00Z"];

    #[test]
    fn the_next_1000_firings_are_the_laptops() {
        for (schedule, zone) in SCHEDULES.iter().flat_map(|s| ZONES.iter().map(move |z| (s, z))) {
            let cron = cron(schedule, *zone);
            let times = Times::of(&cron.spec).unwrap();
            let recurring = recurring(&cron);
            let zone = TimeZone::get(zone.unwrap_or("UTC")).unwrap();
            assert!(recurring.iter().all(|recurring| Some(recurring.timezone.as_str()) == zone.iana_name()));
            for start in STARTS {
                let mut last: Timestamp = start.parse().unwrap();
                for n in 0..1000 {
                    let Some(tick) = times.next_after(last) else { break };
                    let known = told(&recurring, &zone, tick) || untold(&cron, last) == Some(tick);
                    assert!(known, "{schedule} in {zone:?}: tick {n} after {start}, {tick}, is not told of");
                    // Nothing fires between: an hour's, a day's and a week's steps find another field's mistake.
                    let steps = if n < 30 { &[1, 60, 24 * 60, 7 * 24 * 60][..] } else { &[] };
                    for minutes in steps {
                        let between = last + SignedDuration::from_mins(*minutes);
                        assert!(
                            between >= tick || !told(&recurring, &zone, between),
                            "{schedule} in {zone:?}: {between}"
                        );
                    }
                    last = tick;
                }
            }
        }
    }

    #[test]
    fn only_a_local_time_that_comes_twice_is_untold_of() {
        let berlin = Some("Europe/Berlin");
        let start = "2026-05-01T00:00:00Z".parse().unwrap();
        let next = |schedule, zone| untold(&cron(schedule, zone), start).map(|tick| tick.to_string());
        assert_eq!(next("30 2 * * *", berlin), Some("2026-10-25T00:30:00Z".to_owned()));
        assert_eq!(next("30 4 * * *", berlin), None);
        assert_eq!(next("* * * * *", None), None);
        assert_eq!(next("@every 90m", berlin), Some("2026-05-01T01:30:00Z".to_owned()));
    }
}
