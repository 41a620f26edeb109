//! Percent escapes in the parts of an address.

use std::fmt::Write as _;

/// A part of an address: each has its own characters that stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum In {
    Path,
    Host,
    Zone,
    User,
    Fragment,
}

fn stays(byte: u8, part: In) -> bool {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        return true;
    }
    let others: &[u8] = match part {
        In::Host | In::Zone => b"!$&'()*+,;=:[]<>\"",
        In::Path => b"$&+,/:;=@",
        In::User => b"$&+,;=",
        In::Fragment => b"$&+,/:;=?@!()*",
    };
    others.contains(&byte)
}

pub(super) fn escaped(text: &str, part: In) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if stays(byte, part) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

pub(super) fn unescaped(text: &str, part: In) -> Result<String, String> {
    let in_host = matches!(part, In::Host | In::Zone);
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let byte = bytes[at];
        if byte != b'%' {
            if in_host && byte < 0x80 && !stays(byte, part) {
                return Err(format!("invalid character {:?} in host name", char::from(byte)));
            }
            out.push(byte);
            at += 1;
            continue;
        }
        let end = bytes.len().min(at + 3);
        let wrong = || Err(format!("invalid URL escape {:?}", String::from_utf8_lossy(&bytes[at..end])));
        let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else { return wrong() };
        let value = (high * 16 + low) as u8;
        // A host is escaped only where it is not ASCII.
        if part == In::Host && high < 8 && value != b'%' {
            return wrong();
        }
        if part == In::Zone && value != b'%' && value != b' ' && !stays(value, In::Host) {
            return wrong();
        }
        out.push(value);
        at += 3;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}
