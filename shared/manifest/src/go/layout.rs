//! Go's layouts: times written by the example "Mon Jan 2 15:04:05 2006".

use std::fmt::Write as _;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ZonedDateTime};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// One element of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Literal(&'a str),
    Month,
    MonthShort,
    MonthNumber {
        padded: bool,
    },
    Weekday,
    WeekdayShort,
    Day {
        pad: Option<char>,
    },
    YearDay {
        pad: char,
    },
    Hour24,
    Hour12 {
        padded: bool,
    },
    Minute {
        padded: bool,
    },
    Second {
        padded: bool,
    },
    Year,
    YearShort,
    Noon {
        upper: bool,
    },
    ZoneName,
    /// Hours, minutes and seconds of the offset.
    Offset {
        z: bool,
        colon: bool,
        fields: u8,
    },
    /// `.000` keeps zeros at the end, `.999` drops them.
    Fraction {
        point: char,
        digits: usize,
        trim: bool,
    },
}

/// The elements with a fixed spelling; a longer one stands before its beginning.
const FIXED: [(&str, Part<'static>); 34] = [
    ("January", Part::Month),
    ("Monday", Part::Weekday),
    ("MST", Part::ZoneName),
    ("2006", Part::Year),
    ("002", Part::YearDay { pad: '0' }),
    ("01", Part::MonthNumber { padded: true }),
    ("02", Part::Day { pad: Some('0') }),
    ("03", Part::Hour12 { padded: true }),
    ("04", Part::Minute { padded: true }),
    ("05", Part::Second { padded: true }),
    ("06", Part::YearShort),
    ("15", Part::Hour24),
    ("1", Part::MonthNumber { padded: false }),
    ("__2", Part::YearDay { pad: ' ' }),
    ("_2006", Part::Literal("_")),
    ("_2", Part::Day { pad: Some(' ') }),
    ("2", Part::Day { pad: None }),
    ("3", Part::Hour12 { padded: false }),
    ("4", Part::Minute { padded: false }),
    ("5", Part::Second { padded: false }),
    ("PM", Part::Noon { upper: true }),
    ("pm", Part::Noon { upper: false }),
    ("-070000", Part::Offset { z: false, colon: false, fields: 3 }),
    ("-07:00:00", Part::Offset { z: false, colon: true, fields: 3 }),
    ("-0700", Part::Offset { z: false, colon: false, fields: 2 }),
    ("-07:00", Part::Offset { z: false, colon: true, fields: 2 }),
    ("-07", Part::Offset { z: false, colon: false, fields: 1 }),
    ("Z070000", Part::Offset { z: true, colon: false, fields: 3 }),
    ("Z07:00:00", Part::Offset { z: true, colon: true, fields: 3 }),
    ("Z0700", Part::Offset { z: true, colon: false, fields: 2 }),
    ("Z07:00", Part::Offset { z: true, colon: true, fields: 2 }),
    ("Z07", Part::Offset { z: true, colon: false, fields: 1 }),
    ("Jan", Part::MonthShort),
    ("Mon", Part::WeekdayShort),
];

/// The element at the beginning of `rest` and its length.
fn element(rest: &str) -> Option<(Part<'_>, usize)> {
    if rest.starts_with(['.', ',']) {
        return fraction(rest);
    }
    let (spelling, part) = FIXED.iter().find(|(spelling, _)| rest.starts_with(spelling))?;
    let short_name = matches!(part, Part::MonthShort | Part::WeekdayShort);
    if short_name && rest[3..].starts_with(|c: char| c.is_ascii_lowercase()) {
        return None;
    }
    let length = if matches!(part, Part::Literal(_)) { 1 } else { spelling.len() };
    Some((*part, length))
}

fn fraction(rest: &str) -> Option<(Part<'_>, usize)> {
    let bytes = rest.as_bytes();
    let digit = *bytes.get(1).filter(|b| matches!(b, b'0' | b'9'))?;
    let digits = bytes[1..].iter().take_while(|b| **b == digit).count();
    if bytes.get(1 + digits).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let point = char::from(bytes[0]);
    Some((Part::Fraction { point, digits, trim: digit == b'9' }, 1 + digits))
}

fn parts(layout: &str) -> Vec<Part<'_>> {
    let (mut parts, mut literal, mut at) = (Vec::new(), 0, 0);
    while at < layout.len() {
        match element(&layout[at..]) {
            Some((part, length)) => {
                if literal < at {
                    parts.push(Part::Literal(&layout[literal..at]));
                }
                parts.push(part);
                at += length;
                literal = at;
            }
            None => at += layout[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    if literal < at {
        parts.push(Part::Literal(&layout[literal..]));
    }
    parts
}

/// A time in the form of a Go layout.
pub fn format_layout(time: &ZonedDateTime, layout: &str) -> String {
    let mut out = String::new();
    for part in parts(layout) {
        write_part(&mut out, part, time);
    }
    out
}

fn write_part(out: &mut String, part: Part<'_>, time: &ZonedDateTime) {
    let hour12 = (time.hour() + 11) % 12 + 1;
    let month = MONTHS[usize::try_from(time.month() - 1).unwrap_or(0)];
    let weekday = DAYS[usize::try_from(time.weekday().to_monday_zero_offset()).unwrap_or(0)];
    let _ = match part {
        Part::Literal(text) => write!(out, "{text}"),
        Part::Month => write!(out, "{month}"),
        Part::MonthShort => write!(out, "{}", &month[..3]),
        Part::MonthNumber { padded: true } => write!(out, "{:02}", time.month()),
        Part::MonthNumber { padded: false } => write!(out, "{}", time.month()),
        Part::Weekday => write!(out, "{weekday}"),
        Part::WeekdayShort => write!(out, "{}", &weekday[..3]),
        Part::Day { pad: Some('0') } => write!(out, "{:02}", time.day()),
        Part::Day { pad: Some(_) } => write!(out, "{:2}", time.day()),
        Part::Day { pad: None } => write!(out, "{}", time.day()),
        Part::YearDay { pad: '0' } => write!(out, "{:03}", time.day_of_year()),
        Part::YearDay { .. } => write!(out, "{:3}", time.day_of_year()),
        Part::Hour24 => write!(out, "{:02}", time.hour()),
        Part::Hour12 { padded: true } => write!(out, "{hour12:02}"),
        Part::Hour12 { padded: false } => write!(out, "{hour12}"),
        Part::Minute { padded: true } => write!(out, "{:02}", time.minute()),
        Part::Minute { padded: false } => write!(out, "{}", time.minute()),
        Part::Second { padded: true } => write!(out, "{:02}", time.second()),
        Part::Second { padded: false } => write!(out, "{}", time.second()),
        Part::Year => write!(out, "{:04}", time.year()),
        Part::YearShort => write!(out, "{:02}", time.year().rem_euclid(100)),
        Part::Noon { upper } => {
            let text = if time.hour() >= 12 { "PM" } else { "AM" };
            write!(out, "{}", if upper { text.to_owned() } else { text.to_lowercase() })
        }
        Part::ZoneName => write!(out, "{}", zone_name(time)),
        Part::Offset { z: true, .. } if time.offset().seconds() == 0 => write!(out, "Z"),
        Part::Offset { colon, fields, .. } => {
            write!(out, "{}", offset_text(time.offset().seconds(), colon, fields))
        }
        Part::Fraction { point, digits, trim } => {
            let all = format!("{:09}", time.subsec_nanosecond());
            let mut shown = &all[..digits.min(9)];
            if trim {
                shown = shown.trim_end_matches('0');
            }
            if shown.is_empty() { Ok(()) } else { write!(out, "{point}{shown}") }
        }
    };
}

fn offset_text(seconds: i32, colon: bool, fields: u8) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let (seconds, colon) = (seconds.abs(), if colon { ":" } else { "" });
    let mut text = format!("{sign}{:02}", seconds / 3600);
    if fields > 1 {
        let _ = write!(text, "{colon}{:02}", seconds / 60 % 60);
    }
    if fields > 2 {
        let _ = write!(text, "{colon}{:02}", seconds % 60);
    }
    text
}

/// The zone's abbreviation; a zone that is nothing but an offset shows the offset.
fn zone_name(time: &ZonedDateTime) -> String {
    if time.time_zone().iana_name().is_some() || time.offset().seconds() == 0 {
        let abbreviation = time.time_zone().to_offset_info(time.timestamp()).abbreviation().to_owned();
        return if abbreviation == "+00" { "UTC".to_owned() } else { abbreviation };
    }
    offset_text(time.offset().seconds(), false, 2)
}

/// The fields read so far.
struct Read {
    year: i16,
    month: i8,
    day: i8,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    afternoon: Option<bool>,
    offset: Option<Offset>,
    utc: bool,
}

/// Reads a time in the form of a Go layout; without a zone in the text it is one of `zone`.
///
/// # Errors
/// Go's message, naming the text, the layout and the part that did not fit.
pub fn parse_layout(layout: &str, text: &str, zone: &TimeZone) -> Result<ZonedDateTime, String> {
    let mut read = Read {
        year: 0,
        month: 1,
        day: 1,
        year_day: None,
        hour: 0,
        minute: 0,
        second: 0,
        nanos: 0,
        afternoon: None,
        offset: None,
        utc: false,
    };
    let parts = parts(layout);
    let mut rest = text;
    for (i, part) in parts.iter().enumerate() {
        let after_second = matches!(parts.get(i + 1), Some(Part::Fraction { .. }));
        rest = read_part(*part, rest, &mut read, after_second)
            .ok_or_else(|| format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?}"))?;
    }
    if !rest.is_empty() {
        return Err(format!("parsing time {text:?}: extra text: {rest:?}"));
    }
    read.finish(zone).ok_or_else(|| format!("parsing time {text:?}: out of range"))
}

impl Read {
    fn finish(self, zone: &TimeZone) -> Option<ZonedDateTime> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let date = match self.year_day {
            Some(days) => Date::new(self.year, 1, 1).ok()?.with().day_of_year(days).build().ok()?,
            None => Date::new(self.year, self.month, self.day).ok()?,
        };
        let time = Time::new(hour, self.minute, self.second, self.nanos).ok()?;
        let zone = match self.offset {
            _ if self.utc => TimeZone::UTC,
            Some(offset) => TimeZone::fixed(offset),
            None => zone.clone(),
        };
        DateTime::from_parts(date, time).to_zoned_datetime(zone).ok()
    }
}

/// Reads between `least` and `most` digits.
fn digits<T: std::str::FromStr>(text: &str, least: usize, most: usize) -> Option<(T, &str)> {
    let length = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if length < least {
        return None;
    }
    Some((text[..length].parse().ok()?, &text[length..]))
}

fn named<'a>(names: &[&str], short: bool, text: &'a str) -> Option<(usize, &'a str)> {
    names.iter().enumerate().find_map(|(i, name)| {
        let name = if short { &name[..3] } else { name };
        let found = text.get(..name.len()).filter(|begin| begin.eq_ignore_ascii_case(name))?;
        Some((i, &text[found.len()..]))
    })
}

fn read_part<'a>(part: Part<'_>, text: &'a str, read: &mut Read, fraction_follows: bool) -> Option<&'a str> {
    match part {
        Part::Literal(literal) => text.strip_prefix(literal),
        Part::Month | Part::MonthShort => {
            let (index, rest) = named(&MONTHS, part == Part::MonthShort, text)?;
            read.month = i8::try_from(index + 1).ok()?;
            Some(rest)
        }
        Part::Weekday | Part::WeekdayShort => {
            named(&DAYS, part == Part::WeekdayShort, text).map(|(_, rest)| rest)
        }
        Part::MonthNumber { padded } => field(text, padded, &mut read.month),
        Part::Day { pad } => field(
            text.strip_prefix(' ').filter(|_| pad == Some(' ')).unwrap_or(text),
            pad == Some('0'),
            &mut read.day,
        ),
        Part::YearDay { .. } => {
            let (days, rest) = digits(text.trim_start_matches(' '), 1, 3)?;
            read.year_day = Some(days);
            Some(rest)
        }
        Part::Hour24 => field(text, false, &mut read.hour),
        Part::Hour12 { padded } => field(text, padded, &mut read.hour),
        Part::Minute { padded } => field(text, padded, &mut read.minute),
        Part::Second { padded } => {
            let rest = field(text, padded, &mut read.second)?;
            // A fraction behind the seconds is read even where the layout has none.
            if !fraction_follows
                && rest.starts_with(['.', ','])
                && rest[1..].starts_with(|c: char| c.is_ascii_digit())
            {
                return read_fraction(rest, read);
            }
            Some(rest)
        }
        Part::Year => {
            let (year, rest) = digits(text, 4, 4)?;
            read.year = year;
            Some(rest)
        }
        Part::YearShort => {
            let (year, rest) = digits::<i16>(text, 2, 2)?;
            read.year = if year >= 69 { 1900 + year } else { 2000 + year };
            Some(rest)
        }
        Part::Noon { .. } => {
            let begin = text.get(..2)?;
            read.afternoon = Some(match begin {
                "PM" | "pm" => true,
                "AM" | "am" => false,
                _ => return None,
            });
            Some(&text[2..])
        }
        Part::ZoneName => read_zone_name(text, read),
        Part::Offset { z, colon, fields } => read_offset(text, z, colon, fields, read),
        Part::Fraction { trim: true, .. } => match text.starts_with(['.', ',']) {
            true => read_fraction(text, read),
            false => Some(text),
        },
        Part::Fraction { digits, .. } => {
            let length = digits + 1;
            let exact = text.get(..length).filter(|part| part.starts_with(['.', ',']))?;
            let rest = read_fraction(exact, read)?;
            rest.is_empty().then_some(&text[length..])
        }
    }
}

fn field<'a>(text: &'a str, padded: bool, into: &mut i8) -> Option<&'a str> {
    let (value, rest) = digits(text, if padded { 2 } else { 1 }, 2)?;
    *into = value;
    Some(rest)
}

fn read_fraction<'a>(text: &'a str, read: &mut Read) -> Option<&'a str> {
    let length = text[1..].bytes().take_while(u8::is_ascii_digit).count();
    let shown = &text[1..=length];
    if length == 0 {
        return None;
    }
    read.nanos = format!("{:0<9}", &shown[..length.min(9)]).parse().ok()?;
    Some(&text[length + 1..])
}

fn read_zone_name<'a>(text: &'a str, read: &mut Read) -> Option<&'a str> {
    let length = text.bytes().take_while(u8::is_ascii_uppercase).count();
    if !(3..=5).contains(&length) {
        return None;
    }
    // Other abbreviations mean different offsets in different places; Go takes them as UTC too.
    read.utc = true;
    Some(&text[length..])
}

fn read_offset<'a>(text: &'a str, z: bool, colon: bool, fields: u8, read: &mut Read) -> Option<&'a str> {
    if z && let Some(rest) = text.strip_prefix('Z') {
        read.utc = true;
        return Some(rest);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let mut rest = text.strip_prefix(['+', '-'])?;
    let mut seconds = 0;
    for (i, unit) in [3600, 60, 1].into_iter().take(usize::from(fields)).enumerate() {
        if i > 0 && colon {
            rest = rest.strip_prefix(':')?;
        }
        let (value, after) = digits::<i32>(rest, 2, 2)?;
        seconds += value * unit;
        rest = after;
    }
    read.offset = Some(Offset::from_seconds(sign * seconds).ok()?);
    Some(rest)
}

/// The letters of `workflow.creationTimestamp.X`, each with the Go layout it stands for.
const LETTERS: [(char, &str); 16] = [
    ('B', "January"),
    ('b', "Jan"),
    ('m', "01"),
    ('A', "Monday"),
    ('a', "Mon"),
    ('d', "02"),
    ('H', "15"),
    ('I', "03"),
    ('M', "04"),
    ('S', "05"),
    ('Y', "2006"),
    ('y', "06"),
    ('p', "PM"),
    ('Z', "MST"),
    ('z', "-0700"),
    ('L', ".000"),
];

/// A time by `%`-letters, in the subset of strftime that Argo knows; unknown ones stay.
pub fn strftime(format: &str, time: Timestamp) -> String {
    let (time, mut out) = (time.to_zoned_datetime(TimeZone::UTC), String::new());
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            None | Some('%') => out.push('%'),
            Some(letter) => match LETTERS.iter().find(|(known, _)| *known == letter) {
                Some((_, layout)) => out.push_str(&format_layout(&time, layout)),
                None => out.extend(['%', letter]),
            },
        }
    }
    out
}

/// The values of `workflow.creationTimestamp.X`, by X: every letter, `s` and `RFC3339`.
pub fn creation_timestamp_letters(time: Timestamp) -> Vec<(String, String)> {
    let letters =
        LETTERS.iter().map(|(letter, _)| (letter.to_string(), strftime(&format!("%{letter}"), time)));
    let utc = time.to_zoned_datetime(TimeZone::UTC);
    let rfc3339 = ("RFC3339".to_owned(), format_layout(&utc, "2006-01-02T15:04:05Z07:00"));
    letters.chain([("s".to_owned(), time.as_second().to_string()), rfc3339]).collect()
}
