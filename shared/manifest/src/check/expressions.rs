//! Expressions that cannot be read, or go wrong whatever the variables are.

use super::Subject;
use super::language::{self, Broken};
use crate::codes::Code;

/// Reports what is wrong with a field that is an expression as a whole; `what` names it.
pub(super) fn field(subject: &Subject<'_>, path: &str, text: &str, what: &str, example: &str) {
    if let (_, Some(broken)) = language::expression(text) {
        report(subject, path, text, &broken, what, example);
    }
}

/// Reports what is wrong with an expression in the text of a field.
pub(super) fn report(
    subject: &Subject<'_>,
    path: &str,
    text: &str,
    broken: &Broken,
    what: &str,
    example: &str,
) {
    let at = subject.place_in_text(path, text, broken.offset);
    let why = &broken.why;
    let (message, remedy) = match broken.is_readable {
        true => (format!("{what} cannot be evaluated: {why}"), remedy(why)),
        false => (format!("{what} cannot be read: {why}"), example),
    };
    subject.report_at(Code::E203, at, path, message, remedy);
}

fn remedy(why: &str) -> &'static str {
    if why.contains("mismatched types") {
        "variables are texts: asInt(x) and asFloat(x) make numbers of them, string(x) makes a text of a number"
    } else {
        ""
    }
}
