//! Locks: who asks, who waits, who gives back.

use super::*;
use crate::lock::{HeldBy, Holder, LockName, LockWait};

fn mutex(name: &str) -> LockName {
    LockName::Mutex { namespace: "default".to_owned(), name: name.to_owned() }
}

impl World {
    fn key(&self, node: &str) -> String {
        match node {
            "run" => "default/wf".to_owned(),
            node => format!("default/wf/{}", crate::ids::argo_node_id("wf", &format!("wf{node}"))),
        }
    }

    fn request(&self, node: &str) -> Arc<LockRequest> {
        let key = self.key(node);
        let asking = |r: &&Arc<LockRequest>| {
            r.key == key && self.state.outbox.contains_key(&EffectKey::TakeLocks(r.holder))
        };
        self.taking.iter().rfind(asking).unwrap_or_else(|| panic!("{node} asks for no lock")).clone()
    }

    /// Whose request it is, and of which generation.
    fn asked(&self, node: &str) -> (Holder, u32) {
        let request = self.request(node);
        (request.holder, request.generation)
    }

    /// Full names of those who ask for locks, in the order in which they asked.
    pub(super) fn asking(&self) -> Vec<String> {
        let open =
            self.taking.iter().filter(|r| self.state.outbox.contains_key(&EffectKey::TakeLocks(r.holder)));
        open.map(|r| r.holder.map_or_else(|| "run".to_owned(), |node| self.state.name(node))).collect()
    }

    pub(super) fn take_locks(&mut self, node: &str) {
        let (holder, generation) = self.asked(node);
        self.event(Event::LocksTaken { holder, generation });
    }

    fn refuse_lock(&mut self, node: &str, lock: &str) {
        let held_by = vec![HeldBy { key: "default/other".to_owned(), run: "other".into() }];
        let wait = Box::new(LockWait { lock: mutex(lock), free: 0, limit: 1, held_by });
        let (holder, generation) = self.asked(node);
        self.event(Event::LocksWaiting { holder, generation, wait });
    }

    pub(super) fn has_released(&self, node: &str) -> bool {
        self.released.contains(&self.key(node))
    }

    fn status(&self) -> serde_json::Value {
        View::fold(self.state.program.clone(), &self.records).workflow()["status"].clone()
    }
}

const LOCKED: &str = "
  - name: locked
    synchronization: {mutexes: [{name: x}]}
    container: {image: busybox}";

#[test]
fn of_one_runs_nodes_one_asks_at_a_time_in_their_order() {
    let mut w = world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: locked, withItems: [1, 2, 3]}}{LOCKED}"
    ));
    assert_eq!((w.asking(), w.live().len()), (vec!["wf[0].a(0:1)".to_owned()], 0));
    w.take_locks("[0].a(0:1)");
    assert_eq!((w.live(), w.asking()), (vec!["wf[0].a(0:1)".to_owned()], vec!["wf[0].a(1:2)".to_owned()]));
    w.refuse_lock("[0].a(1:2)", "x");
    assert_eq!(w.message_of("[0].a(1:2)"), "Waiting for default/Mutex/x lock. Lock status: 0/1");
    assert_eq!(
        w.waiting(),
        [
            "wf[0].a(0:1): runs since 1970-01-01T00:16:41Z",
            "wf[0].a(1:2): waits for the lock default/Mutex/x (0 of 1 free), held by default/other",
            "wf[0].a(2:3): waits for the lock default/Mutex/x (0 of 1 free), held by default/other",
        ]
    );
    w.succeed("wf[0].a(0:1)");
    assert!(w.has_released("[0].a(0:1)"));
    w.take_locks("[0].a(1:2)");
    w.succeed("wf[0].a(1:2)");
    w.take_locks("[0].a(2:3)");
    w.succeed("wf[0].a(2:3)");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

const RUN: &str = "  entrypoint: main
  synchronization: {mutexes: [{name: '{{workflow.name}}-x'}]}
  templates:
  - name: main
    container: {image: busybox}";

#[test]
fn a_retried_run_that_is_terminated_before_it_holds_its_lock_again_ends_with_all_its_nodes() {
    let mut w = world(&format!(
        "  entrypoint: main\n  synchronization: {{mutexes: [{{name: whole}}]}}\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: locked}}{LOCKED}"
    ));
    w.take_locks("run");
    w.take_locks("[0].a");
    w.fail("wf[0].a");
    assert_eq!(w.retry(RetryOptions::default()), None);
    w.refuse_lock("run", "whole");
    w.command("stop", Verb::Terminate);
    assert_eq!(w.ended(), Some((RunPhase::Failed, "Stopped with strategy 'Terminate'".to_owned())));
    let phases = [w.phase_of(""), w.phase_of("[0]"), w.phase_of("[0].a")];
    assert_eq!(phases, [Some(NodePhase::Failed), Some(NodePhase::Failed), None]);
}

#[test]
fn what_was_answered_before_a_retry_is_no_answer_to_it() {
    let mut w = world(RUN);
    w.take_locks("run");
    w.fail("wf");
    let effect = EffectKey::ReleaseLocks(None);
    let released = |generation| Event::Performed { effect: effect.clone(), generation };
    w.event(released(0));
    assert_eq!(w.retry(RetryOptions::default()), None);
    let late = w.try_event(Event::LocksTaken { holder: None, generation: 0 });
    let asked = EffectKey::TakeLocks(None);
    assert_eq!(late, Err(Rejected::Answered { effect: asked }), "they were given back since");
    assert!(w.live().is_empty());
    w.take_locks("run");
    w.succeed("wf");
    assert_eq!(w.try_event(released(0)), Err(Rejected::Answered { effect: effect.clone() }));
    w.event(released(1));
}

#[test]
fn a_run_is_pending_until_it_holds_its_own_lock_and_gives_it_back_at_its_end() {
    let mut w = world(RUN);
    assert_eq!(w.request("run").locks, [mutex("wf-x")]);
    w.refuse_lock("run", "wf-x");
    let message = "Waiting for default/Mutex/wf-x lock. Lock status: 0/1";
    assert_eq!((w.state.phase, w.state.message.as_str()), (RunPhase::Pending, message));
    let waiting = serde_json::json!({"mutex": {"waiting": [{"mutex": "default/Mutex/wf-x", "holder": "default/other"}]}});
    assert_eq!(w.status()["synchronization"], waiting);
    w.take_locks("run");
    assert_eq!((w.state.phase, w.state.message.as_str(), w.live().len()), (RunPhase::Running, "", 1));
    let holding =
        serde_json::json!({"mutex": {"holding": [{"mutex": "default/Mutex/wf-x", "holder": "default/wf"}]}});
    assert_eq!(w.status()["synchronization"], holding);
    assert!(!w.has_released("run"));
    w.succeed("wf");
    assert!(w.has_released("run"));
    assert_eq!(w.status()["synchronization"], serde_json::Value::Null);
}

#[test]
fn a_run_without_a_place_among_those_that_go_on_is_pending_in_argos_words() {
    let settings = Settings { parallelism: Some(2), namespace_parallelism: Some(1), ..Settings::default() };
    let spec = format!(
        "  entrypoint: locked\n  synchronization: {{mutexes: [{{name: x}}]}}\n  templates:{}",
        LOCKED.replace("    synchronization: {mutexes: [{name: x}]}\n", "")
    );
    let mut w = World::unborn(&spec, settings);
    w.event(Event::Submitted);
    let own = LockName::Runs { namespace: Some("default".to_owned()) };
    let all = LockName::Runs { namespace: None };
    assert_eq!(w.request("run").locks, [mutex("x"), own.clone(), all.clone()]);
    assert!(mutex("x") < own && mutex("x") < all, "a place is taken last");
    let held_by = vec![HeldBy { key: "default/other".to_owned(), run: "other".into() }];
    let wait = Box::new(LockWait { lock: own, free: 0, limit: 1, held_by });
    w.event(Event::LocksWaiting { holder: None, generation: 0, wait });
    let status = w.status();
    let postponed = "Workflow processing has been postponed because too many workflows are already running";
    assert_eq!((&status["phase"], &status["message"]), (&"Pending".into(), &postponed.into()));
    assert_eq!(status["synchronization"], serde_json::Value::Null, "a place is no lock");
    let waiting =
        ["wf: waits for the lock default/namespaceParallelism (0 of 1 free), held by default/other"];
    assert_eq!(w.waiting(), waiting);
    w.take_locks("run");
    w.succeed("wf");
    assert_eq!(w.state.phase, RunPhase::Succeeded);
    assert!(w.has_released("run"));
}

#[test]
fn a_run_that_waits_for_its_lock_ends_when_terminated_and_waits_on_when_stopped() {
    let mut w = world(RUN);
    w.refuse_lock("run", "wf-x");
    w.command("c1", Verb::Stop { message: None });
    assert_eq!(w.ended(), None);
    w.take_locks("run");
    assert_eq!(w.ended(), Some((RunPhase::Failed, "Stopped with strategy 'Stop'".to_owned())));
    let mut w = world(RUN);
    w.refuse_lock("run", "wf-x");
    w.command("c1", Verb::Terminate);
    assert_eq!(w.ended(), Some((RunPhase::Failed, "Stopped with strategy 'Terminate'".to_owned())));
    assert!(w.has_released("run") && w.started.is_empty());
}

#[test]
fn locks_that_cannot_be_had_leave_a_node_that_was_never_made() {
    let spec = format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: locked}}{LOCKED}"
    );
    let refused = |w: &mut World, node: &str| {
        let holder = w.request(node).holder;
        let why = "failed to initialize semaphore s with limit".to_owned();
        w.event(Event::LocksRefused { holder, generation: 0, why, hint: String::new() });
    };
    let mut w = world(&spec);
    refused(&mut w, "[0].a");
    let why =
        "step group deemed errored due to child wf[0].a error: failed to initialize semaphore s with limit";
    assert_eq!(w.ended(), Some((RunPhase::Failed, why.to_owned())));
    let nodes = w.status()["nodes"].as_object().unwrap().clone();
    let node = nodes.values().find(|n| n["name"] == "wf[0].a").unwrap();
    assert_eq!((&node["type"], &node["phase"]), (&serde_json::json!("Skipped"), &serde_json::json!("Error")));
    let mut w = world(RUN);
    refused(&mut w, "run");
    let why = "Failed to acquire the synchronization lock. failed to initialize semaphore s with limit";
    assert_eq!(w.ended(), Some((RunPhase::Failed, why.to_owned())));
}

#[test]
fn a_block_that_names_a_lock_twice_is_an_error() {
    let mut w = world(
        "  entrypoint: main\n  templates:\n  - name: main\n    synchronization: {mutexes: [{name: x}, {name: x}]}\n    container: {image: busybox}",
    );
    let why = "error in entry template execution: requested configuration is invalid: duplicate synchronization item found";
    assert_eq!(w.ended(), Some((RunPhase::Error, why.to_owned())));
    assert!(w.taking.is_empty() && w.started.is_empty());
    w.event(Event::Performed { effect: EffectKey::End, generation: 0 });
}

#[test]
fn a_lock_is_held_through_the_wait_before_the_next_attempt() {
    let mut w = world(
        "  entrypoint: main\n  templates:\n  - name: main\n    synchronization: {mutexes: [{name: x}]}\n    retryStrategy: {limit: 1, backoff: {duration: 1m}}\n    container: {image: busybox}",
    );
    assert_eq!(w.phase_of(""), Some(NodePhase::Pending));
    w.take_locks("");
    assert_eq!(w.phase_of(""), Some(NodePhase::Running));
    w.fail("wf(0)");
    assert!(!w.has_released(""));
    w.fire();
    w.succeed("wf(1)");
    assert!(w.has_released(""));
}

#[test]
fn what_is_locked_stays_locked_until_the_command_that_uses_it_has_ended() {
    let mut w = world(&format!("  entrypoint: locked\n  templates:{LOCKED}"));
    w.take_locks("");
    let attempt = w.attempt("wf");
    w.command("c1", Verb::Stop { message: None });
    assert!(w.ended().is_some() && !w.has_released(""));
    let ended = verdict(&attempt, Outcome::Failed, w.now);
    w.event(Event::AttemptFinished { verdict: Arc::new(ended) });
    assert!(w.has_released(""));
}

#[test]
fn who_waits_for_a_lock_takes_no_slot_of_the_run_and_fails_when_it_is_stopped() {
    let mut w = world(&format!(
        "  entrypoint: main\n  parallelism: 1\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: locked}}\n      - {{name: b, template: plain}}\n  - name: plain\n    container: {{image: busybox}}{LOCKED}"
    ));
    w.refuse_lock("[0].a", "x");
    assert_eq!(w.live(), ["wf[0].b"]);
    w.take_locks("[0].a");
    assert_eq!(w.live(), ["wf[0].b"]);
    w.succeed("wf[0].b");
    assert_eq!(w.live(), ["wf[0].a"]);
    let mut w = world(&format!("  entrypoint: locked\n  templates:{LOCKED}"));
    w.refuse_lock("", "x");
    w.command("c1", Verb::Stop { message: None });
    assert_eq!(w.message_of(""), "Stopped with strategy 'Stop'");
    assert!(w.has_released(""));
}

#[test]
fn a_block_that_waits_for_one_lock_does_not_keep_its_run_from_another() {
    let mut w = world(&format!(
        "  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {{name: a, template: both}}\n      - {{name: b, template: locked}}\n  - name: both\n    synchronization: {{mutexes: [{{name: x}}, {{name: y}}]}}\n    container: {{image: busybox}}{LOCKED}"
    ));
    assert_eq!(w.asking(), ["wf[0].a"]);
    w.refuse_lock("[0].a", "y");
    assert_eq!(w.asking(), ["wf[0].a", "wf[0].b"]);
    w.take_locks("[0].b");
    assert_eq!(w.live(), ["wf[0].b"]);
}

#[test]
fn a_lock_granted_while_the_run_is_suspended_is_used_once_it_goes_on() {
    let mut w = world(&format!("  entrypoint: locked\n  templates:{LOCKED}"));
    w.command("c1", Verb::Suspend);
    w.take_locks("");
    assert_eq!(w.live(), Vec::<String>::new());
    w.command("c2", Verb::Resume { selector: None, outputs: Default::default() });
    assert_eq!(w.live(), ["wf"]);
}

#[test]
fn a_daemon_gives_its_locks_back_when_it_is_ready() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: one, template: server}
    - - {name: two, template: server}
  - name: server
    daemon: true
    synchronization: {mutexes: [{name: x}]}
    container: {image: busybox}",
    );
    w.take_locks("[0].one");
    assert!(!w.has_released("[0].one"));
    w.ready("wf[0].one");
    assert!(w.has_released("[0].one"));
    w.take_locks("[1].two");
    assert_eq!(w.live(), ["wf[0].one", "wf[1].two"]);
}
