//! How pods end and wait, each by the status that Kubernetes gives it.

use std::sync::Arc;
use std::time::Duration;

use dropforge_engine::attempt::{Attempt, ContainerEnd, Outcome, Reason, Verdict, Work};
use dropforge_engine::ids::NodeId;
use dropforge_manifest::types::Template;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{Glance, Patience, Seen, glance};

fn at(time: &str) -> Timestamp {
    format!("2026-11-28T{time}Z").parse().unwrap()
}

fn attempt(template: Value) -> Attempt {
    let template: Template = serde_json::from_value(template).unwrap();
    Attempt {
        id: "wf-a-1".into(),
        run: "u1".into(),
        run_name: "wf".to_owned(),
        namespace: "ml".to_owned(),
        node: NodeId(1),
        node_name: "wf.a".to_owned(),
        number: 0,
        on_exit: false,
        work: Arc::new(Work { template: Arc::new(template), ..Work::default() }),
    }
}

fn plain() -> Attempt {
    attempt(json!({"name": "a", "container": {"image": "busybox"}}))
}

fn pod(status: Value) -> Pod {
    let metadata = json!({"name": "wf-a-1", "creationTimestamp": "2026-11-28T10:00:00Z"});
    let pod = json!({"metadata": metadata, "spec": {"nodeName": "n1", "containers": []}, "status": status});
    serde_json::from_value(pod).unwrap()
}

fn seen(pod: &Pod, attempt: &Attempt, patience: &Patience, now: Timestamp) -> Seen {
    super::seen(pod, attempt, patience, now, None)
}

fn look(status: Value, now: &str) -> Seen {
    seen(&pod(status), &plain(), &Patience::default(), at(now))
}

/// The end of a container that ran from 10:01 to 10:02.
fn ended(name: &str, reason: &str, code: i32) -> Value {
    json!({"name": name, "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {
        "exitCode": code, "reason": reason, "startedAt": "2026-11-28T10:01:00Z", "finishedAt": "2026-11-28T10:02:00Z"}}})
}

fn running(name: &str) -> Value {
    json!({"name": name, "image": "x", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {
        "startedAt": "2026-11-28T10:01:00Z"}}})
}

fn waits(name: &str, reason: &str, message: &str) -> Value {
    json!({"name": name, "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {
        "reason": reason, "message": message}}})
}

/// Outcome, reason and message of an end.
fn end(seen: Seen) -> (Outcome, Reason, String) {
    match seen {
        Seen::Ended(verdict) => (verdict.outcome, verdict.reason, verdict.message),
        other => panic!("{other:?} is no end"),
    }
}

#[test]
fn out_of_memory_is_the_steps_own_failure_also_while_the_witness_runs() {
    let status = json!({
        "phase": "Running",
        "initContainerStatuses": [ended("init", "Completed", 0), running("wait")],
        "containerStatuses": [ended("main", "OOMKilled", 137)],
    });
    let mut wanted = Verdict::without_outputs(
        "wf-a-1".into(),
        Outcome::Failed,
        Reason::OutOfMemory,
        "main: OOMKilled (exit code 137)",
        at("10:02:00"),
    );
    wanted.exit_code = Some(137);
    wanted.started_at = Some(at("10:01:00"));
    wanted.usage.host = "n1".to_owned();
    assert_eq!(look(status, "10:02:01"), Seen::Ended(Box::new(wanted)));
}

#[test]
fn success_needs_a_result() {
    let status = json!({"phase": "Succeeded", "containerStatuses": [ended("main", "Completed", 0)]});
    let lost = (Outcome::Lost, Reason::Vanished, "the pod ended without a result".to_owned());
    assert_eq!(end(look(status, "10:03:00")), lost);
}

#[test]
fn a_wrapper_that_died_is_infrastructure_and_one_that_never_began_is_an_error() {
    let killed = json!({"phase": "Failed", "containerStatuses": [ended("main", "Error", 137)]});
    let message = "main: Error (exit code 137): it ended without a result".to_owned();
    assert_eq!(end(look(killed, "10:03:00")), (Outcome::Lost, Reason::Vanished, message));
    let unstarted = json!({"phase": "Failed", "containerStatuses": [ended("main", "StartError", 128)]});
    let message = "main: StartError (exit code 128)".to_owned();
    assert_eq!(end(look(unstarted, "10:03:00")), (Outcome::Error, Reason::NotStarted, message));
    let init = json!({"phase": "Failed", "initContainerStatuses": [ended("init", "OOMKilled", 137)], "containerStatuses": [waits("main", "PodInitializing", "")]});
    let message = "init: OOMKilled (exit code 137)".to_owned();
    assert_eq!(end(look(init, "10:03:00")), (Outcome::Error, Reason::Environment, message));
}

#[test]
fn a_sidecar_that_was_ended_with_the_pod_does_not_hide_why_it_ended() {
    let helped = attempt(
        json!({"name": "a", "container": {"image": "x"}, "sidecars": [{"name": "db", "image": "y"}]}),
    );
    let with = |code: i32| {
        let status = json!({"phase": "Failed", "initContainerStatuses": [ended("db", "Error", code)],
            "containerStatuses": [ended("main", "OOMKilled", 137)]});
        end(seen(&pod(status), &helped, &Patience::default(), at("10:03:00")))
    };
    let killed = (Outcome::Failed, Reason::OutOfMemory, "main: OOMKilled (exit code 137)".to_owned());
    assert_eq!([with(143), with(1)], [killed.clone(), killed]);
}

#[test]
fn what_the_cluster_takes_is_lost_and_named() {
    let disrupted = |reason: &str| {
        json!({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m"}],
            "containerStatuses": [ended("main", "Error", 143)]})
    };
    let names = [
        ("PreemptionByScheduler", "Preempted: m"),
        ("EvictionByEvictionAPI", "Drained: m"),
        ("DeletionByTaintManager", "NodeLost: m"),
        ("DeletionByPodGC", "NodeLost: m"),
        ("TerminationByKubelet", "NodePressure: m"),
    ];
    for (reason, message) in names {
        let lost = (Outcome::Lost, Reason::Vanished, message.to_owned());
        assert_eq!(end(look(disrupted(reason), "10:03:00")), lost);
    }
    for reason in
        ["Evicted", "NodeShutdown", "UnexpectedAdmissionError", "OutOfcpu", "NodeAffinity", "Preempting"]
    {
        let status = json!({"phase": "Failed", "reason": reason, "message": "m"});
        let lost = (Outcome::Lost, Reason::Vanished, format!("{reason}: m"));
        assert_eq!(end(look(status, "10:03:00")), lost);
    }
}

#[test]
fn a_limit_of_its_own_is_the_steps_failure() {
    let message = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ";
    let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": message});
    let (outcome, _, said) = end(look(evicted, "10:03:00"));
    assert_eq!((outcome, said), (Outcome::Failed, format!("Evicted: {message}")));
    let late = json!({"phase": "Failed", "reason": "DeadlineExceeded", "message": "m"});
    let message = "Pod was active on the node longer than the specified deadline".to_owned();
    assert_eq!(end(look(late, "10:03:00")), (Outcome::Failed, Reason::DeadlineExceeded, message));
}

#[test]
fn the_ends_of_a_sets_containers_are_told() {
    let set = json!({"name": "a", "containerSet": {"containers": [{"name": "one", "image": "x"}, {"name": "main", "image": "x"}]}});
    let half =
        json!({"phase": "Running", "containerStatuses": [ended("one", "OOMKilled", 137), running("main")]});
    let look = |status| seen(&pod(status), &attempt(set.clone()), &Patience::default(), at("10:03:00"));
    let host = Some("n1".to_owned());
    assert_eq!(look(half), Seen::Running { at: at("10:01:00"), host }, "the other may still report");
    let whole = json!({"phase": "Failed", "containerStatuses": [ended("one", "OOMKilled", 137), ended("main", "Completed", 0)]});
    let Seen::Ended(verdict) = look(whole) else { panic!("it has ended") };
    let container = |name: &str, outcome, message: &str, code| ContainerEnd {
        name: name.to_owned(),
        outcome,
        message: message.to_owned(),
        exit_code: Some(code),
        started_at: Some(at("10:01:00")),
        finished_at: at("10:02:00"),
    };
    let wanted = [
        container("one", Outcome::Failed, "one: OOMKilled (exit code 137)", 137),
        container("main", Outcome::Succeeded, "", 0),
    ];
    assert_eq!((verdict.outcome, &verdict.containers[..]), (Outcome::Failed, &wanted[..]));
}

#[test]
fn what_is_waited_for_is_said_and_not_borne_for_ever() {
    let scheduled =
        json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-28T10:00:00Z"}]);
    let waiting = |reason: &str, message: &str, now: &str| {
        look(
            json!({"phase": "Pending", "conditions": scheduled, "containerStatuses": [waits("main", reason, message)]}),
            now,
        )
    };
    let said = |text: &str| Seen::Waiting(text.to_owned());
    let back_off = "Back-off pulling image \"nowhere:1\": not found";
    assert_eq!(
        waiting("ImagePullBackOff", back_off, "10:04:59"),
        said(&format!("ImagePullBackOff: {back_off}"))
    );
    let message = format!("Pod failed before main container starts due to ImagePullBackOff: {back_off}");
    assert_eq!(
        end(waiting("ImagePullBackOff", back_off, "10:05:01")),
        (Outcome::Error, Reason::Configuration, message)
    );
    let busy = "Back-off pulling image: 429 Too Many Requests - toomanyrequests";
    assert_eq!(
        end(waiting("ImagePullBackOff", busy, "10:05:01")).0,
        Outcome::Lost,
        "a busy registry is infrastructure"
    );
    assert_eq!(end(waiting("InvalidImageName", "x", "10:00:01")).0, Outcome::Error, "no time helps");
    let secret = "secret \"keys\" not found";
    let text = format!("CreateContainerConfigError: {secret}");
    assert_eq!(waiting("CreateContainerConfigError", secret, "10:01:59"), said(&text));
    assert_eq!(end(waiting("CreateContainerConfigError", secret, "10:02:01")).1, Reason::Configuration);
    assert_eq!(waiting("ContainerCreating", "", "10:00:01"), said("ContainerCreating"));
    assert_eq!(look(json!({}), "10:00:01"), said("Pending"));
}

#[test]
fn a_pod_without_its_volumes_or_its_address_says_why_and_is_not_waited_for_for_ever() {
    let kind = "PodReadyToStartContainers";
    let condition = json!([{"type": kind, "status": "False", "lastTransitionTime": "2026-11-28T10:00:00Z"}]);
    let creating = waits("main", "ContainerCreating", "");
    let pod = pod(json!({"phase": "Pending", "conditions": condition, "containerStatuses": [creating]}));
    let patience = Patience::default();
    let look = |now: &str, warning| super::seen(&pod, &plain(), &patience, at(now), warning);
    let said = |text: &str| Seen::Waiting(text.to_owned());
    let glance = |now: &str| glance(&pod, &patience, at(now));
    assert_eq!((look("10:02:00", None), glance("10:02:00")), (said("ContainerCreating"), Glance::Going));
    let silent = said("ContainerCreating: its volumes or its address are not there yet");
    assert_eq!((look("10:02:01", None), glance("10:02:01")), (silent, Glance::Stuck));
    let taken = "FailedAttachVolume: Multi-Attach error for volume \"v\"";
    assert_eq!(look("10:10:00", Some(taken)), said(&format!("ContainerCreating: {taken}")));
    let lost = format!("ContainerCreating: {taken} (for 601 s)");
    assert_eq!(end(look("10:10:01", Some(taken))), (Outcome::Lost, Reason::Vanished, lost));
    // Said of a driver that comes in a moment, and of its own objects: these are neither Secrets nor ConfigMaps.
    let late = [
        "FailedMount: MountVolume.SetUp failed for volume \"secrets\" : driver name x.csi.k8s.io not found in the list of \
         registered CSI drivers",
        "FailedMount: secretproviderclasses.secrets-store.csi.x-k8s.io \"keys\" not found",
    ];
    let missing = "FailedMount: MountVolume.SetUp failed for volume \"k\" : secret \"keys\" not found";
    let message = format!("Pod failed before its containers start due to ContainerCreating: {missing}");
    for late in late {
        assert_eq!(look("10:02:01", Some(late)), said(&format!("ContainerCreating: {late}")));
    }
    assert_eq!(end(look("10:02:01", Some(missing))), (Outcome::Error, Reason::Configuration, message));
}

#[test]
fn an_image_that_is_pulled_after_long_inputs_has_all_its_time() {
    let status = json!({
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-28T08:00:00Z"}],
        "initContainerStatuses": [ended("init", "Completed", 0)],
        "containerStatuses": [waits("main", "ErrImagePull", "x")],
    });
    assert_eq!(look(status.clone(), "10:06:59"), Seen::Waiting("ErrImagePull: x".to_owned()));
    assert_eq!(end(look(status, "10:07:01")).1, Reason::Configuration);
}

#[test]
fn a_resource_that_no_node_has_is_named() {
    let unscheduled = |message: &str, now: &str| {
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastTransitionTime": "2026-11-28T10:00:00Z"});
        look(json!({"phase": "Pending", "conditions": [condition]}), now)
    };
    let message = "0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient nvidia.com/gpu. no new claims";
    // A scheduler that names several says the first; the whole sentence follows.
    let cpu = Seen::Waiting(format!("Unschedulable: {message}"));
    assert_eq!(unscheduled(message, "10:10:00"), cpu);
    let message = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: not helpful";
    let gpu = format!("Unschedulable: 0/2 nodes have nvidia.com/gpu free ({message})");
    assert_eq!(unscheduled(message, "10:10:00"), Seen::Waiting(gpu.clone()));
    let impatient = Patience { node: Duration::from_secs(60), ..Patience::default() };
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastTransitionTime": "2026-11-28T10:00:00Z"});
    let status = json!({"phase": "Pending", "conditions": [condition]});
    let given_up = seen(&pod(status), &plain(), &impatient, at("10:01:01"));
    assert_eq!(end(given_up), (Outcome::Error, Reason::Unschedulable, gpu));
    let gated = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "m"}]});
    assert_eq!(look(gated, "10:01:00"), Seen::Waiting("Queued: m".to_owned()));
}

#[test]
fn a_daemon_is_ready_when_its_pod_is() {
    let status = json!({"phase": "Running", "podIP": "10.0.0.7", "containerStatuses": [running("main")],
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-28T10:01:30Z"}]});
    let daemon = attempt(json!({"name": "a", "daemon": true, "container": {"image": "busybox"}}));
    let ready = Seen::Ready { at: at("10:01:30"), ip: "10.0.0.7".to_owned() };
    assert_eq!(seen(&pod(status.clone()), &daemon, &Patience::default(), at("10:02:00")), ready);
    let running = Seen::Running { at: at("10:01:00"), host: Some("n1".to_owned()) };
    assert_eq!(look(status, "10:02:00"), running, "no daemon");
}

#[test]
fn a_node_that_does_not_answer_is_given_a_stated_time() {
    let mut deleted = pod(json!({"phase": "Running", "containerStatuses": [running("main")]}));
    deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-28T10:10:00Z")).unwrap();
    let look = |now: &str| {
        (
            seen(&deleted, &plain(), &Patience::default(), at(now)),
            glance(&deleted, &Patience::default(), at(now)),
        )
    };
    assert!(matches!(look("10:11:00"), (Seen::Running { .. }, Glance::Going)));
    let (seen, glance) = look("10:11:01");
    let message = "NodeLost: there was no contact with n1 for 61 s".to_owned();
    assert_eq!((end(seen), glance), ((Outcome::Lost, Reason::Vanished, message), Glance::Stuck));
}

#[test]
fn a_glance_tells_the_ended_and_the_stuck() {
    let glance = |status: Value| glance(&pod(status), &Patience::default(), at("10:03:00"));
    assert_eq!(glance(json!({"phase": "Running", "containerStatuses": [running("main")]})), Glance::Going);
    assert_eq!(
        glance(json!({"phase": "Running", "containerStatuses": [ended("main", "Completed", 0)]})),
        Glance::Ended
    );
    // Of a containerSet, one that others wait for.
    let one = json!([ended("first", "Completed", 0), running("second")]);
    assert_eq!(glance(json!({"phase": "Running", "containerStatuses": one})), Glance::Going);
    assert_eq!(glance(json!({"phase": "Failed"})), Glance::Ended);
    assert_eq!(
        glance(json!({"phase": "Pending", "containerStatuses": [waits("main", "ErrImagePull", "")]})),
        Glance::Stuck
    );
    assert_eq!(
        glance(json!({"phase": "Pending", "containerStatuses": [waits("main", "ContainerCreating", "")]})),
        Glance::Going
    );
}
