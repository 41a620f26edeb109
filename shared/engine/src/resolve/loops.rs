//! Loops: what they are over, and the call that each of their items makes.

use std::collections::BTreeSet;
use std::sync::Arc;

use dropforge_manifest::tags::{self, Lookup, Scope, Strictness, TagError, TagKind};
use dropforge_manifest::text::{AnyString, Item};
use dropforge_manifest::types::{Outputs, Sequence, Step};
use dropforge_manifest::{go, when};
use jiff::Timestamp;
use serde_json::Value;

use super::{Ready, Resolved, Surroundings, Why, globals, put_inline, skipped, take_inline};
use crate::ids::NodeId;
use crate::items::Items;
use crate::program::Program;
use crate::record::LoopItems;
use crate::scope::{Layers, Looped, Viewer};
use crate::state::RunState;

/// Whether a call is a loop as it stands: a list that came out as an empty text is none, and the call runs once.
pub(super) fn loops(call: &Value) -> bool {
    let of = |field: &str| call.get(field);
    of("withItems").and_then(Value::as_array).is_some_and(|items| !items.is_empty())
        || of("withParam").and_then(Value::as_str).is_some_and(|list| !list.is_empty())
        || of("withSequence").is_some_and(Value::is_object)
}

/// Resolves one item of a loop.
///
/// # Errors
/// As [`call`].
pub fn item(
    state: &RunState,
    now: Timestamp,
    group: NodeId,
    items: &LoopItems,
    index: usize,
) -> Result<Resolved, Why> {
    let item = items.items.get(index).ok_or_else(|| format!("the loop has no item {index}"))?;
    let place = || {
        let looped = state.node(group)?;
        let owner = state.node(looped.boundary?)?;
        Some((owner, owner.template.as_ref()?, Viewer::of(state, looped)?))
    };
    let (owner, caller, viewer) = place().ok_or("the loop's caller is gone")?;
    let once = |step: Arc<Step>| {
        Resolved::Once(Ready { key: Program::callee(caller, &step), step, absent: Vec::new() })
    };
    if let Some(step) = items.same() {
        return Ok(once(step.clone()));
    }
    let nothing = Outputs::default();
    let around = Surroundings::new(state, now, owner, viewer, &nothing);
    // Random functions answer one loop otherwise than another.
    let around = Surroundings { globals: globals(state, now, group), ..around };
    let looped = Looped(&item);
    let mut scope = around.turn();
    // Behind the globals, which know the time.
    scope.0.push(&looped);
    let mut json = items.call.clone();
    if let Some(text) = json.get("when").and_then(Value::as_str) {
        let text = tags::replace(text, &scope, Strictness::Lenient).map_err(|e| e.to_string())?;
        if !when::evaluate(&text).map_err(|e| e.to_string())? {
            return Ok(Resolved::Skip(skipped(&text)));
        }
        json["when"] = Value::String(text);
    }
    let inline = take_inline(&mut json, &scope)?;
    // The template's name is not substituted by item.
    let template = json.get("template").cloned();
    tags::replace_value(&mut json, &scope, Strictness::All).map_err(|e| e.to_string())?;
    if let Some(template) = template {
        json["template"] = template;
    }
    put_inline(&mut json, inline);
    serde_json::from_value(json).map(once).map_err(|e| e.to_string())
}

/// The items of a loop, frozen (Argo's rules L-1, L-2, L-6, L-7), each of which can be made with what its call reads. One
/// that is skipped reads nothing, and has no items where they can't be read.
pub(super) fn expand(mut json: Value, scope: Option<&dyn Scope>) -> Result<LoopItems, Why> {
    let skip = scope.is_none();
    let object = json.as_object_mut().ok_or("a step is an object")?;
    let with_items = object.remove("withItems");
    let with_param = object.remove("withParam");
    let with_sequence = object.remove("withSequence");
    let items: Items = if let Some(Value::Array(list)) =
        with_items.filter(|l| l.as_array().is_some_and(|l| !l.is_empty()))
    {
        few_enough(list.len())?;
        Items::gather(list.into_iter().map(|v| Ok::<_, Why>(Item(v.to_string()))))?
    } else if let Some(Value::String(text)) = with_param {
        match listed(&text) {
            Err(_) if skip => Items::default(),
            items => items?,
        }
    } else if let Some(sequence) = with_sequence {
        let sequence = serde_json::from_value(sequence).map_err(|e| e.to_string())?;
        match sequence_items(&sequence) {
            Err(_) if skip => Items::default(),
            items => items?,
        }
    } else {
        Items::default()
    };
    few_enough(items.len())?;
    if let Some(scope) = scope {
        can_be_made(&json, &items, scope)?;
    }
    Ok(LoopItems::new(items, json))
}

/// The items of `withParam`, in Go's words where it is no list; its `null` is an empty one.
fn listed(text: &str) -> Result<Items, Why> {
    if text.trim() == "null" {
        return Ok(Items::default());
    }
    Items::read(text).map_err(|error| {
        let why = match (go::json_error(text), go_kind(text)) {
            (Some(why), _) => why,
            (None, Some(kind)) => {
                format!("json: cannot unmarshal {kind} into Go value of type []v1alpha1.Item")
            }
            (None, None) => error.to_string(),
        };
        let text = shortened(text.trim());
        format!("withParam value could not be parsed as a JSON list: {text}: {why}")
    })
}

/// What Go calls a JSON value; none for a list.
fn go_kind(text: &str) -> Option<&'static str> {
    match text.trim_start().chars().next()? {
        '{' => Some("object"),
        '[' => None,
        '"' => Some("string"),
        't' | 'f' => Some("bool"),
        _ => Some("number"),
    }
}

/// Argo makes all items of a loop before it starts one: where a tag of one stands for nothing, none is made (rule L-3).
fn can_be_made(call: &Value, items: &Items, scope: &dyn Scope) -> Result<(), Why> {
    let mut wanted = Wanted::default();
    wanted.of(call);
    if items.is_empty() || wanted.is_empty() {
        return Ok(());
    }
    for item in items.iter() {
        let looped = Looped(&item);
        let unknown =
            |name: &&String| [&looped as &dyn Scope, scope].iter().all(|s| s.get(name) == Lookup::Unknown);
        if let Some(name) = wanted.names.iter().find(unknown) {
            return Err(TagError::Missing { name: name.clone() }.to_string());
        }
        let scope = Layers(vec![scope, &looped]);
        for text in &wanted.expressions {
            tags::replace(text, &scope, Strictness::All).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// What the tags that are left in a loop's call want of its items, but for the item as a whole.
#[derive(Default)]
struct Wanted {
    names: BTreeSet<String>,
    /// Texts with an expression.
    expressions: Vec<String>,
}

impl Wanted {
    fn of(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.of_text(text),
            Value::Array(items) => items.iter().for_each(|item| self.of(item)),
            // An inline template has names of its own.
            Value::Object(fields) => {
                fields.iter().filter(|(key, _)| *key != "inline").for_each(|(key, field)| {
                    self.of_text(key);
                    self.of(field);
                })
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn of_text(&mut self, text: &str) {
        if !text.contains("{{") {
            return;
        }
        for tag in tags::scan(text).unwrap_or_default() {
            match tag.kind {
                TagKind::Expression => {
                    self.expressions.push(text.to_owned());
                    return;
                }
                // The outer of two tags waits for the next round.
                TagKind::Simple if tag.content == "item" || tag.content.contains("{{") => {}
                TagKind::Simple => {
                    self.names.insert(tag.content);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.expressions.is_empty()
    }
}

/// Replaces what it can in a loop whose `when` is false as it stands and may hold its item in quotes: each item decides
/// then. Its list stays as it is written.
pub(super) fn resolve_loosely(json: &mut Value, scope: &dyn Scope) -> Result<(), Why> {
    let Some(call) = json.as_object_mut() else { return Ok(()) };
    if !call.get("when").and_then(Value::as_str).is_some_and(|when| when.contains("{{")) {
        return Ok(());
    }
    let lists = ["withItems", "withParam", "withSequence"].map(|list| (list, call.remove(list)));
    tags::replace_value(json, &Present(scope), Strictness::Lenient).map_err(|e| e.to_string())?;
    if let Some(call) = json.as_object_mut() {
        call.extend(lists.into_iter().filter_map(|(name, list)| Some((name.to_owned(), list?))));
    }
    Ok(())
}

/// A scope that does not know what will never have a value.
struct Present<'a>(&'a dyn Scope);

impl Scope for Present<'_> {
    fn get(&self, name: &str) -> Lookup {
        match self.0.get(name) {
            Lookup::Absent { .. } => Lookup::Unknown,
            found => found,
        }
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        self.0.subtree(prefix)
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn seed(&self) -> u64 {
        self.0.seed()
    }
}

/// The most items of one loop: they are one record, and a child is made of each.
pub const ITEMS_MAX: usize = 1_000_000;

fn few_enough(items: usize) -> Result<(), Why> {
    if items <= ITEMS_MAX {
        return Ok(());
    }
    Err(format!(
        "the loop has {items} items, more than {ITEMS_MAX}: give each step a range of them to work through, or loop \
         over parts in a template that loops over each part"
    ))
}

fn sequence_items(sequence: &Sequence) -> Result<Items, Why> {
    let number = |text: &Option<AnyString>| -> Result<Option<i64>, Why> {
        text.as_ref().map(|t| go::atoi(&t.0)).transpose()
    };
    let start = number(&sequence.start)?.unwrap_or(0);
    let end = match (number(&sequence.end)?, number(&sequence.count)?) {
        (Some(end), _) => end,
        (None, Some(0)) => return Ok(Items::default()),
        (None, Some(count)) => start.saturating_add(count).saturating_sub(1),
        (None, None) => return Err("neither end nor count was specified in withSequence".to_owned()),
    };
    few_enough(usize::try_from(end.abs_diff(start)).unwrap_or(usize::MAX).saturating_add(1))?;
    let format = sequence.format.as_deref().filter(|f| !f.is_empty()).unwrap_or("%d");
    let item = |n: i64| go::printf_integer(format, n).map(|text| Item(Value::String(text).to_string()));
    if start <= end {
        Items::gather((start..=end).map(item))
    } else {
        Items::gather((end..=start).rev().map(item))
    }
}

/// The beginning of a text that a message quotes: the message becomes part of a record.
fn shortened(text: &str) -> String {
    const QUOTED_BYTES_MAX: usize = 1024;
    if text.len() <= QUOTED_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(QUOTED_BYTES_MAX)])
}
