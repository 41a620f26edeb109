//! Encodings and checksums.

use sha1::Digest as _;

use super::Takes::{Any, Text};
use super::{Function, Made, function};
use crate::expr::eval::{Eval, json};
use crate::expr::functions::from_json;
use crate::expr::value::Val;
use crate::go::{base32_decode, base32_encode, base64_decode, base64_encode};

pub(super) const FUNCTIONS: &[Function] = &[
    function("b64enc", &[Text], |eval, a| {
        eval.budget.reserve(a.text(0).len() * 4 / 3)?;
        Ok(Val::text(base64_encode(a.text(0).as_bytes())))
    }),
    function("b64dec", &[Text], |_, a| Ok(decoded(base64_decode(a.text(0))))),
    function("b32enc", &[Text], |eval, a| {
        eval.budget.reserve(a.text(0).len() * 8 / 5)?;
        Ok(Val::text(base32_encode(a.text(0).as_bytes())))
    }),
    function("b32dec", &[Text], |_, a| Ok(decoded(base32_decode(a.text(0))))),
    function("sha1sum", &[Text], |_, a| Ok(Val::text(hex(&sha1::Sha1::digest(a.text(0)))))),
    function("sha256sum", &[Text], |_, a| Ok(Val::text(hex(&sha2::Sha256::digest(a.text(0)))))),
    function("sha512sum", &[Text], |_, a| Ok(Val::text(hex(&sha2::Sha512::digest(a.text(0)))))),
    function("adler32sum", &[Text], |_, a| Ok(Val::text(adler32(a.text(0).as_bytes()).to_string()))),
    // What cannot be written is an empty text, and an error only for the functions that must.
    function("toJson", &[Any], |_, a| Ok(Val::text(json(a.get(0), None).unwrap_or_default()))),
    function("mustToJson", &[Any], |_, a| json(a.get(0), None).map(Val::text)),
    function("toPrettyJson", &[Any], |_, a| Ok(Val::text(json(a.get(0), Some("  ")).unwrap_or_default()))),
    function("mustToPrettyJson", &[Any], |_, a| json(a.get(0), Some("  ")).map(Val::text)),
    function("toRawJson", &[Any], |_, a| raw_json(a.get(0))),
    function("mustToRawJson", &[Any], |_, a| raw_json(a.get(0))),
    function("fromJson", &[Text], |eval, a| Ok(parsed(eval, a.text(0)).unwrap_or(Val::Nil))),
    function("mustFromJson", &[Text], |eval, a| parsed(eval, a.text(0))),
];

/// Sprig gives the message in place of the text, and no error.
fn decoded(bytes: Result<Vec<u8>, String>) -> Val {
    match bytes {
        Ok(bytes) => Val::text(String::from_utf8_lossy(&bytes).as_ref()),
        Err(why) => Val::text(why),
    }
}

fn parsed(eval: &mut Eval<'_>, text: &str) -> Made {
    from_json(eval, text)
}

fn raw_json(value: &Val) -> Made {
    let escaped = json(value, None)?;
    Ok(Val::text(escaped.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}
