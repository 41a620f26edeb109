//! Dictionaries.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Takes::{Any, Map, Text};
use super::cast::{kind, text};
use super::merge::merge;
use super::{Args, Function, Made, fields, function, variadic};
use crate::expr::eval::Eval;
use crate::expr::value::Val;

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("dict", &[], Any, dict),
    function("get", &[Map, Text], |_, a| {
        Ok(a.map(0).fields.get(a.text(1)).cloned().unwrap_or_else(|| Val::text("")))
    }),
    function("set", &[Map, Text, Any], |_, a| {
        let mut fields = a.map(0).fields.clone();
        fields.insert(a.text(1).into(), a.get(2).clone());
        Val::map(fields)
    }),
    function("unset", &[Map, Text], |_, a| {
        let mut fields = a.map(0).fields.clone();
        fields.remove(a.text(1));
        Val::map(fields)
    }),
    function("hasKey", &[Map, Text], |_, a| Ok(Val::Bool(a.map(0).fields.contains_key(a.text(1))))),
    variadic("pluck", &[Text], Map, |_, a| {
        Val::list(a.rest().iter().filter_map(|map| fields(map).fields.get(a.text(0)).cloned()))
    }),
    variadic("keys", &[], Map, |_, a| {
        let keys = a.rest().iter().flat_map(|map| fields(map).fields.keys());
        Val::list(keys.map(|key| Val::Text(key.clone())))
    }),
    function("values", &[Map], |_, a| Val::list(a.map(0).fields.values().cloned())),
    variadic("pick", &[Map], Text, |_, a| chosen(a, true)),
    variadic("omit", &[Map], Text, |_, a| chosen(a, false)),
    variadic("dig", &[], Any, dig),
    variadic("merge", &[Map], Map, |eval, a| merged(eval, a, false)),
    variadic("mustMerge", &[Map], Map, |eval, a| merged(eval, a, false)),
    variadic("mergeOverwrite", &[Map], Map, |eval, a| merged(eval, a, true)),
    variadic("mustMergeOverwrite", &[Map], Map, |eval, a| merged(eval, a, true)),
];

fn dict(_: &mut Eval<'_>, a: &Args) -> Made {
    let mut fields: BTreeMap<Arc<str>, Val> = BTreeMap::new();
    for pair in a.rest().chunks(2) {
        let value = pair.get(1).cloned().unwrap_or_else(|| Val::text(""));
        fields.insert(text(&pair[0]).into(), value);
    }
    Val::map(fields)
}

/// The fields that are named, or those that are not.
fn chosen(a: &Args, named: bool) -> Made {
    let is_named = |key: &str| a.rest().iter().any(|name| matches!(name, Val::Text(name) if **name == *key));
    let kept = a.map(0).fields.iter().filter(|(key, _)| is_named(key) == named);
    Val::map(kept.map(|(key, value)| (key.clone(), value.clone())))
}

fn dig(_: &mut Eval<'_>, a: &Args) -> Made {
    let [path @ .., fallback, of] = a.rest() else { return Err(too_few()) };
    if path.is_empty() {
        return Err(too_few());
    }
    let mut value = of;
    for key in path {
        let Val::Text(key) = key else { return Err(format!("dig takes no {} as a key", kind(key))) };
        let Val::Map(map) = value else {
            return Err(format!("dig finds no dictionary in a {}", kind(value)));
        };
        match map.fields.get(key) {
            Some(found) => value = found,
            None => return Ok(fallback.clone()),
        }
    }
    Ok(value.clone())
}

fn too_few() -> String {
    "dig needs at least three arguments".to_owned()
}

fn merged(eval: &mut Eval<'_>, a: &Args, overwrite: bool) -> Made {
    let mut into = a.get(0).clone();
    for from in a.rest() {
        into = merge(&into, from, overwrite)?;
        eval.budget.charge(&into)?;
    }
    Ok(into)
}
