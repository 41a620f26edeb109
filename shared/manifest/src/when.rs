//! Conditions: the language of `when`, which is govaluate's, with every bare word a text.
//!
//! The text is evaluated after its tags were replaced, so that a condition is often `Succeeded == Failed`.

mod evaluate;
mod plan;
mod tokens;

#[cfg(test)]
mod tests;

use tokens::{Token, Value};

/// Whether a bare word is a text or the name of a variable that nobody gives a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// As in `when` of a step or a task.
    AreTexts,
    /// As in `when` of a CronWorkflow.
    AreNames,
}

/// Why a condition has no truth value; the texts are Argo's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// The text is no condition.
    #[error("Invalid 'when' expression '{text}': {why}{}", hint(why))]
    Invalid {
        /// The condition.
        text: String,
        /// govaluate's message.
        why: String,
    },
    /// The text would be a condition if its words were names.
    #[error("Failed to parse 'when' expression '{text}': {why}")]
    Parse {
        /// The condition.
        text: String,
        /// govaluate's message.
        why: String,
    },
    /// A condition has no value.
    #[error("Failed to evaluate 'when' expresion '{text}': {why}")]
    Evaluate {
        /// The condition.
        text: String,
        /// govaluate's message.
        why: String,
    },
    /// Its value is not true or false.
    #[error("Expected boolean evaluation for '{text}'. Got {value}")]
    NotBoolean {
        /// The condition.
        text: String,
        /// The value as Go prints it.
        value: String,
    },
}

/// Whether a message is one of `WhenError`.
pub fn is_error(message: &str) -> bool {
    const WORDS: [&str; 4] = [
        "Invalid 'when' expression '",
        "Failed to parse 'when' expression '",
        "Failed to evaluate 'when' expresion '",
        "Expected boolean evaluation for '",
    ];
    WORDS.iter().any(|words| message.starts_with(words))
}

fn hint(why: &str) -> &'static str {
    if why.contains("Invalid token") {
        " (hint: try wrapping the affected expression in quotes (\"))"
    } else {
        ""
    }
}

/// A parsed condition.
#[derive(Clone, Debug)]
pub struct When {
    text: String,
    plan: Option<plan::Stage>,
}

/// Parses a condition of a step or a task.
///
/// # Errors
/// `Invalid`, with govaluate's message.
pub fn parse(text: &str) -> Result<When, WhenError> {
    parse_with(text, Words::AreTexts)
}

/// Parses a condition.
///
/// # Errors
/// `Invalid`, with govaluate's message.
pub fn parse_with(text: &str, words: Words) -> Result<When, WhenError> {
    let invalid = |why: String| WhenError::Invalid { text: text.to_owned(), why };
    let mut tokens = tokens::read(text).map_err(invalid)?;
    tokens::check(&tokens).map_err(invalid)?;
    tokens::check_patterns(&tokens).map_err(invalid)?;
    if words == Words::AreTexts {
        for token in &mut tokens {
            if let Token::Variable(word) = token {
                *token = Token::Value(Value::Text(std::mem::take(word)));
            }
        }
        // A word that became a text may stand where a text may not: `!word`.
        let failed = |why: String| WhenError::Parse { text: text.to_owned(), why };
        tokens::check(&tokens).map_err(failed)?;
        tokens::check_patterns(&tokens).map_err(failed)?;
    }
    let plan = plan::plan(&tokens).map_err(invalid)?;
    Ok(When { text: text.to_owned(), plan })
}

impl When {
    /// Whether the condition holds; an empty one does.
    ///
    /// # Errors
    /// `Evaluate` and `NotBoolean`.
    pub fn holds(&self) -> Result<bool, WhenError> {
        if self.text.is_empty() {
            return Ok(true);
        }
        let value = match &self.plan {
            Some(stage) => evaluate::evaluate(stage),
            None => Ok(Value::Nil),
        };
        match value {
            Ok(Value::Bool(truth)) => Ok(truth),
            Ok(value) => Err(WhenError::NotBoolean { text: self.text.clone(), value: value.shown() }),
            Err(why) => Err(WhenError::Evaluate { text: self.text.clone(), why }),
        }
    }
}

/// Whether the condition of a step or a task holds; an empty one does.
///
/// ```
/// use dropforge_manifest::when::evaluate;
///
/// assert_eq!(evaluate("heads == heads && 0.93 > 0.9"), Ok(true));
/// assert_eq!(evaluate("1 + 1").unwrap_err().to_string(), "Expected boolean evaluation for '1 + 1'. Got 2");
/// ```
///
/// # Errors
/// See `WhenError`.
pub fn evaluate(text: &str) -> Result<bool, WhenError> {
    evaluate_with(text, Words::AreTexts)
}

/// Whether a condition holds; an empty one does.
///
/// # Errors
/// See `WhenError`.
pub fn evaluate_with(text: &str, words: Words) -> Result<bool, WhenError> {
    if text.is_empty() {
        return Ok(true);
    }
    parse_with(text, words)?.holds()
}
