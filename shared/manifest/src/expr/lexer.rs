//! Text to tokens.

use super::ExprError;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Number,
    Text,
    Operator,
    Bracket,
    End,
}

/// One token: a text literal's `text` is already unescaped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub text: String,
    /// Byte offset of its first character.
    pub at: usize,
}

impl Token {
    pub fn is(&self, kind: Kind, text: &str) -> bool {
        self.kind == kind && self.text == text
    }

    /// The token as the messages of expr-lang show it.
    pub fn shown(&self) -> String {
        let kind = match self.kind {
            Kind::Name => "Identifier",
            Kind::Number => "Number",
            Kind::Text => "String",
            Kind::Operator => "Operator",
            Kind::Bracket => "Bracket",
            Kind::End => return "EOF".to_owned(),
        };
        format!("{kind}({:?})", self.text)
    }
}

const WORD_OPERATORS: [&str; 11] =
    ["in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "not", "if", "else"];

/// More tokens than any expression of expr-lang's 10,000 nodes has.
const TOKENS_MAX: usize = 100_000;

/// Cuts `text` into tokens, the last of which is always `End`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ExprError> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    while lexer.step()? {
        if lexer.tokens.len() > TOKENS_MAX {
            return Err(lexer.error(lexer.at, "compilation failed: expression exceeds maximum allowed nodes"));
        }
    }
    let end = text.char_indices().next_back().map_or(0, |(at, _)| at);
    lexer.tokens.push(Token { kind: Kind::End, text: String::new(), at: end });
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

fn in_name(c: char) -> bool {
    c == '_' || c == '$' || c.is_alphanumeric()
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn error(&self, at: usize, message: impl Into<String>) -> ExprError {
        ExprError::syntax(self.text, at, message)
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let text = self.text[self.at..self.at + length].to_owned();
        self.tokens.push(Token { kind, text, at: self.at });
        self.at += length;
    }

    fn step(&mut self) -> Result<bool, ExprError> {
        let Some(c) = self.peek() else { return Ok(false) };
        match c {
            _ if c.is_whitespace() => self.at += c.len_utf8(),
            '\'' | '"' => self.quoted(c)?,
            '`' => self.raw()?,
            '0'..='9' => self.number()?,
            '.' if self.rest()[1..].starts_with(|d: char| d.is_ascii_digit()) => self.number()?,
            '/' if self.rest().starts_with("//") => {
                self.at = self.rest().find('\n').map_or(self.text.len(), |end| self.at + end);
            }
            '/' if self.rest().starts_with("/*") => {
                let end = self.rest().find("*/").ok_or_else(|| self.error(self.at, "unclosed comment"))?;
                self.at += end + 2;
            }
            '(' | '[' | '{' | ')' | ']' | '}' => self.push(Kind::Bracket, 1),
            _ if in_name(c) => self.name(),
            _ => self.operator(c)?,
        }
        Ok(true)
    }

    fn operator(&mut self, c: char) -> Result<(), ExprError> {
        const LONG: [&str; 10] = ["||", "::", "&&", "!=", "==", "<=", ">=", "**", "??", "?."];
        if let Some(long) = LONG.into_iter().find(|long| self.rest().starts_with(long)) {
            self.push(Kind::Operator, long.len());
        } else if self.rest().starts_with("..") {
            self.push(Kind::Operator, 2);
        } else if "?/#|:,;%+-^&!=*<>.".contains(c) {
            self.push(Kind::Operator, 1);
        } else {
            return Err(self.error(self.at, format!("unrecognized character: U+{:04X} '{c}'", c as u32)));
        }
        Ok(())
    }

    fn name(&mut self) {
        let length = self.rest().find(|c| !in_name(c)).unwrap_or(self.rest().len());
        let after_hash = self.tokens.last().is_some_and(|t| t.is(Kind::Operator, "#") && t.at + 1 == self.at);
        let word = &self.rest()[..length];
        let kind = if !after_hash && WORD_OPERATORS.contains(&word) { Kind::Operator } else { Kind::Name };
        self.push(kind, length);
    }

    fn number(&mut self) -> Result<(), ExprError> {
        let bytes = self.rest().as_bytes();
        let prefixed =
            bytes[0] == b'0' && matches!(bytes.get(1), Some(b'x' | b'X' | b'o' | b'O' | b'b' | b'B'));
        let mut length = 0;
        if prefixed {
            length = 2 + bytes[2..].iter().take_while(|b| b.is_ascii_hexdigit() || **b == b'_').count();
        } else {
            let digits =
                |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
            length += digits(length);
            if bytes.get(length) == Some(&b'.') && bytes.get(length + 1) != Some(&b'.') {
                length += 1 + digits(length + 1);
            }
            if matches!(bytes.get(length), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
                length += 1 + sign + digits(length + 1 + sign);
            }
        }
        if let Some(c) = self.rest()[length..].chars().next().filter(|c| in_name(*c)) {
            let shown = format!("{}{c}", &self.rest()[..length]);
            return Err(self.error(self.at + length, format!("bad number syntax: {shown:?}")));
        }
        self.push(Kind::Number, length);
        Ok(())
    }

    /// A back-quoted text, in which two back-quotes stand for one.
    fn raw(&mut self) -> Result<(), ExprError> {
        let (start, mut text) = (self.at, String::new());
        self.at += 1;
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            if c == '`' {
                if self.peek() != Some('`') {
                    self.tokens.push(Token { kind: Kind::Text, text, at: start });
                    return Ok(());
                }
                self.at += 1;
            }
            text.push(c);
        }
        Err(self.error(self.text.len(), "literal not terminated"))
    }

    fn quoted(&mut self, quote: char) -> Result<(), ExprError> {
        let (start, mut text) = (self.at, String::new());
        self.at += 1;
        while let Some(c) = self.peek() {
            let here = self.at;
            self.at += c.len_utf8();
            match c {
                _ if c == quote => {
                    self.tokens.push(Token { kind: Kind::Text, text, at: start });
                    return Ok(());
                }
                '\n' => return Err(self.error(here, "literal not terminated")),
                '\\' => text.push(self.escape(quote)?),
                _ => text.push(c),
            }
        }
        Err(self.error(self.text.len(), "literal not terminated"))
    }

    fn escape(&mut self, quote: char) -> Result<char, ExprError> {
        let at = self.at;
        let invalid = || self.error(at, "invalid char escape");
        let c = self.peek().ok_or_else(invalid)?;
        let (skip, digits, radix) = match c {
            'x' => (1, 2, 16),
            'u' if self.rest().starts_with("u{") => {
                let end = self.rest().find('}').ok_or_else(invalid)?;
                let code = u32::from_str_radix(&self.rest()[2..end], 16).map_err(|_| invalid())?;
                let c = char::from_u32(code).ok_or_else(invalid)?;
                self.at += end + 1;
                return Ok(c);
            }
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            '0'..='7' => (0, 3, 8),
            _ => {
                let plain = match c {
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\u{b}',
                    '\\' => '\\',
                    _ if c == quote => c,
                    _ => return Err(invalid()),
                };
                self.at += 1;
                return Ok(plain);
            }
        };
        let code = self.rest().get(skip..skip + digits).and_then(|d| u32::from_str_radix(d, radix).ok());
        let c = code.and_then(char::from_u32).ok_or_else(invalid)?;
        self.at += skip + digits;
        Ok(c)
    }
}
