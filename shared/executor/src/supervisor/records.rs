//! What the supervisor notes of each attempt while it has it: enough for the next supervisor to end what survived this
//! one. One file, to which a line is appended when an attempt is taken in hand and when its process is known: a file for
//! each would take longer than a short step. That it is done is a line, too, which waits for the next of these: without
//! it the next supervisor finds the verdict.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dropforge_driver::supervision::ContainerEngine;
use dropforge_engine::ids::AttemptId;
use serde::{Deserialize, Serialize};

/// The file's name in the supervisor's folder.
pub const FILE: &str = "attempts.jsonl";

/// A longer file is written anew with what is still in hand: 5,000 short steps.
const FILE_BYTES_MAX: usize = 1 << 20;

/// One attempt in hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// Version of this document.
    pub format: u32,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its namespace.
    pub namespace: String,
    /// The process that leads it, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When that process was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_start_ticks: Option<u64>,
    /// The engine that runs its containers, where they are no processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<ContainerEngine>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    /// It is in hand; the last such line of an attempt counts.
    Held(Note),
    /// Its verdict is stored.
    Done(AttemptId),
}

/// All notes. The supervisor's own lock keeps every other writer out.
pub struct Records {
    path: PathBuf,
    kept: Mutex<Kept>,
}

struct Kept {
    file: File,
    bytes: usize,
    in_hand: BTreeMap<AttemptId, Note>,
    /// Lines that wait.
    unsaid: Vec<u8>,
}

impl Records {
    /// The notes in the supervisor's folder.
    ///
    /// # Errors
    /// When their file can't be read or made.
    pub fn below(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let in_hand = read(&text);
        let (file, bytes) = write_anew(&path, &in_hand)?;
        Ok(Records { path, kept: Mutex::new(Kept { file, bytes, in_hand, unsaid: Vec::new() }) })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an attempt, before it is claimed.
    ///
    /// # Errors
    /// When the note can't be written; then nothing may be started.
    pub fn hold(
        &self,
        attempt: &AttemptId,
        namespace: &str,
        engine: Option<&ContainerEngine>,
    ) -> io::Result<()> {
        self.note(Note {
            format: 1,
            attempt: attempt.clone(),
            namespace: namespace.to_owned(),
            pid: None,
            process_start_ticks: None,
            engine: engine.cloned(),
        })
    }

    /// Notes an attempt's process. The mark in its environment names it until then.
    ///
    /// # Errors
    /// When the note can't be written.
    pub fn set_process(&self, attempt: &AttemptId, pid: u32, start_ticks: u64) -> io::Result<()> {
        let held = self.kept().in_hand.get(attempt).cloned();
        let Some(note) = held else { return Ok(()) };
        self.note(Note { pid: Some(pid), process_start_ticks: Some(start_ticks), ..note })
    }

    fn note(&self, note: Note) -> io::Result<()> {
        let mut kept = self.kept();
        kept.append(&encoded(&Line::Held(note.clone()))?)?;
        kept.in_hand.insert(note.attempt.clone(), note);
        Ok(())
    }

    /// Forgets an attempt whose verdict is stored.
    pub fn remove(&self, attempt: &AttemptId) {
        let mut kept = self.kept();
        kept.in_hand.remove(attempt);
        let mut noted = encoded(&Line::Done(attempt.clone())).map(|line| kept.unsaid.extend(line));
        if kept.bytes > FILE_BYTES_MAX {
            let anew = write_anew(&self.path, &kept.in_hand);
            noted = anew.map(|(file, bytes)| {
                (kept.file, kept.bytes) = (file, bytes);
                kept.unsaid.clear();
            });
        }
        if let Err(error) = noted {
            // The next supervisor finds its verdict.
            tracing::warn!(%attempt, %error, "that an attempt has ended could not be noted");
        }
    }

    /// Writes what waits, for when nothing more comes.
    pub fn settle(&self) {
        if let Err(error) = self.kept().append(&[]) {
            tracing::warn!(%error, "that attempts have ended could not be noted");
        }
    }

    /// What is in hand: as long as this supervisor has taken nothing, that of the one that is gone.
    pub fn in_hand(&self) -> Vec<Note> {
        self.kept().in_hand.values().cloned().collect()
    }
}

impl Kept {
    /// After what waits.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let waited = self.unsaid.len();
        self.unsaid.extend(line);
        let written = self.file.write_all(&self.unsaid);
        if written.is_err() {
            self.unsaid.truncate(waited);
            // A full disk may have taken half a line: it is ended when there is room, or it would take the next one with it.
            if !self.unsaid.starts_with(b"\n") {
                self.unsaid.insert(0, b'\n');
            }
            return written;
        }
        self.bytes += self.unsaid.len();
        self.unsaid.clear();
        Ok(())
    }
}

fn encoded(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line).map_err(io::Error::other)?;
    text.push(b'\n');
    Ok(text)
}

/// What can't be read was not finished, so that its attempt was not claimed.
fn read(text: &[u8]) -> BTreeMap<AttemptId, Note> {
    let mut in_hand = BTreeMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line::Held(note)) => drop(in_hand.insert(note.attempt.clone(), note)),
            Ok(Line::Done(attempt)) => drop(in_hand.remove(&attempt)),
            Err(_) => {}
        }
    }
    in_hand
}

/// Whole or not at all.
fn write_anew(path: &Path, in_hand: &BTreeMap<AttemptId, Note>) -> io::Result<(File, usize)> {
    let lines = in_hand.values().map(|note| encoded(&Line::Held(note.clone())));
    let text = lines.collect::<io::Result<Vec<_>>>()?.concat();
    let new = path.with_extension("new");
    fs::write(&new, &text)?;
    fs::rename(&new, path)?;
    Ok((File::options().append(true).open(path)?, text.len()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_next_supervisor_finds_what_was_in_hand() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::below(folder.path()).unwrap();
        for attempt in ["a", "b", "c"] {
            records.hold(&attempt.into(), "ns", None).unwrap();
        }
        records.set_process(&"b".into(), 7, 70).unwrap();
        records.remove(&"a".into());
        records.set_process(&"a".into(), 8, 80).unwrap();
        records.settle();
        let left = Records::below(folder.path()).unwrap().in_hand();
        let seen: Vec<_> = left.iter().map(|n| (n.attempt.as_str(), n.pid, n.process_start_ticks)).collect();
        assert_eq!(seen, [("b", Some(7), Some(70)), ("c", None, None)]);
    }

    #[test]
    fn that_an_attempt_is_done_is_said_with_the_next_that_is_taken_in_hand() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::below(folder.path()).unwrap();
        let in_hand = || {
            let noted = read(&fs::read(folder.path().join(FILE)).unwrap());
            noted.into_keys().map(|attempt| attempt.to_string()).collect::<Vec<_>>()
        };
        records.hold(&"a".into(), "ns", None).unwrap();
        records.remove(&"a".into());
        assert_eq!(in_hand(), ["a"]);
        records.hold(&"b".into(), "ns", None).unwrap();
        assert_eq!(in_hand(), ["b"]);
        records.remove(&"b".into());
        records.settle();
        assert_eq!(in_hand(), [""; 0]);
    }

    #[test]
    fn a_torn_line_was_not_claimed_and_takes_no_other_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::below(folder.path()).unwrap();
        records.hold(&"a".into(), "ns", None).unwrap();
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for torn in 0..whole.len() - 1 {
            fs::write(&path, [&whole[..], &whole[..torn]].concat()).unwrap();
            let left = Records::below(folder.path()).unwrap().in_hand();
            assert_eq!(left.len(), 1, "{torn}");
        }
    }

    #[test]
    fn a_line_that_found_no_room_takes_not_the_next_one_with_it() {
        // A pipe takes as much as it holds, as a disk does; reading makes room.
        let (mut disk, file) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&file, true).unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(file));
        let mut kept = Kept { file, bytes: 0, in_hand: BTreeMap::new(), unsaid: Vec::new() };
        let done = |attempt: &str| encoded(&Line::Done(attempt.into())).unwrap();
        kept.append(&done(&"x".repeat(1 << 20))).unwrap_err();
        let mut written = vec![0; 1 << 20];
        let torn = disk.read(&mut written).unwrap();
        kept.append(&done("next")).unwrap();
        let whole = torn + disk.read(&mut written[torn..]).unwrap();
        assert!(torn > 0 && written[..whole].ends_with(b"\n{\"done\":\"next\"}\n"));
    }

    #[test]
    fn a_long_file_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::below(folder.path()).unwrap();
        records.hold(&"stays".into(), "ns", None).unwrap();
        let long = "x".repeat(FILE_BYTES_MAX / 4);
        for n in 0..9 {
            let attempt = format!("{long}{n}").into();
            records.hold(&attempt, "ns", None).unwrap();
            records.remove(&attempt);
        }
        assert!(fs::metadata(folder.path().join(FILE)).unwrap().len() < FILE_BYTES_MAX as u64);
        records.hold(&"next".into(), "ns", None).unwrap();
        let left = Records::below(folder.path()).unwrap().in_hand();
        assert_eq!(left.iter().map(|n| n.attempt.as_str()).collect::<Vec<_>>(), ["next", "stays"]);
    }
}
