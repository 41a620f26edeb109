//! `http`: templates that make a request, and artifacts behind a URL.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::codes::Code;
use crate::types::{Artifact, HttpTemplate, Template};

use super::{SpecCheck, expressions, language, template::label};

/// The longest time that a request may be given: what a run itself is given.
const TIMEOUT_SECONDS_MAX: i64 = 365 * 24 * 3600;

pub(super) fn check(check: &SpecCheck<'_>, template: &Template, path: &str) {
    let Some(http) = &template.http else { return };
    let label = format!("{}.http", label(template));
    let at = |field: &str| format!("{path}.http.{field}");
    if http.url.is_empty() {
        let remedy = "name what is asked: `url: https://example.com/models`";
        check.report(Code::E108, &format!("{path}.http"), format!("{label}.url is required"), remedy);
    } else {
        url(check, &http.url, &format!("{label}.url"), &at("url"));
    }
    if let Some(seconds) = http.timeout_seconds.filter(|s| !(1..=TIMEOUT_SECONDS_MAX).contains(s)) {
        let message = format!("{label}.timeoutSeconds {seconds} is no time that a request can be given");
        check.report(
            Code::E408,
            &at("timeoutSeconds"),
            message,
            "write a number of seconds from 1, or leave it out for 30",
        );
    }
    if let Some(condition) = http.success_condition.as_deref().filter(|c| !c.is_empty()) {
        let (path, what) = (at("successCondition"), format!("{label}.successCondition"));
        let example = "for example: response.statusCode == 201";
        expressions::field(check.subject, &path, condition, &what, example);
    }
    body(check, http, &label, path);
    for (index, header) in http.headers.iter().enumerate() {
        if header.name.is_empty() {
            let path = at(&format!("headers[{index}]"));
            check.report(
                Code::E108,
                &path,
                format!("{label}.headers[{index}].name is required"),
                "name the header",
            );
        }
    }
}

fn body(check: &SpecCheck<'_>, http: &HttpTemplate, label: &str, path: &str) {
    let Some(source) = &http.body_from else { return };
    let path = format!("{path}.http.bodyFrom");
    if http.body.as_deref().is_some_and(|body| !body.is_empty()) {
        let message = format!("{label} has both body and bodyFrom");
        check.report(Code::E108, &path, message, "keep one of the two");
    }
    let bytes = source.bytes.as_deref().unwrap_or_default();
    if !language::has_tag(bytes) && BASE64_STANDARD.decode(bytes).is_err() {
        let message = format!("{label}.bodyFrom.bytes is not base64");
        check.report(
            Code::E108,
            &path,
            message,
            "encode the bytes (`base64 -w0 FILE`), or write text as `body`",
        );
    }
}

/// The location of an artifact.
pub(super) fn location(check: &SpecCheck<'_>, artifact: &Artifact, path: &str) {
    let Some(http) = &artifact.http else { return };
    let path = format!("{path}.http");
    if http.url.is_empty() {
        let message = format!("{}.http.url is required", artifact.name);
        check.report(Code::E303, &path, message, "add the `url` of the file");
    } else {
        url(check, &http.url, &format!("{}.http.url", artifact.name), &format!("{path}.url"));
    }
}

fn url(check: &SpecCheck<'_>, url: &str, label: &str, path: &str) {
    let fine = language::has_tag(url) || url.starts_with("http://") || url.starts_with("https://");
    if !fine {
        let message = format!("{label} {url:?}: unsupported protocol scheme");
        check.report(Code::E108, path, message, "begin it with https:// or http://");
    }
}

/// The file modes that Argo allows.
pub(super) fn mode(check: &SpecCheck<'_>, artifact: &Artifact, path: &str) {
    if let Some(mode) = artifact.mode.filter(|mode| !(0..=0o777).contains(mode)) {
        let message = format!("{}.mode {mode:o} is no file mode between 0 and 0777", artifact.name);
        check.report(Code::E303, &format!("{path}.mode"), message, "write it in octal, such as 0755");
    }
}
