//! Steps of several containers, and daemons, by the real command.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use bench::Bench;
use serde_json::Value;

/// A Workflow of these templates, whose entrypoint is `main`; its steps see the claim at `/box`.
fn workflow(templates: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{generateName: pods-}}\nspec:\n  entrypoint: main\n  \
         volumes: [{{name: box, persistentVolumeClaim: {{claimName: box}}}}]\n  templates:\n{templates}"
    )
}

/// `(name, type, phase)` of all nodes, sorted.
fn nodes(bench: &Bench, run: &str) -> Vec<(String, String, String)> {
    let object = bench.dropforge(&["get", run, "-o", "json"]).exits(0).json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let nodes = object["status"]["nodes"].as_object().cloned().unwrap_or_default();
    let mut all: Vec<_> =
        nodes.values().map(|node| (text(&node["name"]), text(&node["type"]), text(&node["phase"]))).collect();
    all.sort();
    all
}

fn named(list: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    list.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
}

const SET: &str = "  - name: main
    steps:
    - - {name: set, template: set}
    - - {name: use, template: use, arguments: {parameters: [{name: out, value: '{{steps.set.outputs.parameters.out}}-{{steps.set.outputs.result}}'}]}}
  - name: set
    volumes: [{name: work, emptyDir: {}}]
    containerSet:
      volumeMounts: [{name: work, mountPath: /data}]
      containers:
      - {name: load, image: busybox, command: [sh, -c, 'echo data > /data/in; echo loaded']}
      - {name: main, image: busybox, dependencies: [load], command: [sh, -c, 'cat /data/in > /data/out; echo said']}
    outputs: {parameters: [{name: out, valueFrom: {path: /data/out}}]}
  - name: use
    inputs: {parameters: [{name: out}]}
    container: {image: busybox, command: [echo, '{{inputs.parameters.out}}']}
";

#[test]
fn a_container_set_shares_its_volume_and_gives_mains_outputs() {
    let bench = Bench::new();
    bench.run(&workflow(SET), "set").exits(0);
    assert_eq!(
        nodes(&bench, "set"),
        named(&[
            ("set", "Steps", "Succeeded"),
            ("set[0]", "StepGroup", "Succeeded"),
            ("set[0].set", "Pod", "Succeeded"),
            ("set[0].set.load", "Container", "Succeeded"),
            ("set[0].set.main", "Container", "Succeeded"),
            ("set[1]", "StepGroup", "Succeeded"),
            ("set[1].use", "Pod", "Succeeded"),
        ])
    );
    let logs = |arguments: &[&str]| bench.dropforge(&[&["logs", "set"], arguments].concat()).exits(0).stdout;
    assert_eq!(logs(&["use"]), "data-said\n");
    assert_eq!(logs(&["set", "-c", "load"]), "loaded\n");
    assert_eq!(logs(&["load"]), "loaded\n", "a container's node has the container's log");
    assert_eq!(logs(&[]), "set.load: loaded\nset.main: said\nuse: data-said\n");
}

#[test]
fn a_failing_container_is_told_with_its_name() {
    let bench = Bench::new();
    let manifest = workflow(
        "  - name: main
    containerSet:
      containers:
      - {name: a, image: busybox, command: ['false']}
      - {name: main, image: busybox, command: ['true'], dependencies: [a]}
",
    );
    bench.run(&manifest, "fails").exits(1).says(&["a: Error (exit code 1)"]);
    assert_eq!(
        nodes(&bench, "fails"),
        named(&[
            ("fails", "Pod", "Failed"),
            ("fails.a", "Container", "Failed"),
            ("fails.main", "Container", "Error")
        ])
    );
    let explained = bench.dropforge(&["explain", "fails", "fails"]).exits(0).stdout;
    assert!(explained.contains("dependency \"a\" exited with non-zero code: 1"), "{explained}");
}

const SERVER: &str = "  - name: main
    dag:
      tasks:
      - {name: server, template: server}
      - {name: client, template: client, depends: server.Daemoned, arguments: {parameters: [{name: ip, value: '{{tasks.server.ip}}'}]}}
  - name: server
    daemon: true
    container:
      image: busybox
      command: [sh, -c, 'trap \"echo over > /box/over; exit\" TERM; echo up > /box/up; while :; do sleep 0.01; done']
      volumeMounts: [{name: box, mountPath: /box}]
      readinessProbe: {exec: {command: [test, -s, /box/up]}}
  - name: client
    inputs: {parameters: [{name: ip}]}
    container: {image: busybox, command: [sh, -c, 'cat /box/up; echo {{inputs.parameters.ip}}'], volumeMounts: [{name: box, mountPath: /box}]}
";

#[test]
fn a_daemon_serves_those_that_need_it_and_is_ended_after_them_on_a_machine_with_one_job() {
    let bench = Bench::new();
    bench.write("daemon.yaml", workflow(SERVER));
    bench
        .dropforge(&["run", "daemon.yaml", "--name", "daemon", "--jobs", "1"])
        .exits(0)
        .says(&["serves at 127.0.0.1"]);
    assert_eq!(
        nodes(&bench, "daemon"),
        named(&[
            ("daemon", "DAG", "Succeeded"),
            ("daemon.client", "Pod", "Succeeded"),
            ("daemon.server", "Pod", "Succeeded"),
        ])
    );
    assert_eq!(bench.dropforge(&["logs", "daemon", "client"]).exits(0).stdout, "up\n127.0.0.1\n");
    assert_eq!(bench.wait_for_file("over"), "over\n", "it was asked to end before it was killed");
}

#[test]
fn a_daemon_that_runs_when_its_owner_is_killed_serves_the_next_one() {
    let bench = Bench::new();
    bench.hold();
    let manifest = workflow(
        &SERVER.replace("'cat /box/up; ", "'while [ -e /box/hold ]; do sleep 0.01; done; cat /box/up; "),
    );
    let running = bench.start_run(&manifest, "killed");
    running.wait_until_said("client started");
    running.kill();
    let next = bench.start(&["run", "--continue", "killed"]);
    bench.let_go();
    next.end().exits(0);
    assert_eq!(bench.wait_for_file("over"), "over\n");
}

#[test]
fn init_containers_and_sidecars_run_before_and_beside_a_step() {
    let bench = Bench::new();
    let manifest = workflow(
        "  - name: main
    volumes: [{name: work, emptyDir: {}}]
    container:
      image: busybox
      command: [sh, -c, 'until [ -s /data/up ]; do sleep 0.01; done; cat /data/first /data/up']
      volumeMounts: [{name: work, mountPath: /data}]
    initContainers:
    - {name: prepare, image: busybox, mirrorVolumeMounts: true, command: [sh, -c, 'echo first > /data/first; echo prepared']}
    sidecars:
    - {name: helper, image: busybox, mirrorVolumeMounts: true, command: [sh, -c, 'cp /data/first /data/up; echo helps; sleep 600']}
",
    );
    bench.run(&manifest, "beside").exits(0);
    let log = |container: &str| bench.dropforge(&["logs", "beside", "-c", container]).exits(0).stdout;
    assert_eq!(log("main"), "beside: first\nbeside: first\n");
    assert_eq!(
        (log("prepare").as_str(), log("helper").as_str()),
        ("beside.prepare: prepared\n", "beside.helper: helps\n")
    );
}

#[test]
fn a_sidecar_that_only_its_image_has_names_the_container_executor() {
    let bench = Bench::new();
    let manifest = workflow(
        "  - name: main
    container: {image: busybox, command: [sleep, '600']}
    sidecars: [{name: dind, image: 'docker:dind', command: [dockerd-entrypoint.sh]}]
",
    );
    bench.run(&manifest, "dind").exits(1).says(&["dind: Error", "docker:dind", "container executor"]);
}
