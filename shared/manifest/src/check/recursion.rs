//! Templates that call themselves: something must end them.

use std::collections::{BTreeMap, BTreeSet};

use crate::codes::Code;
use crate::types::Template;

use super::SpecCheck;
use super::flow::{Call, Flow, Origin};

pub(super) fn check(check: &SpecCheck<'_>) {
    let flow = Flow::new(check);
    let circles = Circles::of(&flow, |_| true);
    let endless = Circles::of(&flow, |call| !bounded(call));
    let mut told = BTreeSet::new();
    for call in flow.calls.iter().filter(|call| circles.holds(call)) {
        if bounded(call) {
            condition(check, &flow, call, &mut told);
        } else if endless.holds(call) && told.insert(call.caller.name.clone()) {
            let message = format!(
                "'{}' calls '{}' again without a condition: the recursion ends only at its depth limit of 100",
                call.caller.name, call.step.template
            );
            check.report(
                Code::W705,
                &call.path,
                message,
                "add a `when` that turns false, such as \"{{inputs.parameters.iteration}} < 5\"",
            );
        }
    }
}

/// The templates that lead back to themselves: two are in one circle when each leads to the other.
struct Circles<'s> {
    circle_of: BTreeMap<&'s str, usize>,
}

impl<'s> Circles<'s> {
    /// The circles made by the calls that `keep` holds for, by two walks: the second goes against the calls, in
    /// the reverse order in which the first one finished.
    fn of(flow: &'s Flow<'s>, keep: impl Fn(&Call<'_>) -> bool) -> Self {
        let mut forth: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut back: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for call in flow.calls.iter().filter(|call| keep(call)) {
            let (caller, callee) = (call.caller.name.as_str(), call.step.template.as_str());
            forth.entry(caller).or_default().push(callee);
            back.entry(callee).or_default().push(caller);
        }
        let mut finished = Vec::new();
        let mut seen = BTreeSet::new();
        for start in forth.keys().copied() {
            walk(start, &forth, &mut seen, &mut finished);
        }
        let mut circle_of = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (circle, start) in finished.into_iter().rev().enumerate() {
            let mut members = Vec::new();
            walk(start, &back, &mut seen, &mut members);
            circle_of.extend(members.into_iter().map(|member| (member, circle)));
        }
        Circles { circle_of }
    }

    /// Whether the call closes a circle.
    fn holds(&self, call: &Call<'_>) -> bool {
        let circle = |name: &String| self.circle_of.get(name.as_str());
        circle(&call.caller.name).is_some() && circle(&call.caller.name) == circle(&call.step.template)
    }
}

/// Walks from `start` to all that is new, and appends each when everything it leads to has been appended.
fn walk<'s>(
    start: &'s str,
    edges: &BTreeMap<&'s str, Vec<&'s str>>,
    seen: &mut BTreeSet<&'s str>,
    finished: &mut Vec<&'s str>,
) {
    if !seen.insert(start) {
        return;
    }
    let next = |name: &str| edges.get(name).cloned().unwrap_or_default();
    let mut path = vec![(start, next(start))];
    while let Some((name, rest)) = path.last_mut() {
        match rest.pop() {
            Some(new) if seen.insert(new) => path.push((new, next(new))),
            Some(_) => {}
            None => {
                finished.push(*name);
                path.pop();
            }
        }
    }
}

/// Whether the call may be skipped.
fn bounded(call: &Call<'_>) -> bool {
    let step = call.step;
    let on_failure = step.depends.as_deref().is_some_and(|depends| depends.contains('.'));
    step.when.is_some() || step.with_param.is_some() || on_failure
}

/// The condition of a recursive call must depend on something that changes from round to round.
fn condition(check: &SpecCheck<'_>, flow: &Flow<'_>, call: &Call<'_>, told: &mut BTreeSet<String>) {
    let Some(when) = &call.step.when else { return };
    let origins = flow.origins(&call.caller.name, when);
    if origins.is_empty() {
        let message = format!(
            "the condition '{when}' is the same in every round: the recursion ends at once or at its depth limit of 100"
        );
        check.report(
            Code::W705,
            &format!("{}.when", call.path),
            message,
            "compare an output of a step, or an input that each round changes",
        );
        return;
    }
    for counter in carried(flow, call, &origins) {
        if let Some(round) = round(check, call)
            && told.insert(counter.path.clone())
            && !flow.depends_on(&counter, round)
        {
            let message = format!(
                "the recursion of '{}' is to end by what '{}' computes, but '{}' is given nothing that changes from round to round",
                round.name, counter.step.name, counter.step.name
            );
            let remedy = format!(
                "hand the previous value to '{}' as an argument, from an input of '{}'; otherwise it begins anew each time",
                counter.step.name, round.name
            );
            check.report(Code::W705, &counter.path, message, remedy);
        }
    }
}

/// The leaf calls whose outputs decide the condition and are handed to the next round, as a counter is.
fn carried<'s>(flow: &Flow<'s>, call: &Call<'s>, origins: &BTreeSet<Origin>) -> Vec<Call<'s>> {
    let handed: BTreeSet<Origin> = (call.step.arguments.parameters.iter())
        .filter_map(|argument| argument.value.as_ref())
        .flat_map(|value| flow.origins(&call.caller.name, value.as_str()))
        .collect();
    let both = origins.intersection(&handed);
    let paths = both.filter_map(|origin| match origin {
        Origin::Leaf(path) => Some(path),
        Origin::Computed => None,
    });
    paths.filter_map(|path| flow.calls.iter().find(|call| call.path == *path).cloned()).collect()
}

/// The template that a recursive call begins again.
fn round<'s>(check: &'s SpecCheck<'_>, call: &Call<'_>) -> Option<&'s Template> {
    check.spec.templates.iter().find(|template| template.name == call.step.template)
}
