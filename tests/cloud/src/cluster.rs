//! What a scenario sees of Kubernetes and does to it, by `kubectl`.

use std::cell::Cell;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A namespace of the cluster that `KUBECONFIG` names.
pub struct Cluster {
    namespace: String,
}

impl Cluster {
    /// This namespace.
    pub fn new(namespace: String) -> Cluster {
        Cluster { namespace }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// `kubectl` with these words; its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn ask(&self, words: &[&str]) -> String {
        let output = self.try_ask(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {}: {said}", words.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same, where it may fail.
    ///
    /// # Panics
    /// When `kubectl` is not there.
    pub fn try_ask(&self, words: &[&str]) -> Output {
        self.kubectl().args(words).output().expect("tests/cloud/run puts kubectl on PATH")
    }

    /// Applies a manifest.
    ///
    /// # Panics
    /// When it is refused.
    pub fn apply(&self, manifest: &str) {
        let mut kubectl = self.kubectl();
        kubectl.args(["apply", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = kubectl.spawn().expect("tests/cloud/run puts kubectl on PATH");
        let mut pipe = child.stdin.take().expect("it is piped");
        pipe.write_all(manifest.as_bytes()).expect("kubectl reads its input");
        drop(pipe);
        assert!(child.wait().expect("a child can be waited for").success(), "kubectl apply:\n{manifest}");
    }

    /// The pods of a run, or of all runs where no uid is given.
    ///
    /// # Panics
    /// When they can't be listed.
    pub fn pods(&self, uid: Option<&str>) -> Vec<Value> {
        let label = uid.map_or("dropforge.dev/run".to_owned(), |uid| format!("dropforge.dev/run={uid}"));
        let text = self.ask(&["get", "pods", "-l", &label, "-o", "json"]);
        let list: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Gives a node of real pods a GPU that it has not, until this is dropped.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn with_gpu(&self) -> Gpu<'_> {
        let nodes = self.ask(&["get", "nodes", "-l", "!simulated", "-o", "name"]);
        let node = nodes.lines().next().expect("the cluster has a node").to_owned();
        let gpu = Gpu { cluster: self, node };
        gpu.patch("add", ", \"value\": \"1\"");
        gpu
    }

    /// Adds a node without a machine that takes no pod, until this is dropped.
    ///
    /// # Panics
    /// When it is refused.
    pub fn with_empty_node(&self) -> EmptyNode<'_> {
        self.apply(
            "apiVersion: v1\nkind: Node\nmetadata: {name: empty}\nspec: {unschedulable: true}\n\
             status: {capacity: {cpu: \"1\", memory: 1Gi, pods: \"1\"}}\n",
        );
        let node = EmptyNode { cluster: self, beats: Cell::new(0) };
        node.beat();
        node
    }

    fn kubectl(&self) -> Command {
        let mut command = Command::new("kubectl");
        command.args(["--namespace", &self.namespace, "--request-timeout", "30s"]);
        command
    }
}

/// A GPU that Kubernetes counts and no machine has.
pub struct Gpu<'a> {
    cluster: &'a Cluster,
    node: String,
}

impl Gpu<'_> {
    fn patch(&self, deed: &str, value: &str) {
        let place = |kind: &str| {
            format!("{{\"op\": \"{deed}\", \"path\": \"/status/{kind}/nvidia.com~1gpu\"{value}}}")
        };
        let patch = format!("[{}, {}]", place("capacity"), place("allocatable"));
        self.cluster.try_ask(&["patch", &self.node, "--subresource=status", "--type=json", "-p", &patch]);
    }
}

impl Drop for Gpu<'_> {
    fn drop(&mut self) {
        self.patch("remove", "");
    }
}

/// A node without a machine, which takes no pod.
pub struct EmptyNode<'a> {
    cluster: &'a Cluster,
    beats: Cell<u32>,
}

impl EmptyNode<'_> {
    /// Says what a kubelet would: that it is ready. Kubernetes sees that the time which it names is another.
    ///
    /// # Panics
    /// When there is no such node any more.
    pub fn beat(&self) {
        let beat = self.beats.get();
        self.beats.set(beat + 1);
        let time = format!("2026-01-01T{:02}:{:02}:{:02}Z", beat / 3600, beat / 60 % 60, beat % 60);
        let ready = format!(
            r#"{{"status": {{"conditions": [{{"type": "Ready", "status": "True", "reason": "Simulated", "lastHeartbeatTime": "{time}"}}]}}}}"#
        );
        self.cluster.ask(&["patch", "node", "empty", "--subresource=status", "--type=merge", "-p", &ready]);
    }
}

impl Drop for EmptyNode<'_> {
    fn drop(&mut self) {
        self.cluster.try_ask(&["delete", "node", "empty"]);
    }
}

/// A pod's name.
pub fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

/// A pod's phase.
pub fn phase(pod: &Value) -> &str {
    pod["status"]["phase"].as_str().unwrap_or_default()
}
