//! An attempt that is a request and no process: `http` of a template.
//!
//! It is claimed and has a verdict like every other. A request can't be taken back: when the attempt is stopped, its
//! thread ends at the request's own limit, and what comes back is dropped.

use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::attempt::{Outcome, Reason, Usage, Verdict};
use dropforge_manifest::expr;
use dropforge_manifest::tags::{Lookup, Scope};
use dropforge_manifest::types::{HttpHeader, HttpTemplate, Outputs};
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::control::Ask;
use super::{Refused, Step, StepStore, refused, refused_by, told};
use crate::http::{HttpError, Request, Response};
use crate::variables::LocalObjects;

/// The longest answer that is kept, since it becomes part of the run's record: Argo's own limit of an object.
pub const RESPONSE_BYTES_MAX: u64 = 1024 * 1024;

/// How long a request may take where the manifest does not say.
const LIMIT: Duration = Duration::from_secs(30);

impl<S: StepStore> Step<'_, S> {
    /// The request with its secrets.
    pub(super) fn request(&self, http: &HttpTemplate) -> Result<Request, Refused> {
        let bad = |why: String| refused(Outcome::Failed, Reason::Configuration, why);
        let secrets = LocalObjects::secrets(self.launch.environment.secrets.as_deref());
        let headers = http.headers.iter().map(|header| value(header, &secrets));
        let headers = headers.collect::<Result<_, _>>().map_err(bad)?;
        let seconds = http.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Ok(Request {
            method: http.method.clone().unwrap_or_default(),
            url: http.url.clone(),
            headers,
            body: body(http).map_err(bad)?,
            limit: Some(seconds.map_or(LIMIT, Duration::from_secs)),
            insecure: http.insecure_skip_verify,
            certificate: None,
        })
    }

    /// Makes the request and judges its answer.
    pub(super) fn perform(&self, http: &HttpTemplate, request: Request) -> Verdict {
        let started = SystemClock.now();
        let answer = match self.answer(request) {
            Ok(answer) => answer,
            Err(refused) => return self.verdict(refused.outcome, refused.reason, refused.message),
        };
        let (outcome, message, outputs) = match answer {
            Err(error) => (Outcome::Failed, told(&error), Outputs::default()),
            Ok(response) => match judge(http, &response) {
                Err(why) => (Outcome::Failed, why, Outputs::default()),
                Ok(failure) => {
                    let result = String::from_utf8_lossy(&response.body).into_owned();
                    let outputs = Outputs { result: Some(result), ..Outputs::default() };
                    (
                        failure.as_ref().map_or(Outcome::Succeeded, |_| Outcome::Failed),
                        failure.unwrap_or_default(),
                        outputs,
                    )
                }
            },
        };
        let reason = match (outcome, &outputs.result) {
            (Outcome::Succeeded, _) => Reason::Exited,
            (_, Some(_)) => Reason::Response,
            (_, None) => Reason::Unanswered,
        };
        let finished = SystemClock.now();
        Verdict {
            started_at: Some(started),
            finished_at: finished,
            outputs,
            usage: Usage {
                wall_seconds: finished.duration_since(started).as_secs_f64(),
                host: self.site.host.clone(),
                ..Usage::default()
            },
            ..self.verdict(outcome, reason, message)
        }
    }

    /// The answer, or why it is not waited for any longer.
    fn answer(&self, request: Request) -> Result<Result<Response, HttpError>, Refused> {
        let broken = |error: io::Error| {
            refused(
                Outcome::Error,
                Reason::Environment,
                format!("this machine has no thread for it: {error}"),
            )
        };
        let (answered, answering) = io::pipe().map_err(broken)?;
        let (sender, receiver) = mpsc::channel();
        let asking = move || {
            // Nobody listens any more when the attempt was stopped.
            let _ = sender.send(request.send(RESPONSE_BYTES_MAX));
            drop(answering);
        };
        thread::Builder::new().name("request".to_owned()).spawn(asking).map_err(broken)?;
        self.await_answer(&answered, &receiver)
    }

    /// Waits for the answer, a stop, or the run's deadline. A person's Ctrl-C leaves it the usual grace, since a
    /// request whose answer is not known can't be repeated.
    fn await_answer(
        &self,
        answered: &io::PipeReader,
        receiver: &Receiver<Result<Response, HttpError>>,
    ) -> Result<Result<Response, HttpError>, Refused> {
        let mut interrupted = false;
        let mut ends = self
            .deadlines()
            .first()
            .map(|(at, message)| (*at, refused(Outcome::Failed, Reason::DeadlineExceeded, *message)));
        loop {
            let limit = ends.as_ref().map(|(at, _)| left(*at));
            let mut polled = vec![PollFd::from_borrowed_fd(answered.as_fd(), PollFlags::IN)];
            if !interrupted {
                polled.push(PollFd::from_borrowed_fd(self.control.woken.as_fd(), PollFlags::IN));
            }
            // An interrupted wait is a short one; what has come is looked at anyway.
            let _ = poll(&mut polled, limit.as_ref());
            if let Ok(answer) = receiver.try_recv() {
                return Ok(answer);
            }
            match self.control.asked() {
                Some(ask @ (Ask::Interrupt | Ask::Evict)) if !interrupted => {
                    interrupted = true;
                    let at = SystemClock
                        .now()
                        .saturating_add(jiff::SignedDuration::try_from(self.site.grace).unwrap_or_default());
                    ends = at.ok().map(|at| (at, refused_by(ask)));
                }
                Some(ask @ (Ask::Stop(_) | Ask::Over)) => return Err(refused_by(ask)),
                Some(Ask::Interrupt | Ask::Evict) | None => {}
            }
            if let Some((at, _)) = &ends
                && *at <= SystemClock.now()
                && let Some((_, refused)) = ends.take()
            {
                return Err(refused);
            }
        }
    }
}

fn left(until: Timestamp) -> Timespec {
    let left = until.duration_since(SystemClock.now());
    let left = Duration::try_from(left).unwrap_or_default();
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    }
}

fn value(header: &HttpHeader, secrets: &LocalObjects) -> Result<(String, String), String> {
    let key = header.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
    let value = match key {
        Some(key) => secrets.key(key).map_err(|error| told(&error))?.unwrap_or_default(),
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
