//! Lifecycle hooks and exit handlers: their expressions and their arguments.

use dropforge_manifest::expr::{self, Expr, ExprErrorKind};
use dropforge_manifest::tags::{self, Scope, Strictness};
use dropforge_manifest::text::Item;
use dropforge_manifest::types::{Arguments, Outputs};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Surroundings, Why, globals, put_artifacts, take_absent, take_sources};
use crate::ids::NodeId;
use crate::record::Role;
use crate::scope::{Layers, Looped, Viewer};
use crate::state::{Body, Node, RunState};

/// The arguments of a hook or exit handler of a call, resolved with the call's own outputs in scope; tags that can't be
/// resolved stay (Argo's rule H-7).
///
/// # Errors
/// When an artifact it names does not exist.
pub fn hook_arguments(
    state: &RunState,
    now: Timestamp,
    owner: &Node,
    call: NodeId,
    arguments: &Arguments,
) -> Result<(Arguments, Vec<String>), Why> {
    let nothing = Outputs::default();
    let around = Surroundings::new(state, now, owner, Viewer::Hook(call), &nothing);
    let item = item_of(state, call);
    let looped = item.as_ref().map(Looped);
    let mut json = json!({ "arguments": arguments });
    let sources = take_sources(&mut json);
    around.enter(&mut json).map_err(|e| e.to_string())?;
    let scope = with_item(around.turn(), looped.as_ref());
    let absent = take_absent(&mut json, &scope);
    tags::replace_value(&mut json, &scope, Strictness::Lenient).map_err(|e| e.to_string())?;
    put_artifacts(&mut json, &sources, &scope)?;
    let arguments = serde_json::from_value(json["arguments"].take()).map_err(|e| e.to_string())?;
    Ok((arguments, absent))
}

/// Whether the `expression` of a hook is true: over what its call sees, or over the globals where the node is the run's own.
/// `parsed` is the expression where no tag stands in it. What does not exist yet makes it untrue.
///
/// # Errors
/// The expression's own: it can't be read, is no boolean, or names what can never exist.
pub fn hook_expression(
    state: &RunState,
    now: Timestamp,
    node: NodeId,
    text: &str,
    parsed: Option<&Expr>,
) -> Result<bool, Why> {
    let owner = state.caller(node).and_then(|(owner, _)| state.node(owner));
    let Some(owner) = owner else {
        let globals = globals(state, now, node);
        let text = replaced(text, &globals)?;
        return truth(state, None, &text, parsed, &globals);
    };
    let nothing = Outputs::default();
    let around = Surroundings::new(state, now, owner, Viewer::Hook(node), &nothing);
    let item = item_of(state, node);
    let looped = item.as_ref().map(Looped);
    let scope = with_item(around.turn(), looped.as_ref());
    let mut entered = Value::String(text.to_owned());
    around.enter(&mut entered).map_err(|e| e.to_string())?;
    let text = replaced(entered.as_str().unwrap_or(text), &scope)?;
    truth(state, Some(owner), &text, parsed, &scope)
}

fn replaced(text: &str, scope: &dyn Scope) -> Result<String, Why> {
    tags::replace(text, scope, Strictness::Lenient).map_err(|e| e.to_string())
}

fn truth(
    state: &RunState,
    owner: Option<&Node>,
    text: &str,
    parsed: Option<&Expr>,
    scope: &dyn Scope,
) -> Result<bool, Why> {
    let read;
    let expression = match parsed {
        Some(parsed) => parsed,
        None => {
            read = expr::parse(text).map_err(|e| e.to_string())?;
            &read
        }
    };
    match expr::evaluate_bool(expression, &expr::Env::of(scope)) {
        Err(e) if matches!(&e.kind, ExprErrorKind::Missing(name) if may_come(state, owner, name)) => {
            Ok(false)
        }
        found => found.map_err(|e| e.to_string()),
    }
}

/// Whether a variable that does not exist may still come: an output of the run, or something of a step or task that stands
/// beside this one. Argo fails there, depending on which of its passes looks first.
fn may_come(state: &RunState, owner: Option<&Node>, name: &str) -> bool {
    let mut parts = name.split('.');
    match (parts.next(), parts.next()) {
        (Some("workflow"), part) => part.is_none_or(|p| p == "outputs"),
        (Some("steps" | "tasks"), Some(call)) => {
            let call = call.split('(').next().unwrap_or(call);
            owner.and_then(|o| state.template_of(o)).is_some_and(|t| t.has_call(call))
        }
        _ => false,
    }
}

/// The item that a loop's child stands for.
fn item_of(state: &RunState, id: NodeId) -> Option<Item> {
    let node = state.node(id)?;
    let Role::Item(index) = node.role else { return None };
    match &state.node(node.parent?)?.body {
        Body::Loop { items, .. } => items.items.get(index as usize),
        _ => None,
    }
}

fn with_item<'a>(mut scope: Layers<'a>, item: Option<&'a Looped<'a>>) -> Layers<'a> {
    // Behind the globals, which know the time.
    scope.0.extend(item.map(|i| i as &dyn Scope));
    scope
}
