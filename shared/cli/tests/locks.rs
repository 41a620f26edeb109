//! Locks between runs and values from config maps, with real steps.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use bench::{Bench, Running, until};

/// Notes its beginning and its end in `box/order`, and waits in between while the test holds it.
fn step(synchronization: &str) -> String {
    format!(
        r#"
    {synchronization}
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo 'begins {{{{workflow.name}}}}' >> /box/order; while [ -e /box/hold ]; do sleep 0.02; done; echo 'ends {{{{workflow.name}}}}' >> /box/order"]
      volumeMounts: [{{name: box, mountPath: /box}}]
"#
    )
}

fn manifest(spec: &str, template: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{generateName: locked-}}\nspec:\n  entrypoint: main\n  volumes: [{{name: box, persistentVolumeClaim: {{claimName: box}}}}]\n{spec}  templates:\n  - name: main{}",
        step(template)
    )
}

fn dev(bench: &Bench) -> Running<'_> {
    std::fs::create_dir_all(bench.path("definitions")).unwrap();
    let dev = bench.start(&["dev", "definitions", "--port", "0", "--config", "dropforge.toml"]);
    dev.wait_until_said("ready:");
    dev
}

fn submit(bench: &Bench, name: &str) {
    bench.dropforge(&["submit", "locked.yaml", "--name", name]).exits(0);
}

fn wait_for_order(bench: &Bench, expected: &[&str]) {
    until(&format!("the order {expected:?}"), || (bench.lines("order") == expected).then_some(()));
}

const BOTH: [&str; 4] = ["begins one", "ends one", "begins two", "ends two"];

#[test]
fn of_two_runs_with_a_mutex_the_second_waits_says_for_whom_and_follows() {
    for (spec, template) in [
        ("", "synchronization: {mutexes: [{name: gate}]}"),
        ("  synchronization: {mutexes: [{name: gate}]}\n", "metadata: {}"),
    ] {
        let bench = Bench::new();
        bench.write("locked.yaml", manifest(spec, template));
        bench.hold();
        let running = dev(&bench);
        submit(&bench, "one");
        wait_for_order(&bench, &BOTH[..1]);
        submit(&bench, "two");
        bench.wait_for_record("two", "locksWaiting");
        let explained = bench.dropforge(&["explain", "two"]).exits(0);
        let waits = "waits for the lock default/Mutex/gate (0 of 1 free), held by default/one";
        assert!(explained.stdout.contains(waits), "{explained}");
        assert_eq!(bench.lines("order"), BOTH[..1]);
        bench.let_go();
        wait_for_order(&bench, &BOTH);
        drop(running);
    }
}

#[test]
fn where_no_more_runs_may_go_on_the_next_is_pending_in_argos_words_and_follows() {
    for limit in ["parallelism", "namespace-parallelism"] {
        let bench = Bench::new();
        bench.write("dropforge.toml", format!("{limit} = 1\n[claims]\nbox = \"box\"\n"));
        bench.write("locked.yaml", manifest("", "metadata: {}"));
        bench.hold();
        let first = dev(&bench);
        submit(&bench, "one");
        wait_for_order(&bench, &BOTH[..1]);
        submit(&bench, "two");
        bench.wait_for_record("two", "locksWaiting");
        let status = bench.dropforge(&["get", "two", "-o", "json"]).exits(0).json()["status"].clone();
        let postponed =
            "Workflow processing has been postponed because too many workflows are already running";
        assert_eq!(
            (status["phase"].as_str(), status["message"].as_str()),
            (Some("Pending"), Some(postponed))
        );
        // Who runs goes on under the next owner, and keeps its place.
        first.kill();
        let second = dev(&bench);
        assert_eq!(bench.lines("order"), BOTH[..1]);
        bench.let_go();
        wait_for_order(&bench, &BOTH);
        drop(second);
    }
}

#[test]
fn a_lock_outlives_its_owners_death_and_goes_on_when_its_holder_has_ended() {
    let bench = Bench::new();
    bench.write("locked.yaml", manifest("", "synchronization: {mutexes: [{name: gate}]}"));
    bench.hold();
    let first = dev(&bench);
    submit(&bench, "one");
    wait_for_order(&bench, &BOTH[..1]);
    submit(&bench, "two");
    bench.wait_for_record("two", "locksWaiting");
    first.kill();
    let second = dev(&bench);
    assert_eq!(bench.lines("order"), BOTH[..1]);
    bench.let_go();
    wait_for_order(&bench, &BOTH);
    drop(second);
}

/// The process that runs the second owns the store, and so knows that nobody goes on with the first.
#[test]
fn who_waits_for_a_run_that_nobody_goes_on_with_is_told_what_to_do() {
    let bench = Bench::new();
    bench.write("locked.yaml", manifest("", "synchronization: {mutexes: [{name: gate}]}"));
    bench.hold();
    let first = bench.start(&["run", "locked.yaml", "--name", "one"]);
    wait_for_order(&bench, &BOTH[..1]);
    first.kill();
    let second = bench.start(&["run", "locked.yaml", "--name", "two"]);
    second.wait_until_said("which nobody goes on with: `dropforge run --continue one`");
    bench.dropforge(&["terminate", "one"]).exits(0);
    bench.let_go();
    second.end().exits(0);
}

#[test]
fn a_semaphore_lets_as_many_in_as_its_config_map_says_and_a_missing_one_is_named() {
    let bench = Bench::new();
    let semaphore = "synchronization: {semaphores: [{configMapKeyRef: {name: limits, key: gate}}]}";
    let text = manifest("", semaphore);
    let failed = bench.run(&text, "early").exits(1);
    let why = "failed to initialize semaphore default/ConfigMap/limits/gate with limit";
    assert!(failed.stderr.contains(why) || failed.stdout.contains(why), "{failed}");
    let explained = bench.dropforge(&["explain", "early"]).exits(0);
    assert!(explained.stdout.contains(".dropforge/config-maps/limits"), "{explained}");
    bench.write(".dropforge/config-maps/limits/gate", "2\n");
    bench.write("locked.yaml", text);
    bench.hold();
    let running = dev(&bench);
    for name in ["one", "two", "three"] {
        submit(&bench, name);
    }
    bench.wait_for_record("three", "locksWaiting");
    until("two that run", || (bench.lines("order").len() == 2).then_some(()));
    bench.let_go();
    until("all three", || (bench.lines("order").len() == 6).then_some(()));
    drop(running);
}

#[test]
fn parameters_come_from_config_maps_and_a_missing_key_is_named() {
    let bench = Bench::new();
    let text = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: config-}
spec:
  entrypoint: main
  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
  arguments:
    parameters: [{name: rate, valueFrom: {configMapKeyRef: {name: training, key: rate}}}]
  templates:
  - name: main
    inputs:
      parameters:
      - {name: rate}
      - {name: epochs, valueFrom: {configMapKeyRef: {name: training, key: epochs}, default: "3"}}
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo '{{workflow.parameters.rate}} {{inputs.parameters.rate}} {{inputs.parameters.epochs}}' >> /box/order"]
      volumeMounts: [{name: box, mountPath: /box}]
"#;
    let failed = bench.run(text, "none").exits(1);
    let why = "failed to set global parameter rate from configmap with name training and key rate: ConfigMap 'training' does not exist";
    assert!(failed.stderr.contains(why), "{failed}");
    bench.write(".dropforge/config-maps/training/rate", "0.1");
    bench.run(text, "some").exits(0);
    assert_eq!(bench.lines("order"), ["0.1 0.1 3"]);
    bench.dropforge(&["run", "some.yaml", "-p", "rate=0.2", "--name", "given"]).exits(0);
    assert_eq!(bench.lines("order"), ["0.1 0.1 3", "0.2 0.2 3"]);
}
