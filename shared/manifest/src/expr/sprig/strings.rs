//! Texts. The text comes last, as in a pipeline.

use super::Takes::{Any, Int, Text};
use super::cast::text;
use super::{Args, Function, Made, function, variadic, words};
use crate::expr::eval::Eval;
use crate::expr::functions::{self, pieces};
use crate::expr::value::Val;
use crate::go::quoted;

pub(super) const FUNCTIONS: &[Function] = &[
    function("upper", &[Text], |_, a| Ok(Val::text(functions::upper(a.text(0))))),
    function("lower", &[Text], |_, a| Ok(Val::text(functions::lower(a.text(0))))),
    function("title", &[Text], |_, a| Ok(Val::text(words::title(a.text(0))))),
    function("untitle", &[Text], |_, a| Ok(Val::text(words::untitle(a.text(0))))),
    function("swapcase", &[Text], |_, a| Ok(Val::text(words::swap(a.text(0))))),
    function("snakecase", &[Text], |_, a| Ok(Val::text(words::joined(a.text(0), '_')))),
    function("kebabcase", &[Text], |_, a| Ok(Val::text(words::joined(a.text(0), '-')))),
    function("camelcase", &[Text], |_, a| Ok(Val::text(words::camel(a.text(0))))),
    function("initials", &[Text], |_, a| Ok(Val::text(words::initials(a.text(0))))),
    function("trim", &[Text], |_, a| Ok(Val::text(a.text(0).trim()))),
    function("trimAll", &[Text, Text], trim_all),
    function("trimall", &[Text, Text], trim_all),
    function("trimPrefix", &[Text, Text], |_, a| {
        Ok(Val::text(a.text(1).strip_prefix(a.text(0)).unwrap_or(a.text(1))))
    }),
    function("trimSuffix", &[Text, Text], |_, a| {
        Ok(Val::text(a.text(1).strip_suffix(a.text(0)).unwrap_or(a.text(1))))
    }),
    function("nospace", &[Text], |_, a| {
        Ok(Val::text(a.text(0).chars().filter(|c| !c.is_whitespace()).collect::<String>()))
    }),
    function("contains", &[Text, Text], |_, a| Ok(Val::Bool(a.text(1).contains(a.text(0))))),
    function("hasPrefix", &[Text, Text], |_, a| Ok(Val::Bool(a.text(1).starts_with(a.text(0))))),
    function("hasSuffix", &[Text, Text], |_, a| Ok(Val::Bool(a.text(1).ends_with(a.text(0))))),
    function("replace", &[Text, Text, Text], |eval, a| {
        functions::replace(eval, a.text(2), a.text(0), a.text(1), -1)
    }),
    function("repeat", &[Int, Text], |eval, a| functions::repeat(eval, a.text(1), a.int(0))),
    function("indent", &[Int, Text], |eval, a| indented(eval, "", a)),
    function("nindent", &[Int, Text], |eval, a| indented(eval, "\n", a)),
    function("trunc", &[Int, Text], |_, a| Ok(Val::text(truncated(a.text(1), a.int(0))))),
    function("substr", &[Int, Int, Text], substring),
    function("abbrev", &[Int, Text], |_, a| Ok(Val::text(words::abbreviated(a.text(1), 0, a.int(0))))),
    function("abbrevboth", &[Int, Int, Text], |_, a| {
        let (left, right) = (a.int(0), a.int(1));
        Ok(Val::text(match left > 0 && right < 7 {
            true => a.text(2).to_owned(),
            false => words::abbreviated(a.text(2), left, right),
        }))
    }),
    function("wrap", &[Int, Text], |_, a| Ok(Val::text(words::wrap(a.text(1), a.int(0), "\n", false)))),
    function("wrapWith", &[Int, Text, Text], |eval, a| {
        let newline = if a.text(1).is_empty() { "\n" } else { a.text(1) };
        // A long word is broken after every `width` characters.
        eval.budget.reserve(a.text(2).len().saturating_mul(newline.len() + 1))?;
        Ok(Val::text(words::wrap(a.text(2), a.int(0), newline, true)))
    }),
    function("plural", &[Text, Text, Int], |_, a| Ok(a.get(if a.int(2) == 1 { 0 } else { 1 }).clone())),
    variadic("cat", &[], Any, |eval, a| spaced(eval, a, text)),
    variadic("quote", &[], Any, |eval, a| spaced(eval, a, |value| quoted(&text(value)))),
    variadic("squote", &[], Any, |eval, a| spaced(eval, a, |value| format!("'{}'", text(value)))),
    function("toString", &[Any], |_, a| Ok(Val::text(text(a.get(0))))),
    function("splitList", &[Text, Text], |_, a| {
        Val::list(pieces(a.text(1), a.text(0), usize::MAX).into_iter().map(Val::text))
    }),
    function("split", &[Text, Text], |_, a| numbered(pieces(a.text(1), a.text(0), usize::MAX))),
    function("splitn", &[Text, Int, Text], |_, a| match a.int(1) {
        0 => numbered(Vec::new()),
        limit => numbered(pieces(a.text(2), a.text(0), usize::try_from(limit).unwrap_or(usize::MAX))),
    }),
];

fn trim_all(_: &mut Eval<'_>, a: &Args) -> Made {
    Ok(Val::text(functions::trimmed(a.text(1), a.text(0))))
}

/// The arguments that are not nil, with a space between them.
fn spaced(eval: &mut Eval<'_>, a: &Args, shown: fn(&Val) -> String) -> Made {
    let values = || a.rest().iter().filter(|value| !matches!(value, Val::Nil));
    eval.budget.reserve(values().map(Val::size).sum())?;
    Ok(Val::text(values().map(shown).collect::<Vec<_>>().join(" ")))
}

fn indented(eval: &mut Eval<'_>, begin: &str, a: &Args) -> Made {
    let spaces = usize::try_from(a.int(0)).map_err(|_| "negative Repeat count".to_owned())?;
    let lines = a.text(1).matches('\n').count() + 1;
    eval.budget.reserve(spaces.saturating_mul(lines).saturating_add(a.text(1).len()))?;
    let pad = " ".repeat(spaces);
    Ok(Val::text(format!("{begin}{pad}{}", a.text(1).replace('\n', &format!("\n{pad}")))))
}

/// The first `count` bytes, or the last ones where it is negative.
fn truncated(of: &str, count: i64) -> String {
    let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(of.len());
    let part = if count < 0 { &of.as_bytes()[of.len() - size..] } else { &of.as_bytes()[..size] };
    String::from_utf8_lossy(part).into_owned()
}

fn substring(_: &mut Eval<'_>, a: &Args) -> Made {
    let bytes = a.text(2).as_bytes();
    let (from, to) = (usize::try_from(a.int(0)), usize::try_from(a.int(1)));
    let part = match (from, to) {
        (Err(_), Ok(to)) => bytes.get(..to),
        (Err(_), Err(_)) => None,
        (Ok(from), Ok(to)) if to <= bytes.len() => bytes.get(from..to),
        (Ok(from), _) => bytes.get(from..),
    };
    let part = part.ok_or_else(|| format!("slice bounds out of range [{}:{}]", a.int(0), a.int(1)))?;
    Ok(Val::text(String::from_utf8_lossy(part).as_ref()))
}

/// The map with keys `_0`, `_1`, … that sprig gives for a split text.
fn numbered(pieces: Vec<&str>) -> Made {
    let pair = |(i, piece): (usize, &str)| (format!("_{i}").into(), Val::text(piece));
    Val::map(pieces.into_iter().enumerate().map(pair))
}
