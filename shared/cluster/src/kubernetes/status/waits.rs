//! Why a pod does not begin, and how long that is borne.

use std::time::Duration;

use dropforge_engine::attempt::{Outcome, Reason};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::kubernetes::site::Limits;

use super::{Seen, View, condition, containers, phase, time};

/// How long what may still come right is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For an image.
    pub image: Duration,
    /// For a container that can't be made.
    pub configuration: Duration,
    /// For a pod's volumes and its address.
    pub preparation: Duration,
    /// For a node.
    pub node: Duration,
    /// For a node that does not answer.
    pub contact: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience::of(&Limits::default())
    }
}

impl Patience {
    /// As the deployment says.
    pub fn of(limits: &Limits) -> Self {
        Patience {
            image: Duration::from_secs(limits.image_seconds),
            configuration: Duration::from_secs(limits.configuration_seconds),
            preparation: Duration::from_secs(limits.preparation_seconds),
            node: Duration::from_secs(limits.node_seconds),
            contact: Duration::from_secs(limits.contact_seconds),
        }
    }
}

/// Words of a registry or a network that is busy or away: trying again later helps.
const PASSING: [&str; 10] = [
    "toomanyrequests",
    "429",
    "rate limit",
    "timeout",
    "connection refused",
    "connection reset",
    "no such host",
    "unexpected EOF",
    "service unavailable",
    "internal server error",
];

enum Trouble {
    Image,
    Configuration,
    /// No time makes it right.
    Never,
}

fn trouble(reason: &str) -> Option<Trouble> {
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "RegistryUnavailable"
        | "ImageInspectError"
        | "SignatureValidationFailed" => Some(Trouble::Image),
        "InvalidImageName" | "ErrImageNeverPull" => Some(Trouble::Never),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError"
        | "CrashLoopBackOff" => Some(Trouble::Configuration),
        _ => None,
    }
}

/// Whether a pod waits for what may not come.
pub(super) fn is_stuck(pod: &Pod, patience: &Patience, now: Timestamp) -> bool {
    let unscheduled = condition(pod, "PodScheduled").is_some_and(|condition| condition.status == "False");
    let mut reasons = containers(pod).filter_map(waits).map(|(reason, _)| reason);
    let troubled = reasons.any(|reason| trouble(reason).is_some());
    unscheduled || troubled || unprepared(pod, patience, now).is_some()
}

/// How long a pod that has a node has had neither its volumes nor its address, where that is longer than it should take.
/// Its containers say nothing of this but that they are not made yet; Kubernetes' events say it.
pub fn unprepared(pod: &Pod, patience: &Patience, now: Timestamp) -> Option<Duration> {
    let condition = condition(pod, "PodReadyToStartContainers")?;
    let is_pending = phase(pod) == "Pending" && condition.status == "False";
    let since = condition.last_transition_time.as_ref().map(time).filter(|_| is_pending)?;
    let waited = Duration::try_from(now.duration_since(since)).ok()?;
    (waited > patience.configuration).then_some(waited)
}

/// What a pod that has not begun is waiting for.
pub(super) fn waiting(view: &View<'_>, patience: &Patience) -> Seen {
    let troubled = containers(view.pod).find_map(|status| {
        let (reason, message) = waits(status)?;
        Some((status, trouble(reason)?, said(reason, message)))
    });
    if let Some((status, trouble, why)) = troubled {
        return troubled_container(view, patience, status, &trouble, &why);
    }
    if let Some(seen) = no_node(view, patience) {
        return seen;
    }
    let ordinary = containers(view.pod).find_map(waits).map(|(reason, message)| said(reason, message));
    let ordinary = ordinary.unwrap_or_else(|| view.phase().to_owned());
    match unprepared(view.pod, patience, view.now) {
        Some(waited) => not_prepared(view, patience, waited, &ordinary),
        None => Seen::Waiting(ordinary),
    }
}

/// A pod without its volumes or its address. What it names and is not there is the manifest's fault; the rest may come, and
/// else is tried again, maybe on another node.
fn not_prepared(view: &View<'_>, patience: &Patience, waited: Duration, ordinary: &str) -> Seen {
    let warning = view.warning.unwrap_or("its volumes or its address are not there yet");
    let why = format!("{ordinary}: {warning}");
    let names = |kind: &str| warning.contains(&format!("{kind} \""));
    if (names("secret") || names("configmap")) && warning.contains("\" not found") {
        let message = format!("Pod failed before its containers start due to {why}");
        return Seen::Ended(Box::new(view.verdict(Outcome::Error, Reason::Configuration, message)));
    }
    if waited <= patience.preparation {
        return Seen::Waiting(why);
    }
    Seen::Ended(Box::new(view.lost(&format!("{why} (for {} s)", waited.as_secs()))))
}

fn troubled_container(
    view: &View<'_>,
    patience: &Patience,
    status: &ContainerStatus,
    trouble: &Trouble,
    why: &str,
) -> Seen {
    let (limit, what) = match trouble {
        Trouble::Image => (patience.image, "image"),
        Trouble::Configuration => (patience.configuration, "container"),
        Trouble::Never => (Duration::ZERO, "image"),
    };
    let waited = since_its_turn(view);
    if waited <= limit && !matches!(trouble, Trouble::Never) {
        return Seen::Waiting(why.to_owned());
    }
    let message = format!("Pod failed before {} container starts due to {why}", status.name);
    let passing = matches!(trouble, Trouble::Image) && {
        let words = why.to_lowercase();
        PASSING.iter().any(|word| words.contains(&word.to_lowercase()))
    };
    let verdict = match passing {
        true => view.lost(&format!("{message} (the {what} did not come for {} s)", waited.as_secs())),
        false => view.verdict(Outcome::Error, Reason::Configuration, message),
    };
    Seen::Ended(Box::new(verdict))
}

/// The scheduler's word.
fn no_node(view: &View<'_>, patience: &Patience) -> Option<Seen> {
    let condition = view.condition("PodScheduled").filter(|condition| condition.status == "False")?;
    let message = condition.message.as_deref().unwrap_or_default();
    if condition.reason.as_deref() == Some("SchedulingGated") {
        return Some(Seen::Waiting(format!("Queued: {message}")));
    }
    let why = match lacking(message) {
        Some(lacking) => format!("Unschedulable: {lacking} ({message})"),
        None => format!("Unschedulable: {message}"),
    };
    if since(view, Some("PodScheduled")) <= patience.node {
        return Some(Seen::Waiting(why));
    }
    Some(Seen::Ended(Box::new(view.verdict(Outcome::Error, Reason::Unschedulable, why))))
}

/// `0/2 nodes have nvidia.com/gpu`, of `0/2 nodes are available: 2 Insufficient nvidia.com/gpu. …`.
fn lacking(message: &str) -> Option<String> {
    let (nodes, why) = message.split_once(" nodes are available: ")?;
    let (_, rest) = why.split_once("Insufficient ")?;
    let resource: &str = rest.split([',', ' ']).next()?.trim_end_matches('.');
    // Of what a device plugin gives, a person wants to know which; cpu and memory are in the scheduler's own words.
    resource.contains('/').then(|| format!("{nodes} nodes have {resource} free"))
}

/// How long it is a container's turn to start: the pod has a node, and what had to come before has been. Init
/// containers may take their time over inputs, and only then are the images of the others pulled.
fn since_its_turn(view: &View<'_>) -> Duration {
    let before = view.pod.status.as_ref().and_then(|status| status.init_container_statuses.as_ref());
    let states = before.into_iter().flatten().filter_map(|status| status.state.as_ref());
    let done = states.filter_map(|state| {
        let ended = state.terminated.as_ref().and_then(|ended| ended.finished_at.as_ref());
        ended.or(state.running.as_ref().and_then(|running| running.started_at.as_ref())).map(time)
    });
    let scheduled = since(view, Some("PodScheduled"));
    let since_done = done.max().map(|at| Duration::try_from(view.now.duration_since(at)).unwrap_or_default());
    since_done.map_or(scheduled, |since| since.min(scheduled))
}

/// How long a condition is as it is; without one, how long the pod exists.
fn since(view: &View<'_>, condition: Option<&str>) -> Duration {
    let changed = condition.and_then(|kind| view.condition(kind)?.last_transition_time.as_ref()).map(time);
    let created: Option<Timestamp> = view.pod.metadata.creation_timestamp.as_ref().map(time);
    let from = changed.or(created).unwrap_or(view.now);
    Duration::try_from(view.now.duration_since(from)).unwrap_or_default()
}

fn waits(status: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.as_deref()?, waiting.message.as_deref().unwrap_or_default()))
}

/// In Argo's words: `Reason: message`.
fn said(reason: &str, message: &str) -> String {
    if message.is_empty() { reason.to_owned() } else { format!("{reason}: {message}") }
}
