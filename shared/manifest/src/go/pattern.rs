//! Regular expressions with Go's words for what is wrong.

use regex::{Regex, RegexBuilder};

/// What a compiled pattern may take: a few repetitions inside each other reach any amount.
const SIZE_MAX: usize = 1 << 20;

/// Compiles a pattern.
///
/// # Errors
/// The message of Go's `regexp` where it has one for the mistake, the regex crate's otherwise.
pub fn compile_pattern(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(SIZE_MAX).build().map_err(|error| {
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let why = match why {
            "unclosed group" => "missing closing )",
            "unopened group" => "unexpected )",
            "unclosed character class" => "missing closing ]",
            "repetition operator missing expression" => "missing argument to repetition operator",
            "unrecognized escape sequence" => "invalid escape sequence",
            other => other,
        };
        format!("error parsing regexp: {why}: `{pattern}`")
    })
}
