//! CronWorkflows.

use jiff::tz::TimeZone;

use crate::codes::Code;
use crate::schedule::Schedule;
use crate::types::CronWorkflowSpec;

use super::{Subject, did_you_mean, expressions};

pub(super) fn check(subject: &Subject<'_>, spec: &CronWorkflowSpec) {
    if spec.schedules.is_empty() {
        let remedy = "add `schedules: [\"0 6 * * *\"]`";
        subject.report(Code::E501, "spec.schedules", "cron workflow must have at least one schedule", remedy);
    }
    for (index, schedule) in spec.schedules.iter().enumerate() {
        if let Err(why) = Schedule::parse(schedule, None) {
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
    if let Some(stop) = &spec.stop_strategy {
        let (path, example) = ("spec.stopStrategy.expression", "for example: cronworkflow.failed >= 3");
        expressions::field(subject, path, &stop.expression, "the expression", example);
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
