//! What asks for more than there is: each has a bound that is told, and the run ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use std::fs;

use bench::{Bench, until};
use serde_json::Value;

const HEAD: &str = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: hostile-}
spec:
  entrypoint: main
  templates:
";

fn run(bench: &Bench, name: &str, templates: &str, code: i32) -> Value {
    bench.run(&format!("{HEAD}{templates}"), name).exits(code);
    bench.dropforge(&["get", name, "-o", "json"]).exits(0).json()
}

fn node<'v>(run: &'v Value, name: &str) -> &'v Value {
    let nodes = run["status"]["nodes"].as_object().unwrap();
    nodes.values().find(|node| node["displayName"] == name).unwrap_or_else(|| panic!("no {name}: {run:#}"))
}

#[test]
fn an_output_parameter_of_100_mb_fails_its_step_with_the_bound() {
    let bench = Bench::new();
    let run = run(
        &bench,
        "large",
        "  - name: main
    container: {image: busybox, command: [sh, -c, 'head -c 100000000 /dev/zero > /tmp/out']}
    outputs: {parameters: [{name: out, valueFrom: {path: /tmp/out}}]}
",
        1,
    );
    let message = node(&run, "large")["message"].as_str().unwrap();
    assert!(message.contains("262144") && message.contains("artifact"), "{message}");
    let stored: u64 = bench.journals().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(stored < 100_000, "the journal holds {stored} bytes");
}

#[test]
fn of_100_mb_of_standard_output_the_end_is_the_result_and_all_is_the_log() {
    let bench = Bench::new();
    let run = run(
        &bench,
        "loud",
        "  - name: main
    steps:
    - [{name: loud, template: loud}]
    - [{name: use, template: use, arguments: {parameters: [{name: end, value: \"{{=len(steps.loud.outputs.result)}}\"}]}}]
  - name: loud
    container: {image: busybox, command: [sh, -c, 'head -c 100000000 /dev/zero | tr \"\\0\" x; echo end']}
  - name: use
    inputs: {parameters: [{name: end}]}
    container: {image: busybox, command: [sh, -c, 'test {{inputs.parameters.end}} = 262144']}
",
        0,
    );
    assert_eq!(node(&run, "use")["phase"], "Succeeded");
    let mut logs = vec![bench.store().join("logs")];
    let mut largest = 0;
    while let Some(path) = logs.pop() {
        match fs::read_dir(&path) {
            Ok(entries) => logs.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => largest = largest.max(fs::metadata(&path).unwrap().len()),
        }
    }
    assert_eq!(largest, 100_000_004);
}

#[test]
fn zero_bytes_in_a_parameter_are_told_where_no_program_can_take_them() {
    let bench = Bench::new();
    let run = run(
        &bench,
        "zero",
        r"  - name: main
    steps:
    - [{name: make, template: make}]
    - [{name: use, template: use, arguments: {parameters: [{name: in, value: '{{steps.make.outputs.parameters.out}}'}]}}]
  - name: make
    container: {image: busybox, command: [sh, -c, 'printf a\\0b > /tmp/out']}
    outputs: {parameters: [{name: out, valueFrom: {path: /tmp/out}}]}
  - name: use
    inputs: {parameters: [{name: in}]}
    container: {image: busybox, command: [echo, '{{inputs.parameters.in}}']}
",
        1,
    );
    assert_eq!(node(&run, "make")["phase"], "Succeeded");
    let message = node(&run, "use")["message"].as_str().unwrap();
    assert!(message.contains("NUL"), "{message}");
}

#[test]
fn a_loop_over_more_than_a_million_items_is_refused_with_the_bound_before_anything_starts() {
    let bench = Bench::new();
    let run = run(
        &bench,
        "million",
        "  - name: main
    steps: [[{name: s, template: leaf, withSequence: {count: 1000001}}]]
  - name: leaf
    container: {image: busybox, command: ['true']}
",
        1,
    );
    let message = run["status"]["message"].as_str().unwrap_or_default().to_owned()
        + node(&run, "[0]")["message"].as_str().unwrap_or_default();
    assert!(message.contains("1000001 items, more than 1000000"), "{message} {run:#}");
    let attempts = fs::read(bench.store().join("attempts/journal")).unwrap_or_default();
    assert!(attempts.is_empty(), "something was started");
}

#[test]
fn the_log_of_a_step_that_is_silent_and_then_speaks_can_be_followed() {
    let bench = Bench::new();
    bench.hold();
    let manifest = format!(
        "{HEAD}  - name: main
    container: {{image: busybox, command: [sh, -c, 'sleep 0.3; echo said; while test -e /box/hold; do sleep 0.02; done'], volumeMounts: [{{name: box, mountPath: /box}}]}}
  volumes: [{{name: box, persistentVolumeClaim: {{claimName: box}}}}]
"
    );
    let running = bench.start_run(&manifest, "follow");
    until("the log", || {
        let logs = bench.dropforge(&["logs", "follow", "--no-prefix"]).stdout;
        (logs == "said\n").then_some(())
    });
    bench.let_go();
    running.end().exits(0);
}

/// What a terminal would obey.
fn commands_of(text: &str) -> Vec<char> {
    text.chars().filter(|c| c.is_control() && !matches!(c, '\n' | '\t')).collect()
}

#[test]
fn what_a_step_prints_gives_the_terminal_no_commands() {
    let bench = Bench::new();
    let manifest = format!(
        r#"{HEAD}  - name: main
    dag:
      tasks:
      - {{name: a, template: pr}}
      - {{name: b, template: leaf, depends: a, withParam: '{{{{tasks.a.outputs.result}}}}'}}
      - {{name: c, template: leaf, depends: a, when: "'{{{{tasks.a.outputs.result}}}}' == 'no'"}}
  - name: pr
    script: {{image: busybox, command: [sh], source: "printf '{{\\033[31m\\033]0;owned\\007\\302\\233'"}}
  - name: leaf
    container: {{image: busybox, command: ["true"]}}
"#
    );
    let ran = bench.run(&manifest, "esc").exits(1);
    let bell = "\\x1b]0;owned\\x07\\x9b";
    assert!(ran.stdout.contains(bell) && ran.stderr.contains(bell), "{ran}");
    let mut told = vec![ran];
    for words in [&["get", "esc"][..], &["explain", "esc"], &["explain", "esc", "b"], &["list", "-o", "wide"]]
    {
        told.push(bench.dropforge(words).exits(0));
    }
    for answer in told {
        assert_eq!(commands_of(&(answer.stdout + &answer.stderr)), [], "told");
    }
    let log = bench.dropforge(&["logs", "esc", "a", "--no-prefix"]).exits(0).stdout;
    assert_eq!(log, "{\u{1b}[31m\u{1b}]0;owned\u{7}\u{9b}\n");
}

#[test]
fn what_a_manifest_is_called_gives_the_terminal_no_commands() {
    let bench = Bench::new();
    let step = r#"{name: "a\e[31mRED\a", template: leaf}"#;
    bench.write("m.yaml", format!("{HEAD}  - name: main\n    steps: [[{step}]]\n"));
    let found = bench.dropforge(&["lint", "m.yaml"]).exits(2);
    assert!(found.stdout.contains("\\x1b[31mRED"), "{found}");
    let refused = bench.dropforge(&["run", "m.yaml"]).exits(2);
    for answer in [found, refused] {
        assert_eq!(commands_of(&(answer.stdout + &answer.stderr)), [], "told");
    }
}

#[test]
fn what_is_shipped_after_the_end_of_a_step_is_followed_too() {
    let bench = Bench::new();
    bench.hold();
    let manifest = format!(
        "{HEAD}  - name: main
    steps: [[{{name: a, template: one}}], [{{name: b, template: two}}]]
  - name: one
    container: {{image: busybox, command: [echo, one]}}
  - name: two
    container: {{image: busybox, command: [sh, -c, 'echo two; while test -e /box/hold; do sleep 0.02; done'], volumeMounts: [{{name: box, mountPath: /box}}]}}
  volumes: [{{name: box, persistentVolumeClaim: {{claimName: box}}}}]
"
    );
    let running = bench.start_run(&manifest, "late");
    running.wait_until_said("two");
    let following = bench.start(&["logs", "-f", "late"]);
    until("the second step", || following.stdout().contains("b: two\n").then_some(()));
    assert_eq!(following.stdout(), "a: one\nb: two\n");
    let log = log_of(&bench, "one\n");
    let mut log = fs::OpenOptions::new().append(true).open(log).unwrap();
    std::io::Write::write_all(&mut log, b"and this\n").unwrap();
    bench.let_go();
    running.end().exits(0);
    assert_eq!(following.end().exits(0).stdout, "a: one\nb: two\na: and this\n");
}

/// The file that holds this log.
fn log_of(bench: &Bench, text: &str) -> std::path::PathBuf {
    let mut open = vec![bench.store().join("logs")];
    while let Some(path) = open.pop() {
        match fs::read_dir(&path) {
            Ok(entries) => open.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) if fs::read(&path).unwrap() == text.as_bytes() => return path,
            Err(_) => {}
        }
    }
    panic!("no log is {text:?}")
}

#[test]
fn the_tail_of_a_log_is_no_longer_where_much_was_recorded_while_it_was_written() {
    let bench = Bench::new();
    let manifest = format!(
        r#"{HEAD}  - name: main
    dag:
      tasks:
      - {{name: long, template: long}}
      - {{name: make, template: make}}
      - {{name: use, template: use, depends: make, withSequence: {{count: 25}}, arguments: {{parameters: [{{name: in, value: '{{{{tasks.make.outputs.result}}}}'}}]}}}}
      - {{name: go, template: go, depends: use}}
  - name: long
    container: {{image: busybox, command: [sh, -c, "echo 1; echo 2; until test -e /box/go; do sleep 0.02; done; printf 3"], volumeMounts: [{{name: box, mountPath: /box}}]}}
  - name: make
    container: {{image: busybox, command: [sh, -c, "head -c 250000 /dev/zero | tr '\\0' x"]}}
  - name: use
    inputs: {{parameters: [{{name: in}}]}}
    container: {{image: busybox, command: ["true"], args: ["{{{{=len(inputs.parameters.in)}}}}"]}}
  - name: go
    container: {{image: busybox, command: [touch, /box/go], volumeMounts: [{{name: box, mountPath: /box}}]}}
  volumes: [{{name: box, persistentVolumeClaim: {{claimName: box}}}}]
"#
    );
    bench.run(&manifest, "tail").exits(0);
    let recorded: u64 = bench.journals().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(recorded > 5 << 20, "more than one part, not {recorded} bytes");
    let said = bench.dropforge(&["logs", "tail", "--tail", "1"]).exits(0).stdout;
    let of_long: Vec<&str> = said.lines().filter(|line| line.starts_with("long: ")).collect();
    assert_eq!(of_long, ["long: 3"]);
}
