//! CronWorkflows.

use jiff::tz::TimeZone;

use crate::codes::Code;
use crate::types::CronWorkflowSpec;

use super::{Subject, did_you_mean, language};

pub(super) fn check(subject: &Subject<'_>, spec: &CronWorkflowSpec) {
    if spec.schedules.is_empty() {
        let remedy = "add `schedules: [\"0 6 * * *\"]`";
        subject.report(Code::E501, "spec.schedules", "cron workflow must have at least one schedule", remedy);
    }
    for (index, schedule) in spec.schedules.iter().enumerate() {
        if let Err(why) = self::schedule(schedule) {
            let message = format!("cron schedule {schedule} is malformed: {why}");
            let remedy = "write five fields (minute, hour, day of month, month, day of week), @hourly, @daily or @every 6h";
            subject.report(Code::E501, &format!("spec.schedules[{index}]"), message, remedy);
        }
    }
    if let Some(zone) = spec.timezone.as_deref().filter(|zone| !zone.is_empty())
        && TimeZone::get(zone).is_err()
    {
        let message = format!("invalid timezone \"{zone}\": unknown time zone {zone}");
        subject.report(
            Code::E502,
            "spec.timezone",
            message,
            "use a name of the tz database, such as Europe/Berlin",
        );
    }
    policy(subject, spec.concurrency_policy.as_deref(), &["Allow", "Forbid", "Replace"]);
    if spec.starting_deadline_seconds.is_some_and(|seconds| seconds < 0) {
        subject.report(
            Code::E408,
            "spec.startingDeadlineSeconds",
            "startingDeadlineSeconds must be positive",
            "write a number of seconds, or leave it out",
        );
    }
    let limits = [
        ("successfulJobsHistoryLimit", spec.successful_jobs_history_limit),
        ("failedJobsHistoryLimit", spec.failed_jobs_history_limit),
    ];
    for (field, limit) in limits {
        if limit.is_some_and(|limit| limit < 0) {
            subject.report(
                Code::E408,
                &format!("spec.{field}"),
                format!("{field} must not be negative"),
                "write 0 to keep none",
            );
        }
    }
    if let Some(stop) = &spec.stop_strategy
        && let Err(why) = language::expression(&stop.expression)
    {
        let message = format!("the expression cannot be read: {why}");
        subject.report(
            Code::E203,
            "spec.stopStrategy.expression",
            message,
            "for example: cronworkflow.failed >= 3",
        );
    }
    missed_ticks(subject);
}

const MISSED_TICKS: &str = "dropforge.dev/missed-ticks";

fn missed_ticks(subject: &Subject<'_>) {
    let annotations = &subject.document.object.metadata().annotations;
    let Some(word) = annotations.get(MISSED_TICKS) else { return };
    const WORDS: &[&str] = &["all", "latest", "none"];
    if !WORDS.contains(&word.as_str()) {
        let path = format!("metadata.annotations[\"{MISSED_TICKS}\"]");
        let message = format!("'{word}' is not one of all, latest, none");
        subject.report(
            Code::E503,
            &path,
            message,
            did_you_mean(word, WORDS.iter().copied(), "use all, latest or none"),
        );
    }
}

/// `spec.concurrencyPolicy`, of a schedule or a trigger.
pub(super) fn policy(subject: &Subject<'_>, policy: Option<&str>, words: &[&str]) {
    let Some(policy) = policy.filter(|policy| !policy.is_empty() && !words.contains(policy)) else { return };
    let message = format!("'{policy}' is not a valid concurrencyPolicy");
    let remedy = did_you_mean(policy, words.iter().copied(), format!("use one of {}", words.join(", ")));
    subject.report(Code::E503, "spec.concurrencyPolicy", message, remedy);
}

/// The range of each field of a schedule, and the names it takes.
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    ("month", 1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("day of week", 0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

fn schedule(text: &str) -> Result<(), String> {
    let text = text.trim();
    if let Some(duration) = text.strip_prefix("@every ") {
        return language::duration(duration.trim());
    }
    if text.starts_with('@') {
        let known = matches!(
            text,
            "@yearly" | "@annually" | "@monthly" | "@weekly" | "@daily" | "@midnight" | "@hourly"
        );
        return if known { Ok(()) } else { Err(format!("unrecognized descriptor: {text}")) };
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}", fields.len()));
    }
    FIELDS
        .iter()
        .zip(fields)
        .try_for_each(|(field, text)| text.split(',').try_for_each(|part| self::part(field, part)))
}

/// One of the comma-separated parts of a field: `*`, `a`, `a-b`, each with `/step`.
fn part((name, low, high, names): &(&str, u32, u32, &[&str]), part: &str) -> Result<(), String> {
    let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    if let Some(step) = step
        && !step.parse::<u32>().is_ok_and(|step| step > 0)
    {
        return Err(format!("step of {name} must be a number from 1: {part}"));
    }
    if matches!(range, "*" | "?") {
        return Ok(());
    }
    let number = |text: &str| {
        let named = names
            .iter()
            .position(|other| text.eq_ignore_ascii_case(other))
            .and_then(|at| u32::try_from(at).ok());
        let value = named.map(|at| at + low).or_else(|| text.parse().ok());
        let value = value.ok_or_else(|| format!("{name} is not a number: {text}"))?;
        match (*low..=*high).contains(&value) {
            true => Ok(value),
            false => Err(format!("{name} {value} is outside {low} to {high}")),
        }
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match number(first)? <= number(last)? {
        true => Ok(()),
        false => Err(format!("beginning of {name} range is beyond its end: {part}")),
    }
}
