//! What a scenario sees of Kubernetes and does to it, by `kubectl`.

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

/// A pod's name.
pub fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

/// A pod's phase.
pub fn phase(pod: &Value) -> &str {
    pod["status"]["phase"].as_str().unwrap_or_default()
}
