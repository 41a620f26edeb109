//! What a made-up workflow comes to where nothing goes wrong, straight from Argo's rules and knowing nothing of the
//! engine: the phase of the whole, and which commands run how often.

use std::collections::BTreeMap;

use super::{Body, Call, End, Flow, Template};

/// What a workflow comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether it succeeds.
    pub succeeds: bool,
    /// Commands that end: template, item, try, and how.
    pub commands: BTreeMap<(String, String, u32, bool), u32>,
}

/// The phases that a node may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Succeeded,
    Failed,
    Skipped,
    Omitted,
}

struct Reference<'a> {
    flow: &'a Flow,
    answer: Answer,
}

/// What a workflow comes to.
pub fn answer(flow: &Flow) -> Answer {
    let mut reference = Reference { flow, answer: Answer::default() };
    let phase = reference.template(flow.templates.len() - 1, "-");
    reference.answer.succeeds = phase != Phase::Failed;
    if let Some(on_exit) = flow.on_exit
        && reference.template(on_exit, "-") == Phase::Failed
    {
        reference.answer.succeeds = false;
    }
    reference.answer
}

impl Reference<'_> {
    /// A template, and again as often as it may fail.
    fn template(&mut self, at: usize, item: &str) -> Phase {
        let template = &self.flow.templates[at];
        for number in 0..=template.retries.unwrap_or(0) {
            if self.once(at, template, item, number) == Phase::Succeeded {
                return Phase::Succeeded;
            }
        }
        Phase::Failed
    }

    fn once(&mut self, at: usize, template: &Template, item: &str, number: u32) -> Phase {
        match &template.body {
            Body::Pod { rule, bad } => {
                let is_bad = bad.is_some_and(|bad| bad.to_string() == item);
                let good = End::of(rule, number, is_bad) == End::Good;
                *self
                    .answer
                    .commands
                    .entry((format!("t{at}"), item.to_owned(), number, good))
                    .or_default() += 1;
                if good { Phase::Succeeded } else { Phase::Failed }
            }
            Body::Nap(_) => Phase::Succeeded,
            Body::Steps(groups) => self.steps(groups, item),
            Body::Dag(tasks) => self.dag(tasks, item),
            Body::Again(called, times) => {
                let fails = (0..*times).any(|_| self.template(*called, "-") == Phase::Failed);
                if fails { Phase::Failed } else { Phase::Succeeded }
            }
        }
    }

    /// All of a group run; the next group only after all of them succeeded, or may fail.
    fn steps(&mut self, groups: &[Vec<Call>], item: &str) -> Phase {
        for group in groups {
            let phases: Vec<Phase> = group.iter().map(|call| self.step(call, item)).collect();
            if phases.contains(&Phase::Failed) {
                return Phase::Failed;
            }
        }
        Phase::Succeeded
    }

    fn step(&mut self, call: &Call, item: &str) -> Phase {
        match self.call(call, item) {
            Phase::Failed if call.continues => Phase::Succeeded,
            phase => phase,
        }
    }

    /// A call, for each of its items, with what follows their ends, which changes nothing of them (H-12).
    fn call(&mut self, call: &Call, item: &str) -> Phase {
        if call.when == Some(false) {
            // Each of a loop's items is skipped, and the loop succeeds (W-6, D-9).
            return if call.count.is_some_and(|count| count > 0) { Phase::Succeeded } else { Phase::Skipped };
        }
        let items: Vec<String> = match call.count {
            Some(count) => (0..count).map(|n| n.to_string()).collect(),
            None => vec![item.to_owned()],
        };
        if items.is_empty() {
            return Phase::Skipped;
        }
        let mut phase = Phase::Succeeded;
        for item in &items {
            if self.template(call.template, item) == Phase::Failed {
                phase = Phase::Failed;
            }
            if let Some(on_exit) = call.on_exit {
                self.template(on_exit, "-");
            }
        }
        phase
    }

    /// Rules D-2, D-6, D-11, D-12 with `failFast: false`.
    fn dag(&mut self, tasks: &[(Call, Vec<usize>)], item: &str) -> Phase {
        let mut phases: Vec<Phase> = Vec::new();
        let mut fails: Vec<bool> = Vec::new();
        for (call, dependencies) in tasks {
            let bears = |on: &usize| match phases[*on] {
                Phase::Succeeded | Phase::Skipped => true,
                Phase::Failed => tasks[*on].0.continues,
                Phase::Omitted => false,
            };
            let phase = if dependencies.iter().all(bears) { self.call(call, item) } else { Phase::Omitted };
            // Where it did not run, its branch is as those before it.
            fails.push(match phase {
                Phase::Succeeded | Phase::Failed => phase == Phase::Failed,
                Phase::Skipped | Phase::Omitted => dependencies.iter().any(|on| fails[*on]),
            });
            phases.push(phase);
        }
        let is_target = |at: &usize| !tasks.iter().any(|(_, dependencies)| dependencies.contains(at));
        let failed = (0..tasks.len()).filter(is_target).any(|at| fails[at] && !tasks[at].0.continues);
        if failed { Phase::Failed } else { Phase::Succeeded }
    }
}
