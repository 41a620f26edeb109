//! A person at their desk: a folder with manifests, where they type `dropforge --context cloud …`.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

use dropforge_samples_tests::check::Entry;
use dropforge_samples_tests::program::{Ended, Running};
use serde_json::Value;
use tempfile::TempDir;

use crate::bed::{Bed, until};

/// No run of a scenario takes longer on a machine that does much else.
const RUN_SECONDS_MAX: u64 = 300;

/// A folder, and the command typed in it.
pub struct Desk<'a> {
    bed: &'a Bed,
    folder: PathBuf,
    said: TempDir,
    calls: Cell<usize>,
}

impl<'a> Desk<'a> {
    /// In a folder that is there.
    ///
    /// # Panics
    /// When nothing can be written on this machine.
    pub fn new(bed: &'a Bed, folder: &Path) -> Desk<'a> {
        let said = TempDir::new().expect("there is a folder for temporary files");
        Desk { bed, folder: folder.to_owned(), said, calls: Cell::new(0) }
    }

    /// Calls `dropforge` with these words and waits for its end.
    pub fn call(&self, words: &[&str]) -> Ended {
        self.start(words).end()
    }

    /// Calls it.
    pub fn start(&self, words: &[&str]) -> Running {
        let mut command = Command::new(&self.bed.command);
        command.args(["--context", "cloud"]).args(words).current_dir(&self.folder);
        self.calls.set(self.calls.get() + 1);
        let line = format!("dropforge --context cloud {}", words.join(" "));
        Running::start(command, line, self.said.path().join(format!("call-{}", self.calls.get())))
    }

    /// Submits a manifest that stands here as text; the run's name.
    ///
    /// # Panics
    /// When it is refused.
    pub fn submit(&self, manifest: &str) -> String {
        self.call(&["submit", &self.file(manifest)]).data().trim().to_owned()
    }

    /// Applies a definition that stands here as text.
    ///
    /// # Panics
    /// When it is refused.
    pub fn apply(&self, definition: &str) {
        self.call(&["apply", &self.file(definition)]).data();
    }

    fn file(&self, text: &str) -> String {
        let path = self.said.path().join("manifest.yaml");
        std::fs::write(&path, text).expect("there is room for a manifest");
        path.to_str().expect("the folder has a plain name").to_owned()
    }

    /// All runs of the namespace.
    ///
    /// # Panics
    /// When they can't be listed.
    pub fn list(&self) -> Vec<Entry> {
        let text = self.call(&["list", "-o", "json"]).data();
        serde_json::from_str(&text).expect("`list -o json` prints a JSON list")
    }

    /// A run as the Argo Workflow object with its status.
    ///
    /// # Panics
    /// When it is not there.
    pub fn get(&self, run: &str) -> Value {
        let text = self.call(&["get", run, "-o", "json"]).data();
        serde_json::from_str(&text).expect("`get -o json` prints a JSON object")
    }

    /// Waits for a run's end.
    ///
    /// # Panics
    /// When it does not come.
    pub fn end(&self, run: &str) -> Value {
        until(&format!("the end of {run}"), RUN_SECONDS_MAX, || {
            let workflow = self.get(run);
            workflow["status"]["finishedAt"].is_string().then_some(workflow)
        })
    }
}
