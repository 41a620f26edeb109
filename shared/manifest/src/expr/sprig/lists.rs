//! Sprig's lists and dictionaries. Nothing is changed in place: `set` and `unset` give a new dictionary.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cast::{empty, int, text};
use super::{Made, Tried};
use crate::expr::eval::Eval;
use crate::expr::functions;
use crate::expr::value::{Fields, Items, Val, equal};

/// Calls a function on lists or dictionaries.
pub(super) fn call(eval: &mut Eval<'_>, name: &str, arguments: &[Val]) -> Tried {
    match (name, arguments) {
        ("list" | "tuple", items) => return Val::list(items.to_vec()).map(Some),
        ("dict", pairs) => return dict(pairs).map(Some),
        ("concat", lists) => return concat(eval, lists).map(Some),
        ("join", [glue, of]) => return join(eval, &text(glue), of).map(Some),
        ("toStrings", [Val::List(list)]) => {
            return Val::list(list.items.iter().map(|item| Val::text(text(item)))).map(Some);
        }
        ("chunk", [size, Val::List(list)]) => {
            let size = usize::try_from(int(size)).unwrap_or(1).max(1);
            return Val::list_of(list.items.chunks(size).map(|chunk| Val::list(chunk.to_vec()))).map(Some);
        }
        ("pluck", [Val::Text(key), maps @ ..]) => {
            return all(maps, |map| map.fields.get(&**key).cloned().into_iter().collect());
        }
        ("has", [needle, Val::List(list)]) => {
            return Ok(Some(Val::Bool(list.items.iter().any(|item| equal(item, needle)))));
        }
        ("hasKey", [Val::Map(map), Val::Text(key)]) => {
            return Ok(Some(Val::Bool(map.fields.contains_key(&**key))));
        }
        ("keys", maps) => {
            return all(maps, |map| map.fields.keys().map(|key| Val::Text(key.clone())).collect());
        }
        ("values", maps) => return all(maps, |map| map.fields.values().cloned().collect()),
        ("merge", maps) => return merged(maps, false).map(Some),
        ("mergeOverwrite", maps) => return merged(maps, true).map(Some),
        ("dig", [path @ .., fallback, Val::Map(map)]) => return Ok(Some(dig(path, fallback, map))),
        _ => {}
    }
    match arguments {
        [Val::List(list), rest @ ..] => list_first(eval, name, list, rest),
        [Val::Map(map), rest @ ..] => map_first(name, map, rest),
        _ => Ok(None),
    }
}

fn list_first(eval: &mut Eval<'_>, name: &str, list: &Arc<Items>, rest: &[Val]) -> Tried {
    let items = &list.items;
    Ok(Some(match (name, rest) {
        ("first" | "mustFirst", []) => items.first().cloned().unwrap_or(Val::Nil),
        ("last" | "mustLast", []) => items.last().cloned().unwrap_or(Val::Nil),
        ("rest" | "mustRest", []) => Val::list(items.get(1..).unwrap_or_default().to_vec())?,
        ("initial" | "mustInitial", []) => Val::list(items[..items.len().saturating_sub(1)].to_vec())?,
        ("append" | "push" | "mustAppend" | "mustPush", [item]) => {
            Val::list(items.iter().chain([item]).cloned())?
        }
        ("prepend" | "mustPrepend", [item]) => Val::list([item].into_iter().chain(items).cloned())?,
        ("reverse" | "mustReverse", []) => Val::list(items.iter().rev().cloned())?,
        ("uniq" | "mustUniq", []) => functions::uniq(eval, items)?,
        ("compact" | "mustCompact", []) => Val::list(items.iter().filter(|item| !empty(item)).cloned())?,
        ("without" | "mustWithout", unwanted) => {
            for other in unwanted {
                eval.budget.compare(other, items.len())?;
            }
            let kept = items.iter().filter(|item| !unwanted.iter().any(|other| equal(item, other)));
            Val::list(kept.cloned())?
        }
        ("sortAlpha", []) => {
            let mut texts: Vec<String> = items.iter().map(text).collect();
            texts.sort();
            Val::list(texts.into_iter().map(Val::text))?
        }
        ("slice" | "mustSlice", bounds) if bounds.len() <= 2 => {
            let bound = |i: usize, absent: usize| {
                bounds.get(i).map_or(absent, |n| usize::try_from(int(n)).unwrap_or(0).min(items.len()))
            };
            let (from, to) = (bound(0, 0), bound(1, items.len()));
            Val::list(items[from.min(to)..to].to_vec())?
        }
        _ => return Ok(None),
    }))
}

fn map_first(name: &str, map: &Arc<Fields>, rest: &[Val]) -> Tried {
    Ok(Some(match (name, rest) {
        ("get", [Val::Text(key)]) => map.fields.get(&**key).cloned().unwrap_or_else(|| Val::text("")),
        ("set", [Val::Text(key), value]) => {
            let mut fields = map.fields.clone();
            fields.insert(key.clone(), value.clone());
            Val::map(fields)?
        }
        ("unset" | "omit", keys) => {
            let mut fields = map.fields.clone();
            for key in keys {
                fields.remove(text(key).as_str());
            }
            Val::map(fields)?
        }
        ("pick", keys) => {
            let wanted: Vec<String> = keys.iter().map(text).collect();
            let kept = map.fields.iter().filter(|(key, _)| wanted.iter().any(|name| **name == ***key));
            Val::map(kept.map(|(key, value)| (key.clone(), value.clone())))?
        }
        _ => return Ok(None),
    }))
}

fn dict(pairs: &[Val]) -> Made {
    let mut fields: BTreeMap<Arc<str>, Val> = BTreeMap::new();
    for pair in pairs.chunks(2) {
        let value = pair.get(1).cloned().unwrap_or_else(|| Val::text(""));
        fields.insert(text(&pair[0]).into(), value);
    }
    Val::map(fields)
}

fn concat(eval: &mut Eval<'_>, lists: &[Val]) -> Made {
    let mut all = Vec::new();
    for list in lists {
        let Val::List(items) = list else {
            return Err(format!("cannot concat type {} as list", list.type_name()));
        };
        eval.budget.charge(list)?;
        all.extend(items.items.iter().cloned());
    }
    Val::list(all)
}

fn join(eval: &mut Eval<'_>, glue: &str, of: &Val) -> Made {
    let Val::List(list) = of else { return Ok(Val::text(text(of))) };
    let texts: Vec<Val> = list
        .items
        .iter()
        .filter(|item| !matches!(item, Val::Nil))
        .map(|item| Val::text(text(item)))
        .collect();
    functions::join(eval, &texts, glue)
}

fn all(maps: &[Val], parts: impl Fn(&Fields) -> Vec<Val>) -> Tried {
    let mut found = Vec::new();
    for map in maps {
        let Val::Map(map) = map else { return Ok(None) };
        found.extend(parts(map));
    }
    Val::list(found).map(Some)
}

fn merged(maps: &[Val], overwrite: bool) -> Made {
    let mut fields = BTreeMap::new();
    for map in maps {
        let Val::Map(map) = map else {
            return Err(format!("cannot merge a {}", map.type_name()));
        };
        for (key, value) in &map.fields {
            if overwrite || !fields.contains_key(key) {
                fields.insert(key.clone(), value.clone());
            }
        }
    }
    Val::map(fields)
}

fn dig(path: &[Val], fallback: &Val, map: &Arc<Fields>) -> Val {
    let mut value = Val::Map(map.clone());
    for key in path {
        let found = match &value {
            Val::Map(map) => map.fields.get(text(key).as_str()).cloned(),
            _ => None,
        };
        match found {
            Some(found) => value = found,
            None => return fallback.clone(),
        }
    }
    value
}
