//! Runs as an older program left them: the engine's golden journals, put into the bucket as its functions would have.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::bed::Bed;
use crate::small::{EXECUTED, Run};

/// A run of the first format: two steps over, two under way after a person's retry.
pub const RETRIED: &str = include_str!("../../../shared/engine/src/decide/tests/golden/retried-1.jsonl");
/// A run of the first format: a step waits for a person, a cache is still to be written, an exit handler comes last.
pub const TOLD: &str = include_str!("../../../shared/engine/src/decide/tests/golden/told-1.jsonl");

/// A command of the first format.
const COMMAND: &str =
    include_str!("../../../shared/storage/tests/golden/format-1/runs/a2/u-1/inbox/c-1.json");

/// The minute in which the golden stories happen. A run of that age would be ended as too old.
const MINUTE: &str = "1970-01-01T00:16:";

/// So many records are a commit.
const COMMIT_RECORDS: usize = 12;

/// The run list's keys count microseconds backwards from the end of the year 9999.
const LAST_MICROSECOND: i64 = 253_402_300_799_999_999;

/// A run that lies in the bucket and of which nobody has heard yet.
pub struct Left<'a> {
    bed: &'a Bed,
    name: String,
    uid: String,
    /// Where it lies in `runs/` and `journals/`.
    place: String,
    records: Vec<Value>,
    state: Value,
}

impl<'a> Left<'a> {
    /// Puts the run of a golden file there, with names of its own and steps that the test images can do: its marker, its
    /// spec, its journal, its line of the list.
    ///
    /// # Panics
    /// When the bucket takes no objects.
    pub fn put(bed: &'a Bed, word: &str, golden: &str) -> Left<'a> {
        let began = a_moment_ago();
        let name = format!("{word}-{}", began.as_millisecond());
        let uid = format!("of-{name}");
        let text = told_here(golden, &name, &uid, bed.cluster.namespace(), began);
        let mut lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("golden files are JSON lines"))
            .collect();
        let (spec, state) = (lines.remove(0), lines.pop().expect("a golden file ends with the state"));
        let place = format!("{:02x}/{uid}", Sha256::digest(uid.as_bytes())[0]);
        let left = Left { bed, name, uid, place, records: lines, state };
        left.object(&format!("live/{}", left.uid), "00000000000000aa-1");
        left.object(&format!("runs/{}/spec.json", left.place), &spec.to_string());
        left.put_journal();
        left.put_entry(&spec);
        left
    }

    fn put_journal(&self) {
        for (number, records) in (1..).zip(self.records.chunks(COMMIT_RECORDS)) {
            let nonce = format!("00000000000000aa-{}", number + 1);
            let segment = json!({"format": 1, "nonce": nonce, "records": records});
            self.object(&format!("journals/{}/{number:020}.json", self.place), &segment.to_string());
        }
    }

    fn put_entry(&self, spec: &Value) {
        let created = spec["createdAt"].as_str().expect("a spec says when the run was created");
        let at: Timestamp = created.parse().expect("that is a time");
        let namespace = self.bed.cluster.namespace();
        let entry = json!({"format": 1, "uid": self.uid, "name": self.name, "namespace": namespace, "phase": "Running",
            "createdAt": created, "progress": "1/3", "metrics": {}, "cause": "test"});
        let place = format!("{:018}-{}", LAST_MICROSECOND - at.as_microsecond(), self.uid);
        self.object(&format!("index/{namespace}/{place}.json"), &entry.to_string());
    }

    /// Puts a snapshot of the whole journal there.
    pub fn with_snapshot(self) -> Self {
        let commits = self.records.len().div_ceil(COMMIT_RECORDS);
        let snapshot = json!({"format": 1, "version": 1, "journal_seq": commits, "state": self.state});
        self.object(&format!("runs/{}/snapshot.json", self.place), &snapshot.to_string());
        self
    }

    /// Puts there what an executor has left of the first attempt that is under way, after it has succeeded.
    ///
    /// # Panics
    /// When none is, or none has succeeded before whose verdict shows the form.
    pub fn with_a_verdict(self) -> Self {
        let mut effects = self.state["outbox"].as_array().into_iter().flatten();
        let attempt = effects.find_map(|effect| effect["StartAttempt"]["id"].as_str());
        let attempt = attempt.expect("an attempt is under way");
        let mut verdicts = self.records.iter().map(|record| &record["verdict"]);
        let verdict = verdicts.find(|verdict| verdict["outcome"] == "Succeeded");
        let mut verdict = verdict.expect("an attempt has succeeded").clone();
        verdict["attempt"] = json!(attempt);
        let place = format!("attempts/{}/{attempt}", self.bed.cluster.namespace());
        self.object(&format!("{place}/claim.json"), r#"{"format":1,"nonce":"00000000000000bb-0"}"#);
        self.object(&format!("{place}/result.json"), &verdict.to_string());
        self
    }

    /// Puts the command of a person there who resumes what waits and gives these outputs.
    ///
    /// # Panics
    /// When the golden command is none.
    pub fn with_resume(self, outputs: &Value) -> Self {
        let mut command: Value = serde_json::from_str(COMMAND).expect("a golden command is JSON");
        command["command"]["id"] = json!("c-older");
        command["command"]["verb"]["resume"]["outputs"] = outputs.clone();
        self.object(&format!("runs/{}/inbox/c-older.json", self.place), &command.to_string());
        self
    }

    /// Rings for it as the older program did, and gives it as any other run.
    pub fn ring(self, why: &Value) -> Run<'a> {
        let bell = json!({"format": 1, "run": self.uid, "why": why, "hops": 0}).to_string();
        self.bed.emulator.send(self.bed.named("events_queue_url"), &bell);
        Run::known(self.bed, self.name, self.uid)
    }

    fn object(&self, key: &str, body: &str) {
        self.bed.emulator.put(self.bed.named("control_bucket"), key, body.as_bytes());
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "functions of this machine compare the run's age with its clock"
)]
fn a_moment_ago() -> Timestamp {
    Timestamp::now() - SignedDuration::from_mins(2)
}

/// A golden file with this run's names, time and namespace, and a command that says that it was executed.
fn told_here(golden: &str, name: &str, uid: &str, namespace: &str, began: Timestamp) -> String {
    let image = r#""image":"busybox""#;
    let command = format!(r#"{image},"command":["sh","-c","echo {EXECUTED}"]"#);
    let text = golden
        .replace("uid-1", uid)
        .replace("wf", name)
        .replace(MINUTE, &began.strftime("%Y-%m-%dT%H:%M:").to_string())
        .replace(r#""namespace":"default""#, &format!(r#""namespace":"{namespace}""#))
        .replace(image, &command);
    let metadata = format!(r#""metadata":{{"name":"{name}""#);
    text.replacen(&metadata, &format!(r#"{metadata},"namespace":"{namespace}""#), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_golden_run_gets_names_and_a_time_of_its_own() {
        for golden in [RETRIED, TOLD] {
            let text = told_here(golden, "n-1", "u-1", "ml", "2026-01-02T03:04:05Z".parse().unwrap());
            for gone in ["uid-1", "\"wf", "wf-", "1970-", "\"default\""] {
                assert!(!text.contains(gone), "{gone}: {text}");
            }
            let spec: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
            assert_eq!(spec["metadata"], json!({"name": "n-1", "namespace": "ml"}));
            assert_eq!((&spec["uid"], &spec["createdAt"]), (&json!("u-1"), &json!("2026-01-02T03:04:40Z")));
        }
    }
}
