//! Small runs of busybox, and what is asked of them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::bed::{Bed, until};
use crate::cluster;
use crate::desk::Desk;

/// The word that a step of [`workflow`] says once it is executed.
pub const EXECUTED: &str = "executed";

/// Something that a pod does must have happened by then.
const POD_SECONDS_MAX: u64 = 120;

/// A manifest whose entrypoint is the template `main`, from the YAML of its templates.
pub fn workflow(name: &str, templates: &str) -> String {
    let head = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n";
    format!("{head}metadata: {{generateName: {name}-}}\nspec:\n  entrypoint: main\n  templates:\n{templates}")
}

/// The YAML of a template whose command runs in busybox and says that it was executed. `fields` are the container's
/// others, after a comma.
pub fn step(name: &str, script: &str, fields: &str) -> String {
    let command =
        serde_json::to_string(&["sh", "-c", &format!("echo {EXECUTED}; {script}")]).expect("words are JSON");
    format!("  - name: {name}\n    container: {{image: busybox, command: {command}{fields}}}\n")
}

/// Three steps of `script`, one after the other.
pub fn chain(name: &str, script: &str) -> String {
    let steps = "  - name: main\n    steps:\n    - - {name: a, template: work}\n    - - {name: b, template: work}\n    - - {name: c, template: work}\n";
    workflow(name, &format!("{steps}{}", step("work", script, "")))
}

/// A run that a scenario has submitted.
pub struct Run<'a> {
    bed: &'a Bed,
    desk: Desk<'a>,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl<'a> Run<'a> {
    /// Submits a manifest.
    ///
    /// # Panics
    /// When it is refused.
    pub fn submit(bed: &'a Bed, manifest: &str) -> Run<'a> {
        let desk = Desk::new(bed, Path::new("/"));
        let name = desk.submit(manifest);
        let uid = desk.get(&name)["metadata"]["uid"].as_str().expect("a run has a uid").to_owned();
        Run { bed, desk, name, uid }
    }

    /// A run that was begun otherwise.
    pub fn known(bed: &'a Bed, name: String, uid: String) -> Run<'a> {
        Run { bed, desk: Desk::new(bed, Path::new("/")), name, uid }
    }

    /// Waits until it has a pod that `wanted` says yes to.
    ///
    /// # Panics
    /// When none comes.
    pub fn pod(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(&format!("{}'s pod to be {what}", self.name), POD_SECONDS_MAX, || {
            self.bed.cluster.pods(Some(&self.uid)).into_iter().find(|pod| wanted(pod))
        })
    }

    /// Waits until a command of it runs: its word is in the log.
    ///
    /// # Panics
    /// When none does.
    pub fn running_pod(&self) -> Value {
        let pod = self.pod("running", |pod| cluster::phase(pod) == "Running");
        until("the step to say its word", POD_SECONDS_MAX, || (self.executions() > 0).then_some(()));
        pod
    }

    /// The Argo Workflow object with its status.
    pub fn get(&self) -> Value {
        self.desk.get(&self.uid)
    }

    /// What `explain` says of it.
    ///
    /// # Panics
    /// When it says nothing.
    pub fn explain(&self) -> String {
        self.desk.call(&["explain", &self.uid]).data()
    }

    /// Waits for its end; its phase and the status' nodes.
    ///
    /// # Panics
    /// When it does not come.
    pub fn end(&self) -> Ended {
        Ended(self.desk.end(&self.uid))
    }

    /// Asks the sweep to look until what `get` shows a person has these words.
    ///
    /// # Panics
    /// When it has not.
    pub fn sweep_until_it_says(&self, words: &[&str]) {
        self.sweep_until(&format!("says {words:?}"), |_| {
            let said = self.desk.call(&["get", &self.uid]).data();
            words.iter().all(|word| said.contains(word)).then_some(())
        });
    }

    /// Asks the sweep to look until `look` sees something.
    ///
    /// # Panics
    /// When it does not.
    pub fn sweep_until<T>(&self, what: &str, look: impl Fn(&Value) -> Option<T>) -> T {
        until(&format!("{} {what}", self.name), POD_SECONDS_MAX, || {
            self.bed.sweep();
            look(&self.get())
        })
    }

    /// Asks the sweep to look until the run is over.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end_by_sweeps(&self) -> Ended {
        self.sweep_until("ends", |workflow| {
            workflow["status"]["finishedAt"].is_string().then(|| Ended(workflow.clone()))
        })
    }

    /// Terminates it.
    pub fn terminate(&self) {
        self.desk.call(&["terminate", &self.uid]).data();
        self.end();
    }

    /// How often a command of it has said [`EXECUTED`], in all attempts' logs.
    pub fn executions(&self) -> usize {
        let bucket = self.bed.named("control_bucket");
        let logs = format!("logs/{}/{}", self.bed.cluster.namespace(), self.name);
        let chunks = self.bed.emulator.list(bucket, &logs);
        let said: Vec<u8> =
            chunks.iter().flat_map(|key| self.bed.emulator.get(bucket, key).unwrap_or_default()).collect();
        String::from_utf8_lossy(&said).matches(EXECUTED).count()
    }

    /// The attempts that were claimed.
    pub fn claims(&self) -> BTreeSet<String> {
        self.attempts_with("claim.json")
    }

    /// The attempts that have a result.
    pub fn results(&self) -> BTreeSet<String> {
        self.attempts_with("result.json")
    }

    fn attempts_with(&self, file: &str) -> BTreeSet<String> {
        let attempts = format!("attempts/{}/{}", self.bed.cluster.namespace(), self.name);
        let keys = self.bed.emulator.list(self.bed.named("control_bucket"), &attempts);
        keys.iter().filter_map(|key| key.strip_suffix(&format!("/{file}")).map(str::to_owned)).collect()
    }
}

/// A run that is over.
pub struct Ended(Value);

impl Ended {
    /// Its phase.
    pub fn phase(&self) -> &str {
        self.0["status"]["phase"].as_str().unwrap_or_default()
    }

    /// The messages of all nodes.
    pub fn messages(&self) -> Vec<&str> {
        self.nodes().filter_map(|node| node["message"].as_str()).collect()
    }

    /// How many nodes are of a type.
    pub fn count(&self, kind: &str) -> usize {
        self.nodes().filter(|node| node["type"] == kind).count()
    }

    fn nodes(&self) -> impl Iterator<Item = &Value> {
        self.0["status"]["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values())
    }
}
