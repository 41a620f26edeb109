//! `jsonpath(text, path)`: `$.a.b[0]`, `[*]`, `..`, slices, unions and filters.
//!
//! A path that can name one place only gives its value; every other path gives a list.

use super::eval::Eval;
use super::value::{Val, equal, order};

/// Comparisons in a filter and steps in a path: bounds the parser's recursion.
const NESTING_MAX: usize = 32;

#[derive(Debug)]
enum Step {
    Key(String),
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
    let mut parser = Parser { chars: path.trim().chars().collect(), at: 0, nesting: 0 };
    if !parser.take('$') {
        return Err(invalid("expected '$'".to_owned()));
    }
    let steps = parser.steps().map_err(invalid)?;
    if parser.at < parser.chars.len() {
        return Err(invalid(format!("unexpected '{}'", parser.chars[parser.at])));
    }
    if steps.iter().all(|step| matches!(step, Step::Key(_) | Step::Index(_))) {
        return one(eval, of, &steps);
    }
    Val::list(Search { root: of, eval }.follow(of, &steps)?)
}

/// The one place that keys and indices lead to.
fn one(eval: &mut Eval<'_>, of: &Val, steps: &[Step]) -> Result<Val, String> {
    let mut value = of.clone();
    for step in steps {
        let mut search = Search { root: of, eval };
        let next = search.follow(&value, std::slice::from_ref(step))?.into_iter().next();
        value = next.ok_or_else(|| missing(&value, step))?;
    }
    Ok(value)
}

fn missing(of: &Val, step: &Step) -> String {
    let kind = match of {
        Val::Map(_) => "map",
        Val::List(_) => "slice",
        Val::Nil => "nil",
        other => other.type_name(),
    };
    match (step, of) {
        (Step::Key(key), Val::Map(_)) => format!("key: invalid token key '{key}' not found"),
        (Step::Key(_), _) => format!("key: invalid token target. expected [map] got [{kind}]"),
        (_, Val::List(_)) => "index: invalid token out of range".to_owned(),
        _ => format!("index: invalid token target. expected [array slice] got [{kind}]"),
    }
}

struct Search<'s, 'a> {
    root: &'s Val,
    eval: &'s mut Eval<'a>,
}

impl Search<'_, '_> {
    fn follow(&mut self, of: &Val, steps: &[Step]) -> Result<Vec<Val>, String> {
        let mut found = vec![of.clone()];
        for step in steps {
            let mut next = Vec::new();
            for value in &found {
                self.take(value, step, &mut next)?;
            }
            found = next;
        }
        Ok(found)
    }

    /// Counts a value that is looked at: `$..*..*` looks at more with every step.
    fn visit(&mut self) -> Result<(), String> {
        self.eval.budget.spend(4)
    }

    fn take(&mut self, of: &Val, step: &Step, found: &mut Vec<Val>) -> Result<(), String> {
        self.visit()?;
        match (step, of) {
            (Step::Key(key), Val::Map(map)) => found.extend(map.fields.get(key.as_str()).cloned()),
            (Step::Key(key), Val::List(list)) if key == "length" => {
                found.push(Val::Int(i64::try_from(list.items.len()).unwrap_or(i64::MAX)));
            }
            (Step::Index(index), Val::List(list)) => found.extend(at(&list.items, *index).cloned()),
            (Step::All, _) => {
                for child in children(of) {
                    self.visit()?;
                    found.push(child.clone());
                }
            }
            (Step::Slice { from, to, step }, Val::List(list)) => {
                found.extend(slice(&list.items, *from, *to, *step).cloned());
            }
            (Step::Union(steps), _) => {
                for step in steps {
                    self.take(of, step, found)?;
                }
            }
            (Step::Filter(test), Val::List(_) | Val::Map(_)) => {
                for child in children(of) {
                    if self.holds(test, child)? {
                        found.push(child.clone());
                    }
                }
            }
            (Step::Below, _) => self.below(of, found)?,
            _ => {}
        }
        Ok(())
    }

    fn below(&mut self, of: &Val, found: &mut Vec<Val>) -> Result<(), String> {
        self.visit()?;
        found.push(of.clone());
        for child in children(of) {
            self.below(child, found)?;
        }
        Ok(())
    }

    fn holds(&mut self, test: &Test, of: &Val) -> Result<bool, String> {
        self.visit()?;
        Ok(match test {
            Test::Or(a, b) => self.holds(a, of)? || self.holds(b, of)?,
            Test::And(a, b) => self.holds(a, of)? && self.holds(b, of)?,
            Test::Not(a) => !self.holds(a, of)?,
            Test::Exists(operand) => match self.operand(operand, of)? {
                None => false,
                Some(Val::Bool(truth)) => truth,
                Some(_) => true,
            },
            Test::Compare(a, operator, b) => {
                let (Some(a), Some(b)) = (self.operand(a, of)?, self.operand(b, of)?) else {
                    return Ok(false);
                };
                self.compare(&a, operator, &b)?
            }
        })
    }

    fn operand(&mut self, operand: &Operand, of: &Val) -> Result<Option<Val>, String> {
        match operand {
            Operand::Literal(value) => Ok(Some(value.clone())),
            Operand::Path { root, steps } => {
                let start = if *root { self.root.clone() } else { of.clone() };
                Ok(self.follow(&start, steps)?.into_iter().next())
            }
        }
    }

    fn compare(&mut self, a: &Val, operator: &str, b: &Val) -> Result<bool, String> {
        self.eval.budget.look([a, b])?;
        Ok(match operator {
            "==" => equal(a, b),
            "!=" => !equal(a, b),
            "=~" => match (a, b) {
                (Val::Text(text), Val::Text(pattern)) => {
                    self.eval.pattern(pattern.trim_matches('/'), text)?.is_match(text)
                }
                _ => false,
            },
            _ => match (order(a, b), operator) {
                (None, _) => false,
                (Some(order), "<") => order.is_lt(),
                (Some(order), "<=") => order.is_le(),
                (Some(order), ">") => order.is_gt(),
                (Some(order), _) => order.is_ge(),
            },
        })
    }
}

fn children(of: &Val) -> Vec<&Val> {
    match of {
        Val::List(list) => list.items.iter().collect(),
        Val::Map(map) => map.fields.values().collect(),
        _ => Vec::new(),
    }
}

fn position(index: i64, length: usize) -> i64 {
    if index < 0 { index.saturating_add(i64::try_from(length).unwrap_or(i64::MAX)) } else { index }
}

fn at(items: &[Val], index: i64) -> Option<&Val> {
    items.get(usize::try_from(position(index, items.len())).ok()?)
}

fn slice(items: &[Val], from: Option<i64>, to: Option<i64>, step: i64) -> impl Iterator<Item = &Val> {
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let bound = |index: i64| position(index, items.len()).clamp(0, length);
    let (from, to) = (bound(from.unwrap_or(0)), bound(to.unwrap_or(length)));
    let stride = usize::try_from(step.max(1)).unwrap_or(usize::MAX);
    let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to.max(from)).unwrap_or(0);
    items[range].iter().step_by(stride)
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
            if self.take('.') {
                if self.take('.') {
                    steps.push(Step::Below);
                    if self.peek() == Some('[') {
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
