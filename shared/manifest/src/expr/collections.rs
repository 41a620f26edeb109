//! Functions that evaluate an expression for each element.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ast::Node;
use super::eval::{Eval, Frame, Propagated};
use super::value::{Items, Val, order};

/// Where a failure belongs: to the predicate's own place, or to the function's name.
pub(super) enum Failed {
    Inside(Propagated),
    Here(String),
}

impl From<Propagated> for Failed {
    fn from(inside: Propagated) -> Failed {
        Failed::Inside(inside)
    }
}

impl From<String> for Failed {
    fn from(message: String) -> Failed {
        Failed::Here(message)
    }
}

/// Calls `name` over a list. The parser made sure that a predicate is there where one is needed.
pub(super) fn predicate(
    eval: &mut Eval<'_>,
    name: &str,
    over: &Val,
    node: Option<&Node>,
    third: Option<Val>,
) -> Result<Val, Failed> {
    let bytes;
    let list = match over {
        Val::List(list) => list,
        // Only where its type is not known before: Go walks the bytes.
        Val::Text(text) => {
            bytes = Val::list(text.bytes().map(|byte| Val::Int(byte.into())))?;
            let Val::List(list) = &bytes else { unreachable!("a list was made") };
            list
        }
        _ => return Err(Failed::Here(format!("builtin {name} takes only array (got {})", over.type_name()))),
    };
    let mut each = Each { eval, list, node };
    match name {
        "all" => Ok(Val::Bool(each.first(false, false)?.is_none())),
        "none" => Ok(Val::Bool(each.first(true, false)?.is_none())),
        "any" => Ok(Val::Bool(each.first(true, false)?.is_some())),
        "one" => Ok(Val::Bool(each.chosen()?.len() == 1)),
        "count" => Ok(Val::Int(count(each.chosen()?.len()))),
        "find" => Ok(each.found(false)?.map_or(Val::Nil, |i| list.items[i].clone())),
        "findLast" => Ok(each.found(true)?.map_or(Val::Nil, |i| list.items[i].clone())),
        "findIndex" => Ok(each.found(false)?.map_or(Val::Nil, |i| Val::Int(count(i)))),
        "findLastIndex" => Ok(each.found(true)?.map_or(Val::Nil, |i| Val::Int(count(i)))),
        "filter" => {
            let kept = each.chosen()?.into_iter().map(|i| list.items[i].clone()).collect();
            each.made(kept)
        }
        "map" => {
            let values = each.values()?;
            each.made(values)
        }
        "sum" => each.sum(),
        "groupBy" => each.group(),
        "sortBy" => each.sort(third),
        _ => each.reduce(third),
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

struct Each<'e, 'a, 'n> {
    eval: &'e mut Eval<'a>,
    list: &'n Arc<Items>,
    node: Option<&'n Node>,
}

impl Each<'_, '_, '_> {
    fn made(&mut self, items: Vec<Val>) -> Result<Val, Failed> {
        self.eval.budget.grow(items.len())?;
        let list = Val::list(items)?;
        self.eval.budget.charge(&list)?;
        Ok(list)
    }

    fn value(&mut self, index: usize, acc: Option<Val>) -> Result<Val, Failed> {
        let item = self.list.items[index].clone();
        match self.node {
            Some(node) => Ok(self.eval.predicate(node, Frame { item, index, acc })?),
            None => Ok(item),
        }
    }

    fn values(&mut self) -> Result<Vec<Val>, Failed> {
        (0..self.list.items.len()).map(|i| self.value(i, None)).collect()
    }

    fn truth(&mut self, index: usize) -> Result<bool, Failed> {
        match self.value(index, None)? {
            Val::Bool(truth) => Ok(truth),
            other => {
                Err(Failed::Here(format!("predicate should return boolean (got {})", other.type_name())))
            }
        }
    }

    fn first(&mut self, wanted: bool, backwards: bool) -> Result<Option<usize>, Failed> {
        let length = self.list.items.len();
        for i in 0..length {
            let i = if backwards { length - 1 - i } else { i };
            if self.truth(i)? == wanted {
                return Ok(Some(i));
            }
        }
        Ok(None)
    }

    fn found(&mut self, backwards: bool) -> Result<Option<usize>, Failed> {
        self.first(true, backwards)
    }

    fn chosen(&mut self) -> Result<Vec<usize>, Failed> {
        let mut chosen = Vec::new();
        for i in 0..self.list.items.len() {
            if self.truth(i)? {
                chosen.push(i);
            }
        }
        Ok(chosen)
    }

    fn sum(&mut self) -> Result<Val, Failed> {
        let mut sum = Val::Int(0);
        for i in 0..self.list.items.len() {
            let value = self.value(i, None)?;
            sum = match (&sum, &value) {
                (Val::Int(a), Val::Int(b)) => Val::Int(a.wrapping_add(*b)),
                (Val::Int(0), Val::Duration(b)) if i == 0 => Val::Duration(*b),
                (Val::Duration(a), Val::Duration(b)) => Val::Duration(a.wrapping_add(*b)),
                _ => match (sum.as_number(), value.as_number()) {
                    (Some(a), Some(b)) => Val::Float(a + b),
                    _ => {
                        let types = (sum.type_name(), value.type_name());
                        return Err(Failed::Here(format!("invalid operation: {} + {}", types.0, types.1)));
                    }
                },
            };
        }
        Ok(sum)
    }

    fn group(&mut self) -> Result<Val, Failed> {
        let mut groups: BTreeMap<Arc<str>, Vec<Val>> = BTreeMap::new();
        for i in 0..self.list.items.len() {
            let key = match self.value(i, None)? {
                Val::Text(key) => key,
                other => other.shown().into(),
            };
            groups.entry(key).or_default().push(self.list.items[i].clone());
        }
        let mut fields = BTreeMap::new();
        for (key, items) in groups {
            fields.insert(key, self.made(items)?);
        }
        Ok(Val::map(fields)?)
    }

    fn sort(&mut self, direction: Option<Val>) -> Result<Val, Failed> {
        let descending = descending(direction.as_ref())?;
        let keys = self.values()?;
        let pairs = keys.into_iter().zip(self.list.items.iter().cloned()).collect();
        let sorted = sorted(pairs, descending)?;
        self.made(sorted)
    }

    fn reduce(&mut self, initial: Option<Val>) -> Result<Val, Failed> {
        let (mut acc, start) = match (initial, self.list.items.first()) {
            (Some(initial), _) => (initial, 0),
            (None, Some(first)) => (first.clone(), 1),
            (None, None) => {
                return Err(Failed::Here("reduce of empty array with no initial value".to_owned()));
            }
        };
        for i in start..self.list.items.len() {
            acc = self.value(i, Some(acc))?;
        }
        Ok(acc)
    }
}

/// Whether a sort goes down; only "asc" and "desc" are known.
pub(super) fn descending(direction: Option<&Val>) -> Result<bool, String> {
    match direction {
        None => Ok(false),
        Some(Val::Text(text)) => match &**text {
            "asc" => Ok(false),
            "desc" => Ok(true),
            other => Err(format!("invalid order {other}, expected asc or desc")),
        },
        Some(other) => Err(format!("sort order argument must be a string (got {})", other.type_name())),
    }
}

/// The second parts in the order of the first ones; equal ones keep their order.
pub(super) fn sorted(mut pairs: Vec<(Val, Val)>, descending: bool) -> Result<Vec<Val>, String> {
    for pair in pairs.windows(2) {
        if order(&pair[0].0, &pair[1].0).is_none() {
            let (a, b) = (pair[0].0.type_name(), pair[1].0.type_name());
            return Err(format!("invalid operation: {a} < {b}"));
        }
    }
    // One way of comparing for the whole list: whole numbers as floats where there is a float among them.
    let floats = pairs.iter().any(|(key, _)| matches!(key, Val::Float(_)));
    let key = |value: &Val| match value.as_number() {
        Some(number) if floats => Val::Float(number),
        _ => value.clone(),
    };
    pairs.sort_by(|a, b| {
        let order = order(&key(&a.0), &key(&b.0)).unwrap_or(std::cmp::Ordering::Equal);
        if descending { order.reverse() } else { order }
    });
    Ok(pairs.into_iter().map(|(_, value)| value).collect())
}
