//! Base 64 and base 32, decoded as Go does: line ends are passed over, and the last bits may be anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// As `base64.StdEncoding.EncodeToString`.
pub fn base64_encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// As `base64.StdEncoding.DecodeString`.
///
/// # Errors
/// Go's message, which names the byte.
pub fn base64_decode(text: &str) -> Result<Vec<u8>, String> {
    let src = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(src.len() / 4 * 3 + 3), 0);
    let wrong = |at: usize| Err(format!("illegal base64 data at input byte {at}"));
    let skip = |at: &mut usize| {
        while matches!(src.get(*at), Some(b'\n' | b'\r')) {
            *at += 1;
        }
    };
    loop {
        let (mut bits, mut count) = (0u32, 0);
        while count < 4 {
            skip(&mut at);
            let Some(&byte) = src.get(at) else {
                return if count == 0 { Ok(out) } else { wrong(at - count) };
            };
            at += 1;
            if let Some(value) = BASE64.iter().position(|b| *b == byte) {
                bits = bits << 6 | value as u32;
                count += 1;
                continue;
            }
            if byte != b'=' || count < 2 {
                return wrong(at - 1);
            }
            if count == 2 {
                skip(&mut at);
                match src.get(at) {
                    None => return wrong(src.len()),
                    Some(b'=') => at += 1,
                    Some(_) => return wrong(at - 1),
                }
            }
            skip(&mut at);
            if at < src.len() {
                return wrong(at);
            }
            let bytes = (bits << (6 * (4 - count))).to_be_bytes();
            out.extend_from_slice(&bytes[1..count]);
            return Ok(out);
        }
        out.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
}

/// As `base32.StdEncoding.EncodeToString`.
pub fn base32_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for group in bytes.chunks(5) {
        let bits =
            group.iter().chain([0; 5].iter()).take(5).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        let digits = (group.len() * 8).div_ceil(5);
        for i in 0..8 {
            let digit = BASE32[(bits >> (35 - 5 * i)) as usize & 31];
            out.push(if i < digits { char::from(digit) } else { '=' });
        }
    }
    out
}

/// As `base32.StdEncoding.DecodeString`.
///
/// # Errors
/// Go's message, which names the byte.
pub fn base32_decode(text: &str) -> Result<Vec<u8>, String> {
    let src: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    let wrong = |at: usize| Err(format!("illegal base32 data at input byte {at}"));
    let (mut out, mut at) = (Vec::with_capacity(src.len() / 8 * 5), 0);
    while at < src.len() {
        let (mut bits, mut count) = (0u64, 0);
        while count < 8 {
            let Some(&byte) = src.get(at) else { return wrong(at - count) };
            at += 1;
            let left = src.len() - at;
            if byte == b'=' && count >= 2 && left < 8 {
                if left + count < 7 {
                    return wrong(src.len());
                }
                if let Some(other) = src[at..].iter().take(7 - count).position(|byte| *byte != b'=') {
                    return wrong(at + other - 1);
                }
                if matches!(count, 3 | 6) {
                    return wrong(at - 1);
                }
                let bytes = (bits << (5 * (8 - count))).to_be_bytes();
                out.extend_from_slice(&bytes[3..3 + count * 5 / 8]);
                return Ok(out);
            }
            let Some(value) = BASE32.iter().position(|b| *b == byte) else { return wrong(at - 1) };
            bits = bits << 5 | value as u64;
            count += 1;
        }
        out.extend_from_slice(&bits.to_be_bytes()[3..]);
    }
    Ok(out)
}
