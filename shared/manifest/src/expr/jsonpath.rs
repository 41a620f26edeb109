//! `jsonpath(text, path)`: `$.a.b[0]`, `[*]`, `..`, slices, unions and filters.
//!
//! A path that can name one place only gives its value; every other path gives a list.

mod search;

use super::eval::Eval;
use super::value::Val;
use search::{Miss, Search};

/// Comparisons in a filter and steps in a path: bounds the parser's recursion.
const NESTING_MAX: usize = 32;
/// Steps of a path: each is a call inside of the one before.
const STEPS_MAX: usize = 128;

#[derive(Debug)]
enum Step {
    Key(String),
    /// `.length`: how many there are, unless there is a field of this name.
    Length,
    Index(i64),
    All,
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        step: i64,
    },
    Union(Vec<Step>),
    Filter(Test),
    /// `..`: this place and everything below.
    Below,
}

#[derive(Debug)]
enum Test {
    Or(Box<Test>, Box<Test>),
    And(Box<Test>, Box<Test>),
    Not(Box<Test>),
    Compare(Operand, String, Operand),
    Exists(Operand),
}

#[derive(Debug)]
enum Operand {
    Literal(Val),
    /// `@…` or `$…`.
    Path {
        root: bool,
        steps: Vec<Step>,
    },
}

/// What `path` finds in `of`.
pub(super) fn query(eval: &mut Eval<'_>, of: &Val, path: &str) -> Result<Val, String> {
    let invalid = |why: String| format!("invalid JSONPath query '{path}' {why}");
    let mut parser = Parser { chars: path.trim_end().chars().collect(), at: 0, nesting: 0 };
    if !parser.take('$') {
        return Err(invalid("expected '$'".to_owned()));
    }
    let steps = parser.steps().map_err(invalid)?;
    if parser.at < parser.chars.len() {
        return Err(invalid(format!("unexpected '{}'", parser.chars[parser.at])));
    }
    Search { root: of, eval }.follow(of, &steps).map_err(|miss| match miss {
        Miss::Nothing(why) | Miss::Stop(why) => why,
    })
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    nesting: usize,
}

type Parsed<T> = Result<T, String>;

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn spaces(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn expect(&mut self, c: char) -> Parsed<()> {
        self.spaces();
        if self.take(c) { Ok(()) } else { Err(format!("expected '{c}'")) }
    }

    fn steps(&mut self) -> Parsed<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            if steps.len() > STEPS_MAX {
                return Err(format!("the path has more than {STEPS_MAX} steps"));
            }
            if self.take('.') {
                if self.take('.') {
                    steps.push(Step::Below);
                    if matches!(self.peek(), None | Some('[')) {
                        continue;
                    }
                }
                steps.push(self.name()?);
            } else if self.take('[') {
                steps.push(self.subscript()?);
            } else {
                return Ok(steps);
            }
        }
    }

    fn name(&mut self) -> Parsed<Step> {
        if self.take('*') {
            return Ok(Step::All);
        }
        let start = self.at;
        while self.peek().is_some_and(|c| !".[]()=!<>&|~, \t\n".contains(c)) {
            self.at += 1;
        }
        match self.chars[start..self.at].iter().collect::<String>() {
            name if name.is_empty() => Err("a name is missing".to_owned()),
            name if name == "length" => Ok(Step::Length),
            name => Ok(Step::Key(name)),
        }
    }

    fn subscript(&mut self) -> Parsed<Step> {
        self.spaces();
        if self.take('?') {
            self.expect('(')?;
            let test = self.or()?;
            self.expect(')')?;
            self.expect(']')?;
            return Ok(Step::Filter(test));
        }
        let mut parts = vec![self.part()?];
        self.spaces();
        while self.take(',') {
            self.spaces();
            parts.push(self.part()?);
            self.spaces();
        }
        self.expect(']')?;
        Ok(if parts.len() == 1 { parts.remove(0) } else { Step::Union(parts) })
    }

    fn part(&mut self) -> Parsed<Step> {
        match self.peek() {
            Some('*') => {
                self.at += 1;
                Ok(Step::All)
            }
            Some(quote @ ('\'' | '"')) => self.quoted(quote).map(Step::Key),
            _ => {
                let from = self.integer()?;
                if !self.take(':') {
                    return from.map(Step::Index).ok_or_else(|| "an index is missing".to_owned());
                }
                let to = self.integer()?;
                let step = if self.take(':') { self.integer()?.unwrap_or(1) } else { 1 };
                Ok(Step::Slice { from, to, step })
            }
        }
    }

    fn integer(&mut self) -> Parsed<Option<i64>> {
        let start = self.at;
        self.take('-');
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        let text: String = self.chars[start..self.at].iter().collect();
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| format!("'{text}' is no index"))
    }

    fn quoted(&mut self, quote: char) -> Parsed<String> {
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                _ if c == quote => return Ok(text),
                '\\' => {
                    text.extend(self.peek());
                    self.at += 1;
                }
                _ => text.push(c),
            }
        }
        Err("a quoted text is not closed".to_owned())
    }

    fn or(&mut self) -> Parsed<Test> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err("the filter is nested too deeply".to_owned());
        }
        let mut left = self.and()?;
        while self.operator(&["||"]).is_some() {
            left = Test::Or(Box::new(left), Box::new(self.and()?));
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn and(&mut self) -> Parsed<Test> {
        let mut left = self.test()?;
        while self.operator(&["&&"]).is_some() {
            left = Test::And(Box::new(left), Box::new(self.test()?));
        }
        Ok(left)
    }

    fn test(&mut self) -> Parsed<Test> {
        self.spaces();
        if self.take('!') {
            self.nesting += 1;
            if self.nesting > NESTING_MAX {
                return Err("the filter is nested too deeply".to_owned());
            }
            let inner = self.test()?;
            self.nesting -= 1;
            return Ok(Test::Not(Box::new(inner)));
        }
        if self.take('(') {
            let inner = self.or()?;
            self.expect(')')?;
            return Ok(inner);
        }
        let left = self.operand()?;
        match self.operator(&["==", "!=", "<=", ">=", "=~", "<", ">"]) {
            Some(operator) => Ok(Test::Compare(left, operator.to_owned(), self.operand()?)),
            None => Ok(Test::Exists(left)),
        }
    }

    fn operator(&mut self, known: &[&'static str]) -> Option<&'static str> {
        self.spaces();
        let rest: String = self.chars[self.at..].iter().take(2).collect();
        let found = known.iter().find(|operator| rest.starts_with(**operator))?;
        self.at += found.len();
        Some(found)
    }

    fn operand(&mut self) -> Parsed<Operand> {
        self.spaces();
        match self.peek() {
            Some(c @ ('@' | '$')) => {
                self.at += 1;
                self.nesting += 1;
                if self.nesting > NESTING_MAX {
                    return Err("the filter is nested too deeply".to_owned());
                }
                let steps = self.steps()?;
                self.nesting -= 1;
                Ok(Operand::Path { root: c == '$', steps })
            }
            Some(quote @ ('\'' | '"')) => Ok(Operand::Literal(Val::text(self.quoted(quote)?))),
            _ => {
                let start = self.at;
                while self.peek().is_some_and(|c| c.is_alphanumeric() || "+-./".contains(c)) {
                    self.at += 1;
                }
                let word: String = self.chars[start..self.at].iter().collect();
                Ok(Operand::Literal(match word.as_str() {
                    "true" => Val::Bool(true),
                    "false" => Val::Bool(false),
                    "null" | "nil" => Val::Nil,
                    "" => return Err("a value is missing in the filter".to_owned()),
                    _ => word.parse().map_or_else(|_| Val::text(word.as_str()), Val::Float),
                }))
            }
        }
    }
}
