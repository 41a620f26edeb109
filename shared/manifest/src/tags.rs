//! `{{name}}` and `{{=expression}}` inside texts.

mod replace;
mod scan;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use replace::{replace, replace_value};
pub use scan::{Tag, TagKind, reads, scan};

use crate::expr::ExprError;

/// Argo's reason for an output that a skipped or omitted node never had.
pub const ABSENT_OPTIONAL: &str = "output is an absent optional (skipped/omitted node with no default)";

/// The answer of a scope.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// The variable exists.
    Value(Value),
    /// The variable is known and will never have a value; `why` is empty or a reason for the user.
    Absent {
        /// Why it has none; empty stands for `ABSENT_OPTIONAL`.
        why: String,
    },
    /// Nothing is known of it (yet).
    Unknown,
}

/// The variables that a text can name.
pub trait Scope {
    /// A variable by its full dotted name, for example `steps.a.outputs.parameters.x`.
    fn get(&self, name: &str) -> Lookup;

    /// Everything below `prefix` as a nested object, for expressions that read a whole map; None when nothing is there.
    fn subtree(&self, prefix: &str) -> Option<Value>;

    /// What `now()` answers in an expression.
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    /// Decides what random functions answer in an expression.
    fn seed(&self) -> u64 {
        0
    }
}

/// Which names must resolve; everything else that is unknown stays as it is, for a later round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// None: whatever cannot be resolved or evaluated stays.
    Lenient,
    /// Those that begin with one of these words: `["steps", "tasks"]`.
    Strict(&'static [&'static str]),
    /// All.
    All,
}

impl Strictness {
    fn demands(self, name: &str) -> bool {
        match self {
            Strictness::Lenient => false,
            Strictness::All => true,
            Strictness::Strict(prefixes) => {
                prefixes.contains(&name.split_once('.').map_or(name, |(first, _)| first))
            }
        }
    }
}

/// Why tags could not be replaced; the texts are Argo's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// A variable that had to resolve is unknown.
    #[error("failed to resolve {{{{{name}}}}}")]
    Missing {
        /// The variable.
        name: String,
    },
    /// An expression needs a variable that is unknown.
    #[error("failed to evaluate expression: {name} is missing")]
    MissingInExpression {
        /// The variable.
        name: String,
        /// The expression.
        expression: String,
    },
    /// A variable is known to have no value.
    #[error("unable to substitute {{{{{name}}}}}: {}", if why.is_empty() { ABSENT_OPTIONAL } else { why })]
    Absent {
        /// The variable.
        name: String,
        /// Why it has none; empty stands for `ABSENT_OPTIONAL`.
        why: String,
    },
    /// An expression is wrong or has no value.
    #[error("failed to evaluate expression: {source}")]
    Expression {
        /// The expression.
        expression: String,
        /// Why.
        source: ExprError,
    },
    /// An expression gives nil.
    #[error("failed to evaluate expression {expression:?}")]
    Nil {
        /// The expression.
        expression: String,
    },
    /// A tag is not closed.
    #[error("cannot find end tag=\"}}}}\" in the template starting from {rest:?}")]
    Unclosed {
        /// Byte offset of the `{{`.
        offset: usize,
        /// The beginning of the text from there.
        rest: String,
    },
    /// The text grew beyond what one value may hold.
    #[error("the text is larger than {} MiB after its tags were replaced", crate::expr::VALUE_BYTES_MAX >> 20)]
    TooLarge,
}

impl TagError {
    /// The variable whose absence is the reason, if it is one.
    pub fn missing(&self) -> Option<&str> {
        match self {
            TagError::Missing { name } | TagError::MissingInExpression { name, .. } => Some(name),
            _ => None,
        }
    }
}
