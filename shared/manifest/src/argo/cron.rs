//! A schedule's own fields.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::json::Read;
use super::refusal::{Checked, refuse};
use crate::codes::Code;
use crate::schedule::Schedule;

pub(super) fn check(cron: &Value) -> Checked {
    let (name, spec) = (cron.field("metadata").text("name"), cron.field("spec"));
    if name.len() > 52 {
        let message = format!(
            "cron workflow name {name:?} must not be more than 52 characters long (currently {})",
            name.len()
        );
        return refuse(Code::E101, message, "metadata.name");
    }
    if spec.list("schedules").is_empty() {
        return refuse(Code::E501, "cron workflow must have at least one schedule", "spec.schedules");
    }
    for (index, schedule) in spec.list("schedules").iter().enumerate() {
        let schedule = schedule.as_str().unwrap_or_default();
        if let Err(error) = Schedule::parse(schedule, None) {
            let message = format!("cron schedule {schedule} is malformed: {}", error.why);
            return refuse(Code::E501, message, format!("spec.schedules[{index}]"));
        }
    }
    let zone = spec.text("timezone");
    if !is_zone(zone) {
        let message = format!("invalid timezone {zone:?}: unknown time zone {zone}");
        return refuse(Code::E502, message, "spec.timezone");
    }
    let policy = spec.text("concurrencyPolicy");
    if !matches!(policy, "" | "Allow" | "Forbid" | "Replace") {
        let message = format!("'{policy}' is not a valid concurrencyPolicy");
        return refuse(Code::E503, message, "spec.concurrencyPolicy");
    }
    if spec.field("startingDeadlineSeconds").as_i64().is_some_and(|seconds| seconds < 0) {
        return refuse(
            Code::E408,
            "startingDeadlineSeconds must be positive",
            "spec.startingDeadlineSeconds",
        );
    }
    Ok(())
}

/// Go takes a zone's name letter by letter.
fn is_zone(name: &str) -> bool {
    matches!(name, "" | "UTC" | "Local")
        || TimeZone::get(name).is_ok_and(|zone| zone.iana_name() == Some(name))
}
