//! `retryStrategy`.

use crate::codes::Code;
use crate::text::AnyString;
use crate::types::{Backoff, RetryStrategy};

use super::{SpecCheck, expressions, language, template::DURATION_REMEDY};

pub(super) fn check(check: &SpecCheck<'_>, strategy: &RetryStrategy, path: &str) {
    let policy = strategy.retry_policy.as_deref().unwrap_or_default();
    if !matches!(policy, "" | "Always" | "OnFailure" | "OnError" | "OnTransientError") {
        let message = format!("{policy} is not a valid RetryPolicy");
        check.report(
            Code::E406,
            &format!("{path}.retryPolicy"),
            message,
            "use OnFailure, OnError, OnTransientError or Always",
        );
    }
    if let Some(limit) = &strategy.limit
        && !language::has_tag(limit.as_str())
        && !limit.as_str().parse::<i32>().is_ok_and(|limit| limit >= 0)
    {
        let message = format!("retryStrategy.limit '{limit}' is not a number of retries");
        check.report(
            Code::E406,
            &format!("{path}.limit"),
            message,
            "write how often it is tried again, such as 3",
        );
    }
    if let Some(expression) = &strategy.expression {
        let example = "for example: asInt(lastRetry.exitCode) == 2";
        let path = format!("{path}.expression");
        expressions::field(check.subject, &path, expression, "retryStrategy.expression", example);
    }
    if let Some(backoff) = &strategy.backoff {
        waits(check, strategy, backoff, &format!("{path}.backoff"));
    }
}

fn waits(check: &SpecCheck<'_>, strategy: &RetryStrategy, backoff: &Backoff, path: &str) {
    if backoff.duration.as_ref().is_none_or(|duration| duration.as_str().is_empty()) {
        let message = "no base duration specified for retryStrategy";
        check.report(Code::E406, path, message, "add `duration`, the wait before the first retry");
    }
    let durations: [(&str, &Option<AnyString>); 3] =
        [("duration", &backoff.duration), ("cap", &backoff.cap), ("maxDuration", &backoff.max_duration)];
    for (field, value) in durations {
        if let Some(value) = value.as_ref().filter(|value| !value.as_str().is_empty())
            && let Err(why) = language::duration_or_seconds(value.as_str())
        {
            let message = format!("backoff.{field} is no duration: {why}");
            check.report(Code::E407, &format!("{path}.{field}"), message, DURATION_REMEDY);
        }
    }
    if let Some(factor) = &backoff.factor
        && !language::has_tag(factor.as_str())
        && !factor.as_str().parse::<i32>().is_ok_and(|factor| factor >= 0)
    {
        let message = format!("backoff.factor '{factor}' is not an integer");
        check.report(
            Code::E406,
            &format!("{path}.factor"),
            message,
            "write by what each wait is multiplied, such as 2",
        );
    }
    if strategy.limit.is_none() {
        let message = "without `limit` Argo tries again at once and ignores the backoff";
        check.subject.warn(Code::E406, path, message, "add `limit`");
    }
}
