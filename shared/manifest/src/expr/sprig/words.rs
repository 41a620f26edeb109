//! Changing the form of words.

use unicode_words::{Kind, next_word};

mod unicode_words;

/// `snakecase` and `kebabcase`, after xstrings: a number belongs to the word before it, unless letters follow.
pub(super) fn joined(text: &str, connector: char) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let (mut kind, mut word, mut rest) = next_word(text);
    while !rest.is_empty() {
        if kind != Kind::Connector {
            lowered(&mut out, kind, word, connector);
        }
        let (before, last) = (kind, word);
        (kind, word, rest) = next_word(rest);
        match before {
            Kind::Number => {
                (kind, word, rest) = swallowed(&mut out, kind, word, rest, connector);
                if !matches!(kind, Kind::Nothing | Kind::Punctuation | Kind::Connector) {
                    out.push(connector);
                }
            }
            Kind::Connector => lowered(&mut out, before, last, connector),
            Kind::Punctuation => {}
            _ if kind != Kind::Number => {
                if !matches!(kind, Kind::Connector | Kind::Punctuation) {
                    out.push(connector);
                }
            }
            _ if rest.is_empty() => {}
            _ => {
                let number = word;
                (kind, word, rest) = next_word(rest);
                if kind != Kind::Lower {
                    lowered(&mut out, Kind::Number, number, connector);
                    if !matches!(kind, Kind::Connector | Kind::Punctuation) {
                        out.push(connector);
                    }
                    continue;
                }
                out.push(connector);
                lowered(&mut out, Kind::Number, number, connector);
                (kind, word, rest) = swallowed(&mut out, kind, word, rest, connector);
                if !matches!(kind, Kind::Nothing | Kind::Punctuation | Kind::Connector) {
                    out.push(connector);
                }
            }
        }
    }
    lowered(&mut out, kind, word, connector);
    out
}

/// Writes the letters and numbers that follow a number, as one word.
fn swallowed<'a>(
    out: &mut String,
    mut kind: Kind,
    mut word: &'a str,
    mut rest: &'a str,
    connector: char,
) -> (Kind, &'a str, &'a str) {
    while matches!(kind, Kind::Lower | Kind::Number) {
        lowered(out, kind, word, connector);
        (kind, word, rest) = next_word(rest);
    }
    (kind, word, rest)
}

fn lowered(out: &mut String, kind: Kind, word: &str, connector: char) {
    if kind == Kind::Upper || kind == Kind::Connector {
        for c in word.chars() {
            if is_connector(c) {
                out.push(connector);
            } else if c.is_uppercase() {
                out.push(one(c.to_lowercase(), c));
            } else {
                out.push(c);
            }
        }
    } else {
        out.push_str(word);
    }
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// Go changes the case of a character to one character.
fn one<I: ExactSizeIterator<Item = char>>(mut changed: I, c: char) -> char {
    if changed.len() == 1 { changed.next().unwrap_or(c) } else { c }
}

/// `camelcase`, after xstrings' Pascal case: connectors at either end stay, doubled ones become one fewer.
pub(super) fn camel(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next_if(|c| is_connector(*c)) {
        out.push(c);
    }
    let Some(first) = chars.next() else { return out };
    let (mut in_capitals, mut held) = (first.is_uppercase(), one(first.to_uppercase(), first));
    for c in chars {
        let before = std::mem::replace(&mut held, c);
        if is_connector(c) && is_connector(before) {
            out.push(before);
            continue;
        }
        if is_connector(before) {
            in_capitals = c.is_uppercase();
            held = one(c.to_uppercase(), c);
            continue;
        }
        if in_capitals {
            if c.is_uppercase() {
                held = one(c.to_lowercase(), c);
            } else {
                in_capitals = false;
            }
        }
        out.push(before);
    }
    out.push(held);
    out
}

/// `title`: every word with a capital, the rest as it is.
pub(super) fn title(text: &str) -> String {
    let in_word = |c: char| c == '_' || c.is_alphanumeric() || !c.is_ascii() && !c.is_whitespace();
    each_first(text, |c| one(c.to_uppercase(), c), |c| !in_word(c))
}

/// `untitle`: every word with a small letter, where words end at white space.
pub(super) fn untitle(text: &str) -> String {
    each_first(text, |c| one(c.to_lowercase(), c), char::is_whitespace)
}

fn each_first(text: &str, change: impl Fn(char) -> char, ends: impl Fn(char) -> bool) -> String {
    let mut begins = true;
    let changed = text.chars().map(|c| {
        let was = std::mem::replace(&mut begins, ends(c));
        if was && !begins { change(c) } else { c }
    });
    changed.collect()
}

/// `swapcase`.
pub(super) fn swap(text: &str) -> String {
    let swapped = |c: char| {
        if c.is_uppercase() { one(c.to_lowercase(), c) } else { one(c.to_uppercase(), c) }
    };
    text.chars().map(swapped).collect()
}

/// `initials`.
pub(super) fn initials(text: &str) -> String {
    text.split_whitespace().filter_map(|word| word.chars().next()).collect()
}

/// `abbrev` and `abbrevboth`: at most `width` bytes, with dots for what is left out at the end and, where more than
/// four bytes of the beginning are, there.
pub(super) fn abbreviated(text: &str, offset: i64, width: i64) -> String {
    let (length, Ok(width)) = (text.len(), usize::try_from(width)) else { return text.to_owned() };
    if width < 4 || length <= width {
        return text.to_owned();
    }
    let cut = |range: std::ops::Range<usize>| String::from_utf8_lossy(&text.as_bytes()[range]).into_owned();
    let offset = usize::try_from(offset).unwrap_or(0).min(length).min(length - (width - 3));
    if offset <= 4 {
        return format!("{}...", cut(0..width - 3));
    }
    if width < 7 {
        return String::new();
    }
    if offset + width - 3 < length {
        let rest = cut(offset..length);
        // Too narrow for dots on both sides: nothing of the text is left.
        let inner = if width - 3 < 4 { String::new() } else { abbreviated(&rest, 0, width as i64 - 3) };
        return format!("...{inner}");
    }
    format!("...{}", cut(length - (width - 3)..length))
}

/// `wrap` and `wrapWith`: lines of at most `width` bytes, broken at spaces; a longer word is broken only with
/// `breaks_words`.
pub(super) fn wrap(text: &str, width: i64, newline: &str, breaks_words: bool) -> String {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while bytes.len() - at > width {
        if bytes[at] == b' ' {
            at += 1;
            continue;
        }
        let line = &bytes[at..=at + width];
        let end = match line.iter().rposition(|byte| *byte == b' ') {
            Some(space) => at + space,
            None if breaks_words => {
                out.extend_from_slice(&bytes[at..at + width]);
                out.extend_from_slice(newline.as_bytes());
                at += width;
                continue;
            }
            None => match bytes[at + width..].iter().position(|byte| *byte == b' ') {
                Some(space) => at + width + space,
                None => break,
            },
        };
        out.extend_from_slice(&bytes[at..end]);
        out.extend_from_slice(newline.as_bytes());
        at = end + 1;
    }
    out.extend_from_slice(&bytes[at.min(bytes.len())..]);
    String::from_utf8_lossy(&out).into_owned()
}
