//! Steps in their own images, by a real container engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;
#[path = "support/podman.rs"]
mod podman;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use bench::{signal, until};
use podman::Podman;
use rustix::process::Signal;
use serde_json::Value;

/// A workflow with these templates, which begins with `main`.
fn workflow(templates: &str) -> String {
    let head = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: box-}\nspec:\n  entrypoint: main\n";
    let volume = "  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]\n";
    format!("{head}{volume}  templates:\n{templates}")
}

/// The node of a run that is displayed so.
fn node(podman: &Podman, run: &str, name: &str) -> Value {
    let object = podman.bench.dropforge(&["get", run, "-o", "json"]).exits(0).json();
    let nodes = object["status"]["nodes"].as_object().unwrap().values();
    let found = nodes.into_iter().find(|node| node["displayName"] == name);
    found.unwrap_or_else(|| panic!("no node {name}: {object:#}")).clone()
}

fn parameter<'n>(node: &'n Value, name: &str) -> &'n str {
    let parameters = node["outputs"]["parameters"].as_array().unwrap();
    let found = parameters.iter().find(|parameter| parameter["name"] == name).unwrap();
    found["value"].as_str().unwrap()
}

/// Makes files in the image's own folders, and hands on all that a step can.
const HAND_ON: &str = r#"
  - name: main
    steps:
    - - {name: make, template: make, arguments: {parameters: [{name: word, value: "a b"}]}}
    - - name: read
        template: read
        arguments:
          parameters: [{name: said, value: "{{steps.make.outputs.result}}"}, {name: counted, value: "{{steps.make.outputs.parameters.counted}}"}]
          artifacts: [{name: file, from: "{{steps.make.outputs.artifacts.file}}"}, {name: folder, from: "{{steps.make.outputs.artifacts.folder}}"}]
  - name: make
    inputs: {parameters: [{name: word}], artifacts: [{name: raw, path: /in/raw, raw: {data: given}}]}
    outputs:
      parameters: [{name: counted, valueFrom: {path: /tmp/counted}}, {name: none, valueFrom: {path: /tmp/none, default: nothing}}]
      artifacts: [{name: file, path: /tmp/link}, {name: folder, path: /etc/folder}, {name: later, path: /tmp/later, optional: true}]
    script:
      image: localhost/box:1
      command: [sh]
      env: [{name: WORD, value: "{{inputs.parameters.word}}"}]
      source: |
        echo "$WORD $OF_IMAGE $(pwd) $(cat of-the-image)"
        echo aside >&2
        echo 7 > /tmp/counted
        echo "file of $(cat /in/raw)" > /tmp/target
        ln -s target /tmp/link 2>/dev/null || busybox ln -s target /tmp/link
        mkdir -p /etc/folder/deep
        echo inner > /etc/folder/deep/x
  - name: read
    inputs:
      parameters: [{name: said}, {name: counted}]
      artifacts: [{name: file, path: /new/file}, {name: folder, path: /new/folder}]
    outputs: {parameters: [{name: all, valueFrom: {path: /box/all}}]}
    container:
      image: localhost/box:1
      command: [sh, -c]
      args: ["echo '{{inputs.parameters.said}}' {{inputs.parameters.counted}} $(cat /new/file /new/folder/deep/x) > /box/all"]
      volumeMounts: [{name: box, mountPath: /box}]
"#;

#[test]
fn steps_hand_on_parameters_results_and_artifacts_from_anywhere_in_their_images() {
    let Some(podman) = Podman::start() else { return };
    podman.run(&workflow(HAND_ON), "hand-on").exits(0);
    let make = node(&podman, "hand-on", "make");
    assert_eq!(make["outputs"]["result"], "a b yes /etc brought by the image");
    assert_eq!((parameter(&make, "counted"), parameter(&make, "none")), ("7", "nothing"));
    let read = node(&podman, "hand-on", "read");
    assert_eq!(parameter(&read, "all"), "a b yes /etc brought by the image 7 file of given inner");
    let logs = podman.bench.dropforge(&["logs", "hand-on", "make"]).exits(0).stdout;
    for line in ["a b yes /etc brought by the image", "aside"] {
        assert!(logs.contains(line), "{line:?} in {logs}");
    }
    let told = podman.bench.explain_node("hand-on", "make").to_string();
    for part in ["podman container", "localhost/box@sha256:"] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    assert_eq!(podman.containers(), Vec::<String>::new());
}

/// A step that names no command, one that names arguments only, one that names a command only.
const ENTRYPOINTS: &str = r#"
  - name: main
    steps:
    - - {name: image, template: image}
      - {name: arguments, template: arguments}
      - {name: command, template: command}
      - {name: after, template: image, when: "false"}
    - - {name: use, template: use, arguments: {parameters: [{name: all, value: "{{steps.image.outputs.result}}; {{steps.arguments.outputs.result}}; {{steps.command.outputs.result}}."}]}}
  - {name: image, container: {image: localhost/box:1}}
  - {name: arguments, container: {image: localhost/box:1, args: [given]}}
  - {name: command, container: {image: localhost/box:1, command: [echo]}}
  - name: use
    inputs: {parameters: [{name: all}]}
    script: {image: localhost/box:1, command: [sh], workingDir: /new/dir, source: "echo '{{inputs.parameters.all}}' $(pwd) > /box/all", volumeMounts: [{name: box, mountPath: /box}]}
"#;

#[test]
fn what_a_step_leaves_out_the_image_has() {
    let Some(podman) = Podman::start() else { return };
    podman.run(&workflow(ENTRYPOINTS), "entrypoints").exits(0);
    assert_eq!(podman.bench.lines("all"), ["entrypoint arguments; entrypoint given; . /new/dir"]);
}

/// Fails twice and then not, remembering outside of itself how often it has run.
const FAILS: &str = r#"
  - name: main
    steps:
    - - {name: again, template: again}
    - - {name: code, template: code, continueOn: {failed: true}}
      - {name: memory, template: memory, continueOn: {failed: true}}
      - {name: late, template: late, continueOn: {failed: true}}
      - {name: nobody, template: nobody, continueOn: {failed: true}}
      - {name: absent, template: absent, continueOn: {failed: true, error: true}}
      - {name: missing, template: missing, continueOn: {failed: true, error: true}}
  - name: again
    retryStrategy: {limit: 3}
    container:
      image: localhost/box:1
      command: [sh, -c, "echo x >> /box/tries; test $(cat /box/tries | head -n 9 | tail -n +3) || exit 5"]
      volumeMounts: [{name: box, mountPath: /box}]
  - name: code
    container: {image: localhost/box:1, command: [sh, -c, exit 3]}
  - name: memory
    container: {image: localhost/box:1, command: [tail, /dev/zero], resources: {limits: {memory: 20Mi}}}
  - name: late
    activeDeadlineSeconds: 1
    container: {image: localhost/box:1, command: [sleep, "600"]}
  - name: nobody
    container: {image: localhost/box:1, command: [no-such-program]}
  - name: absent
    container: {image: "localhost/no-such-image:7", imagePullPolicy: Never, command: ["true"]}
  - name: missing
    outputs: {artifacts: [{name: file, path: /tmp/not-there}]}
    container: {image: localhost/box:1, command: ["true"]}
"#;

#[test]
fn what_goes_wrong_is_told_in_argos_words() {
    let Some(podman) = Podman::start() else { return };
    podman.run(&workflow(FAILS), "fails").exits(0);
    assert_eq!(podman.bench.lines("tries").len(), 3);
    let told = |name: &str| {
        let node = node(&podman, "fails", name);
        let text = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
        (text("phase"), text("message"))
    };
    let is = |phase: &str, message: &str| (phase.to_owned(), message.to_owned());
    assert_eq!(told("again"), is("Succeeded", ""));
    assert_eq!(told("code"), is("Failed", "main: Error (exit code 3)"));
    assert_eq!(told("memory"), is("Failed", "main: OOMKilled (exit code 137)"));
    assert_eq!(told("late"), is("Failed", "Pod was active on the node longer than the specified deadline"));
    let nobody = "main: Error (exit code 64): failed to find name in PATH: exec: \"no-such-program\": executable file not found in $PATH";
    assert_eq!(told("nobody"), is("Failed", nobody));
    let (phase, message) = told("absent");
    assert_eq!(phase, "Error");
    for part in ["ErrImagePull", "localhost/no-such-image:7", "Never"] {
        assert!(message.contains(part), "{part:?} in {message}");
    }
    let missing =
        "wait: Error (exit code 64): output artifact file: stat /tmp/not-there: no such file or directory";
    assert_eq!(told("missing"), is("Error", missing));
    assert_eq!(podman.containers(), Vec::<String>::new());
}

/// Containers of one attempt: they share a volume and the network, and each has its own files.
const SEVERAL: &str = r#"
  - name: main
    steps: [[{name: set, template: set}], [{name: beside, template: beside}]]
  - name: set
    volumes: [{name: shared, emptyDir: {}}]
    outputs: {parameters: [{name: all, valueFrom: {path: /tmp/all}}]}
    containerSet:
      volumeMounts: [{name: shared, mountPath: /shared}]
      containers:
      - {name: a, image: localhost/box:1, command: [sh, -c, "echo a > /shared/a; echo own > /tmp/own"]}
      - {name: main, image: localhost/box:1, dependencies: [a], command: [sh, -c, "test ! -e /tmp/own && cat /shared/a > /tmp/all"]}
  - name: beside
    volumes: [{name: shared, emptyDir: {}}]
    initContainers: [{name: first, image: localhost/box:1, command: [sh, -c, "echo first > /shared/x"], mirrorVolumeMounts: true}]
    sidecars: [{name: helper, image: localhost/box:1, command: [sh, -c, "cat /shared/x > /shared/y; sleep 600"], mirrorVolumeMounts: true}]
    container:
      image: localhost/box:1
      command: [sh, -c, "until test -s /shared/y; do sleep 0.1; done; cat /shared/y > /box/seen"]
      volumeMounts: [{name: shared, mountPath: /shared}, {name: box, mountPath: /box}]
"#;

#[test]
fn containers_of_an_attempt_share_their_volumes_and_end_together() {
    let Some(podman) = Podman::start() else { return };
    podman.run(&workflow(SEVERAL), "several").exits(0);
    assert_eq!(parameter(&node(&podman, "several", "set"), "all"), "a");
    assert_eq!(podman.bench.lines("seen"), ["first"]);
    assert_eq!(podman.containers(), Vec::<String>::new());
}

/// Waits as long as the test holds it.
const HELD: &str = r#"
  - name: main
    container:
      image: localhost/box:1
      command: [sh, -c, "echo begun >> /box/begun; while test -e /box/hold; do sleep 0.1; done; echo done >> /box/done"]
      volumeMounts: [{name: box, mountPath: /box}]
"#;

#[test]
fn an_interrupted_step_leaves_no_container_and_runs_again() {
    let Some(podman) = Podman::start() else { return };
    podman.bench.hold();
    let running = podman.start_run(&workflow(HELD), "interrupted");
    podman.bench.wait_for_file("begun");
    running.signal(Signal::INT);
    running.end().exits(130);
    assert_eq!(podman.containers(), Vec::<String>::new());
    podman.bench.let_go();
    podman.dropforge(&["run", "--continue", "interrupted", "--executor", "podman"]).end().exits(0);
    assert_eq!((podman.bench.lines("begun").len(), podman.bench.lines("done").len()), (2, 1));
}

/// A server that is asked from inside whether it is ready, its client, the S3 endpoint, and the person's own code.
const SERVE: &str = r#"
  - name: main
    steps: [[{name: server, template: server}], [{name: client, template: client, arguments: {parameters: [{name: ip, value: "{{steps.server.ip}}"}]}}, {name: code, template: code}]]
  - name: server
    daemon: true
    container:
      image: localhost/box:1
      command: [busybox, httpd, -f, -p, "127.0.0.1:PORT", -h, /etc]
      readinessProbe: {exec: {command: [busybox, wget, -q, -O, /dev/null, "http://127.0.0.1:PORT/of-the-image"]}, timeoutSeconds: 10}
  - name: client
    inputs: {parameters: [{name: ip}]}
    container:
      image: localhost/box:1
      command: [sh, -c]
      args:
      - |
        busybox wget -q -O /box/answer http://{{inputs.parameters.ip}}:PORT/of-the-image
        busybox wget -O - $AWS_ENDPOINT_URL 2>&1 | busybox grep -o '403.*' > /box/endpoint
      volumeMounts: [{name: box, mountPath: /box}]
  - name: code
    container: {image: localhost/box:1, command: [sh, own/code.sh], volumeMounts: [{name: box, mountPath: /box}], securityContext: {runAsUser: 1234}}
"#;

#[test]
fn containers_share_the_machines_network_and_get_the_persons_code() {
    let Some(podman) = Podman::start() else { return };
    podman.bench.write("dropforge.toml", "[claims]\nbox = \"box\"\n[code]\ninclude = [\"own/*.sh\"]\n");
    podman.bench.write("own/code.sh", "echo own code of $(busybox id -u) > /box/code\n");
    // The claim is the person's own folder: who else may write in it is theirs to say.
    fs::set_permissions(podman.bench.in_box(""), fs::Permissions::from_mode(0o777)).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    podman.run(&workflow(&SERVE.replace("PORT", &free.to_string())), "serve").exits(0);
    assert_eq!(podman.bench.lines("answer"), ["brought by the image"]);
    assert_eq!(podman.bench.lines("endpoint"), ["403 Forbidden"]);
    assert_eq!(podman.bench.lines("code"), ["own code of 1234"]);
    assert_eq!(podman.containers(), Vec::<String>::new());
}

#[test]
fn a_stop_ends_the_container() {
    let Some(podman) = Podman::start() else { return };
    podman.bench.hold();
    let running = podman.start_run(&workflow(HELD), "stopped");
    podman.bench.wait_for_file("begun");
    assert_eq!(podman.containers().len(), 1);
    podman.bench.dropforge(&["stop", "stopped"]).exits(0);
    running.end().exits(1);
    assert_eq!(podman.containers(), Vec::<String>::new());
    assert_eq!(podman.bench.lines("done"), Vec::<String>::new());
}

#[test]
fn who_goes_on_after_everybody_was_killed_ends_the_container_that_is_left() {
    let Some(podman) = Podman::start() else { return };
    podman.bench.hold();
    let running = podman.start_run(&workflow(HELD), "killed");
    podman.bench.wait_for_file("begun");
    let supervisor = podman.bench.supervisor().unwrap();
    running.kill();
    signal(supervisor, Signal::KILL);
    until("the supervisor's end", || (!bench::lives(supervisor)).then_some(()));
    let left = podman.containers();
    assert_eq!(left.len(), 1, "an engine's container lives on without us");
    fs::remove_file(podman.bench.in_box("begun")).unwrap();
    let next = podman.dropforge(&["run", "--continue", "killed", "--executor", "podman"]);
    podman.bench.wait_for_file("begun");
    let now = podman.containers();
    assert_eq!(now.len(), 1, "{now:?}");
    assert_ne!(now, left);
    podman.bench.let_go();
    next.end().exits(0);
    assert_eq!(podman.bench.lines("done"), ["done"], "two executions would both be done");
    assert_eq!(podman.containers(), Vec::<String>::new());
}

#[test]
fn the_settings_choose_the_executor_and_an_engine_that_is_silent_is_named() {
    let Some(podman) = Podman::start() else { return };
    podman.bench.write("dropforge.toml", "executor = \"podman\"\n[claims]\nbox = \"box\"\n");
    podman.bench.write("image.yaml", workflow("  - {name: main, container: {image: localhost/box:1}}\n"));
    podman.dropforge(&["run", "image.yaml"]).end().exits(0);
    podman
        .bench
        .dropforge(&["run", "image.yaml"])
        .exits(3)
        .says(&["reach podman at", "podman system service"]);
    podman.dropforge(&["run", "image.yaml", "--executor", "process"]).end().exits(1);
}
