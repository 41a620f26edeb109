//! Cron schedules, read and fired as Argo's library (robfig/cron v3) reads and fires them.
//!
//! Where clocks change, that library's answers are kept: a local time that is skipped does not fire on that day, and
//! one that comes twice fires twice. A schedule without a time zone is in UTC, on every machine.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

mod parse;
#[cfg(test)]
mod tests;

/// Years after which a schedule that has not fired never will: the 29th of February comes within five, save around
/// 2100.
const YEARS_MAX: i16 = 5;

/// Why a text is no schedule; the messages are the library's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the schedule {text:?}: {why}")]
pub struct ScheduleError {
    /// What was read.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// When something fires.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// This long after the last time, on a whole second.
    Every(SignedDuration),
    Fields {
        fields: Fields,
        zone: TimeZone,
    },
}

/// The values that each field allows, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
    /// One of the two day fields allows all days, so that both must hold; otherwise one of them suffices.
    any_day: bool,
}

/// What the five fields of a schedule say, for whoever writes them in another form.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    /// 0 to 59.
    pub minutes: Vec<u8>,
    /// 0 to 23.
    pub hours: Vec<u8>,
    /// 1 to 31.
    pub days: Vec<u8>,
    /// 1 to 12.
    pub months: Vec<u8>,
    /// 0, which is Sunday, to 6.
    pub weekdays: Vec<u8>,
    /// Whether one of `days` or one of `weekdays` suffices; otherwise both must hold, and one of the two is all.
    pub either: bool,
    /// Where these are local times.
    pub zone: TimeZone,
}

impl Schedule {
    /// The fields of a schedule that has fields.
    pub fn calendar(&self) -> Option<Calendar> {
        let Kind::Fields { fields, zone } = &self.0 else { return None };
        let values = |bits: u64| (0..63).filter(|value| bits & (1 << value) != 0).collect();
        Some(Calendar {
            minutes: values(fields.minute),
            hours: values(fields.hour),
            days: values(fields.day),
            months: values(fields.month),
            weekdays: values(fields.weekday),
            either: !fields.any_day,
            zone: zone.clone(),
        })
    }

    /// Reads five fields, `@daily` and its like, or `@every 90m`; each with `CRON_TZ=zone` before it if `timezone`
    /// is not given.
    ///
    /// ```
    /// use dropforge_manifest::schedule::Schedule;
    ///
    /// let schedule = Schedule::parse("0 6 * * mon-fri", Some("Europe/Berlin")).unwrap();
    /// let next = schedule.next_after("2026-03-27T05:00:00Z".parse().unwrap()).unwrap();
    /// assert_eq!(next.to_string(), "2026-03-30T04:00:00Z");
    /// ```
    ///
    /// # Errors
    /// What is wrong with the text, or that the time zone is not known.
    pub fn parse(text: &str, timezone: Option<&str>) -> Result<Schedule, ScheduleError> {
        let prefixed = with_timezone(text, timezone);
        parse::schedule(&prefixed).map(Schedule).map_err(|why| ScheduleError { text: text.to_owned(), why })
    }

    /// The first time after `time` at which it fires; none when there is none within five years.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Kind::Every(delay) => whole_second(time).checked_add(*delay).ok(),
            Kind::Fields { fields, zone } => Search { fields, zone }.next(time),
        }
    }
}

/// A schedule as Argo registers it: with its time zone before it. Two texts that differ are two schedules.
pub fn with_timezone(text: &str, timezone: Option<&str>) -> String {
    match timezone.filter(|zone| !zone.is_empty()) {
        Some(zone) => format!("CRON_TZ={zone} {text}"),
        None => text.to_owned(),
    }
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_nanosecond().div_euclid(1_000_000_000) as i64).unwrap_or(time)
}

/// The library's search, field by field from the largest: the first unfit field goes on to its next value and sets
/// all smaller ones to their first; whenever a field wraps around, the larger ones are looked at again.
struct Search<'a> {
    fields: &'a Fields,
    zone: &'a TimeZone,
}

impl Search<'_> {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut at = whole_second(after).checked_add(1.second()).ok()?;
        let year_max = self.local(at).year().saturating_add(YEARS_MAX);
        let mut reset = false;
        while self.local(at).year() <= year_max {
            at = match self.unfit(at) {
                Unfit::Month => self.month(at, &mut reset)?,
                Unfit::Day => self.day(at, &mut reset)?,
                Unfit::Hour => self.hour(at, &mut reset)?,
                Unfit::Minute | Unfit::Second => {
                    // Minutes begin at once in every zone, so that no local time is needed.
                    let begun = if reset { at } else { minute_begun(at)? };
                    reset = true;
                    begun.checked_add(1.minute()).ok()?
                }
                Unfit::Nothing => return Some(at),
            };
        }
        None
    }

    fn unfit(&self, at: Timestamp) -> Unfit {
        let (local, fields) = (self.local(at), self.fields);
        let lacks = |bits: u64, value: i8| bits & (1 << value) == 0;
        if lacks(fields.month, local.month()) {
            Unfit::Month
        } else if !fields.day_matches(local.date()) {
            Unfit::Day
        } else if lacks(fields.hour, local.hour()) {
            Unfit::Hour
        } else if lacks(fields.minute, local.minute()) {
            Unfit::Minute
        } else if local.second() != 0 {
            Unfit::Second
        } else {
            Unfit::Nothing
        }
    }

    fn month(&self, at: Timestamp, reset: &mut bool) -> Option<Timestamp> {
        let mut local = self.local(at);
        if !std::mem::replace(reset, true) {
            local = self.local(self.instant(local.date().first_of_month().to_datetime(Time::midnight()))?);
        }
        self.later(at, local.checked_add(1.month()).ok()?)
    }

    fn day(&self, at: Timestamp, reset: &mut bool) -> Option<Timestamp> {
        let mut local = self.local(at);
        if !std::mem::replace(reset, true) {
            local = self.local(self.instant(local.date().to_datetime(Time::midnight()))?);
        }
        let next = self.later(at, local.checked_add(1.day()).ok()?)?;
        // Where clocks change at midnight it became 23 or 1 o'clock.
        let hour = i64::from(self.local(next).hour());
        let shift = if hour > 12 { 24 - hour } else { -hour };
        next.checked_add(SignedDuration::from_hours(shift))
            .ok()
            .filter(|shifted| *shifted > at)
            .or(Some(next))
    }

    fn hour(&self, at: Timestamp, reset: &mut bool) -> Option<Timestamp> {
        let mut from = at;
        if !std::mem::replace(reset, true) {
            let local = self.local(at);
            from = self.instant(local.date().at(local.hour(), 0, 0, 0))?;
        }
        from.checked_add(1.hour()).ok()
    }

    /// The instant of a local time, but later than `at`: where a whole day is skipped, the library would look at
    /// the day before for ever.
    fn later(&self, at: Timestamp, mut local: DateTime) -> Option<Timestamp> {
        loop {
            let instant = self.instant(local)?;
            if instant > at {
                return Some(instant);
            }
            local = local.checked_add(1.day()).ok()?;
        }
    }

    fn local(&self, at: Timestamp) -> DateTime {
        self.zone.to_datetime(at)
    }

    /// What Go's `time.Date` makes of a local time: in a gap, the offset of one side or the other.
    fn instant(&self, local: DateTime) -> Option<Timestamp> {
        let utc = TimeZone::UTC.to_timestamp(local).ok()?;
        let first = self.zone.to_offset(utc);
        if first.seconds() == 0 {
            return Some(utc);
        }
        let guess = first.to_timestamp(local).ok()?;
        self.zone.to_offset(guess).to_timestamp(local).ok()
    }
}

enum Unfit {
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Nothing,
}

fn minute_begun(at: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(at.as_second().div_euclid(60) * 60).ok()
}

impl Fields {
    fn day_matches(&self, date: Date) -> bool {
        let day = self.day & (1 << date.day()) != 0;
        let weekday = self.weekday & (1 << date.weekday().to_sunday_zero_offset()) != 0;
        if self.any_day { day && weekday } else { day || weekday }
    }
}
