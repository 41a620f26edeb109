//! Sprig's functions on texts. The text comes last, as in a pipeline.

use super::cast::{int, text};
use super::{Tried, words};
use crate::expr::eval::Eval;
use crate::expr::functions;
use crate::expr::value::Val;

/// Calls a function on texts.
pub(super) fn call(eval: &mut Eval<'_>, name: &str, arguments: &[Val]) -> Tried {
    let made = match arguments {
        [one] if name != "cat" => alone(name, one),
        [first, Val::Text(of)] if name != "cat" => with(eval, name, first, of)?,
        _ if name == "cat" => {
            eval.budget.reserve(arguments.iter().map(Val::size).sum())?;
            let shown: Vec<String> = arguments.iter().map(text).collect();
            Some(Val::text(shown.join(" ")))
        }
        [one, many, count @ Val::Int(_)] if name == "plural" => {
            Some(Val::text(text(if int(count) == 1 { one } else { many })))
        }
        [first, second, Val::Text(of)] => with_two(eval, name, first, second, of)?,
        _ => None,
    };
    if made.is_some() {
        return Ok(made);
    }
    patterns(eval, name, arguments)
}

fn alone(name: &str, value: &Val) -> Option<Val> {
    if name == "toString" {
        return Some(Val::text(text(value)));
    }
    let Val::Text(of) = value else { return None };
    if name == "isAbs" {
        return Some(Val::Bool(of.starts_with('/')));
    }
    Some(Val::text(match name {
        "upper" => functions::upper(of),
        "lower" => functions::lower(of),
        "trim" => of.trim().to_owned(),
        "title" => words::title(of),
        "untitle" => words::untitle(of),
        "swapcase" => words::swap(of),
        "snakecase" => words::joined(of, "_"),
        "kebabcase" => words::joined(of, "-"),
        "camelcase" => words::camel(of),
        "initials" => words::initials(of),
        "nospace" => of.chars().filter(|c| !c.is_whitespace()).collect(),
        "quote" => format!("{of:?}"),
        "squote" => format!("'{of}'"),
        "clean" => cleaned(of),
        "base" => of.trim_end_matches('/').rsplit('/').next().unwrap_or(".").to_owned(),
        "dir" => match of.rsplit_once('/') {
            Some(("", _)) => "/".to_owned(),
            Some((dir, _)) => dir.to_owned(),
            None => ".".to_owned(),
        },
        "ext" => {
            let base = of.rsplit('/').next().unwrap_or_default();
            base.rfind('.').map_or(String::new(), |at| base[at..].to_owned())
        }
        _ => return None,
    }))
}

fn with(eval: &mut Eval<'_>, name: &str, first: &Val, of: &str) -> Tried {
    if let Val::Text(first) = first {
        let found = match name {
            "trimPrefix" => Val::text(of.strip_prefix(&**first).unwrap_or(of)),
            "trimSuffix" => Val::text(of.strip_suffix(&**first).unwrap_or(of)),
            "trimAll" | "trimall" => Val::text(of.trim_matches(|c| first.contains(c))),
            "contains" => Val::Bool(of.contains(&**first)),
            "hasPrefix" => Val::Bool(of.starts_with(&**first)),
            "hasSuffix" => Val::Bool(of.ends_with(&**first)),
            "splitList" => Val::list(pieces(of, first))?,
            "split" => numbered(pieces(of, first))?,
            _ => return Ok(None),
        };
        return Ok(Some(found));
    }
    let count = int(first);
    Ok(Some(match name {
        "trunc" => Val::text(truncated(of, count)),
        "repeat" => functions::repeat(eval, of, count.max(0))?,
        "indent" | "nindent" => {
            let pad = functions::repeat(eval, " ", count)?;
            let (Val::Text(pad), begin) = (pad, if name == "nindent" { "\n" } else { "" }) else {
                return Ok(None);
            };
            let Val::Text(body) = functions::replace(eval, of, "\n", &format!("\n{pad}"), -1)? else {
                return Ok(None);
            };
            Val::text(format!("{begin}{pad}{body}"))
        }
        "abbrev" => Val::text(abbreviated(of, usize::try_from(count).unwrap_or(0))),
        "wrap" => Val::text(words::wrap(of, usize::try_from(count).unwrap_or(1), "\n")),
        _ => return Ok(None),
    }))
}

fn with_two(eval: &mut Eval<'_>, name: &str, first: &Val, second: &Val, of: &str) -> Tried {
    Ok(Some(match (name, first, second) {
        ("replace", Val::Text(old), Val::Text(new)) => functions::replace(eval, of, old, new, -1)?,
        ("substr", ..) => {
            let bound = |value: &Val| usize::try_from(int(value)).ok().map(|n| n.min(of.len()));
            let (from, to) = (bound(first).unwrap_or(0), bound(second).unwrap_or(of.len()));
            Val::text(String::from_utf8_lossy(&of.as_bytes()[from.min(to)..to]).as_ref())
        }
        ("wrapWith", ..) => {
            let lines = of.matches(' ').count() + 1;
            eval.budget.reserve(of.len().saturating_add(lines.saturating_mul(second.size())))?;
            Val::text(words::wrap(of, usize::try_from(int(first)).unwrap_or(1), &text(second)))
        }
        ("splitn", Val::Text(by), _) => {
            let limit = usize::try_from(int(second)).unwrap_or(usize::MAX);
            numbered(of.splitn(limit, &**by).map(Val::text))?
        }
        _ => return Ok(None),
    }))
}

fn pieces<'a>(of: &'a str, by: &'a str) -> Box<dyn Iterator<Item = Val> + 'a> {
    match by {
        "" => Box::new(of.chars().map(|c| Val::text(c.to_string()))),
        _ => Box::new(of.split(by).map(Val::text)),
    }
}

/// A path without `.`, `..` and doubled slashes.
fn cleaned(of: &str) -> String {
    let (rooted, mut parts) = (of.starts_with('/'), Vec::new());
    for part in of.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => drop(parts.pop()),
            ("..", None) if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// The map with keys `_0`, `_1`, … that sprig gives for a split text.
fn numbered(pieces: impl Iterator<Item = Val>) -> Result<Val, String> {
    Val::map(pieces.enumerate().map(|(i, piece)| (format!("_{i}").into(), piece)))
}

/// The first `count` bytes, or the last ones where it is negative.
fn truncated(of: &str, count: i64) -> String {
    let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(of.len());
    let part = if count < 0 { &of.as_bytes()[of.len() - size..] } else { &of.as_bytes()[..size] };
    String::from_utf8_lossy(part).into_owned()
}

fn abbreviated(of: &str, width: usize) -> String {
    if width < 4 || of.chars().count() <= width {
        return of.to_owned();
    }
    of.chars().take(width - 3).chain("...".chars()).collect()
}

fn patterns(eval: &mut Eval<'_>, name: &str, arguments: &[Val]) -> Tried {
    let name = name.strip_prefix("must").map_or(name.to_owned(), |rest| {
        let mut chars = rest.chars();
        chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
    });
    let ([Val::Text(pattern), Val::Text(of), rest @ ..], true) = (arguments, name.starts_with("regex"))
    else {
        return match (name.as_str(), arguments) {
            ("regexQuoteMeta", [Val::Text(of)]) => Ok(Some(Val::text(regex::escape(of)))),
            _ => Ok(None),
        };
    };
    let regex = eval.pattern(pattern, of)?;
    Ok(Some(match (name.as_str(), rest) {
        ("regexMatch", []) => Val::Bool(regex.is_match(of)),
        ("regexFind", []) => Val::text(regex.find(of).map_or("", |found| found.as_str())),
        ("regexFindAll", [limit]) => {
            let limit = usize::try_from(int(limit)).unwrap_or(usize::MAX);
            Val::list(regex.find_iter(of).take(limit).map(|found| Val::text(found.as_str())))?
        }
        ("regexSplit", [limit]) => {
            let limit = usize::try_from(int(limit)).unwrap_or(usize::MAX);
            Val::list(regex.splitn(of, limit).map(Val::text))?
        }
        ("regexReplaceAll", [Val::Text(new)]) => {
            let (regex, places) = (regex.clone(), regex.find_iter(of).count());
            // A reference in the replacement can stand for the whole text.
            let references = new.matches('$').count() + 1;
            eval.budget.reserve(
                of.len().saturating_mul(references).saturating_add(places.saturating_mul(new.len())),
            )?;
            Val::text(regex.replace_all(of, &**new).as_ref())
        }
        ("regexReplaceAllLiteral", [Val::Text(new)]) => {
            let (regex, places) = (regex.clone(), regex.find_iter(of).count());
            eval.budget.reserve(of.len() + places.saturating_mul(new.len()))?;
            Val::text(regex.replace_all(of, regex::NoExpand(new)).as_ref())
        }
        _ => return Ok(None),
    }))
}
