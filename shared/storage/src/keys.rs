//! The key layout: which name is stored under which path. Keys are for ever; nothing else builds one.
//!
//! Escaping keeps ordinary names as they are, so that a person recognises them, and is undone exactly:
//! - `%HH` (two upper-case hexadecimal digits) is one byte: control characters, the components `.` and `..`, and
//!   a `%` that would otherwise read as an escape or a mark. Any other `%` stands for itself: `100%.csv` is stored
//!   as `100%.csv`.
//! - `%` alone is an empty component: the key `a//b` is `a/%/b`, the key `a/` is `a/%`.
//! - A component longer than a file name may be goes on in a folder below it, under `%+`.
//! - `a%-` is the object `a` where `a` is a folder, because there is an object `a/b` too.
//!
//! Names of runs, attempts, namespaces and containers are one component: `/` and a leading `.` are escaped too,
//! so that they never leave their folder nor meet our own `.tmp` and `.facts`.

use std::path::{Component, Path, PathBuf};

use dropforge_driver::store::StoreError;
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// A file name has at most 255 bytes; two of them are kept for `%-` and `%+`.
const PIECE_BYTES_MAX: usize = 253;

/// Uids and command ids share a file name with at most 19 digits and `.journal`; 200 bytes leave room.
const SHORT_NAME_BYTES_MAX: usize = 200;

/// S3's limit for keys.
pub(crate) const KEY_BYTES_MAX: usize = 1024;

/// Begins the continuation of a long component.
const CONTINUED: &str = "%+";

/// The end of the year 9999 in microseconds: before it every time has 18 digits when counted backwards from here.
const LAST_MICROSECOND: i64 = 253_402_300_799_999_999;

/// Ends the file of an object that shares its name with a folder.
const BESIDE_FOLDER: &str = "%-";

/// An empty component.
const EMPTY: &str = "%";

/// The path of an object below the folder of all buckets (or of all namespaces' artifacts).
///
/// # Errors
/// `BadName` when the key is empty or longer than S3 allows, or the bucket's name can't be a folder.
pub fn object_path(bucket: &str, key: &str) -> Result<PathBuf, StoreError> {
    Ok(Path::new(&name("bucket", bucket)?).join(key_path(key)?))
}

/// The path of a key below its bucket's folder.
///
/// # Errors
/// `BadName` when the key is empty or longer than S3 allows.
pub fn key_path(key: &str) -> Result<PathBuf, StoreError> {
    check_key(key)?;
    Ok(key.split('/').flat_map(|component| pieces(component, false)).collect())
}

/// Checks a key against S3's rules.
///
/// # Errors
/// `BadName` when S3 would not take it.
pub fn check_key(key: &str) -> Result<(), StoreError> {
    let bad = |why: String| StoreError::BadName { what: "key", name: key.to_owned(), why };
    if key.is_empty() {
        return Err(bad("it is empty".to_owned()));
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(bad(format!("it has {} bytes, {KEY_BYTES_MAX} are possible", key.len())));
    }
    Ok(())
}

/// The key stored under a path below its bucket's folder; none when no key has this path (it is not UTF-8, or
/// its name reads as an escape of another).
pub fn key_of(path: &Path) -> Option<String> {
    let mut components: Vec<String> = Vec::new();
    for component in path.components() {
        let Component::Normal(piece) = component else { return None };
        let piece = piece.to_str()?;
        match (piece.strip_prefix(CONTINUED), components.last_mut()) {
            (Some(rest), Some(begun)) => begun.push_str(rest),
            _ => components.push(piece.to_owned()),
        }
    }
    let last = components.last_mut()?;
    let beside_folder = last.ends_with(BESIDE_FOLDER);
    if beside_folder {
        last.truncate(last.len() - BESIDE_FOLDER.len());
    }
    let key = components.iter().map(|c| unescape(c)).collect::<Option<Vec<_>>>()?.join("/");
    let stored = key_path(&key).ok()?;
    let same = path == if beside_folder { self::beside_folder(&stored) } else { stored };
    same.then_some(key)
}

/// The path of an object whose own path is a folder.
pub fn beside_folder(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(BESIDE_FOLDER);
    path.into()
}

/// A name as one component of a path.
///
/// # Errors
/// `BadName` when it is empty or too long.
pub fn name(what: &'static str, name: &str) -> Result<String, StoreError> {
    bounded(what, name, PIECE_BYTES_MAX)
}

/// A name that is part of a file name.
fn short_name(what: &'static str, name: &str) -> Result<String, StoreError> {
    bounded(what, name, SHORT_NAME_BYTES_MAX)
}

fn bounded(what: &'static str, name: &str, bytes_max: usize) -> Result<String, StoreError> {
    let bad = |why: String| StoreError::BadName { what, name: name.to_owned(), why };
    if name.is_empty() {
        return Err(bad("it is empty".to_owned()));
    }
    let escaped: String = escapes(name, true).collect();
    if escaped.len() > bytes_max {
        return Err(bad(format!("it takes {} bytes, {bytes_max} are possible", escaped.len())));
    }
    Ok(escaped)
}

/// The name that [`name`] stores under this component; none when there is no such name.
pub fn name_of(component: &str) -> Option<String> {
    let text = unescape(component)?;
    (name("name", &text).ok()? == component).then_some(text)
}

/// Checks a bucket's name against S3's rules.
///
/// # Errors
/// `BadName` when S3 would not take it.
pub fn check_bucket(bucket: &str) -> Result<(), StoreError> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    let outer = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = bucket.as_bytes();
    let good = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| inner(*b))
        && outer(bytes.first().copied())
        && outer(bytes.last().copied())
        && !bucket.contains("..");
    if good {
        return Ok(());
    }
    let why = "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens, and begins and ends \
               with a letter or digit";
    Err(StoreError::BadName { what: "bucket", name: bucket.to_owned(), why: why.to_owned() })
}

/// Where the markers of live runs are.
pub const LIVE: &str = "live";
/// Where specs and inboxes are.
pub const RUNS: &str = "runs";
/// Where journals are.
pub const JOURNALS: &str = "journals";
/// Where claims and verdicts are.
pub const ATTEMPTS: &str = "attempts";
/// Where logs are.
pub const LOGS: &str = "logs";
/// Where the run list is.
pub const INDEX: &str = "index";
/// Where the default artifact repository is.
pub const ARTIFACTS: &str = "artifacts";
/// Where the buckets of the S3 endpoint are.
pub const BUCKETS: &str = "buckets";
/// Where persistent volumes are.
pub const VOLUMES: &str = "volumes";
/// Where running steps work.
pub const WORK: &str = "work";

/// The folders that hold no documents.
const TABLES: [&str; 10] = [LIVE, RUNS, JOURNALS, ATTEMPTS, LOGS, INDEX, ARTIFACTS, BUCKETS, VOLUMES, WORK];

/// The marker of a live run.
pub fn live(run: &RunUid) -> Result<PathBuf, StoreError> {
    Ok(Path::new(LIVE).join(short_name("run", run.as_str())?))
}

/// The folder of a run's spec and inbox.
pub fn run(run: &RunUid) -> Result<PathBuf, StoreError> {
    Ok([RUNS, &spread(run), &short_name("run", run.as_str())?].iter().collect())
}

/// A run's spec.
pub fn spec(uid: &RunUid) -> Result<PathBuf, StoreError> {
    Ok(run(uid)?.join("spec.json"))
}

/// The folder of a run's unread commands.
pub fn inbox(uid: &RunUid) -> Result<PathBuf, StoreError> {
    Ok(run(uid)?.join("inbox"))
}

/// An unread command.
pub fn command(uid: &RunUid, command: &CommandId) -> Result<PathBuf, StoreError> {
    Ok(inbox(uid)?.join(short_name("command", command.as_str())? + ".json"))
}

/// A run's journal.
pub fn journal(run: &RunUid) -> Result<PathBuf, StoreError> {
    Ok([JOURNALS, &spread(run), &(short_name("run", run.as_str())? + ".journal")].iter().collect())
}

/// A commit of a journal that is kept as one object for each: from 1, in the order of the keys.
pub fn segment(run: &RunUid, number: u64) -> Result<PathBuf, StoreError> {
    let run_name = short_name("run", run.as_str())?;
    Ok([JOURNALS, &spread(run), &run_name, &format!("{number:020}.json")].iter().collect())
}

/// A run's snapshot.
pub fn snapshot(uid: &RunUid) -> Result<PathBuf, StoreError> {
    Ok(run(uid)?.join("snapshot.json"))
}

/// A text that snapshots of a run name. It goes with the journal: both are made once and never change.
pub fn piece(run: &RunUid, piece: &str) -> Result<PathBuf, StoreError> {
    let run_name = short_name("run", run.as_str())?;
    let file = short_name("piece", piece)? + ".json";
    Ok([JOURNALS, &spread(run), &run_name, "pieces", &file].iter().collect())
}

/// The folder of an attempt's claim and verdict: the namespace and the attempt's id alone, so that a pod can be
/// allowed to write there and nowhere else.
pub fn attempt(namespace: &str, attempt: &AttemptId) -> Result<PathBuf, StoreError> {
    Ok([ATTEMPTS, &name("namespace", namespace)?, &name("attempt", attempt.as_str())?].iter().collect())
}

/// The folder of a container's log.
pub fn log(namespace: &str, attempt: &AttemptId, container: &str) -> Result<PathBuf, StoreError> {
    let names =
        [name("namespace", namespace)?, name("attempt", attempt.as_str())?, name("container", container)?];
    Ok(Path::new(LOGS).join(names.iter().collect::<PathBuf>()))
}

/// A run's entry in the run list: file names sort newest first.
pub fn index_entry(namespace: &str, created_at: Timestamp, run: &RunUid) -> Result<PathBuf, StoreError> {
    let reversed = LAST_MICROSECOND - created_at.as_microsecond();
    let file = format!("{reversed:018}-{}.json", short_name("run", run.as_str())?);
    Ok(Path::new(INDEX).join(name("namespace", namespace)?).join(file))
}

/// A document's file: its key is a path below one of the folders that hold documents.
pub fn document(key: &str) -> Result<PathBuf, StoreError> {
    if !key.contains('/') {
        return Err(bad_document(key, "it lies in no folder"));
    }
    folder_of_documents(key)
}

/// A folder below which documents lie.
pub(crate) fn folder_of_documents(key: &str) -> Result<PathBuf, StoreError> {
    if key.split('/').any(str::is_empty) {
        return Err(bad_document(key, "a part of it is empty"));
    }
    if key.split('/').next().is_some_and(is_table) {
        return Err(bad_document(key, "its folder holds no documents"));
    }
    key_path(key)
}

fn bad_document(key: &str, why: &str) -> StoreError {
    StoreError::BadName { what: "document", name: key.to_owned(), why: why.to_owned() }
}

/// The folders at the top of a store that do not hold documents.
pub(crate) fn is_table(folder: &str) -> bool {
    TABLES.contains(&folder) || folder.starts_with('.')
}

/// The first hex digits of a hash of the uid, so that prefixes spread.
fn spread(run: &RunUid) -> String {
    format!("{:02x}", Sha256::digest(run.as_str().as_bytes())[0])
}

/// A component as file names: one, or more when it is too long for one.
fn pieces(component: &str, strict: bool) -> Vec<String> {
    if component.is_empty() {
        return vec![EMPTY.to_owned()];
    }
    let mut pieces = vec![String::new()];
    for token in escapes(component, strict) {
        let full = pieces.last().is_some_and(|last| last.len() + token.len() > PIECE_BYTES_MAX);
        if full {
            pieces.push(CONTINUED.to_owned());
        }
        pieces.last_mut().expect("there is a first piece").push_str(&token);
    }
    pieces
}

/// Each character of a component as it is stored.
fn escapes(component: &str, strict: bool) -> impl Iterator<Item = String> + '_ {
    component.char_indices().map(move |(at, c)| {
        if must_escape(component, at, c, strict) { format!("%{:02X}", u32::from(c)) } else { c.to_string() }
    })
}

/// Only ASCII characters are ever escaped, so that two digits suffice.
fn must_escape(component: &str, at: usize, c: char, strict: bool) -> bool {
    match c {
        '/' => true,
        '.' => component == "." || component == ".." || (strict && at == 0),
        '%' => reads_as_mark(component, at),
        c => c.is_ascii_control(),
    }
}

/// Whether a literal `%` here would be taken for an escape or a mark.
fn reads_as_mark(component: &str, at: usize) -> bool {
    let rest = &component.as_bytes()[at + 1..];
    component == EMPTY
        || rest == b"-"
        || (at == 0 && rest.first() == Some(&b'+'))
        || (rest.len() >= 2 && digit(rest[0]).is_some() && digit(rest[1]).is_some())
}

fn unescape(component: &str) -> Option<String> {
    if component == EMPTY {
        return Some(String::new());
    }
    let bytes = component.as_bytes();
    let mut text = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = (bytes.get(at + 1).copied().and_then(digit), bytes.get(at + 2).copied().and_then(digit));
        match (bytes[at], digits) {
            (b'%', (Some(high), Some(low))) => {
                text.push(high * 16 + low);
                at += 3;
            }
            (byte, _) => {
                text.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(text).ok()
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
