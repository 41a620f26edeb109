//! Quoted texts.

use std::fmt::Write as _;

/// As `strconv.Quote`.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        let escape = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{b}' => "\\v",
            _ => "",
        };
        if !escape.is_empty() {
            out.push_str(escape);
        } else if c == ' ' || !unprintable(c) {
            out.push(c);
        } else {
            let code = c as u32;
            let _ = match code {
                0..0x20 | 0x7f => write!(out, "\\x{code:02x}"),
                0..0x1_0000 => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
        }
    }
    out.push('"');
    out
}

/// Whether Go does not print it: controls, spaces other than the plain one, and what is assigned to nothing.
fn unprintable(c: char) -> bool {
    c.is_control() || c.is_whitespace() || c.escape_debug().count() > 2 && !c.is_alphanumeric()
}
