//! What a pod's status says of its attempt: the table of how pods end that nobody reported.
//!
//! A pure function. A result in the store always comes first; this is what is believed where there is none.

use std::time::Duration;

use dropforge_engine::attempt::{Attempt, ContainerEnd, Outcome, Reason, Verdict};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus};
use k8s_openapi::api::core::v1::{Pod, PodCondition};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::pod::{INIT, WAIT};

#[cfg(test)]
mod tests;
mod waits;

pub use waits::{Patience, unprepared};

/// What a pod says of its attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// It has not begun; why, for people.
    Waiting(String),
    /// Its command may run.
    Running {
        /// Since when.
        at: Timestamp,
        /// On which node.
        host: Option<String>,
    },
    /// All its containers are ready, as their probes say.
    Ready {
        /// Since when.
        at: Timestamp,
        /// By which address it is reached.
        ip: String,
    },
    /// It will bring no result of its own any more.
    Ended(Box<Verdict>),
}

/// How a pod is, for who only wants to know whether its run should be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// It, or all of its mains, have ended.
    Ended,
    /// It waits for something that may not come, or should be gone.
    Stuck,
    /// It runs, or is on its way.
    Going,
}

/// How a pod is, by its status alone.
pub fn glance(pod: &Pod, patience: &Patience, now: Timestamp) -> Glance {
    // Sidecars are init containers, and so are not among these.
    let mains =
        pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let all_ended = !mains.is_empty() && mains.iter().all(|status| terminated(status).is_some());
    if all_ended || matches!(phase(pod), "Failed" | "Succeeded") {
        Glance::Ended
    } else if no_contact(pod, patience, now).is_some() || waits::is_stuck(pod, patience, now) {
        Glance::Stuck
    } else {
        Glance::Going
    }
}

/// What to believe of an attempt by its pod, and by the last warning about the pod where one was asked for.
pub fn seen(
    pod: &Pod,
    attempt: &Attempt,
    patience: &Patience,
    now: Timestamp,
    warning: Option<&str>,
) -> Seen {
    let status = View { pod, attempt, now, warning };
    if let Some(verdict) = status.ended() {
        return Seen::Ended(Box::new(verdict));
    }
    if let Some(verdict) = status.without_contact(patience) {
        return Seen::Ended(Box::new(verdict));
    }
    match status.running() {
        Some(running) => running,
        None => waits::waiting(&status, patience),
    }
}

/// A pod as it is looked at.
struct View<'a> {
    pod: &'a Pod,
    attempt: &'a Attempt,
    now: Timestamp,
    warning: Option<&'a str>,
}

/// A pod's own reasons by which a node or the cluster took it, where no condition says so.
const TAKEN: [&str; 9] = [
    "Evicted",
    "NodeLost",
    "NodeShutdown",
    "Terminated",
    "Shutdown",
    "Preempting",
    "NodeAffinity",
    "UnexpectedAdmissionError",
    "Terminating",
];

/// What a kubelet says of a pod that used more storage than it may.
const OWN_LIMIT: [&str; 3] =
    ["exceeds the total limit of containers", "exceeded its local ephemeral storage", "exceeds the limit"];

impl<'a> View<'a> {
    fn phase(&self) -> &'a str {
        phase(self.pod)
    }

    fn reason(&self) -> &'a str {
        self.pod.status.as_ref().and_then(|status| status.reason.as_deref()).unwrap_or_default()
    }

    fn message(&self) -> &'a str {
        self.pod.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default()
    }

    fn condition(&self, kind: &str) -> Option<&'a PodCondition> {
        condition(self.pod, kind)
    }

    /// The statuses of the containers by whose ends the pod is judged.
    fn mains(&self) -> Vec<&'a ContainerStatus> {
        let mains = self.attempt.work.template.mains();
        let status = self.pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let is_main = |status: &&ContainerStatus| mains.iter().any(|(name, _)| *name == status.name);
        status.into_iter().flatten().filter(is_main).collect()
    }

    /// How it ended without a result, where it did.
    fn ended(&self) -> Option<Verdict> {
        let is_over = matches!(self.phase(), "Failed" | "Succeeded");
        let mains = self.mains();
        let all_over = !mains.is_empty() && mains.iter().all(|status| terminated(status).is_some());
        if !is_over && !all_over {
            return None;
        }
        if let Some(verdict) = self.taken() {
            return Some(verdict);
        }
        if self.reason() == "DeadlineExceeded" {
            let message = "Pod was active on the node longer than the specified deadline";
            return Some(self.verdict(Outcome::Failed, Reason::DeadlineExceeded, message.to_owned()));
        }
        Some(self.by_containers())
    }

    /// The cluster or its node took it.
    fn taken(&self) -> Option<Verdict> {
        let disrupted = self.condition("DisruptionTarget").filter(|condition| condition.status == "True");
        let reason = self.reason();
        if reason == "Evicted" && OWN_LIMIT.iter().any(|words| self.message().contains(words)) {
            let message = format!("Evicted: {}", self.message());
            return Some(self.verdict(Outcome::Failed, Reason::Signalled, message));
        }
        if let Some(condition) = disrupted {
            let reason = condition.reason.as_deref().unwrap_or("DisruptionTarget");
            let message = condition.message.as_deref().unwrap_or_default();
            return Some(self.lost(&format!("{}: {message}", disruption(reason))));
        }
        let taken = TAKEN.contains(&reason) || reason.starts_with("OutOf") || reason.starts_with("Outof");
        taken.then(|| self.lost(&format!("{reason}: {}", self.message())))
    }

    /// In Argo's order: the first of init containers, mains and others that did not end well.
    fn by_containers(&self) -> Verdict {
        let failed = containers(self.pod).filter_map(|status| Some((status, terminated(status)?)));
        // A sidecar is ended after the mains, and is not blamed for that.
        let sidecars = &self.attempt.work.template.sidecars;
        let is_sidecar = |name: &str| sidecars.iter().any(|sidecar| sidecar.name() == name);
        let was_ended = |name: &str, code: i32| is_sidecar(name) && matches!(code, 137 | 143);
        let failed =
            failed.filter(|(status, end)| end.exit_code != 0 && !was_ended(&status.name, end.exit_code));
        let mains = self.attempt.work.template.mains();
        let rank = |status: &ContainerStatus| match status.name.as_str() {
            INIT => 0,
            WAIT => 3,
            name if mains.iter().any(|(main, _)| *main == name) => 2,
            name if is_sidecar(name) => 4,
            // The person's init containers.
            _ => 1,
        };
        let Some((status, end)) = failed.min_by_key(|(status, _)| rank(status)) else {
            return self.lost("the pod ended without a result");
        };
        let message = told(status, end);
        let verdict = match (end.reason.as_deref(), rank(status)) {
            (Some("OOMKilled"), 0 | 3) => self.verdict(Outcome::Error, Reason::Environment, message),
            (Some("OOMKilled"), _) => self.verdict(Outcome::Failed, Reason::OutOfMemory, message),
            (Some("StartError" | "ContainerCannotRun"), _) => {
                self.verdict(Outcome::Error, Reason::NotStarted, message)
            }
            // The wrapper reports every end of its command: one without a report has lost its wrapper.
            _ => self.lost(&format!("{message}: it ended without a result")),
        };
        let containers = self.container_ends();
        Verdict {
            exit_code: Some(end.exit_code),
            started_at: end.started_at.as_ref().map(time),
            containers,
            ..verdict
        }
    }

    /// How each container of a `containerSet` ended.
    fn container_ends(&self) -> Vec<ContainerEnd> {
        if self.attempt.work.template.container_set.is_none() {
            return Vec::new();
        }
        let ends = self.mains().into_iter().filter_map(|status| {
            let end = terminated(status)?;
            let good = end.exit_code == 0;
            Some(ContainerEnd {
                name: status.name.clone(),
                outcome: if good { Outcome::Succeeded } else { Outcome::Failed },
                message: if good { String::new() } else { told(status, end) },
                exit_code: Some(end.exit_code),
                started_at: end.started_at.as_ref().map(time),
                finished_at: end.finished_at.as_ref().map_or(self.now, time),
            })
        });
        ends.collect()
    }

    fn without_contact(&self, patience: &Patience) -> Option<Verdict> {
        let waited = no_contact(self.pod, patience, self.now)?;
        let node = self.pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("its node");
        Some(self.lost(&format!("NodeLost: there was no contact with {node} for {} s", waited.as_secs())))
    }

    fn running(&self) -> Option<Seen> {
        if self.phase() != "Running" {
            return None;
        }
        let mains = self.mains();
        let starts = mains.iter().filter_map(|status| started(status.state.as_ref()?));
        let at = starts.min()?;
        let ready = self.condition("Ready").filter(|condition| condition.status == "True");
        let ip = self.pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        if let (true, Some(ready), Some(ip)) = (self.attempt.work.template.is_daemon(), ready, ip) {
            let at = ready.last_transition_time.as_ref().map_or(self.now, time);
            return Some(Seen::Ready { at, ip });
        }
        let host = self.pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        Some(Seen::Running { at, host })
    }

    fn lost(&self, message: &str) -> Verdict {
        self.verdict(Outcome::Lost, Reason::Vanished, message.trim_end_matches([':', ' ']).to_owned())
    }

    fn verdict(&self, outcome: Outcome, reason: Reason, message: String) -> Verdict {
        let finished = containers(self.pod)
            .filter_map(terminated)
            .filter_map(|end| Some(time(end.finished_at.as_ref()?)));
        let at = finished.max().unwrap_or(self.now);
        let mut verdict = Verdict::without_outputs(self.attempt.id.clone(), outcome, reason, message, at);
        verdict.usage.host =
            self.pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        verdict
    }
}

/// A time of Kubernetes' types, which are made with another version of the same library.
fn time(time: &Time) -> Timestamp {
    Timestamp::from_nanosecond(time.0.as_nanosecond()).unwrap_or_default()
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// The statuses of init containers, then of the others.
fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let before = status.and_then(|status| status.init_container_statuses.as_ref());
    let others = status.and_then(|status| status.container_statuses.as_ref());
    before.into_iter().chain(others).flatten()
}

/// How long ago a pod should have been gone, where that is too long: its node does not answer. A pod that is only being
/// deleted ends by itself.
fn no_contact(pod: &Pod, patience: &Patience, now: Timestamp) -> Option<Duration> {
    let due = time(pod.metadata.deletion_timestamp.as_ref()?);
    let waited = Duration::try_from(now.duration_since(due)).ok()?;
    (waited > patience.contact).then_some(waited)
}

/// What a disruption is called here.
fn disruption(reason: &str) -> &str {
    match reason {
        "PreemptionByScheduler" => "Preempted",
        "EvictionByEvictionAPI" => "Drained",
        "DeletionByTaintManager" | "DeletionByPodGC" => "NodeLost",
        "TerminationByKubelet" => "NodePressure",
        other => other,
    }
}

fn terminated(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status.state.as_ref()?.terminated.as_ref()
}

fn started(state: &ContainerState) -> Option<Timestamp> {
    let running = state.running.as_ref().and_then(|running| running.started_at.as_ref());
    let ended = state.terminated.as_ref().and_then(|ended| ended.started_at.as_ref());
    running.or(ended).map(time)
}

/// In Argo's words: `main: OOMKilled (exit code 137): message`.
fn told(status: &ContainerStatus, end: &ContainerStateTerminated) -> String {
    let reason = end.reason.as_deref().unwrap_or("Error");
    let message = end.message.as_deref().filter(|message| !message.is_empty());
    let message = message.map(|message| format!(": {}", message.trim_end())).unwrap_or_default();
    format!("{}: {reason} (exit code {}){message}", status.name, end.exit_code)
}
