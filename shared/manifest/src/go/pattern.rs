//! Regular expressions with Go's words for what is wrong, and what they cost.

mod dialect;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

/// Longest pattern: a class of a few letters takes kilobytes once it is parsed.
const TEXT_MAX: usize = 16 * 1024;
/// What a compiled pattern may take: a few repetitions inside each other reach any amount.
const SIZE_MAX: usize = 1 << 20;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
    /// Upper bound of the places of the pattern where a search can stand at one time.
    choices: usize,
    parts: usize,
}

impl Pattern {
    /// The compiled pattern.
    pub fn regex(&self) -> &Regex {
        &self.regex
    }

    /// What it took to compile it, in steps of about 60 ns.
    pub fn compilation(&self) -> usize {
        self.parts.saturating_mul(16)
    }

    /// At most what a search through `text` takes, in steps of about 60 ns.
    ///
    /// A search in general takes a constant time for each byte. A pattern with many choices can make it
    /// follow all of them at once, as in `[ab]*a[ab]{1000}c`.
    pub fn work(&self, text: &str) -> usize {
        match self.choices {
            0..=4 => 1 + text.len() / 8,
            5..=12 => 1 + text.len(),
            choices => 1 + text.len().saturating_mul(choices / 2),
        }
    }
}

/// Compiles a pattern.
///
/// # Errors
/// The message of Go's `regexp` where it has one for the mistake, the regex crate's otherwise.
pub fn compile_pattern(pattern: &str) -> Result<Pattern, String> {
    if pattern.len() > TEXT_MAX {
        return Err(format!("error parsing regexp: the pattern is longer than {TEXT_MAX} bytes"));
    }
    let failed = |text: String| {
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
    };
    let rewritten =
        dialect::rewritten(pattern).map_err(|why| format!("error parsing regexp: {why}: `{pattern}`"))?;
    let regex = RegexBuilder::new(&rewritten).size_limit(SIZE_MAX).build();
    let regex = regex.map_err(|error| failed(error.to_string()))?;
    let hir = regex_syntax::parse(&rewritten).map_err(|error| failed(error.to_string()))?;
    Ok(Pattern { regex, choices: choices(&hir), parts: parts(&hir) })
}

/// How often a repetition writes down what it repeats.
fn times(min: u32, max: Option<u32>) -> usize {
    usize::try_from(max.unwrap_or(min.max(1))).unwrap_or(usize::MAX)
}

/// Characters and classes with all repetitions written out, a class for each of its ranges.
fn parts(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Unicode(class)) => 1 + class.ranges().len(),
        HirKind::Class(Class::Bytes(class)) => 1 + class.ranges().len(),
        HirKind::Repetition(of) => times(of.min, of.max).saturating_mul(parts(&of.sub)),
        HirKind::Capture(capture) => parts(&capture.sub),
        HirKind::Concat(all) | HirKind::Alternation(all) => {
            all.iter().map(parts).fold(1, usize::saturating_add)
        }
    }
}

/// The classes, alternatives and repetitions with all repetitions written out. A row of plain characters counts
/// only where it is repeated: elsewhere it leaves no choice.
fn choices(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) => 0,
        HirKind::Class(_) => 1,
        HirKind::Repetition(of) => times(of.min, of.max).saturating_mul(positions(&of.sub)),
        HirKind::Capture(capture) => choices(&capture.sub),
        HirKind::Concat(all) => all.iter().map(choices).fold(0, usize::saturating_add),
        HirKind::Alternation(all) => all.iter().map(choices).fold(1, usize::saturating_add),
    }
}

/// As `choices`, inside a repetition.
fn positions(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(_) => 1,
        HirKind::Repetition(of) => times(of.min, of.max).saturating_mul(positions(&of.sub)),
        HirKind::Capture(capture) => positions(&capture.sub),
        HirKind::Concat(all) | HirKind::Alternation(all) => {
            all.iter().map(positions).fold(0, usize::saturating_add)
        }
    }
}
