//! Workflows that a seed makes up: as a model, from which both the manifest and the reference's answer come.

mod manifest;
mod reference;

use std::collections::BTreeSet;
use std::sync::Arc;

use dropforge_engine::attempt::Attempt;

use crate::plan::Plan;
use crate::random::Random;
use crate::world::World;

pub use manifest::{spec, workflow};
pub use reference::{Answer, answer};

/// A workflow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its templates; those called stand before their callers.
    pub templates: Vec<Template>,
    /// Its exit handler.
    pub on_exit: Option<usize>,
    /// How many pods it runs at once.
    pub parallelism: Option<u64>,
    /// The mutex of the whole.
    pub lock: Option<Lock>,
    /// Whether it has a volume of its own.
    pub volume: bool,
    /// Whether its entry template starts nothing more once something in it has failed.
    pub fail_fast: bool,
}

impl Flow {
    fn of(templates: Vec<Template>) -> Flow {
        Flow { templates, on_exit: None, parallelism: None, lock: None, volume: false, fail_fast: false }
    }
}

/// A lock: its name and how many may hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Its name.
    pub name: String,
    /// A mutex is held by one, a semaphore by two.
    pub limit: usize,
}

/// A template; all take the parameter `i`.
#[derive(Clone, Debug)]
pub struct Template {
    /// What it does.
    pub body: Body,
    /// How often it is tried again.
    pub retries: Option<u32>,
    /// What it holds while it goes on.
    pub lock: Option<Lock>,
    /// Whether a cache of the run keeps, for each item, that it succeeded.
    pub memo: bool,
}

/// What a template does.
#[derive(Clone, Debug)]
pub enum Body {
    /// Runs a pod; how each try ends, the last one for all that follow, and the item for which all fail.
    Pod {
        /// A letter for each try: `.` well, `x` not, `o` out of memory.
        rule: String,
        /// The item that fails.
        bad: Option<u32>,
    },
    /// Runs a pod that serves until its callers have ended.
    Daemon,
    /// Waits for some seconds.
    Nap(u32),
    /// Groups of steps, one after the other.
    Steps(Vec<Vec<Call>>),
    /// Tasks, each with what it depends on.
    Dag(Vec<Task>),
    /// A pod so many times, one after the other, by calling itself.
    Again(usize, u32),
}

/// A task of a DAG.
#[derive(Clone, Debug)]
pub struct Task {
    /// What it does.
    pub call: Call,
    /// What it waits for.
    pub after: After,
}

/// What a task waits for.
#[derive(Clone, Debug)]
pub enum After {
    /// `dependencies`: all of these.
    All(Vec<usize>),
    /// `depends`: one of these that holds (`||`), or all of them (`&&`).
    Expression {
        /// Whether one is enough.
        any: bool,
        /// Earlier tasks, each with what it must have come to.
        tests: Vec<(usize, Test)>,
    },
}

impl After {
    /// The tasks that it names.
    pub fn named(&self) -> Vec<usize> {
        match self {
            After::All(tasks) => tasks.clone(),
            After::Expression { tests, .. } => tests.iter().map(|(on, _)| *on).collect(),
        }
    }
}

/// What `depends` may ask of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// `a`: succeeded, was skipped, or serves.
    Bare,
    /// `a.Succeeded`.
    Succeeded,
    /// `a.Failed`.
    Failed,
    /// `(a.Succeeded || a.Failed)`.
    Ended,
    /// `!a.Succeeded`.
    NotSucceeded,
}

/// What follows once a call has come to something.
#[derive(Clone, Debug)]
pub struct Hook {
    /// What is run.
    pub template: usize,
    /// Whether it follows a failure; else it follows a success.
    pub failed: bool,
}

/// A call of a template.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which.
    pub template: usize,
    /// For each of so many items.
    pub count: Option<u32>,
    /// What it makes of what the loop in the first group gave; that loop's commands give their items.
    pub takes: Option<Takes>,
    /// What its `when` says.
    pub when: Option<bool>,
    /// Whether its failure is borne.
    pub continues: bool,
    /// What follows its end.
    pub on_exit: Option<usize>,
    /// A lifecycle hook with an expression.
    pub hook: Option<Hook>,
}

/// What is made of all that a loop gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// It is handed to one step.
    Whole,
    /// A step is repeated for each.
    Each,
}

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With 0.
    Good,
    /// With 1.
    Bad,
    /// The kernel ended it and its wrapper.
    OutOfMemory,
}

impl End {
    fn of(rule: &str, number: u32, is_bad: bool) -> End {
        if is_bad {
            return End::Bad;
        }
        let at = usize::try_from(number).unwrap_or(usize::MAX).min(rule.len() - 1);
        match &rule[at..=at] {
            "x" => End::Bad,
            "o" => End::OutOfMemory,
            _ => End::Good,
        }
    }
}

/// Whether an attempt is one of a made-up workflow; the others are the samples'.
pub fn is_made_up(attempt: &Attempt) -> bool {
    attempt.work.template.container.as_ref().is_some_and(|c| c.image.as_deref() == Some(IMAGE))
}

/// The image of all made-up workflows.
const IMAGE: &str = "made-up";

/// How the command of an attempt ends, as its arguments say: `rule`, `bad item`, `item`, `retried`, `lock`.
pub fn end(_: &World, attempt: &Attempt) -> End {
    if !is_made_up(attempt) {
        return End::Good;
    }
    let arguments = arguments(attempt);
    let [rule, bad, item, retried, ..] = &arguments[..] else { return End::Good };
    End::of(rule, number(&attempt.node_name, retried), bad == item)
}

/// Which try of its node an attempt is: Argo names it at the end.
pub fn number(node_name: &str, retried: &str) -> u32 {
    let tail = node_name.strip_suffix(')').and_then(|name| name.rsplit_once('(')).map(|(_, tail)| tail);
    tail.filter(|_| retried == "retried").and_then(|tail| tail.parse().ok()).unwrap_or(0)
}

/// What the container of an attempt is told.
pub fn arguments(attempt: &Attempt) -> Vec<String> {
    attempt.work.template.container.as_ref().and_then(|container| container.args.clone()).unwrap_or_default()
}

/// What the command of an attempt prints, if somebody reads it.
pub fn result(attempt: &Attempt) -> Option<String> {
    let arguments = arguments(attempt);
    let gives = arguments.get(5).is_some_and(|word| word == GIVES);
    arguments.get(2).filter(|_| gives).cloned()
}

/// What the container of an attempt is told whose result is read.
const GIVES: &str = "gives";

/// Whether a pod serves until it is told to end.
pub fn is_daemon(attempt: &Attempt) -> bool {
    arguments(attempt).first().is_some_and(|rule| rule == DAEMON)
}

/// What the container of a daemon is told instead of a rule.
const DAEMON: &str = "daemon";

/// The lock that a pod's template holds.
pub fn lock_of(attempt: &Arc<Attempt>) -> Option<(String, usize)> {
    let arguments = arguments(attempt);
    let (name, limit) = arguments.get(4)?.split_once(':')?;
    Some((name.to_owned(), limit.parse().ok()?))
}

/// What decides of one workflow; parts that the plan drops are not made.
struct Maker<'a> {
    random: Random,
    plan: &'a Plan,
    part: u32,
    /// Whether commands fail at all.
    fails: bool,
    /// Whether there are locks.
    locks: bool,
    /// The templates that are daemons.
    daemons: BTreeSet<usize>,
}

/// The workflow number `n` of a plan.
pub fn made_up(plan: &Plan, n: u32) -> Flow {
    let random = Random::new(plan.seed, &format!("workflow {n}"));
    let mut maker =
        Maker { random, plan, part: n * 1000, fails: false, locks: false, daemons: BTreeSet::new() };
    maker.fails = maker.part(1, 2);
    if let Some(items) = plan.items.filter(|_| n == 0) {
        return maker.of_many(items);
    }
    maker.locks = if plan.hasty { maker.part(4, 5) } else { maker.part(1, 3) };
    let mut templates: Vec<Template> = (0..3).map(|at| maker.leaf(at)).collect();
    let inner = maker.random.below(3);
    for _ in 0..inner {
        let template = maker.inner(templates.len());
        templates.push(template);
    }
    let entry = maker.inner(templates.len());
    templates.push(entry);
    let on_exit = maker.part(1, 5).then_some(0);
    // A daemon holds its place until those have run that wait for another.
    let parallelism =
        maker.part(1, 5).then(|| 1 + maker.random.below(2)).filter(|_| maker.daemons.is_empty());
    let whole = if plan.hasty { maker.part(1, 2) } else { maker.part(1, 4) };
    let lock = (whole && maker.locks).then(|| maker.lock_of("whole"));
    let volume = maker.part(1, 6);
    Flow { on_exit, parallelism, lock, volume, ..Flow::of(templates) }
}

/// A workflow of one to three steps, one after the other, for runs that are many.
pub fn short(plan: &Plan, n: u32) -> Flow {
    let random = Random::new(plan.seed, &format!("workflow {n}"));
    let mut maker =
        Maker { random, plan, part: n * 1000, fails: false, locks: false, daemons: BTreeSet::new() };
    maker.fails = maker.part(1, 3);
    let leaf = maker.leaf(0);
    let steps = (0..1 + maker.random.below(3)).map(|_| vec![maker.plain(0)]).collect();
    let entry = Template { body: Body::Steps(steps), retries: None, lock: None, memo: false };
    Flow::of(vec![leaf, entry])
}

impl Maker<'_> {
    /// Whether a part that is there in `hits` of `of` workflows is in this one.
    fn part(&mut self, hits: u64, of: u64) -> bool {
        self.part += 1;
        self.random.chance(hits, of) && !self.plan.dropped.contains(&self.part)
    }

    /// The same for what only wide worlds have.
    fn wide_part(&mut self, hits: u64, of: u64) -> bool {
        self.plan.wide && self.part(hits, of)
    }

    /// Locks are taken from the outside in and each level has its own, so that no workflow waits for itself.
    fn lock_of(&self, level: &str) -> Lock {
        Lock { name: format!("{level}-mutex"), limit: 1 }
    }

    fn lock(&mut self) -> Lock {
        match self.random.below(3) {
            0 => Lock { name: "sem".to_owned(), limit: 2 },
            n => Lock { name: format!("mutex-{n}"), limit: 1 },
        }
    }

    /// A loop over many items, of which some run at a time, what takes all that they gave, and a step after that.
    fn of_many(&mut self, items: u32) -> Flow {
        let rules = if self.fails { ["x.", "o.", "x"] } else { ["."; 3] };
        let rule = (*self.random.pick(&rules)).to_owned();
        let bad = self.part(1, 3).then(|| self.random.below(u64::from(items)) as u32);
        let leaf = Template {
            body: Body::Pod { rule, bad },
            retries: Some(self.random.below(3) as u32),
            lock: None,
            memo: false,
        };
        let many = Call { count: Some(items), continues: self.part(1, 2), ..self.plain(0) };
        let takes = if self.random.chance(1, 2) { Takes::Whole } else { Takes::Each };
        let takes = Call { takes: Some(takes), ..self.plain(1) };
        let steps = Body::Steps(vec![vec![many], vec![takes], vec![self.plain(0)]]);
        let taker = Template {
            body: Body::Pod { rule: ".".to_owned(), bad: None },
            retries: None,
            lock: None,
            memo: false,
        };
        let entry = Template { body: steps, retries: None, lock: None, memo: false };
        let parallelism = Some(1 + self.random.below(100));
        let fail_fast = self.part(1, 4);
        Flow { parallelism, fail_fast, ..Flow::of(vec![leaf, taker, entry]) }
    }

    fn leaf(&mut self, at: usize) -> Template {
        // The first is what exit handlers and hooks run, which nothing ends.
        if at > 0 && self.wide_part(1, 8) {
            self.daemons.insert(at);
            return Template { body: Body::Daemon, retries: None, lock: None, memo: false };
        }
        let lock = (self.part(1, 2) && self.locks).then(|| self.lock());
        if self.part(1, 6) {
            return Template {
                body: Body::Nap(self.random.below(120) as u32),
                retries: None,
                lock: None,
                memo: false,
            };
        }
        let retries = self.part(1, 3).then(|| self.random.below(3) as u32);
        let fails = self.part(1, 2) && self.fails;
        let rules = if fails { ["x.", "xx.", "o.", "x"] } else { ["."; 4] };
        let rule = (*self.random.pick(&rules)).to_owned();
        let bad = (self.part(1, 8) && self.fails).then(|| self.random.below(3) as u32);
        let memo = self.wide_part(1, 6) && retries.is_none();
        Template { body: Body::Pod { rule, bad }, retries, lock, memo }
    }

    /// A template that calls some of those before it.
    fn inner(&mut self, before: usize) -> Template {
        let lock = (self.part(1, 8) && self.locks).then(|| self.lock_of(&format!("level-{before}")));
        let body = match self.random.below(7) {
            0..=2 => {
                let groups = 1 + self.random.below(3);
                Body::Steps(
                    (0..groups).map(|_| self.group(before)).filter(|group| !group.is_empty()).collect(),
                )
            }
            3..=5 => self.dag(before),
            _ => Body::Again(0, 1 + self.random.below(3) as u32),
        };
        let retries = self.part(1, 8).then(|| self.random.below(2) as u32);
        // An empty Steps template is refused.
        let body = match body {
            Body::Steps(groups) if groups.is_empty() => Body::Steps(vec![vec![self.plain(0)]]),
            body => body,
        };
        Template { body, retries, lock, memo: false }
    }

    fn dag(&mut self, before: usize) -> Body {
        let many = 1 + self.random.below(5);
        let expressions = self.wide_part(1, 3);
        let mut tasks: Vec<Task> = Vec::new();
        for n in 0..many {
            let mut call = self.call(before);
            let named = self.dependencies(n);
            let after = match expressions {
                true => {
                    // The two may not stand together.
                    call.continues = false;
                    self.expression(&tasks, named)
                }
                false => After::All(named),
            };
            tasks.push(Task { call, after });
        }
        Body::Dag(tasks)
    }

    fn expression(&mut self, tasks: &[Task], named: Vec<usize>) -> After {
        let any = self.random.chance(1, 2);
        let all = [Test::Bare, Test::Succeeded, Test::Failed, Test::Ended, Test::NotSucceeded];
        let mut tests = Vec::new();
        for on in named {
            let serves = self.daemons.contains(&tasks[on].call.template);
            tests.push((on, if serves { Test::Bare } else { *self.random.pick(&all) }));
        }
        After::Expression { any, tests }
    }

    fn group(&mut self, before: usize) -> Vec<Call> {
        let many = 1 + self.random.below(3);
        (0..many).filter_map(|_| self.call_or_none(before)).collect()
    }

    fn call_or_none(&mut self, before: usize) -> Option<Call> {
        let call = self.call(before);
        self.part(9, 10).then_some(call)
    }

    fn dependencies(&mut self, task: u64) -> Vec<usize> {
        (0..task).filter(|_| self.part(1, 2)).map(|n| n as usize).collect()
    }

    fn plain(&self, template: usize) -> Call {
        Call { template, count: None, takes: None, when: None, continues: false, on_exit: None, hook: None }
    }

    fn call(&mut self, before: usize) -> Call {
        let template = self.random.below(before as u64) as usize;
        let mut call = Call {
            template,
            count: self.part(1, 4).then(|| self.random.below(4) as u32),
            takes: None,
            when: self.part(1, 5).then(|| self.random.chance(1, 2)),
            continues: self.part(1, 5),
            on_exit: self.part(1, 10).then_some(0),
            hook: None,
        };
        if self.wide_part(1, 6) && call.count.is_none() {
            call.hook = Some(Hook { template: 0, failed: self.random.chance(1, 2) });
        }
        if self.daemons.contains(&template) {
            // Nobody looks at a daemon any more when it is told to end.
            (call.on_exit, call.hook) = (None, None);
        }
        call
    }
}
