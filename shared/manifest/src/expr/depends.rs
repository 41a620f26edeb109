//! The language of a DAG task's `depends`: results of other tasks with `&&`, `||`, `!` and parentheses.
//!
//! Argo rewrites the text (`-` in names becomes `_`) and gives it to expr-lang; here the names are tokens of their
//! own, so that `a-b` and `a_b` may stand side by side.

use std::collections::BTreeMap;
use std::fmt;

/// A result that a condition can ask a task for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "Argo's own words")]
pub enum DependsResult {
    Succeeded,
    Failed,
    Errored,
    Skipped,
    Omitted,
    Daemoned,
    AnySucceeded,
    AllFailed,
}

impl DependsResult {
    const ALL: [DependsResult; 8] = [
        DependsResult::Succeeded,
        DependsResult::Failed,
        DependsResult::Errored,
        DependsResult::Skipped,
        DependsResult::Omitted,
        DependsResult::Daemoned,
        DependsResult::AnySucceeded,
        DependsResult::AllFailed,
    ];

    /// Whether it asks for the items of a loop.
    pub fn is_of_items(self) -> bool {
        matches!(self, DependsResult::AnySucceeded | DependsResult::AllFailed)
    }

    fn named(name: &str) -> Option<DependsResult> {
        Self::ALL.into_iter().find(|result| format!("{result:?}") == name)
    }
}

impl fmt::Display for DependsResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a dependency's `continueOn` lets pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContinueOn {
    /// `continueOn.error`.
    pub error: bool,
    /// `continueOn.failed`.
    pub failed: bool,
}

/// A condition on other tasks, which it names, or tells by what stands for their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Depends<Task = String> {
    /// No condition.
    Always,
    /// A task has a result.
    Is {
        /// The task.
        task: Task,
        /// Its result.
        result: DependsResult,
    },
    /// The condition does not hold.
    Not(Box<Depends<Task>>),
    /// All hold.
    All(Vec<Depends<Task>>),
    /// One holds.
    Any(Vec<Depends<Task>>),
}

/// Why a `depends` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DependsError {
    /// A task is asked for a result that does not exist.
    #[error("task result '{result}' for task '{task}' is invalid")]
    Result {
        /// The task.
        task: String,
        /// What was asked for.
        result: String,
        /// Byte offset of the task's name.
        offset: usize,
    },
    /// The text is no condition.
    #[error("unexpected {found} in depends logic '{text}'")]
    Syntax {
        /// The whole text.
        text: String,
        /// What stands where something else was expected.
        found: String,
        /// Byte offset of it.
        offset: usize,
    },
    /// There are too many parentheses inside each other.
    #[error("depends logic is nested more than {NESTING_MAX} deep")]
    Nesting,
}

const NESTING_MAX: usize = 64;

impl Depends {
    /// The tasks it names, each with whether a loop's items are asked for.
    pub fn tasks(&self) -> BTreeMap<&str, bool> {
        let mut tasks = BTreeMap::new();
        self.each(&mut |task, result| *tasks.entry(task).or_insert(false) |= result.is_of_items());
        tasks
    }

    /// Calls `visit` with every task and result it asks for, in order.
    pub fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a str, DependsResult)) {
        match self {
            Depends::Always => {}
            Depends::Is { task, result } => visit(task, *result),
            Depends::Not(inner) => inner.each(visit),
            Depends::All(parts) | Depends::Any(parts) => parts.iter().for_each(|part| part.each(visit)),
        }
    }

    /// The same condition with `other` in the place of each name; the first error of it.
    ///
    /// # Errors
    /// Those of `other`.
    pub fn try_map<T, E>(&self, other: &dyn Fn(&str) -> Result<T, E>) -> Result<Depends<T>, E> {
        let each = |parts: &[Depends]| -> Result<Vec<Depends<T>>, E> {
            parts.iter().map(|part| part.try_map(other)).collect()
        };
        Ok(match self {
            Depends::Always => Depends::Always,
            Depends::Is { task, result } => Depends::Is { task: other(task)?, result: *result },
            Depends::Not(inner) => Depends::Not(Box::new(inner.try_map(other)?)),
            Depends::All(parts) => Depends::All(each(parts)?),
            Depends::Any(parts) => Depends::Any(each(parts)?),
        })
    }
}

impl<Task> Depends<Task> {
    /// Whether it holds, where `has` says whether a task has a result.
    pub fn evaluate(&self, has: &dyn Fn(&Task, DependsResult) -> bool) -> bool {
        match self {
            Depends::Always => true,
            Depends::Is { task, result } => has(task, *result),
            Depends::Not(inner) => !inner.evaluate(has),
            Depends::All(parts) => parts.iter().all(|part| part.evaluate(has)),
            Depends::Any(parts) => parts.iter().any(|part| part.evaluate(has)),
        }
    }
}

/// What a bare name means: the task succeeded, was skipped or runs as a daemon, or ended as its `continueOn` allows.
pub fn expand(task: &str, continue_on: ContinueOn) -> Depends {
    use DependsResult::{Daemoned, Errored, Failed, Skipped, Succeeded};
    let allowed = [
        (Succeeded, true),
        (Skipped, true),
        (Daemoned, true),
        (Errored, continue_on.error),
        (Failed, continue_on.failed),
    ];
    let is = |result| Depends::Is { task: task.to_owned(), result };
    Depends::Any(allowed.into_iter().filter(|(_, yes)| *yes).map(|(result, _)| is(result)).collect())
}

/// The condition that `dependencies: […]` stands for.
pub fn from_dependencies<'a>(
    dependencies: impl IntoIterator<Item = &'a str>,
    continue_on: &dyn Fn(&str) -> ContinueOn,
) -> Depends {
    let parts: Vec<_> = dependencies.into_iter().map(|task| expand(task, continue_on(task))).collect();
    if parts.is_empty() { Depends::Always } else { Depends::All(parts) }
}

/// Reads a `depends`; `continue_on` is asked for the tasks that stand there without a result.
///
/// # Errors
/// See `DependsError`.
pub fn parse(text: &str, continue_on: &dyn Fn(&str) -> ContinueOn) -> Result<Depends, DependsError> {
    if text.trim().is_empty() {
        return Ok(Depends::Always);
    }
    let mut parser = Parser { text, at: 0, nesting: 0, continue_on };
    let depends = parser.any()?;
    parser.spaces();
    if parser.at < text.len() { Err(parser.unexpected()) } else { Ok(depends) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nesting: usize,
    continue_on: &'a dyn Fn(&str) -> ContinueOn,
}

type Parsed = Result<Depends, DependsError>;

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn unexpected(&self) -> DependsError {
        let found = match self.rest().chars().next() {
            Some(c) => format!("'{c}'"),
            None => "end".to_owned(),
        };
        DependsError::Syntax { text: self.text.to_owned(), found, offset: self.at }
    }

    fn take(&mut self, sign: &str) -> bool {
        self.spaces();
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    /// As `take`, for a word: `or` is not the beginning of `order`.
    fn take_word(&mut self, word: &str) -> bool {
        self.spaces();
        self.name_length() == word.len() && self.take(word)
    }

    fn name_length(&self) -> usize {
        let in_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        self.rest().find(|c| !in_name(c)).unwrap_or(self.rest().len())
    }

    fn any(&mut self) -> Parsed {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(DependsError::Nesting);
        }
        let mut parts = vec![self.all()?];
        while self.take("||") || self.take_word("or") {
            parts.push(self.all()?);
        }
        self.nesting -= 1;
        Ok(if parts.len() == 1 { parts.remove(0) } else { Depends::Any(parts) })
    }

    fn all(&mut self) -> Parsed {
        let mut parts = vec![self.one()?];
        while self.take("&&") || self.take_word("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Depends::All(parts) })
    }

    fn one(&mut self) -> Parsed {
        let mut negated = false;
        while self.take("!") || self.take_word("not") {
            negated = !negated;
        }
        let depends = if self.take("(") {
            let inner = self.any()?;
            if !self.take(")") {
                return Err(self.unexpected());
            }
            inner
        } else {
            self.task()?
        };
        Ok(if negated { Depends::Not(Box::new(depends)) } else { depends })
    }

    fn task(&mut self) -> Parsed {
        self.spaces();
        let (offset, length) = (self.at, self.name_length());
        if length == 0 {
            return Err(self.unexpected());
        }
        let task = &self.rest()[..length];
        self.at += length;
        if !self.rest().starts_with('.') {
            return Ok(expand(task, (self.continue_on)(task)));
        }
        self.at += 1;
        let length = self.name_length();
        let result = &self.rest()[..length];
        self.at += length;
        match DependsResult::named(result) {
            Some(result) => Ok(Depends::Is { task: task.to_owned(), result }),
            None => Err(DependsError::Result { task: task.to_owned(), result: result.to_owned(), offset }),
        }
    }
}
