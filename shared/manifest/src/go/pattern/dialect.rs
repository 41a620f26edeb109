//! Go's dialect of regular expressions, written in that of the regex crate.
//!
//! `\d`, `\w`, `\s` and `\b` are about ASCII in Go; a `[` in a class, and a `{` that begins no repetition, stand for
//! themselves; and what Go does not know is an error.

use std::iter::Peekable;
use std::str::Chars;

/// The largest number of repetitions that Go takes.
const REPEAT_MAX: u32 = 1000;
const CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Rewrites a pattern.
///
/// # Errors
/// Go's word for what it does not take.
pub(super) fn rewritten(pattern: &str) -> Result<String, &'static str> {
    let mut writer = Writer { out: String::with_capacity(pattern.len() + 16), last: Last::Other };
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        writer.one(c, &mut chars)?;
    }
    Ok(writer.out)
}

/// What stands before: a repetition may be made lazy once, and cannot be repeated itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Other,
    Repetition,
    LazyRepetition,
}

struct Writer {
    out: String,
    last: Last,
}

impl Writer {
    fn one(&mut self, c: char, rest: &mut Peekable<Chars<'_>>) -> Result<(), &'static str> {
        let last = std::mem::replace(&mut self.last, Last::Other);
        match c {
            '\\' => self.escape(rest)?,
            '[' => self.class(rest)?,
            '(' if rest.peek() == Some(&'?') => self.flags(rest)?,
            '*' | '+' | '?' => self.repetition(last, &c.to_string())?,
            '{' => match repetition(rest.clone()) {
                Some((text, counts)) => {
                    if counts.into_iter().flatten().any(|count| count > REPEAT_MAX) {
                        return Err("invalid repeat count");
                    }
                    rest.nth(text.len() - 2);
                    self.repetition(last, &text)?;
                }
                None => self.out.push_str("\\{"),
            },
            '}' => self.out.push_str("\\}"),
            ']' => self.out.push_str("\\]"),
            _ => self.out.push(c),
        }
        Ok(())
    }

    fn repetition(&mut self, last: Last, text: &str) -> Result<(), &'static str> {
        self.last = match last {
            Last::Other => Last::Repetition,
            Last::Repetition if text == "?" => Last::LazyRepetition,
            _ => return Err("invalid nested repetition operator"),
        };
        self.out.push_str(text);
        Ok(())
    }

    fn flags(&mut self, rest: &mut Peekable<Chars<'_>>) -> Result<(), &'static str> {
        let known = |c: char| matches!(c, 'i' | 'm' | 's' | 'U' | '-');
        let after = rest.clone().skip(1).find(|c| !known(*c));
        // A name begins with `P<` or `<`; what comes after it is the regex crate's to judge.
        if !matches!(after, None | Some(':' | ')' | 'P' | '<')) {
            return Err("invalid or unsupported Perl syntax");
        }
        self.out.push('(');
        self.out.extend(rest.next());
        Ok(())
    }

    fn escape(&mut self, rest: &mut Peekable<Chars<'_>>) -> Result<(), &'static str> {
        let Some(c) = rest.next() else { return Err("trailing backslash at end of expression") };
        match c {
            'b' => self.out.push_str(r"(?-u:\b)"),
            'B' => self.out.push_str(r"(?-u:\B)"),
            'Q' => {
                let mut quoted: String = rest.collect();
                if let Some(end) = quoted.find(r"\E") {
                    let after = quoted.split_off(end + 2);
                    quoted.truncate(end);
                    self.out.push_str(&regex::escape(&quoted));
                    self.out.push_str(&rewritten(&after)?);
                } else {
                    self.out.push_str(&regex::escape(&quoted));
                }
            }
            _ => match ascii(c) {
                Some((negated, members)) => {
                    self.out.push_str(if negated { "[^" } else { "[" });
                    self.out.push_str(members);
                    self.out.push(']');
                }
                None => self.plain_escape(c, rest)?,
            },
        }
        Ok(())
    }

    /// An escape that means the same inside of a class and outside.
    fn plain_escape(&mut self, c: char, rest: &mut Peekable<Chars<'_>>) -> Result<(), &'static str> {
        let octal = |c: Option<&char>| c.is_some_and(|c| ('0'..='7').contains(c));
        match c {
            '0' => self.octal(c, rest),
            '1'..='7' if octal(rest.peek()) => self.octal(c, rest),
            'u' | 'U' => return Err("invalid escape sequence"),
            '<' | '>' => self.out.push(c),
            'x' | 'p' | 'P' if rest.peek() == Some(&'{') => {
                self.out.extend(['\\', c]);
                for c in rest.by_ref() {
                    self.out.push(c);
                    if c == '}' {
                        break;
                    }
                }
            }
            _ => {
                self.out.push('\\');
                self.out.push(c);
            }
        }
        Ok(())
    }

    fn octal(&mut self, first: char, rest: &mut Peekable<Chars<'_>>) {
        let mut code = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit) = rest.peek().and_then(|c| c.to_digit(8)) else { break };
            code = code * 8 + digit;
            rest.next();
        }
        self.out.push_str(&format!("\\x{{{code:x}}}"));
    }

    fn class(&mut self, rest: &mut Peekable<Chars<'_>>) -> Result<(), &'static str> {
        self.out.push('[');
        if rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        if rest.next_if_eq(&']').is_some() {
            self.out.push_str("\\]");
        }
        let mut dash = false;
        while let Some(c) = rest.next() {
            let after_dash = std::mem::replace(&mut dash, c == '-');
            match c {
                ']' => {
                    self.out.push(']');
                    return Ok(());
                }
                '[' if rest.peek() == Some(&':') => self.named_class(rest)?,
                '[' | '&' | '~' => self.out.extend(['\\', c]),
                '-' if after_dash => {
                    dash = false;
                    self.out.push_str("\\-");
                }
                '\\' => {
                    let Some(c) = rest.next() else { return Err("missing closing ]") };
                    match ascii(c) {
                        Some((true, members)) => self.out.push_str(&format!("[^{members}]")),
                        Some((false, members)) => self.out.push_str(members),
                        None => self.plain_escape(c, rest)?,
                    }
                }
                _ => self.out.push(c),
            }
        }
        Err("missing closing ]")
    }

    fn named_class(&mut self, rest: &mut Peekable<Chars<'_>>) -> Result<(), &'static str> {
        let text: String =
            rest.clone().skip(1).take_while(|c| c.is_ascii_alphabetic() || *c == '^').collect();
        let ends = rest.clone().skip(1 + text.len()).take(2).eq([':', ']']);
        if !ends {
            self.out.push_str("\\[");
            return Ok(());
        }
        if !CLASSES.contains(&text.strip_prefix('^').unwrap_or(&text)) {
            return Err("invalid character class range");
        }
        self.out.push_str(&format!("[:{text}:]"));
        rest.nth(text.len() + 2);
        Ok(())
    }
}

/// The members of a class that Go knows for ASCII only, and whether it is everything else.
fn ascii(c: char) -> Option<(bool, &'static str)> {
    Some(match c {
        'd' => (false, "0-9"),
        'D' => (true, "0-9"),
        'w' => (false, "0-9A-Za-z_"),
        'W' => (true, "0-9A-Za-z_"),
        's' => (false, r"\t\n\x0C\r "),
        'S' => (true, r"\t\n\x0C\r "),
        _ => return None,
    })
}

/// The text of `{n}`, `{n,}` or `{n,m}` and its numbers; None for anything else after a `{`.
fn repetition(rest: Peekable<Chars<'_>>) -> Option<(String, [Option<u32>; 2])> {
    let text: String = rest.take(16).collect();
    let (inner, _) = text.split_once('}')?;
    let number = |text: &str| -> Option<u32> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u32::MAX))
    };
    let counts = match inner.split_once(',') {
        None => [Some(number(inner)?), None],
        Some((least, "")) => [Some(number(least)?), None],
        Some((least, most)) => [Some(number(least)?), Some(number(most)?)],
    };
    Some((format!("{{{inner}}}"), counts))
}
