//! What a scenario does to the parts: faults of the network before the emulator, signals to processes, lost nodes.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use ureq::Agent;

use crate::bed::Bed;

/// The rules of the proxy that functions and pods talk through; dropped, there are none.
pub struct Network(String);

impl Network {
    /// Sets the rules; `bed/proxy` says how they read.
    ///
    /// # Panics
    /// When the proxy does not listen.
    pub fn with(rules: &Value) -> Network {
        let network =
            Network(std::env::var("DROPFORGE_CLOUD_PROXY").expect("tests/cloud/run names the proxy"));
        network.set(rules);
        network
    }

    /// How often each rule has acted.
    ///
    /// # Panics
    /// When the proxy does not listen.
    pub fn acted(&self) -> Vec<u64> {
        let mut answer = Agent::new_with_defaults().get(self.url()).call().expect("the proxy listens");
        let text = answer.body_mut().read_to_string().expect("it says its rules");
        let rules: Vec<Value> = serde_json::from_str(&text).expect("they are JSON");
        rules.iter().filter_map(|rule| rule["acted"].as_u64()).collect()
    }

    fn set(&self, rules: &Value) {
        Agent::new_with_defaults().put(self.url()).send(rules.to_string()).expect("the proxy takes rules");
    }

    fn url(&self) -> String {
        format!("{}/_faults", self.0)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.set(&json!([]));
    }
}

/// Functions with other variables; dropped, they have their own again.
pub struct Rewired<'a>(&'a Bed, Vec<(String, Value)>);

impl<'a> Rewired<'a> {
    /// Changes these variables of these functions.
    ///
    /// # Panics
    /// When there is no such function.
    pub fn new(bed: &'a Bed, functions: &[&str], changed: &[(&str, &str)]) -> Rewired<'a> {
        let rewire = |function: &&str| {
            let name = bed.function(function).to_owned();
            let before = bed.emulator.variables(&name);
            let mut after = before.clone();
            changed.iter().for_each(|(variable, value)| after[*variable] = json!(value));
            bed.emulator.set_variables(&name, &after);
            (name, before)
        };
        Rewired(bed, functions.iter().map(rewire).collect())
    }
}

impl Drop for Rewired<'_> {
    fn drop(&mut self) {
        for (function, before) in &self.1 {
            self.0.emulator.set_variables(function, before);
        }
    }
}

/// The pids of processes whose command line and environment hold these words.
pub fn processes(command: &str, environment: &str) -> Vec<String> {
    let read = |pid: &str, file: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let all = fs::read_dir("/proc").expect("there is /proc").flatten();
    let pids = all
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.parse::<u32>().is_ok());
    pids.filter(|pid| read(pid, "cmdline").contains(command) && read(pid, "environ").contains(environment))
        .collect()
}

/// Sends a signal.
///
/// # Panics
/// When there is no `kill`. That a process has ended meanwhile is no matter.
pub fn signal(name: &str, pids: &[String]) {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{name}")).args(pids).output().expect("there is a shell's kill");
}

/// A process that is stopped, as a machine that hangs; dropped, it goes on.
pub struct Hanging(Vec<String>);

impl Hanging {
    /// Stops the processes of this program with this option.
    ///
    /// # Panics
    /// When there is none.
    pub fn new(program: &str, option: &str) -> Hanging {
        let mut pids = processes(&format!("{program} "), "");
        let with_option = processes(option, "");
        pids.retain(|pid| with_option.contains(pid));
        assert!(!pids.is_empty(), "no process of {program} {option}");
        signal("STOP", &pids);
        Hanging(pids)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        signal("CONT", &self.0);
    }
}
