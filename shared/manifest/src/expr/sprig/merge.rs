//! Merging dictionaries as mergo does.

use super::Made;
use super::cast::empty;
use crate::expr::value::Val;

/// `into` with the fields of `from`: what is empty in it counts as missing, dictionaries are merged field by field,
/// and what both have is taken from `from` only when overwriting.
pub(super) fn merge(into: &Val, from: &Val, overwrite: bool) -> Made {
    let (Val::Map(old), Val::Map(new)) = (into, from) else { return Ok(into.clone()) };
    let mut fields = old.fields.clone();
    for (key, value) in &new.fields {
        let old = fields.get(key);
        let taken = match (old, value) {
            (_, Val::Nil) if overwrite => value.clone(),
            (_, Val::Nil) => continue,
            (Some(old @ Val::Map(_)), Val::Map(_)) if !empty(old) => merge(old, value, overwrite)?,
            (Some(old), _) if !overwrite && !empty(old) => continue,
            _ => value.clone(),
        };
        fields.insert(key.clone(), taken);
    }
    Val::map(fields)
}
