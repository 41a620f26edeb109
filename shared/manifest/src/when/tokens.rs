//! Text to tokens, and which may follow which.

use super::evaluate::WORK_MAX;
use crate::go::{compile_pattern, float_text, parse_layout};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nil,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
}

impl Value {
    /// As `fmt.Sprint` prints it.
    pub fn shown(&self) -> String {
        match self {
            Value::Nil => "<nil>".to_owned(),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => float_text(*number),
            Value::Text(text) => text.clone(),
            Value::List(items) => {
                format!("[{}]", items.iter().map(Value::shown).collect::<Vec<_>>().join(" "))
            }
        }
    }
}

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Value(Value),
    /// A quoted text that reads like a date: its Unix time, and how Go prints it.
    Time(f64, String),
    Variable(String),
    Accessor(Vec<String>),
    Prefix(String),
    Modifier(String),
    Comparator(String),
    Logical(String),
    Ternary(String),
    Separator,
    Open,
    Close,
}

/// The kinds that govaluate's messages name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unknown,
    Prefix,
    Numeric,
    Boolean,
    String,
    Time,
    Variable,
    Accessor,
    Comparator,
    Logical,
    Modifier,
    Clause,
    ClauseClose,
    Ternary,
    Separator,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Unknown => "UNKNOWN",
            Kind::Prefix => "PREFIX",
            Kind::Numeric => "NUMERIC",
            Kind::Boolean => "BOOLEAN",
            Kind::String => "STRING",
            Kind::Time => "TIME",
            Kind::Variable => "VARIABLE",
            Kind::Accessor => "ACCESSOR",
            Kind::Comparator => "COMPARATOR",
            Kind::Logical => "LOGICALOP",
            Kind::Modifier => "MODIFIER",
            Kind::Clause => "CLAUSE",
            Kind::ClauseClose => "CLAUSE_CLOSE",
            Kind::Ternary => "TERNARY",
            Kind::Separator => "SEPARATOR",
        }
    }

    /// What may follow it.
    fn followers(self) -> &'static [Kind] {
        use Kind::{
            Accessor, Boolean, Clause, ClauseClose, Comparator, Logical, Modifier, Numeric, Prefix,
            Separator, String, Ternary, Time, Variable,
        };
        match self {
            Kind::Unknown => &[Prefix, Numeric, Boolean, Variable, Accessor, String, Time, Clause],
            Kind::Clause => {
                &[Prefix, Numeric, Boolean, Variable, Accessor, String, Time, Clause, ClauseClose]
            }
            Kind::ClauseClose => &[
                Comparator,
                Modifier,
                Numeric,
                Boolean,
                Variable,
                String,
                Time,
                Clause,
                ClauseClose,
                Logical,
                Ternary,
                Separator,
            ],
            Kind::Numeric | Kind::Boolean | Kind::String | Kind::Variable => {
                &[Modifier, Comparator, Logical, ClauseClose, Ternary, Separator]
            }
            Kind::Time => &[Modifier, Comparator, Logical, ClauseClose, Separator],
            Kind::Modifier => &[Prefix, Numeric, Variable, Accessor, String, Boolean, Clause, ClauseClose],
            Kind::Comparator | Kind::Logical => {
                &[Prefix, Numeric, Boolean, Variable, Accessor, String, Time, Clause, ClauseClose]
            }
            Kind::Prefix => &[Numeric, Boolean, Variable, Accessor, Clause, ClauseClose],
            Kind::Ternary => &[Prefix, Numeric, Boolean, String, Time, Variable, Accessor, Clause, Separator],
            Kind::Accessor => &[Clause, Modifier, Comparator, Logical, ClauseClose, Ternary, Separator],
            Kind::Separator => &[Prefix, Numeric, Boolean, String, Time, Variable, Accessor, Clause],
        }
    }

    fn may_end(self) -> bool {
        use Kind::{Accessor, Boolean, ClauseClose, Numeric, String, Time, Variable};
        matches!(self, ClauseClose | Numeric | Boolean | String | Time | Variable | Accessor)
    }
}

impl Token {
    fn kind(&self) -> Kind {
        match self {
            Token::Value(Value::Number(_)) => Kind::Numeric,
            Token::Value(Value::Bool(_)) => Kind::Boolean,
            Token::Value(_) => Kind::String,
            Token::Time(..) => Kind::Time,
            Token::Variable(_) => Kind::Variable,
            Token::Accessor(_) => Kind::Accessor,
            Token::Prefix(_) => Kind::Prefix,
            Token::Modifier(_) => Kind::Modifier,
            Token::Comparator(_) => Kind::Comparator,
            Token::Logical(_) => Kind::Logical,
            Token::Ternary(_) => Kind::Ternary,
            Token::Separator => Kind::Separator,
            Token::Open => Kind::Clause,
            Token::Close => Kind::ClauseClose,
        }
    }

    fn shown(&self) -> String {
        match self {
            Token::Value(value) => value.shown(),
            Token::Time(_, shown) => shown.clone(),
            Token::Variable(text)
            | Token::Prefix(text)
            | Token::Modifier(text)
            | Token::Comparator(text)
            | Token::Logical(text)
            | Token::Ternary(text) => text.clone(),
            Token::Accessor(parts) => format!("[{}]", parts.join(" ")),
            Token::Separator => ",".to_owned(),
            // govaluate keeps a parenthesis as a number, and prints it as one.
            Token::Open => "40".to_owned(),
            Token::Close => "41".to_owned(),
        }
    }
}

/// Whether every token may follow the one before it.
pub(super) fn check(tokens: &[Token]) -> Result<(), String> {
    let (mut kind, mut last) = (Kind::Unknown, "<nil>".to_owned());
    for token in tokens {
        let next = token.kind();
        if !kind.followers().contains(&next) {
            if kind == Kind::Variable && next == Kind::Clause {
                return Err(format!("Undefined function {last}"));
            }
            return Err(format!(
                "Cannot transition token types from {} [{last}] to {} [{}]",
                kind.name(),
                next.name(),
                token.shown()
            ));
        }
        (kind, last) = (next, token.shown());
    }
    if !kind.may_end() {
        return Err("Unexpected end of expression".to_owned());
    }
    Ok(())
}

/// Whether every quoted pattern is one.
pub(super) fn check_patterns(tokens: &[Token]) -> Result<(), String> {
    let mut work = 0usize;
    for pair in tokens.windows(2) {
        if let [Token::Comparator(sign), Token::Value(Value::Text(pattern))] = pair
            && matches!(sign.as_str(), "=~" | "!~")
        {
            work = work.saturating_add(compile_pattern(pattern)?.compilation());
        }
        if work > WORK_MAX {
            return Err(format!("the patterns of the condition take more than {WORK_MAX} steps"));
        }
    }
    Ok(())
}

/// Longest text of a condition: values of up to 256 KiB may have been put into it.
const TEXT_MAX: usize = 1 << 20;

/// Cuts a condition into tokens.
pub(super) fn read(text: &str) -> Result<Vec<Token>, String> {
    if text.len() > TEXT_MAX {
        return Err(format!("the condition is longer than {TEXT_MAX} bytes"));
    }
    let mut reader = Reader { chars: text.chars().collect(), at: 0 };
    let (mut tokens, mut kind) = (Vec::new(), Kind::Unknown);
    while let Some(token) = reader.token(kind)? {
        kind = token.kind();
        tokens.push(token);
    }
    let count = |wanted: &Token| tokens.iter().filter(|token| *token == wanted).count();
    if count(&Token::Open) != count(&Token::Close) {
        return Err("Unbalanced parenthesis".to_owned());
    }
    Ok(tokens)
}

struct Reader {
    chars: Vec<char>,
    at: usize,
}

fn in_number(c: char) -> bool {
    c.is_numeric() || c == '.'
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

fn in_sign(c: char) -> bool {
    !(c.is_alphanumeric() || matches!(c, '(' | ')' | '[' | ']' | '\'' | '"'))
}

impl Reader {
    /// The characters from here while `condition` holds. A backslash takes the next one as it is; a space ends it
    /// once something was read, unless `spaces` are part of it. The flag says that an end was found.
    fn while_true(&mut self, spaces: bool, condition: impl Fn(char) -> bool) -> (String, bool) {
        let mut text = String::new();
        while let Some(&c) = self.chars.get(self.at) {
            self.at += 1;
            if c == '\\' {
                text.extend(self.chars.get(self.at));
                self.at += 1;
                continue;
            }
            if c.is_whitespace() && !spaces {
                if text.is_empty() {
                    continue;
                }
                return (text, true);
            }
            if !condition(c) {
                self.at -= 1;
                return (text, true);
            }
            text.push(c);
        }
        (text, false)
    }

    fn token(&mut self, before: Kind) -> Result<Option<Token>, String> {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        let Some(&c) = self.chars.get(self.at) else { return Ok(None) };
        if in_number(c) {
            return self.number(c).map(Some);
        }
        let single = match c {
            ',' => Some(Token::Separator),
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            _ => None,
        };
        if single.is_some() {
            self.at += 1;
            return Ok(single);
        }
        match c {
            '[' => self.bracketed(),
            '\'' | '"' => self.quoted(),
            _ if c.is_alphabetic() => self.word(),
            _ => self.sign(before),
        }
        .map(Some)
    }

    fn number(&mut self, c: char) -> Result<Token, String> {
        if c == '0' && self.chars.get(self.at + 1) == Some(&'x') {
            self.at += 2;
            let (digits, _) = self.while_true(false, |c| c.is_ascii_hexdigit());
            let value = u64::from_str_radix(&digits, 16)
                .map_err(|_| format!("Unable to parse hex value '{digits}' to uint64\n"))?;
            return Ok(Token::Value(Value::Number(value as f64)));
        }
        let (digits, _) = self.while_true(false, in_number);
        let value =
            digits.parse().map_err(|_| format!("Unable to parse numeric value '{digits}' to float64\n"))?;
        Ok(Token::Value(Value::Number(value)))
    }

    fn bracketed(&mut self) -> Result<Token, String> {
        self.at += 1;
        let (name, closed) = self.while_true(true, |c| c != ']');
        self.at += 1;
        if closed { Ok(Token::Variable(name)) } else { Err("Unclosed parameter bracket".to_owned()) }
    }

    fn quoted(&mut self) -> Result<Token, String> {
        self.at += 1;
        let (text, closed) = self.while_true(true, |c| c != '\'' && c != '"');
        self.at += 1;
        if !closed {
            return Err("Unclosed string literal".to_owned());
        }
        Ok(match time(&text) {
            Some((seconds, shown)) => Token::Time(seconds, shown),
            None => Token::Value(Value::Text(text)),
        })
    }

    fn word(&mut self) -> Result<Token, String> {
        let (word, _) = self.while_true(false, in_word);
        match word.as_str() {
            "true" => return Ok(Token::Value(Value::Bool(true))),
            "false" => return Ok(Token::Value(Value::Bool(false))),
            "in" | "IN" => return Ok(Token::Comparator("in".to_owned())),
            _ => {}
        }
        if !word.contains('.') {
            return Ok(Token::Variable(word));
        }
        if word.ends_with('.') {
            return Err(format!("Hanging accessor on token '{word}'"));
        }
        let parts: Vec<String> = word.split('.').map(str::to_owned).collect();
        for part in &parts[1..] {
            if part.starts_with(|c: char| c.is_lowercase()) {
                return Err(format!("Unable to access unexported field '{part}' in token '{word}'"));
            }
        }
        Ok(Token::Accessor(parts))
    }

    fn sign(&mut self, before: Kind) -> Result<Token, String> {
        let (sign, _) = self.while_true(false, in_sign);
        let token = match sign.as_str() {
            "-" | "!" | "~" if before.followers().contains(&Kind::Prefix) => Token::Prefix(sign),
            "+" | "-" | "*" | "/" | "%" | "**" | "&" | "|" | "^" | ">>" | "<<" => Token::Modifier(sign),
            "&&" | "||" => Token::Logical(sign),
            "==" | "!=" | ">" | ">=" | "<" | "<=" | "=~" | "!~" => Token::Comparator(sign),
            "?" | ":" | "??" => Token::Ternary(sign),
            _ => return Err(format!("Invalid token: '{sign}'")),
        };
        Ok(token)
    }
}

const LAYOUTS: [&str; 14] = [
    "Mon Jan _2 15:04:05 2006",
    "Mon Jan _2 15:04:05 MST 2006",
    "Mon Jan 02 15:04:05 -0700 2006",
    "3:04PM",
    "2006-01-02T15:04:05Z07:00",
    "2006-01-02T15:04:05.999999999Z07:00",
    "2006-01-02",
    "2006-01-02 15:04",
    "2006-01-02 15:04:05",
    "2006-01-02 15:04:05-07:00",
    "2006-01-02T15Z0700",
    "2006-01-02T15:04Z0700",
    "2006-01-02T15:04:05Z0700",
    "2006-01-02T15:04:05.999999999Z0700",
];

fn time(text: &str) -> Option<(f64, String)> {
    // Every layout begins with a letter or a digit and is short; other texts need no fourteen tries.
    if text.len() > 64 || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let time = LAYOUTS.iter().find_map(|layout| parse_layout(layout, text, &jiff::tz::TimeZone::UTC).ok())?;
    let shown = crate::go::format_layout(&time, "2006-01-02 15:04:05.999999999 -0700 MST");
    Some((time.timestamp().as_second() as f64, shown))
}
