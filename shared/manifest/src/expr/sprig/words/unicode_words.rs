//! Cutting a text into runs of one kind of character.

use super::is_connector;

/// What a run consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Nothing,
    Number,
    /// A capital and what belongs to it: `HTTP`, `Server`.
    Upper,
    Lower,
    Connector,
    Punctuation,
    Other,
}

/// The first run of a text, and what follows it.
pub(super) fn next_word(text: &str) -> (Kind, &str, &str) {
    let Some(first) = text.chars().next() else { return (Kind::Nothing, "", "") };
    let (kind, end) = match first {
        c if is_connector(c) => (Kind::Connector, run(text, is_connector)),
        c if is_punctuation(c) => (Kind::Punctuation, run(text, is_punctuation)),
        c if c.is_uppercase() => (Kind::Upper, capitals(text)),
        c if c.is_alphabetic() => (Kind::Lower, run(text, in_lower)),
        c if c.is_numeric() => (Kind::Number, run(text, char::is_numeric)),
        _ => (Kind::Other, run(text, is_other)),
    };
    (kind, &text[..end], &text[end..])
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

fn in_lower(c: char) -> bool {
    c.is_alphabetic() && !c.is_uppercase()
}

fn is_other(c: char) -> bool {
    !is_connector(c) && !c.is_alphanumeric() && !is_punctuation(c)
}

/// Unicode's punctuation; the symbols of ASCII (`$+<=>^` and others) are none.
fn is_punctuation(c: char) -> bool {
    match c {
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => false,
        _ if c.is_ascii() => c.is_ascii_punctuation(),
        _ => {
            matches!(c, '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}')
        }
    }
}

/// The end of a word that begins with a capital: `HTTP` of `HTTPServer`, `Server` of `ServerName`.
fn capitals(text: &str) -> usize {
    let end = run(text, char::is_uppercase);
    let many = text[..end].chars().count() > 1;
    let followed = text[end..].starts_with(in_lower);
    match (many, followed) {
        (_, false) => end,
        (false, true) => end + run(&text[end..], in_lower),
        // The last capital begins the next word.
        (true, true) => text[..end].char_indices().next_back().map_or(end, |(at, _)| at),
    }
}
