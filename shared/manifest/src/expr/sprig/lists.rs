//! Lists.

use std::sync::Arc;

use super::Takes::{Any, Int};
use super::cast::{empty, int, kind, same, texts};
use super::{Args, Function, Made, function, variadic};
use crate::expr::eval::Eval;
use crate::expr::functions;
use crate::expr::value::{Items, Val};

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("list", &[], Any, |_, a| Val::list(a.rest().to_vec())),
    variadic("tuple", &[], Any, |_, a| Val::list(a.rest().to_vec())),
    function("first", &[Any], first),
    function("mustFirst", &[Any], first),
    function("last", &[Any], last),
    function("mustLast", &[Any], last),
    function("rest", &[Any], rest),
    function("mustRest", &[Any], rest),
    function("initial", &[Any], initial),
    function("mustInitial", &[Any], initial),
    function("append", &[Any, Any], push),
    function("push", &[Any, Any], push),
    function("mustAppend", &[Any, Any], push),
    function("mustPush", &[Any, Any], push),
    function("prepend", &[Any, Any], prepend),
    function("mustPrepend", &[Any, Any], prepend),
    function("reverse", &[Any], reverse),
    function("mustReverse", &[Any], reverse),
    function("uniq", &[Any], uniq),
    function("mustUniq", &[Any], uniq),
    function("compact", &[Any], compact),
    function("mustCompact", &[Any], compact),
    variadic("without", &[Any], Any, without),
    variadic("mustWithout", &[Any], Any, without),
    function("has", &[Any, Any], has),
    function("mustHas", &[Any, Any], has),
    variadic("slice", &[Any], Any, slice),
    variadic("mustSlice", &[Any], Any, slice),
    function("chunk", &[Int, Any], chunk),
    function("mustChunk", &[Int, Any], chunk),
    variadic("concat", &[], Any, concat),
    function("sortAlpha", &[Any], |_, a| {
        let mut sorted = match a.get(0) {
            list @ Val::List(_) => texts(list),
            other => vec![other.shown()],
        };
        sorted.sort();
        Val::list(sorted.into_iter().map(Val::text))
    }),
    function("toStrings", &[Any], |_, a| Val::list(texts(a.get(0)).into_iter().map(Val::text))),
    function("join", &[super::Takes::Text, Any], |eval, a| {
        let texts: Vec<Val> = texts(a.get(1)).into_iter().map(Val::text).collect();
        functions::join(eval, &texts, a.text(0))
    }),
];

/// The list at `index`, or Go's complaint of a function that wants one.
fn list<'a>(a: &'a Args, index: usize, what: &str) -> Result<&'a Arc<Items>, String> {
    match a.get(index) {
        Val::List(list) => Ok(list),
        other => Err(format!("Cannot {what} type {}", kind(other))),
    }
}

fn first(_: &mut Eval<'_>, a: &Args) -> Made {
    Ok(list(a, 0, "find first on")?.items.first().cloned().unwrap_or(Val::Nil))
}

fn last(_: &mut Eval<'_>, a: &Args) -> Made {
    Ok(list(a, 0, "find last on")?.items.last().cloned().unwrap_or(Val::Nil))
}

fn rest(_: &mut Eval<'_>, a: &Args) -> Made {
    match list(a, 0, "find rest on")?.items.split_first() {
        Some((_, rest)) => Val::list(rest.to_vec()),
        None => Val::list_or_nil(Vec::new()),
    }
}

fn initial(_: &mut Eval<'_>, a: &Args) -> Made {
    match list(a, 0, "find initial on")?.items.split_last() {
        Some((_, initial)) => Val::list(initial.to_vec()),
        None => Val::list_or_nil(Vec::new()),
    }
}

fn push(_: &mut Eval<'_>, a: &Args) -> Made {
    Val::list(list(a, 0, "push on")?.items.iter().chain([a.get(1)]).cloned())
}

fn prepend(_: &mut Eval<'_>, a: &Args) -> Made {
    Val::list([a.get(1)].into_iter().chain(&list(a, 0, "prepend on")?.items).cloned())
}

fn reverse(_: &mut Eval<'_>, a: &Args) -> Made {
    Val::list(list(a, 0, "find reverse on")?.items.iter().rev().cloned())
}

fn uniq(eval: &mut Eval<'_>, a: &Args) -> Made {
    let mut kept: Vec<Val> = Vec::new();
    for item in &list(a, 0, "find uniq on")?.items {
        eval.budget.compare(item, kept.len())?;
        if !kept.iter().any(|other| same(item, other)) {
            kept.push(item.clone());
        }
    }
    Val::list(kept)
}

fn compact(_: &mut Eval<'_>, a: &Args) -> Made {
    Val::list(list(a, 0, "compact on")?.items.iter().filter(|item| !empty(item)).cloned())
}

fn without(eval: &mut Eval<'_>, a: &Args) -> Made {
    let items = &list(a, 0, "find without on")?.items;
    for other in a.rest() {
        eval.budget.compare(other, items.len())?;
    }
    let kept = items.iter().filter(|item| !a.rest().iter().any(|other| same(item, other)));
    Val::list(kept.cloned())
}

fn has(_: &mut Eval<'_>, a: &Args) -> Made {
    if matches!(a.get(1), Val::Nil) {
        return Ok(Val::Bool(false));
    }
    Ok(Val::Bool(list(a, 1, "find has on")?.items.iter().any(|item| same(item, a.get(0)))))
}

fn slice(_: &mut Eval<'_>, a: &Args) -> Made {
    let items = &list(a, 0, "slice")?.items;
    if items.is_empty() {
        return Ok(Val::Nil);
    }
    let bound = |index: usize| a.rest().get(index).map(|value| usize::try_from(int(value)));
    let beyond = |_| "slice index out of bounds".to_owned();
    let from = bound(0).unwrap_or(Ok(0)).map_err(beyond)?;
    let to = bound(1).unwrap_or(Ok(items.len())).map_err(beyond)?;
    let part = items.get(from..to).ok_or_else(|| "slice index out of bounds".to_owned())?;
    Val::list(part.to_vec())
}

fn chunk(_: &mut Eval<'_>, a: &Args) -> Made {
    let items = &list(a, 1, "chunk")?.items;
    // Go's rounding finds no chunk of a negative size in a few elements, and a size that cannot be made elsewhere.
    let count = ((items.len() as f64 - 1.0) / a.int(0) as f64).floor() + 1.0;
    let size = match usize::try_from(a.int(0)) {
        Ok(size) if size > 0 => size,
        _ if count == 0.0 => return Val::list(Vec::new()),
        _ => return Err(format!("cannot make chunks of {} elements", a.int(0))),
    };
    let chunks = items.chunks(size).map(|chunk| Val::list(chunk.to_vec()));
    Val::list_of(chunks)
}

fn concat(eval: &mut Eval<'_>, a: &Args) -> Made {
    let mut all = Vec::new();
    for value in a.rest() {
        let Val::List(list) = value else {
            return Err(format!("Cannot concat type {} as list", kind(value)));
        };
        eval.budget.charge(value)?;
        all.extend(list.items.iter().cloned());
    }
    Val::list_or_nil(all)
}
