//! What a made-up workflow comes to where nothing goes wrong, straight from Argo's rules and knowing nothing of the
//! engine: the phase of the whole, and which commands run how often.

use std::collections::BTreeMap;

use super::{After, Body, Call, End, Flow, Takes, Task, Template, Test};

/// What a workflow comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether it succeeds.
    pub succeeds: bool,
    /// Commands that end: template, item, try, and how.
    pub commands: BTreeMap<Command, u32>,
    /// Whether it ends before all of them have begun: which ones do is chance.
    pub is_cut: bool,
}

/// Template, item, try, and whether it ends well.
type Command = (String, String, u32, bool);

/// The phases that a node may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Succeeded,
    /// A daemon that serves until its callers have ended.
    Serves,
    Failed,
    Skipped,
    Omitted,
}

impl Answer {
    /// Whether this is what was expected. A step whose success a cache keeps runs at least once for each item, and as often
    /// as it is called before the first has told the cache.
    pub fn agrees(&self, expected: &Answer, flow: &Flow) -> bool {
        if expected.is_cut {
            let begun = |(command, times): (&Command, &u32)| {
                expected.commands.get(command).is_some_and(|most| times <= most)
            };
            let failed = self.commands.keys().any(|(.., good)| !good);
            return !self.succeeds && failed && self.commands.iter().all(begun);
        }
        let kept = |(template, _, _, good): &Command| {
            *good && flow.templates.iter().enumerate().any(|(at, t)| t.memo && *template == format!("t{at}"))
        };
        let fits = |(command, times): (&Command, &u32)| match expected.commands.get(command) {
            Some(most) if kept(command) => (1..=*most).contains(times),
            expected => expected == Some(times),
        };
        self.succeeds == expected.succeeds
            && self.commands.len() == expected.commands.len()
            && self.commands.iter().all(fits)
    }
}

impl Answer {
    /// Whether this is what was expected, and once more what a retry of the failed run has to do: each command comes to the
    /// same then, what failed runs again, and what succeeded stays. Where something follows a failure or is tried again as a
    /// whole, what a retry removes is Argo's own affair, and the reference says nothing.
    pub fn agrees_retried(&self, expected: &Answer, flow: &Flow) -> bool {
        if expected.is_cut || follows_failures(flow) {
            return true;
        }
        let memo = |template: &str| {
            flow.templates.iter().enumerate().any(|(at, t)| t.memo && *template == format!("t{at}"))
        };
        let fits = |(command, times): (&Command, &u32)| {
            let once = expected.commands.get(command).copied().unwrap_or(0);
            let (template, _, _, good) = command;
            let least = if *good && memo(template) { 1 } else { once };
            let most = if *good { once } else { 2 * once };
            (least..=most).contains(times)
        };
        let failed = |answer: &Answer| -> u32 {
            answer.commands.iter().filter(|((.., good), _)| !good).map(|(_, times)| times).sum()
        };
        !self.succeeds
            && !expected.succeeds
            && self.commands.len() == expected.commands.len()
            && self.commands.iter().all(fits)
            && failed(self) > failed(expected)
    }
}

/// Whether a workflow has anything that runs since something else failed, or is tried again as a whole.
fn follows_failures(flow: &Flow) -> bool {
    let hooked = |call: &Call| call.on_exit.is_some() || call.hook.is_some() || call.continues;
    let follows = |template: &Template| match &template.body {
        Body::Steps(groups) => template.retries.is_some() || groups.iter().flatten().any(hooked),
        Body::Dag(tasks) => {
            let expressed =
                |task: &Task| hooked(&task.call) || matches!(task.after, After::Expression { .. });
            template.retries.is_some() || tasks.iter().any(expressed)
        }
        Body::Again(..) => template.retries.is_some(),
        // One that has served is a success afterwards.
        Body::Daemon => true,
        Body::Pod { .. } | Body::Nap(_) => false,
    };
    flow.on_exit.is_some() || flow.templates.iter().any(follows)
}

struct Reference<'a> {
    flow: &'a Flow,
    answer: Answer,
    /// The items of the last loop whose commands did well, in order: what they gave (O-9, O-11).
    gave: Vec<String>,
}

/// What a workflow comes to.
pub fn answer(flow: &Flow) -> Answer {
    let mut reference = Reference { flow, answer: Answer::default(), gave: Vec::new() };
    let phase = reference.template(flow.templates.len() - 1, "-");
    reference.answer.succeeds = phase != Phase::Failed;
    reference.answer.is_cut = flow.fail_fast && phase == Phase::Failed;
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
            let phase = self.once(at, template, item, number);
            if phase != Phase::Failed {
                return phase;
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
            Body::Daemon => Phase::Serves,
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
            // A failed try counts, and one whose failure is borne (PL-4, PL-5): what comes next is not begun.
            if self.flow.fail_fast && self.answer.commands.keys().any(|(.., good)| !good) {
                return Phase::Failed;
            }
        }
        Phase::Succeeded
    }

    fn step(&mut self, call: &Call, item: &str) -> Phase {
        let gave = std::mem::take(&mut self.gave);
        if call.takes == Some(Takes::Each) {
            let each = Call { takes: None, ..call.clone() };
            let phases: Vec<Phase> = gave.iter().map(|item| self.call(&each, item)).collect();
            return if phases.contains(&Phase::Failed) { Phase::Failed } else { Phase::Succeeded };
        }
        let whole = format!("[{}]", gave.join(","));
        let item = if call.takes == Some(Takes::Whole) { &whole } else { item };
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
            match self.template(call.template, item) {
                Phase::Succeeded => self.gave.push(item.clone()),
                other => phase = other,
            }
            if let Some(on_exit) = call.on_exit {
                self.template(on_exit, "-");
            }
        }
        // A loop has ended once all of its daemons serve (D-11).
        if call.count.is_some() && phase == Phase::Serves {
            phase = Phase::Succeeded;
        }
        if let Some(hook) = &call.hook
            && (if hook.failed { phase == Phase::Failed } else { phase == Phase::Succeeded })
        {
            // Its own failure changes nothing (H-4).
            self.template(hook.template, "-");
        }
        phase
    }

    /// Rules D-2, D-6, D-11, D-12 with `failFast: false`.
    fn dag(&mut self, tasks: &[Task], item: &str) -> Phase {
        let mut phases: Vec<Phase> = Vec::new();
        let mut fails: Vec<bool> = Vec::new();
        for task in tasks {
            let runs = holds(tasks, &phases, &task.after);
            let phase = if runs { self.call(&task.call, item) } else { Phase::Omitted };
            // Where it did not run, or has not ended, its branch is as those before it.
            fails.push(match phase {
                Phase::Succeeded | Phase::Failed => phase == Phase::Failed,
                Phase::Serves | Phase::Skipped | Phase::Omitted => {
                    task.after.named().iter().any(|on| fails[*on])
                }
            });
            phases.push(phase);
        }
        let is_target = |at: &usize| !tasks.iter().any(|task| task.after.named().contains(at));
        let failed = (0..tasks.len()).filter(is_target).any(|at| fails[at] && !tasks[at].call.continues);
        if failed { Phase::Failed } else { Phase::Succeeded }
    }
}

/// Whether a task may run, once all that it names have come to something (D-2, D-5).
fn holds(tasks: &[Task], phases: &[Phase], after: &After) -> bool {
    let bears = |on: &usize| match phases[*on] {
        Phase::Succeeded | Phase::Serves | Phase::Skipped => true,
        Phase::Failed => tasks[*on].call.continues,
        Phase::Omitted => false,
    };
    let test = |(on, test): &(usize, Test)| match test {
        Test::Bare => bears(on),
        Test::Succeeded => phases[*on] == Phase::Succeeded,
        Test::Failed => phases[*on] == Phase::Failed,
        Test::Ended => matches!(phases[*on], Phase::Succeeded | Phase::Failed),
        Test::NotSucceeded => phases[*on] != Phase::Succeeded,
    };
    match after {
        After::All(tasks) => tasks.iter().all(bears),
        After::Expression { tests, .. } if tests.is_empty() => true,
        After::Expression { any: true, tests } => tests.iter().any(test),
        After::Expression { any: false, tests } => tests.iter().all(test),
    }
}
