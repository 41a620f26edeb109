//! The functions of sprig that make sense without a template: `sprig.upper(x)`.
//!
//! `env`, `expandenv` and everything else that looks outside are missing, as in Argo; so is cryptography other than
//! checksums.

mod cast;
mod lists;
mod numbers;
mod strings;
mod words;

use super::eval::{Eval, json};
use super::functions::from_json;
use super::times;
use super::value::Val;
use crate::go::{duration_text, format_layout, parse_layout};

use cast::{empty, int, text};

type Made = Result<Val, String>;
/// None: not a function of this group, or not with these arguments.
type Tried = Result<Option<Val>, String>;

type Group = fn(&mut Eval<'_>, &str, &[Val]) -> Tried;

/// Calls `sprig.name`.
pub(super) fn call(eval: &mut Eval<'_>, name: &str, arguments: &[Val]) -> Made {
    let groups: [Group; 6] = [logic, strings::call, numbers::call, lists::call, dates, encodings];
    for group in groups {
        if let Some(value) = group(eval, name, arguments)? {
            return Ok(value);
        }
    }
    if arguments.is_empty() {
        return Err(format!("unknown function sprig.{name}"));
    }
    let types: Vec<_> = arguments.iter().map(Val::type_name).collect();
    Err(format!("unknown function sprig.{name}, or it does not take ({})", types.join(", ")))
}

fn logic(eval: &mut Eval<'_>, name: &str, arguments: &[Val]) -> Tried {
    Ok(Some(match (name, arguments) {
        ("default", [fallback]) => fallback.clone(),
        ("default", [fallback, value]) => if empty(value) { fallback } else { value }.clone(),
        ("ternary", [yes, no, Val::Bool(condition)]) => if *condition { yes } else { no }.clone(),
        ("coalesce", values) => values.iter().find(|value| !empty(value)).cloned().unwrap_or(Val::Nil),
        ("empty", [value]) => Val::Bool(empty(value)),
        ("all", values) => Val::Bool(!values.iter().any(empty)),
        ("any", values) => Val::Bool(values.iter().any(|value| !empty(value))),
        ("fail", [why]) => return Err(text(why)),
        ("kindOf" | "typeOf", [value]) => Val::text(cast::kind(value)),
        ("kindIs" | "typeIs", [Val::Text(kind), value]) => Val::Bool(**kind == *cast::kind(value)),
        ("deepEqual", [a, b]) => Val::Bool(super::value::equal(a, b)),
        ("hello", []) => Val::text("Hello!"),
        ("uuidv4", []) => Val::text(words::uuid(eval.env.seed)),
        _ => return Ok(None),
    }))
}

fn encodings(eval: &mut Eval<'_>, name: &str, arguments: &[Val]) -> Tried {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::Digest as _;

    Ok(Some(match (name, arguments) {
        ("b64enc", [value]) => Val::text(STANDARD.encode(text(value))),
        // Sprig gives the message in place of the text, and no error.
        ("b64dec", [value]) => match STANDARD.decode(text(value)) {
            Ok(bytes) => Val::text(String::from_utf8_lossy(&bytes).as_ref()),
            Err(error) => Val::text(super::functions::base64_error(&text(value), &error)),
        },
        ("sha256sum", [value]) => Val::text(hex(&sha2::Sha256::digest(text(value)))),
        ("sha512sum", [value]) => Val::text(hex(&sha2::Sha512::digest(text(value)))),
        ("adler32sum", [value]) => Val::text(words::adler32(text(value).as_bytes()).to_string()),
        ("toJson" | "toRawJson" | "mustToJson", [value]) => Val::text(raw_json(name, value)?),
        ("toPrettyJson" | "mustToPrettyJson", [value]) => Val::text(json(value, Some("  "))?),
        ("fromJson" | "mustFromJson", [Val::Text(text)]) => from_json(eval, text)?,
        _ => return Ok(None),
    }))
}

fn raw_json(name: &str, value: &Val) -> Result<String, String> {
    let escaped = json(value, None)?;
    if name != "toRawJson" {
        return Ok(escaped);
    }
    Ok(escaped.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn dates(eval: &mut Eval<'_>, name: &str, arguments: &[Val]) -> Tried {
    let now = eval.env.now;
    Ok(Some(match (name, arguments) {
        ("now", []) => times::now(now, &[])?,
        ("date" | "htmlDate", [layout @ .., time]) if layout.len() < 2 => {
            let layout = layout.first().map_or("2006-01-02".to_owned(), text);
            Val::text(format_layout(&cast::time(time, now), &layout))
        }
        ("dateInZone" | "date_in_zone", [layout, time, zone]) => {
            let zone = times::timezone(&text(zone)).unwrap_or(Val::Zone(jiff::tz::TimeZone::UTC));
            let Val::Zone(zone) = zone else { return Ok(None) };
            Val::text(format_layout(&cast::time(time, now).with_time_zone(zone), &text(layout)))
        }
        ("toDate" | "mustToDate", [layout, value]) => {
            let parsed = parse_layout(&text(layout), &text(value), &jiff::tz::TimeZone::UTC);
            Val::Time(Box::new(parsed?))
        }
        ("unixEpoch", [time]) => Val::text(cast::time(time, now).timestamp().as_second().to_string()),
        ("dateModify" | "date_modify" | "mustDateModify", [change, time]) => {
            let nanos = crate::go::parse_duration(&text(change))?;
            let time = cast::time(time, now);
            let later = time.checked_add(jiff::SignedDuration::from_nanos(nanos));
            Val::Time(Box::new(later.map_err(|_| "the time is out of range".to_owned())?))
        }
        ("ago", [time]) => {
            let seconds = now.duration_since(cast::time(time, now).timestamp()).as_secs();
            Val::text(duration_text(seconds.saturating_mul(1_000_000_000)))
        }
        ("duration", [seconds]) => Val::text(duration_text(int(seconds).saturating_mul(1_000_000_000))),
        _ => return Ok(None),
    }))
}
