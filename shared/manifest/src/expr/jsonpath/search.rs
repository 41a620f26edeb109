//! Following a path. Each step hands what it finds to the steps after it; a step that finds many leaves out those
//! where the steps after it find nothing.

use super::{Operand, Step, Test};
use crate::expr::eval::Eval;
use crate::expr::value::{Val, equal, order};

/// Why there is no value.
pub(super) enum Miss {
    /// Nothing is there; of many places only this one is left out.
    Nothing(String),
    /// The search may not go on.
    Stop(String),
}

impl From<String> for Miss {
    fn from(why: String) -> Miss {
        Miss::Stop(why)
    }
}

type Found = Result<Val, Miss>;

pub(super) struct Search<'s, 'a> {
    pub root: &'s Val,
    pub eval: &'s mut Eval<'a>,
}

impl Search<'_, '_> {
    /// Counts a value that is looked at: `$..*..*` looks at more with every step.
    fn visit(&mut self) -> Result<(), String> {
        self.eval.budget.spend(4)
    }

    pub(super) fn follow(&mut self, of: &Val, steps: &[Step]) -> Found {
        self.visit()?;
        let Some((step, rest)) = steps.split_first() else { return Ok(of.clone()) };
        match step {
            Step::Key(key) => match of {
                Val::Map(map) => match map.fields.get(key.as_str()) {
                    Some(value) => self.follow(value, rest),
                    None => Err(Miss::Nothing(format!("key: invalid token key '{key}' not found"))),
                },
                _ => Err(wrong("key", "map", of)),
            },
            Step::Length => {
                let length = match of {
                    Val::Map(map) => match map.fields.get("length") {
                        Some(value) => return self.follow(value, rest),
                        None => map.fields.len(),
                    },
                    Val::List(list) => list.items.len(),
                    Val::Text(text) => text.len(),
                    _ => return Err(wrong("length", "array map slice string", of)),
                };
                self.follow(&Val::Int(i64::try_from(length).unwrap_or(i64::MAX)), rest)
            }
            Step::Index(index) => match of {
                Val::List(list) => match at(&list.items, *index) {
                    Some(value) => self.follow(value, rest),
                    None => Err(Miss::Nothing("index: invalid token out of range".to_owned())),
                },
                _ => Err(wrong("index", "array slice", of)),
            },
            Step::All => {
                let children = children(of).ok_or_else(|| wrong("wildcard", "array map slice", of))?;
                self.each(children, rest)
            }
            Step::Slice { from, to, step } => {
                let Val::List(list) = of else { return Err(wrong("range", "array slice", of)) };
                if *step == 0 {
                    return Err(Miss::Nothing("range: invalid token out of range".to_owned()));
                }
                self.chosen(slice(&list.items, *from, *to, *step), rest)
            }
            Step::Union(parts) => {
                let chosen = union(of, parts)?;
                self.chosen(chosen, rest)
            }
            Step::Filter(test) => {
                let children = children(of).ok_or_else(|| wrong("filter", "array map slice", of))?;
                let mut kept = Vec::new();
                for child in children {
                    if self.evaluated(test, child)?.is_some_and(|value| counts(&value)) {
                        kept.push(child);
                    }
                }
                self.chosen(kept, rest)
            }
            Step::Below => {
                let mut found = Vec::new();
                self.below(of, rest, &mut found)?;
                Ok(Val::list(found)?)
            }
        }
    }

    /// What some places and the steps after them lead to.
    fn each(&mut self, places: Vec<&Val>, rest: &[Step]) -> Found {
        let mut found = Vec::new();
        for place in places {
            match self.follow(place, rest) {
                Ok(Val::Nil) if !rest.is_empty() => {}
                Ok(value) => found.push(value),
                Err(Miss::Nothing(_)) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(Val::list(found)?)
    }

    /// As `each`; an index that comes next counts the places that were chosen.
    fn chosen(&mut self, places: Vec<&Val>, rest: &[Step]) -> Found {
        if matches!(rest.first(), Some(Step::Index(_))) {
            let list = Val::list(places.into_iter().cloned())?;
            return self.follow(&list, rest);
        }
        self.each(places, rest)
    }

    /// A list that the steps find counts as its elements.
    fn below(&mut self, of: &Val, rest: &[Step], found: &mut Vec<Val>) -> Result<(), Miss> {
        if matches!(of, Val::Nil) {
            return Ok(());
        }
        match self.follow(of, rest) {
            Ok(Val::Nil) | Err(Miss::Nothing(_)) => {}
            Ok(Val::List(list)) if !rest.is_empty() => {
                self.eval.budget.spend(list.items.len())?;
                found.extend(list.items.iter().cloned());
            }
            Ok(value) => found.push(value),
            Err(stop) => return Err(stop),
        }
        for child in children(of).unwrap_or_default() {
            self.below(child, rest, found)?;
        }
        Ok(())
    }

    /// The value of a filter for one element; None where it has none, as when a path in it leads nowhere.
    fn evaluated(&mut self, test: &Test, of: &Val) -> Result<Option<Val>, String> {
        self.visit()?;
        match test {
            Test::Or(a, b) | Test::And(a, b) => {
                let (a, b) = (self.evaluated(a, of)?, self.evaluated(b, of)?);
                let (Some(Val::Bool(a)), Some(Val::Bool(b))) = (a, b) else { return Ok(None) };
                Ok(Some(Val::Bool(if matches!(test, Test::Or(..)) { a || b } else { a && b })))
            }
            Test::Not(a) => match self.evaluated(a, of)? {
                Some(Val::Bool(truth)) => Ok(Some(Val::Bool(!truth))),
                _ => Ok(None),
            },
            Test::Exists(operand) => self.operand(operand, of),
            Test::Compare(a, operator, b) => {
                let (Some(a), Some(b)) = (self.operand(a, of)?, self.operand(b, of)?) else {
                    return Ok(None);
                };
                Ok(Some(Val::Bool(self.compare(&a, operator, &b)?)))
            }
        }
    }

    fn operand(&mut self, operand: &Operand, of: &Val) -> Result<Option<Val>, String> {
        match operand {
            Operand::Literal(value) => Ok(Some(value.clone())),
            Operand::Path { root, steps } => {
                let start = if *root { self.root.clone() } else { of.clone() };
                match self.follow(&start, steps) {
                    Ok(value) => Ok(Some(value)),
                    Err(Miss::Nothing(_)) => Ok(None),
                    Err(Miss::Stop(why)) => Err(why),
                }
            }
        }
    }

    fn compare(&mut self, a: &Val, operator: &str, b: &Val) -> Result<bool, String> {
        self.eval.budget.look([a, b])?;
        Ok(match operator {
            "==" => equal(a, b),
            "!=" => !equal(a, b),
            "=~" => match (a, b) {
                (Val::Text(text), Val::Text(pattern)) => {
                    self.eval.pattern(pattern.trim_matches('/'), text)?.is_match(text)
                }
                _ => false,
            },
            _ => match (order(a, b), operator) {
                (None, _) => false,
                (Some(order), "<") => order.is_lt(),
                (Some(order), "<=") => order.is_le(),
                (Some(order), ">") => order.is_gt(),
                (Some(order), _) => order.is_ge(),
            },
        })
    }
}

fn wrong(step: &str, expected: &str, of: &Val) -> Miss {
    let kind = match of {
        Val::Map(_) => "map",
        Val::List(_) => "slice",
        Val::Nil => "nil",
        other => other.type_name(),
    };
    Miss::Nothing(format!("{step}: invalid token target. expected [{expected}] got [{kind}]"))
}

/// Whether a filter with this value keeps its element.
fn counts(value: &Val) -> bool {
    match value {
        Val::Nil => false,
        Val::Bool(truth) => *truth,
        Val::List(list) => !list.items.is_empty(),
        Val::Map(map) => !map.fields.is_empty(),
        Val::Text(text) => !matches!(&**text, "" | "''" | "\"\""),
        other => other.as_number().is_none_or(|number| number != 0.0),
    }
}

fn children(of: &Val) -> Option<Vec<&Val>> {
    match of {
        Val::List(list) => Some(list.items.iter().collect()),
        Val::Map(map) => Some(map.fields.values().collect()),
        _ => None,
    }
}

fn union<'v>(of: &'v Val, parts: &[Step]) -> Result<Vec<&'v Val>, Miss> {
    let mut chosen = Vec::new();
    for part in parts {
        chosen.extend(match (part, of) {
            (Step::Key(key), Val::Map(map)) => map.fields.get(key.as_str()),
            (Step::Index(index), Val::List(list)) => at(&list.items, *index),
            (Step::Key(_), _) => return Err(wrong("union", "map", of)),
            _ => return Err(wrong("union", "array slice", of)),
        });
    }
    Ok(chosen)
}

fn position(index: i64, length: usize) -> i64 {
    if index < 0 { index.saturating_add(i64::try_from(length).unwrap_or(i64::MAX)) } else { index }
}

fn at(items: &[Val], index: i64) -> Option<&Val> {
    items.get(usize::try_from(position(index, items.len())).ok()?)
}

/// The elements of a range; a negative step goes through it from its end.
fn slice(items: &[Val], from: Option<i64>, to: Option<i64>, step: i64) -> Vec<&Val> {
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let bound = |index: i64| position(index, items.len()).clamp(0, length);
    let (from, to) = (bound(from.unwrap_or(0)), bound(to.unwrap_or(length)));
    let stride = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX).max(1);
    let range = &items[usize::try_from(from).unwrap_or(0)..usize::try_from(to.max(from)).unwrap_or(0)];
    if step < 0 {
        range.iter().rev().step_by(stride).collect()
    } else {
        range.iter().step_by(stride).collect()
    }
}
