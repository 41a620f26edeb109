//! What one evaluation may use. Whatever makes a text, a list or a map goes through here first.

use regex::Regex;

use super::VALUE_BYTES_MAX;
use super::value::{MAP_BYTES, Val, too_large};
use crate::go::{Pattern, compile_pattern};

/// Operations of one evaluation, each of about 60 ns: some tenths of a second, so that no expression holds up a run.
pub(super) const STEPS_MAX: usize = 5_000_000;
/// How much of a value counts as one step.
const SIZE_PER_STEP: usize = 64;
/// What all values of one evaluation may take together, those no longer needed included.
const BYTES_MAX: usize = 4 * VALUE_BYTES_MAX;
/// expr-lang's own budget: elements of lists and maps, and bytes that `repeat` gives, of one evaluation.
const ELEMENTS_MAX: usize = 1_000_000;

/// What is used so far.
#[derive(Default)]
pub(super) struct Budget {
    steps: usize,
    bytes: usize,
    elements: usize,
}

impl Budget {
    /// Counts work.
    pub fn spend(&mut self, steps: usize) -> Result<(), String> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > STEPS_MAX {
            return Err(format!("the expression takes more than {STEPS_MAX} steps"));
        }
        Ok(())
    }

    /// Counts the work of looking through some values.
    pub fn look<'v>(&mut self, values: impl IntoIterator<Item = &'v Val>) -> Result<(), String> {
        let sizes = values.into_iter().map(|value| value.size() / SIZE_PER_STEP);
        self.spend(sizes.fold(0, usize::saturating_add))
    }

    /// Counts the work of comparing one value with `times` others.
    pub fn compare(&mut self, value: &Val, times: usize) -> Result<(), String> {
        self.spend(times.saturating_mul(1 + value.size() / SIZE_PER_STEP))
    }

    /// Counts the bytes of a text or a buffer that is about to be made, and refuses what is too large.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), String> {
        if bytes > VALUE_BYTES_MAX {
            return Err(too_large());
        }
        self.take(bytes)
    }

    /// Counts what a new value takes; `Val` itself refuses what is too large.
    pub fn charge(&mut self, value: &Val) -> Result<(), String> {
        self.take(match value {
            Val::Text(text) => text.len(),
            Val::List(list) => list.items.len() * size_of::<Val>(),
            Val::Map(map) => MAP_BYTES + map.fields.len() * 4 * size_of::<Val>(),
            _ => 0,
        })
    }

    fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > BYTES_MAX {
            return Err(format!("the values of the expression take more than {} MiB", BYTES_MAX >> 20));
        }
        Ok(())
    }

    /// Counts what expr-lang counts, where it does, so that it refuses the same expressions.
    pub fn grow(&mut self, elements: usize) -> Result<(), String> {
        self.elements = self.elements.saturating_add(elements);
        if self.elements >= ELEMENTS_MAX {
            return Err("memory budget exceeded".to_owned());
        }
        Ok(())
    }

    /// Compiles a pattern.
    pub fn compile(&mut self, pattern: &str) -> Result<Pattern, String> {
        let compiled = compile_pattern(pattern)?;
        self.spend(compiled.compilation())?;
        Ok(compiled)
    }

    /// The pattern, once the work of searching `text` with it is counted.
    pub fn search<'p>(&mut self, pattern: &'p Pattern, text: &str) -> Result<&'p Regex, String> {
        self.spend(pattern.work(text))?;
        Ok(pattern.regex())
    }
}
