//! Standard output holds data, standard error everything else.

pub mod progress;
pub mod terminal;
pub mod tree;

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::ids::RunUid;
use dropforge_engine::phase::RunPhase;
use dropforge_engine::view::View;
use jiff::Timestamp;
use serde_json::Value;

use crate::args::RunOutput;
use crate::error::CliError;
use crate::home::Home;
use crate::lookup;
use tree::Style;

/// A text as a terminal may have it: a control character of a manifest or of a step's output is told and does nothing.
/// Whatever is for people goes through here; JSON, YAML and the logs that `logs` prints are the bytes they are.
pub fn shown(text: &str) -> Cow<'_, str> {
    let acts = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) {
            out.push_str(&format!("\\x{:02x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Writes a text for people to standard output.
///
/// # Errors
/// As [`data`].
pub fn text(text: &str) -> Result<(), CliError> {
    data(&shown(text))
}

/// Writes data to standard output, as it is.
///
/// # Errors
/// `BrokenPipe` when its reader has gone, which is no failure.
pub fn data(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Lines that can wait a moment for others, and since when the first does.
static WAITING: Mutex<(String, Option<Instant>)> = Mutex::new((String::new(), None));

/// How long a line may wait: nobody sees it, and many short steps are one write and not two each.
pub const SOON: Duration = Duration::from_millis(100);

/// Writes a value to standard output as JSON, without a copy of all of it in memory.
///
/// # Errors
/// As [`data`].
pub fn json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let text = serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from);
    written(text.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()))
}

fn written(done: std::io::Result<()>) -> Result<(), CliError> {
    done.map_err(|why| match why.kind() {
        std::io::ErrorKind::BrokenPipe => CliError::BrokenPipe,
        _ => CliError::Machine { what: "write to standard output".to_owned(), source: why },
    })
}

/// Writes a line for people to standard error; when nobody reads it, nothing is lost.
pub fn say(text: &str) {
    say_soon(text);
    say_waiting();
}

/// The same, at the latest when something is said [`SOON`] after it, or what waits is said.
pub fn say_soon(text: &str) {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let (lines, since) = &mut *waiting;
    lines.push_str(&shown(text));
    lines.push('\n');
    let since = *since.get_or_insert_with(Instant::now);
    drop(waiting);
    if since.elapsed() >= SOON {
        say_waiting();
    }
}

/// Writes the lines that wait.
pub fn say_waiting() {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let (lines, _) = std::mem::take(&mut *waiting);
    // Standard error has no buffer: lines are written whole. The lock keeps them in order.
    let _ = std::io::stderr().lock().write_all(lines.as_bytes());
}

/// Writes the lines that wait where the first has waited for [`SOON`].
pub fn say_overdue() {
    let since = WAITING.lock().unwrap_or_else(PoisonError::into_inner).1;
    if since.is_some_and(|since| since.elapsed() >= SOON) {
        say_waiting();
    }
}

/// Whether lines wait.
pub fn is_waiting() -> bool {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner).1.is_some()
}

/// The style for trees on standard output.
pub fn style(wide: bool) -> Style {
    let terminal = std::io::stdout().is_terminal();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let utf8 = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        .is_none_or(|v| v.to_uppercase().contains("UTF"));
    Style { colour: terminal && !plain, unicode: utf8, wide, loop_children_max: 20 }
}

/// Prints a run as asked.
///
/// # Errors
/// When it can't be written.
pub fn run(view: &View, now: Timestamp, output: RunOutput) -> Result<(), CliError> {
    match output {
        RunOutput::Tree => data(&tree::draw(view, now, style(false))),
        RunOutput::Wide => data(&tree::draw(view, now, style(true))),
        RunOutput::Json => json(&view.streamed()),
        RunOutput::Yaml => data(&yaml(&view.workflow())),
        RunOutput::Name => text(&format!("{}\n", view.state.program.spec.name())),
    }
}

/// Prints a stored run as asked, and gives its phase. As a tree a wide loop is counted; as an object all of it is there.
///
/// # Errors
/// When it can't be read or written.
pub async fn stored_run(store: &Home, uid: &RunUid, output: RunOutput) -> Result<RunPhase, CliError> {
    let view = match output {
        RunOutput::Json | RunOutput::Yaml => lookup::view(store, uid).await?,
        RunOutput::Tree | RunOutput::Wide | RunOutput::Name => lookup::sketch(store, uid).await?.view,
    };
    run(&view, SystemClock.now(), output)?;
    Ok(view.state.phase)
}

/// A value as YAML: every text is quoted, or stands line by line, so that none is misread.
pub fn yaml(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let key = plain_key(key);
                if is_nested(value) {
                    out.push_str(&format!("{pad}{key}:\n"));
                    block(value, depth + 1, out);
                } else {
                    out.push_str(&format!("{pad}{key}: {}\n", scalar(value, depth + 1)));
                }
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                let mut item = String::new();
                if is_nested(value) {
                    block(value, depth + 1, &mut item);
                } else {
                    item = scalar(value, depth + 1) + "\n";
                }
                // Its first line stands behind the dash.
                out.push_str(&format!("{pad}- {}", item.trim_start()));
            }
        }
        other => out.push_str(&format!("{pad}{}\n", scalar(other, depth))),
    }
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

fn scalar(value: &Value, depth: usize) -> String {
    match value {
        Value::String(text) => lines(text, depth).unwrap_or_else(|| value.to_string()),
        other => other.to_string(),
    }
}

/// A text of several lines as a block, where nothing of it would be lost: the first line says how far it stands in,
/// and what is not printable, or ends in blanks, can't be seen.
fn lines(text: &str, depth: usize) -> Option<String> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let plain = |c: char| c == '\n' || !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    let seen = |line: &str| !line.ends_with(' ');
    if !body.contains('\n') || body.starts_with([' ', '\n']) || body.ends_with('\n') {
        return None;
    }
    if !body.chars().all(plain) || !body.split('\n').all(seen) {
        return None;
    }
    let pad = "  ".repeat(depth);
    let mut out = if text.len() > body.len() { "|".to_owned() } else { "|-".to_owned() };
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&format!("{pad}{line}"));
        }
    }
    Some(out)
}

fn plain_key(key: &str) -> String {
    let plain = !key.is_empty()
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
        && key.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        // YAML 1.1 reads these as booleans or nothing.
        && !matches!(key.to_lowercase().as_str(), "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null");
    if plain { key.to_owned() } else { Value::String(key.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_told_instead() {
        let said = "a\tb\n\u{1b}]0;owned\u{7}\r\u{7f}\u{9b}31m é ✔\u{0}";
        assert_eq!(shown(said), "a\tb\n\\x1b]0;owned\\x07\\x0d\\x7f\\x9b31m é ✔\\x00");
    }

    #[test]
    fn yaml_is_read_back_by_the_manifest_parser() {
        let value = serde_json::json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "a", "labels": {"yes": "no"}},
            "spec": {"entrypoint": "m", "templates": [{"name": "m", "container": {"image": "x", "args": ["a: b\n- c", "", " x\ny", "one\n\n  two\n", "tab\tx\ny", "end \nx", "x\n\n"]}}]},
        });
        let parsed = dropforge_manifest::parse::parse("x", &yaml(&value));
        assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
        let dropforge_manifest::parse::AnyObject::Workflow(workflow) = &parsed.documents[0].object else {
            panic!("{}", parsed.documents[0].object.kind());
        };
        assert_eq!(serde_json::to_value(workflow).unwrap(), value);
    }
}
