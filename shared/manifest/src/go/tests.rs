mod answers;

use std::time::Duration;

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ZonedDateTime};

use super::*;

fn sample(zone: TimeZone) -> ZonedDateTime {
    "2024-02-09T03:04:05.067Z".parse::<Timestamp>().unwrap().to_zoned_datetime(zone)
}

#[test]
fn durations_are_read_as_go_reads_them() {
    for (text, expected) in answers::PARSED_DURATIONS {
        assert_eq!(parse_duration(text), expected.map_err(str::to_owned), "{text}");
    }
}

#[test]
fn decimal_numbers_are_read_as_atoi_reads_them() {
    assert_eq!(atoi("+12"), Ok(12));
    assert_eq!(atoi("0x10"), Err(r#"strconv.Atoi: parsing "0x10": invalid syntax"#.to_owned()));
    let large = "9223372036854775808";
    assert_eq!(atoi(large), Err(format!(r#"strconv.Atoi: parsing "{large}": value out of range"#)));
}

#[test]
fn durations_are_printed_as_go_prints_them() {
    for (nanos, expected) in answers::DURATION_TEXTS {
        assert_eq!(duration_text(*nanos), *expected, "{nanos}");
    }
}

#[test]
fn a_duration_may_be_plain_seconds() {
    assert_eq!(parse_duration_or_seconds("90"), Ok(Duration::from_secs(90)));
    assert_eq!(parse_duration_or_seconds("1m30s"), Ok(Duration::from_secs(90)));
    assert_eq!(
        parse_duration_or_seconds("soon").unwrap_err(),
        "unable to parse soon as a duration: time: invalid duration \"soon\""
    );
    assert_eq!(
        parse_duration_or_seconds("-1").unwrap_err(),
        "unable to parse -1 as a duration: it is negative"
    );
    assert!(parse_duration_or_seconds("9223372036854775807").is_err());
}

#[test]
fn durations_read_well() {
    for (millis, expected) in answers::HUMANIZED {
        assert_eq!(humanize(Duration::from_millis(*millis)), *expected, "{millis}");
    }
}

#[test]
fn floats_are_printed_as_go_prints_them() {
    for (number, expected) in answers::FLOAT_TEXTS {
        assert_eq!(float_text(*number), *expected);
    }
    for (number, expected) in answers::FLOAT_JSON {
        assert_eq!(float_json(*number).as_deref(), Some(*expected));
    }
    assert_eq!((float_text(f64::NAN), float_json(f64::NAN)), ("NaN".to_owned(), None));
    assert_eq!((float_text(f64::NEG_INFINITY), float_json(f64::INFINITY)), ("-Inf".to_owned(), None));
}

#[test]
fn numbers_are_formatted_as_printf_does() {
    for (format, number, expected) in answers::PRINTED {
        assert_eq!(printf_integer(format, *number).as_deref(), Ok(*expected), "{format} {number}");
    }
    assert!(printf_integer("%999999d", 1).is_err());
    assert_eq!(printf_integer("%59999d", 1).unwrap().len(), 59_999);
}

#[test]
fn times_are_written_by_layout() {
    for (layout, expected) in answers::LAYOUTS_UTC {
        assert_eq!(format_layout(&sample(TimeZone::UTC), layout), *expected, "{layout}");
    }
    let west = TimeZone::fixed(Offset::from_seconds(-5 * 3600 - 1800).unwrap());
    for (layout, expected) in answers::LAYOUTS_WEST {
        assert_eq!(format_layout(&sample(west.clone()), layout), *expected, "{layout}");
    }
}

#[test]
fn times_are_read_by_layout() {
    for (layout, text, expected) in answers::READ_LAYOUTS {
        let read = parse_layout(layout, text, &TimeZone::UTC).ok();
        let shown = read.map(|time| format_layout(&time, "2006-01-02T15:04:05.999999999Z07:00"));
        assert_eq!(shown.as_deref(), *expected, "{text} by {layout}");
    }
}

#[test]
fn creation_timestamps_have_argos_letters() {
    let time = "2024-02-09T03:04:05.067Z".parse().unwrap();
    let letters: Vec<String> = creation_timestamp_letters(time)
        .into_iter()
        .map(|(letter, text)| format!("{letter}={text}"))
        .collect();
    let expected = "B=February b=Feb m=02 A=Friday a=Fri d=09 H=03 I=03 M=04 S=05 Y=2024 y=24 p=AM Z=UTC z=+0000 \
                    L=.067 s=1707447845 RFC3339=2024-02-09T03:04:05Z";
    assert_eq!(letters.join(" "), expected);
    assert_eq!(strftime("%Y-%m-%d 100%% %k %", time), "2024-02-09 100% %k %");
}

#[test]
fn json_mistakes_have_gos_words() {
    for (text, expected) in answers::JSON_ERRORS {
        assert_eq!(json_error(text).as_deref(), *expected, "{text}");
    }
    let deep = "[".repeat(1_000_000);
    assert_eq!(json_error(&deep).as_deref(), Some("unexpected end of JSON input"));
}

#[test]
fn items_are_shown_as_argo_shows_them() {
    let table = [
        (r#""text""#, "text", "text"),
        ("7", "7", "7"),
        ("1.50", "1.50", "1.50"),
        ("1e3", "1e3", "1e3"),
        ("true", "true", "true"),
        (r#""with space""#, "with space", "with space"),
        (r#""f(x)""#, "f(x)", "fx"),
        (r#""a\"b\n""#, "a\"b\n", r#"a\"b\n"#),
        (r#"{"name": "small", "size": 1}"#, r#"{"name":"small","size":1}"#, "name:small,size:1"),
        (r#"{"b": 1, "a": "x"}"#, r#"{"a":"x","b":1}"#, "a:x,b:1"),
        (r#"{"a": {"z": 1, "b": [1, 2]}}"#, r#"{"a":{"z":1,"b":[1,2]}}"#, r#"a:{"z":1,"b":[1,2]}"#),
        ("[1, 2]", "[1,2]", "[1 2]"),
        (r#"["a", {"k": "v"}]"#, r#"["a",{"k":"v"}]"#, r#"[a {"k":"v"}]"#),
        ("[]", "[]", "[]"),
        ("null", "null", "[]"),
        ("not json", "not json", "not json"),
    ];
    for (raw, text, description) in table {
        assert_eq!((item_text(raw).as_str(), item_description(raw).as_str()), (text, description), "{raw}");
    }
}

#[test]
fn the_fields_of_a_map_item_lose_their_quotes_only() {
    let fields = item_fields(r#"{"s": "a\"b", "n": 1.50, "l": [1, "x"], "z": null}"#);
    let expected = [("l", r#"[1,"x"]"#), ("n", "1.50"), ("s", r#"a\"b"#), ("z", "null")];
    assert_eq!(fields, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(item_fields("[1]"), []);
}

#[test]
fn patterns_have_gos_words_for_common_mistakes() {
    assert_eq!(compile_pattern("(").unwrap_err(), "error parsing regexp: missing closing ): `(`");
    assert_eq!(
        compile_pattern("*a").unwrap_err(),
        "error parsing regexp: missing argument to repetition operator: `*a`"
    );
    assert!(compile_pattern("^b.*e$").unwrap().regex().is_match("blue"));
}
