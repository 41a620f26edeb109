//! Regular expressions.

use super::Takes::{Int, Text};
use super::{Args, Function, Made, function};
use crate::expr::eval::Eval;
use crate::expr::value::Val;

pub(super) const FUNCTIONS: &[Function] = &[
    // A pattern that is none matches nothing, without an error.
    function("regexMatch", &[Text, Text], |eval, a| {
        Ok(Val::Bool(eval.pattern(a.text(0), a.text(1)).is_ok_and(|regex| regex.is_match(a.text(1)))))
    }),
    function("mustRegexMatch", &[Text, Text], |eval, a| {
        Ok(Val::Bool(eval.pattern(a.text(0), a.text(1))?.is_match(a.text(1))))
    }),
    function("regexFind", &[Text, Text], find),
    function("mustRegexFind", &[Text, Text], find),
    function("regexFindAll", &[Text, Text, Int], find_all),
    function("mustRegexFindAll", &[Text, Text, Int], find_all),
    function("regexReplaceAll", &[Text, Text, Text], replace),
    function("mustRegexReplaceAll", &[Text, Text, Text], replace),
    function("regexReplaceAllLiteral", &[Text, Text, Text], replace_literally),
    function("mustRegexReplaceAllLiteral", &[Text, Text, Text], replace_literally),
    function("regexSplit", &[Text, Text, Int], split),
    function("mustRegexSplit", &[Text, Text, Int], split),
    function("regexQuoteMeta", &[Text], |_, a| {
        let special = |c: char| r"\.+*?()|[]{}^$".contains(c);
        let escaped = a.text(0).chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c]));
        Ok(Val::text(escaped.collect::<String>()))
    }),
];

fn find(eval: &mut Eval<'_>, a: &Args) -> Made {
    Ok(Val::text(eval.pattern(a.text(0), a.text(1))?.find(a.text(1)).map_or("", |found| found.as_str())))
}

/// A limit as Go means it: a negative one is none.
fn limit(a: &Args) -> usize {
    usize::try_from(a.int(2)).unwrap_or(usize::MAX)
}

fn find_all(eval: &mut Eval<'_>, a: &Args) -> Made {
    let found = eval.pattern(a.text(0), a.text(1))?.find_iter(a.text(1)).take(limit(a));
    Val::list_or_nil(found.map(|found| Val::text(found.as_str())))
}

/// As Go's `Split`: an empty match at the beginning ends no piece.
fn split(eval: &mut Eval<'_>, a: &Args) -> Made {
    let (text, limit) = (a.text(1), limit(a));
    let regex = eval.pattern(a.text(0), a.text(1))?;
    if limit == 0 {
        return Val::list_or_nil(Vec::new());
    }
    if !a.text(0).is_empty() && text.is_empty() {
        return Val::list(vec![Val::text("")]);
    }
    let (mut pieces, mut from, mut end) = (Vec::new(), 0, 0);
    for found in regex.find_iter(text) {
        if pieces.len() + 1 == limit {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            pieces.push(Val::text(&text[from..end]));
        }
        from = found.end();
    }
    if end != text.len() {
        pieces.push(Val::text(&text[from..]));
    }
    Val::list(pieces)
}

fn replace(eval: &mut Eval<'_>, a: &Args) -> Made {
    let (text, new) = (a.text(1), a.text(2));
    let regex = eval.pattern(a.text(0), a.text(1))?.clone();
    let places = regex.find_iter(text).count();
    // A reference in the replacement can stand for the whole text.
    let references = new.matches('$').count() + 1;
    let from_text = text.len().saturating_mul(references);
    eval.budget.reserve(from_text.saturating_add(places.saturating_mul(new.len())))?;
    Ok(Val::text(regex.replace_all(text, new).as_ref()))
}

fn replace_literally(eval: &mut Eval<'_>, a: &Args) -> Made {
    let (text, new) = (a.text(1), a.text(2));
    let regex = eval.pattern(a.text(0), a.text(1))?.clone();
    let places = regex.find_iter(text).count();
    eval.budget.reserve(text.len() + places.saturating_mul(new.len()))?;
    Ok(Val::text(regex.replace_all(text, regex::NoExpand(new)).as_ref()))
}
