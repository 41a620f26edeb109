//! What the items of a wide loop gave, gathered: handed to one step as a whole, and looped over.

use std::collections::VecDeque;
use std::sync::Arc;

use dropforge_driver::births::{Identity, Library, Overrides, Site, run_spec};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::decide::advance;
use dropforge_engine::effect::Effect;
use dropforge_engine::event::Event;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::program::Program;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_engine::state::RunState;
use dropforge_manifest::parse::{AnyObject, parse};

use crate::Result;

fn spec(items: usize) -> Result<RunSpec> {
    let gave = "{{steps.loop.outputs.result}}";
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: wide}}
spec:
  entrypoint: main
  parallelism: 100
  templates:
  - name: main
    steps:
    - - {{name: loop, template: gives, withSequence: {{count: {items}}}}}
    - - {{name: whole, template: takes, arguments: {{parameters: [{{name: p, value: '{gave}'}}]}}}}
    - - {{name: each, template: takes, withParam: '{gave}', arguments: {{parameters: [{{name: p, value: '{{{{item}}}}'}}]}}}}
  - {{name: gives, script: {{image: busybox, source: x, command: [sh]}}}}
  - {{name: takes, inputs: {{parameters: [{{name: p}}]}}, container: {{image: busybox, args: ['{{{{inputs.parameters.p}}}}']}}}}
"
    );
    let object = parse("wide", &text).documents.into_iter().next().map(|document| document.object);
    let Some(AnyObject::Workflow(workflow)) = object else {
        return Err("the manifest holds no workflow".into());
    };
    let identity = Identity { uid: "wide".into(), suffix: "abcde".to_owned() };
    let cause = Cause::Person { by: "test".to_owned() };
    let (library, site, overrides) = (Library::default(), Site::default(), Overrides::default());
    Ok(run_spec(*workflow, &library, &site, &overrides, &identity, cause, SystemClock.now())?)
}

/// What its container is told.
fn argument(attempt: &Attempt) -> Option<String> {
    attempt.work.template.container.as_ref()?.args.as_ref()?.first().cloned()
}

/// The number that the step of an item gives.
fn given(item: usize) -> usize {
    item * 7 + 1
}

/// Plays a run whose loop has so many items, ten or so ends in another order than their begins; fails where what was gathered
/// is not what they gave, in the order of the items.
pub fn gather(items: usize) -> Result<()> {
    let now = SystemClock.now();
    let mut state = RunState::new(Arc::new(Program::compile(spec(items)?)?));
    let mut events = VecDeque::from([Event::Submitted]);
    let (mut started, mut whole, mut each) = (0, None, Vec::new());
    while let Some(event) = events.pop_front() {
        let (after, decision) = advance(state, &event, now);
        state = after;
        for effect in decision?.effects {
            events.push_back(match &*effect {
                Effect::StartAttempt(attempt) => {
                    let id = attempt.id.clone();
                    let mut verdict =
                        Verdict::without_outputs(id, Outcome::Succeeded, Reason::Exited, "", now);
                    match (argument(attempt), &whole) {
                        (None, _) => {
                            verdict.outputs.result = Some(given(started).to_string());
                            started += 1;
                        }
                        (told, None) => whole = told,
                        (told, Some(_)) => each.extend(told),
                    }
                    Event::AttemptFinished { verdict: Arc::new(verdict) }
                }
                Effect::SetTimer { timer, .. } => Event::TimerFired { timer: timer.clone() },
                effect => Event::Performed { effect: effect.key(), generation: 0 },
            });
            if started % 10 == 9 {
                events.rotate_right(1);
            }
        }
    }
    let expected: Vec<String> = (0..items).map(|item| given(item).to_string()).collect();
    let is_whole = whole == Some(format!("[{}]", expected.join(",")));
    if (state.phase, started, is_whole) == (RunPhase::Succeeded, items, true) && is_each(each, expected) {
        return Ok(());
    }
    Err(format!(
        "{started} of {items} gave something, the run is {}, and what was gathered is another",
        state.phase
    )
    .into())
}

/// Whether a loop ran for each of these, in whichever order its steps began.
fn is_each(mut each: Vec<String>, mut expected: Vec<String>) -> bool {
    each.sort_unstable();
    expected.sort_unstable();
    each == expected
}

#[cfg(test)]
mod tests {
    /// Some pieces of 1,024 and a part of one.
    const ITEMS: usize = 3_000;

    #[test]
    fn what_a_wide_loop_gave_is_gathered_in_the_order_of_its_items() {
        super::gather(ITEMS).expect("it is");
    }
}
