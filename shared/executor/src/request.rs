//! What a template's request is and what its answer means, whoever makes it: a step's thread on one machine, a function
//! on AWS. Who makes it has claimed the attempt; a request whose answer is not known is never repeated.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::attempt::{Outcome, Reason, Usage, Verdict};
use dropforge_engine::ids::AttemptId;
use dropforge_manifest::expr;
use dropforge_manifest::tags::{Lookup, Scope};
use dropforge_manifest::types::{HttpHeader, HttpTemplate, KeySelector, Outputs};
use jiff::Timestamp;
use serde_json::{Value, json};

pub use crate::http::{HttpError, Request, Response};
use crate::step::told;

/// The longest answer that is kept, since it becomes part of the run's record: Argo's own limit of an object.
pub const RESPONSE_BYTES_MAX: u64 = 1024 * 1024;

/// How long a request may take where the manifest does not say.
const LIMIT: Duration = Duration::from_secs(30);

/// How long the manifest lets a request take.
pub fn limit(http: &HttpTemplate) -> Duration {
    let seconds = http.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(LIMIT, Duration::from_secs)
}

/// The keys of secrets that its headers hold.
pub fn secrets(http: &HttpTemplate) -> impl Iterator<Item = &KeySelector> {
    http.headers.iter().filter_map(secret_of)
}

/// The request; `secret` gives what a key of a secret holds, none where it may be missing.
///
/// # Errors
/// When the manifest's values can't make one.
pub fn request(
    http: &HttpTemplate,
    secret: impl Fn(&KeySelector) -> Result<Option<String>, String>,
) -> Result<Request, String> {
    let headers = http.headers.iter().map(|header| value(header, &secret)).collect::<Result<_, _>>()?;
    Ok(Request {
        method: http.method.clone().unwrap_or_default(),
        url: http.url.clone(),
        headers,
        body: body(http)?,
        limit: Some(limit(http)),
        insecure: http.insecure_skip_verify,
        certificate: None,
        guarded: false,
    })
}

/// What the attempt came to.
pub fn verdict(
    attempt: &AttemptId,
    http: &HttpTemplate,
    started: Timestamp,
    answer: Result<Response, HttpError>,
    host: &str,
) -> Verdict {
    let (outcome, message, outputs) = match answer {
        Err(error) => (Outcome::Failed, told(&error), Outputs::default()),
        Ok(response) => match judge(http, &response) {
            Err(why) => (Outcome::Failed, why, Outputs::default()),
            Ok(failure) => {
                let result = String::from_utf8_lossy(&response.body).into_owned();
                let outputs = Outputs { result: Some(result), ..Outputs::default() };
                let outcome = failure.as_ref().map_or(Outcome::Succeeded, |_| Outcome::Failed);
                (outcome, failure.unwrap_or_default(), outputs)
            }
        },
    };
    let reason = match (outcome, &outputs.result) {
        (Outcome::Succeeded, _) => Reason::Exited,
        (_, Some(_)) => Reason::Response,
        (_, None) => Reason::Unanswered,
    };
    let finished = SystemClock.now();
    let usage = Usage {
        wall_seconds: finished.duration_since(started).as_secs_f64(),
        host: host.to_owned(),
        ..Usage::default()
    };
    Verdict {
        started_at: Some(started),
        outputs,
        usage,
        ..Verdict::without_outputs(attempt.clone(), outcome, reason, message, finished)
    }
}

fn secret_of(header: &HttpHeader) -> Option<&KeySelector> {
    header.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref())
}

fn value(
    header: &HttpHeader,
    secret: impl Fn(&KeySelector) -> Result<Option<String>, String>,
) -> Result<(String, String), String> {
    let value = match secret_of(header) {
        Some(key) => secret(key)?.unwrap_or_default(),
        None => header.value.clone().unwrap_or_default(),
    };
    // A secret's file often ends in a newline, which no header can hold.
    Ok((header.name.clone(), value.trim_end_matches(['\r', '\n']).to_owned()))
}

fn body(http: &HttpTemplate) -> Result<Vec<u8>, String> {
    match http.body_from.as_ref().map(|from| from.bytes.as_deref().unwrap_or_default()) {
        Some(bytes) => {
            BASE64_STANDARD.decode(bytes).map_err(|error| format!("bodyFrom.bytes is not base64: {error}"))
        }
        None => Ok(http.body.clone().unwrap_or_default().into_bytes()),
    }
}

/// Why the answer is no success, in Argo's words; the error: its condition has no value.
fn judge(http: &HttpTemplate, response: &Response) -> Result<Option<String>, String> {
    let Some(condition) = http.success_condition.as_deref().filter(|condition| !condition.is_empty()) else {
        let success = (200..300).contains(&response.status);
        return Ok((!success).then(|| format!("received non-2xx response code: {}", response.status)));
    };
    let exchange = Exchange(json!({
        "request": {
            "method": http.method.clone().unwrap_or_default(),
            "url": http.url,
            "body": http.body.clone().unwrap_or_default(),
            "bodyBytes": http.body_from.as_ref().map(|_| body(http).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())).transpose()?,
            "headers": plain_headers(&http.headers),
        },
        "response": {
            "statusCode": response.status,
            "body": String::from_utf8_lossy(&response.body),
            "headers": response.headers,
        },
    }));
    let parsed = expr::parse(condition).map_err(|error| error.to_string())?;
    let success =
        expr::evaluate_bool(&parsed, &expr::Env::of(&exchange)).map_err(|error| error.to_string())?;
    Ok((!success).then(|| format!("successCondition '{condition}' evaluated false")))
}

/// The headers that the manifest itself holds; secrets are not shown to a condition.
fn plain_headers(headers: &[HttpHeader]) -> Value {
    let plain = headers.iter().filter(|header| header.value_from.is_none());
    plain
        .map(|header| (header.name.clone(), json!([header.value.clone().unwrap_or_default()])))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// What a condition sees: `request` and `response`.
struct Exchange(Value);

impl Exchange {
    fn at(&self, name: &str) -> Option<&Value> {
        name.split('.').try_fold(&self.0, |value, key| value.get(key))
    }
}

impl Scope for Exchange {
    fn get(&self, name: &str) -> Lookup {
        self.at(name).map_or(Lookup::Unknown, |value| Lookup::Value(value.clone()))
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        self.at(prefix).filter(|value| value.is_object()).cloned()
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}

#[cfg(test)]
mod tests;
