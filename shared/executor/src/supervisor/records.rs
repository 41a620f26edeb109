//! What the supervisor notes of each attempt while it has it: enough for the next supervisor to end what
//! survived this one. A note is locked as long as its attempt is in hand.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use dropforge_driver::supervision::ContainerEngine;
use dropforge_engine::ids::AttemptId;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

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

/// All notes.
pub struct Records {
    folder: PathBuf,
}

/// A note that is held.
pub struct Held {
    file: File,
    note: Note,
}

impl Records {
    /// The notes below the supervisor's folder.
    ///
    /// # Errors
    /// When their folder can't be made.
    pub fn below(folder: &Path) -> io::Result<Self> {
        let folder = folder.join("attempts");
        fs::create_dir_all(&folder)?;
        Ok(Records { folder })
    }

    fn file(&self, attempt: &AttemptId) -> PathBuf {
        self.folder.join(format!("{attempt}.json"))
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
    ) -> io::Result<Held> {
        let file = File::options().create(true).truncate(false).write(true).open(self.file(attempt))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let note = Note {
            format: 1,
            attempt: attempt.clone(),
            namespace: namespace.to_owned(),
            pid: None,
            process_start_ticks: None,
            engine: engine.cloned(),
        };
        let mut held = Held { file, note };
        held.write()?;
        Ok(held)
    }

    /// Forgets an attempt whose verdict is stored.
    pub fn remove(&self, attempt: &AttemptId) {
        if let Err(error) = fs::remove_file(self.file(attempt)) {
            tracing::warn!(%attempt, %error, "the note of an ended attempt could not be removed");
        }
    }

    /// The notes of a supervisor that is gone. What can't be read was not finished, so that its attempt was
    /// not claimed: it is removed.
    pub fn left(&self) -> Vec<Note> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let read = entries.filter_map(|entry| {
            let text = fs::read(entry.path()).ok()?;
            let note = serde_json::from_slice(&text).ok();
            if note.is_none() {
                let _ = fs::remove_file(entry.path());
            }
            note
        });
        read.collect()
    }
}

impl Held {
    /// Notes the process. The mark in its environment names it until then.
    ///
    /// # Errors
    /// When the note can't be written.
    pub fn set_process(&mut self, pid: u32, start_ticks: u64) -> io::Result<()> {
        self.note.pid = Some(pid);
        self.note.process_start_ticks = Some(start_ticks);
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.note).map_err(io::Error::other)?;
        // Notes only grow, so that writing over the old one leaves no rest.
        self.file.rewind()?;
        self.file.write_all(&text)
    }
}
