//! Tokens to a tree, by govaluate's precedence, including the places where it differs from other languages.

use super::tokens::{Token, Value};

/// Operators that need no parentheses are planned in a loop; parentheses recurse.
const NESTING_MAX: usize = 100;
/// Operators in one condition: the evaluator recurses along a row of them.
const STAGES_MAX: usize = 500;

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    Value(Value),
    /// A bare word where words are names: nobody gives it a value.
    Variable(String),
    Accessor(Vec<String>),
    /// A parenthesis: operators outside of it are not reordered with those inside.
    Group(Option<Box<Stage>>),
    Prefix(String, Option<Box<Stage>>),
    Binary(String, Option<Box<Stage>>, Option<Box<Stage>>),
}

/// Binary operators, loosest first. All of a row are evaluated from left to right.
const LEVELS: [&[&str]; 10] = [
    &[","],
    &["?", ":", "??"],
    &["||"],
    &["&&"],
    &["==", "!=", ">", ">=", "<", "<=", "=~", "!~", "in"],
    &["^", "&", "|"],
    &[">>", "<<"],
    &["+", "-"],
    &["*", "/", "%"],
    &["**"],
];

/// Builds the tree; None for no tokens.
pub(super) fn plan(tokens: &[Token]) -> Result<Option<Stage>, String> {
    if tokens.len() > STAGES_MAX * 2 {
        return Err(format!("the condition has more than {} parts", STAGES_MAX * 2));
    }
    Planner { tokens, at: 0, nesting: 0 }.level(0)
}

struct Planner<'a> {
    tokens: &'a [Token],
    at: usize,
    nesting: usize,
}

type Planned = Result<Option<Stage>, String>;

impl Planner<'_> {
    fn level(&mut self, level: usize) -> Planned {
        let Some(signs) = LEVELS.get(level) else { return self.value() };
        let mut left = self.level(level + 1)?;
        while let Some(sign) = self.sign(signs) {
            let right = self.level(level + 1)?;
            left = Some(Stage::Binary(sign, left.map(Box::new), right.map(Box::new)));
        }
        Ok(left)
    }

    fn sign(&mut self, signs: &[&str]) -> Option<String> {
        let sign = match self.tokens.get(self.at)? {
            Token::Modifier(sign) | Token::Comparator(sign) | Token::Logical(sign) | Token::Ternary(sign) => {
                sign
            }
            Token::Separator => ",",
            _ => return None,
        };
        let found = signs.contains(&sign).then(|| sign.to_owned())?;
        self.at += 1;
        Some(found)
    }

    fn value(&mut self) -> Planned {
        let Some(token) = self.tokens.get(self.at) else { return Ok(None) };
        self.at += 1;
        Ok(Some(match token {
            Token::Value(value) => Stage::Value(value.clone()),
            Token::Time(seconds, _) => Stage::Value(Value::Number(*seconds)),
            Token::Variable(name) => Stage::Variable(name.clone()),
            Token::Accessor(parts) => Stage::Accessor(parts.clone()),
            Token::Prefix(sign) => {
                // A prefix takes one value and no operator: -a ** b is (-a) ** b.
                let of = self.value()?;
                Stage::Prefix(sign.clone(), of.map(Box::new))
            }
            Token::Open => {
                self.nesting += 1;
                if self.nesting > NESTING_MAX {
                    return Err("the condition is nested too deeply".to_owned());
                }
                let inner = self.level(0)?;
                self.nesting -= 1;
                self.at += 1;
                Stage::Group(inner.map(Box::new))
            }
            Token::Close => {
                self.at -= 1;
                return Ok(None);
            }
            other => return Err(format!("Unable to plan {other:?}")),
        }))
    }
}
