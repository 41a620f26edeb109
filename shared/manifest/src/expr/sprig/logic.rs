//! Defaults, conditions and reflection.

use super::Takes::{Any, Bool, Text};
use super::cast::{empty, kind, same, type_of};
use super::{Args, Function, Made, function, variadic};
use crate::expr::eval::Eval;
use crate::expr::value::Val;

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("default", &[Any], Any, |_, a| match a.rest().first() {
        Some(given) if !empty(given) => Ok(given.clone()),
        _ => Ok(a.get(0).clone()),
    }),
    function("ternary", &[Any, Any, Bool], |_, a| Ok(a.get(if a.truth(2) { 0 } else { 1 }).clone())),
    variadic("coalesce", &[], Any, |_, a| {
        Ok(a.rest().iter().find(|value| !empty(value)).cloned().unwrap_or(Val::Nil))
    }),
    function("empty", &[Any], |_, a| Ok(Val::Bool(empty(a.get(0))))),
    variadic("all", &[], Any, |_, a| Ok(Val::Bool(!a.rest().iter().any(empty)))),
    variadic("any", &[], Any, |_, a| Ok(Val::Bool(!a.rest().iter().all(empty)))),
    function("fail", &[Text], |_, a| Err(a.text(0).to_owned())),
    function("hello", &[], |_, _| Ok(Val::text("Hello!"))),
    function("typeOf", &[Any], |_, a| Ok(Val::text(type_of(a.get(0))))),
    function("typeIs", &[Text, Any], |_, a| Ok(Val::Bool(a.text(0) == type_of(a.get(1))))),
    function("typeIsLike", &[Text, Any], |_, a| {
        let of = type_of(a.get(1));
        Ok(Val::Bool(a.text(0) == of || of.strip_prefix('*') == Some(a.text(0))))
    }),
    function("kindOf", &[Any], |_, a| Ok(Val::text(kind(a.get(0))))),
    function("kindIs", &[Text, Any], |_, a| Ok(Val::Bool(a.text(0) == kind(a.get(1))))),
    function("deepEqual", &[Any, Any], |_, a| Ok(Val::Bool(same(a.get(0), a.get(1))))),
    function("deepCopy", &[Any], copy),
    function("mustDeepCopy", &[Any], copy),
];

/// Values never change, so that a value is as good as its copy; Go cannot copy nil.
fn copy(_: &mut Eval<'_>, a: &Args) -> Made {
    match a.get(0) {
        Val::Nil => Err("cannot copy nil".to_owned()),
        value => Ok(value.clone()),
    }
}
