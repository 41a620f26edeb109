//! What an installer says: read line by line for progress, and for the reason when it fails.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};

use super::{Error, Options, Phase};

/// How many lines an error shows: enough for a compiler's message, few enough to read.
const TAIL_LINES: usize = 20;

/// What a command wrote.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// Standard output.
    pub stdout: String,
    /// Both streams, line by line, without passwords.
    pub log: Vec<String>,
}

enum Said {
    Out(String),
    Err(String),
}

/// Runs a command to its end; each line is given to `hear` as it comes.
pub(super) fn run(
    command: &mut Command,
    stdin: Stdio,
    hear: &mut dyn FnMut(&str),
) -> std::io::Result<(ExitStatus, Transcript)> {
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (tell, lines) = mpsc::channel();
    let readers = [
        child.stdout.take().map(|pipe| read(pipe, Said::Out, tell.clone())),
        child.stderr.take().map(|pipe| read(pipe, Said::Err, tell)),
    ];
    let mut transcript = Transcript::default();
    for said in lines {
        let (Said::Out(line) | Said::Err(line)) = &said;
        hear(line);
        transcript.log.push(without_password(line));
        if let Said::Out(line) = said {
            transcript.stdout.push_str(&line);
            transcript.stdout.push('\n');
        }
    }
    for reader in readers.into_iter().flatten() {
        // A reader only reads and sends; where it failed, its lines are missing and the status still counts.
        let _ = reader.join();
    }
    Ok((child.wait()?, transcript))
}

fn read(
    pipe: impl Read + Send + 'static,
    said: fn(String) -> Said,
    tell: Sender<Said>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if tell.send(said(text)).is_err() {
                return;
            }
            line.clear();
        }
    })
}

/// A line without the user and password of its URLs.
fn without_password(line: &str) -> String {
    let mut safe = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        safe.push_str(before);
        safe.push_str("://");
        let end = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        rest = after;
        if let Some(at) = after[..end].rfind('@') {
            safe.push_str("****@");
            rest = &after[at + 1..];
        }
    }
    safe + rest
}

/// The progress that a line of pip or uv tells.
pub(super) fn phase(line: &str) -> Option<Phase> {
    let line = line.trim();
    let package = |text: &str| text.to_owned();
    if let Some(what) = line.strip_prefix("Downloading ") {
        return (!what.contains(".metadata")).then(|| Phase::Downloading { package: downloaded(what) });
    }
    if let Some(what) = line.strip_prefix("Building wheel for ").or_else(|| line.strip_prefix("Building ")) {
        return what.split([' ', '(']).next().map(|name| Phase::Building { package: package(name) });
    }
    if let Some(names) = line.strip_prefix("Installing collected packages: ") {
        return Some(Phase::Installing { package: package(names) });
    }
    // uv tells only now that all is fetched, and then is done within moments.
    let prepared = line.strip_prefix("Prepared ")?;
    prepared.split(" in ").next().map(|count| Phase::Installing { package: package(count) })
}

/// pip names a file and its size, uv a package and its size: `six-1.16.0-py3-none-any.whl (11 kB)` becomes
/// `six 1.16.0 (11 kB)`.
fn downloaded(what: &str) -> String {
    let (file, size) = what.split_once(' ').unwrap_or((what, ""));
    let file = file.rsplit('/').next().unwrap_or(file);
    let named = match file.strip_suffix(".whl") {
        Some(wheel) => wheel.splitn(3, '-').take(2).collect::<Vec<_>>().join(" "),
        None => file.strip_suffix(".tar.gz").unwrap_or(file).to_owned(),
    };
    format!("{named} {size}").trim_end().to_owned()
}

/// What an installer was doing when it failed.
pub(super) struct Attempt<'a> {
    pub environment: &'a str,
    pub options: &'a Options,
    pub lock_file: &'a Path,
    /// Where it wrote.
    pub target: &'a Path,
    /// Whether versions were being chosen, rather than chosen ones installed.
    pub is_resolving: bool,
}

/// Why an installer failed, from what it said.
pub(super) fn failure(attempt: &Attempt, log: &[String]) -> Error {
    let environment = attempt.environment.to_owned();
    let text = flat(log);
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["No space left on device", "os error 28", "Errno 28"]) {
        return Error::DiskFull { environment, path: attempt.target.to_owned() };
    }
    let missing = missing(&text);
    if attempt.options.offline
        && (missing.is_some() || has(&["network was disabled", "network connectivity is disabled"]))
    {
        let wheels = attempt.options.wheels.clone();
        return Error::Offline {
            environment,
            package: missing.unwrap_or_else(|| "a package".to_owned()),
            wheels,
        };
    }
    // pip goes on after a dead index and then only misses the package; uv says it as the reason.
    if has(&[
        "Retrying (Retry(",
        "error sending request",
        "Failed to fetch",
        "dns error",
        "Could not connect",
    ]) {
        return Error::Unreachable { environment, tail: tail(log) };
    }
    if has(&["DO NOT MATCH THE HASHES", "Hash mismatch", "hash mismatch"]) {
        return Error::Hashes { environment, lock_file: attempt.lock_file.to_owned(), tail: tail(log) };
    }
    if attempt.is_resolving && (missing.is_some() || has(&["No solution found", "ResolutionImpossible"])) {
        return Error::Resolve { environment, package: missing, reason: reason(&text, log) };
    }
    Error::Install { environment, tail: tail(log) }
}

/// All lines as one, without the frames that uv draws around its reasons.
fn flat(log: &[String]) -> String {
    let joined = log.join(" ");
    joined
        .split_whitespace()
        .filter(|word| !["×", "╰─▶", "├─▶", "│"].contains(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The package that is said to be missing.
fn missing(text: &str) -> Option<String> {
    const BEFORE: [&str; 4] = [
        "No matching distribution found for ",
        "Because there is no version of ",
        "Because there are no versions of ",
        "Because only ",
    ];
    let after = BEFORE.iter().find_map(|words| text.split_once(words)).map(|(_, after)| after);
    let unknown = || text.split_once(" was not found in ").and_then(|(before, _)| before.rsplit(' ').next());
    let words = after.or_else(unknown)?;
    let end = words.find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c))).unwrap_or(words.len());
    let name = words[..end].trim_end_matches('.');
    (!name.is_empty()).then(|| name.to_owned())
}

/// The installer's reason in as few words as it has.
fn reason(text: &str, log: &[String]) -> String {
    if let Some((_, because)) = text.split_once("Because ") {
        return because.to_owned();
    }
    if text.contains("(from versions: none)") {
        return "the index has no package of this name with a file for this Python and platform".to_owned();
    }
    let versions = text.split_once("(from versions: ").and_then(|(_, after)| after.split_once(')'));
    if let Some((versions, _)) = versions {
        let all: Vec<&str> = versions.split(", ").collect();
        let newest = &all[all.len().saturating_sub(5)..];
        return format!("no version fits; the newest for this Python are {}", newest.join(", "));
    }
    tail(log)
}

fn tail(log: &[String]) -> String {
    let said: Vec<&str> = log.iter().map(String::as_str).filter(|line| !line.trim().is_empty()).collect();
    said[said.len().saturating_sub(TAIL_LINES)..].join("\n")
}
