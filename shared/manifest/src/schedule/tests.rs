use super::*;

/// Schedule, time, and what robfig/cron v3.0.1 answers: its next four times, `-` for never, or `!` and why not.
const ANSWERS: &str = include_str!("tests/answers.tsv");

#[test]
fn every_answer_is_that_of_argos_library() {
    let mut wrong = Vec::new();
    for line in ANSWERS.lines() {
        let [text, from, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let got = match Schedule::parse(text, None) {
            Err(why) => format!("!{}", why.why),
            Ok(schedule) => firings(&schedule, from.parse().unwrap()).join(" "),
        };
        // Go adds what its number parser said.
        let expected = expected.split(": strconv").next().unwrap();
        if got != expected {
            wrong.push(format!("{text} from {from}\n  expected {expected}\n  got      {got}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(ANSWERS.lines().count() > 250);
}

fn firings(schedule: &Schedule, from: Timestamp) -> Vec<String> {
    let mut times = Vec::new();
    let mut at = from;
    while times.len() < 4 {
        match schedule.next_after(at) {
            Some(next) => {
                times.push(next.to_string());
                at = next;
            }
            None => {
                times.push("-".to_owned());
                break;
            }
        }
    }
    times
}

fn next(text: &str, zone: Option<&str>, from: &str) -> String {
    Schedule::parse(text, zone).unwrap().next_after(from.parse().unwrap()).unwrap().to_string()
}

#[test]
fn the_time_zone_is_a_prefix() {
    assert_eq!(next("0 9 * * *", Some("Asia/Tokyo"), "2026-01-15T10:00:00Z"), "2026-01-16T00:00:00Z");
    assert_eq!(next("0 9 * * *", Some(""), "2026-01-15T10:00:00Z"), "2026-01-16T09:00:00Z");
    assert_eq!(with_timezone("@daily", Some("Asia/Tokyo")), "CRON_TZ=Asia/Tokyo @daily");
}

#[test]
fn a_zone_without_a_schedule_is_an_error() {
    assert!(Schedule::parse("TZ=UTC", None).is_err());
}

/// The library fires a second time at 02:30 here, which its schedule does not name.
#[test]
fn where_clocks_change_by_half_an_hour_no_other_time_fires() {
    let zone = Some("Australia/Lord_Howe");
    assert_eq!(next("30 1 * * *", zone, "2026-10-03T15:00:00Z"), "2026-10-04T14:30:00Z");
}

/// The library itself never answers here.
#[test]
fn a_day_that_a_zone_skipped_is_passed_by() {
    let zone = Some("Pacific/Apia");
    assert_eq!(next("0 0 * * fri", zone, "2011-12-29T03:00:00Z"), "2012-01-05T10:00:00Z");
    assert_eq!(next("@daily", zone, "2011-12-29T12:00:00Z"), "2011-12-30T10:00:00Z");
}
