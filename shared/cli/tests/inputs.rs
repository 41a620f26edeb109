//! Bad input and a bad machine: each has an error that says what, where and why, and nothing stored is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;
#[path = "support/disk.rs"]
mod disk;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use bench::{Bench, lives, until};
use disk::Disk;
use serde_json::json;

/// A Workflow of one template `main`, whose body is given in lines indented by four.
fn one(body: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{generateName: one-}}\nspec:\n  entrypoint: main\n  \
         volumes: [{{name: box, persistentVolumeClaim: {{claimName: box}}}}]\n  templates:\n  - name: main\n{body}\n"
    )
}

/// A Workflow of one step that runs this line of shell.
fn shell(line: &str) -> String {
    let source = json!(line);
    one(&format!(
        "    script: {{image: busybox, command: [sh], source: {source}, volumeMounts: [{{name: box, mountPath: /box}}]}}"
    ))
}

#[test]
fn a_bad_manifest_is_refused_with_place_and_remedy_and_nothing_is_stored() {
    let tasks = |tasks: &str| {
        format!(
            "{}  - name: x\n    container: {{image: busybox, command: [\"true\"]}}\n",
            one(&format!("    dag: {{tasks: [{tasks}]}}"))
        )
    };
    let container = |rest: &str| one(&format!("    container: {{image: busybox, {rest}}}"));
    let cases = [
        ("malformed", "a: [b\nc: }".to_owned(), "malformed.yaml:2:", "not valid YAML"),
        ("unknown", container("comand: [sh]"), "unknown.yaml:9:", "did you mean `command`?"),
        (
            "cycle",
            tasks("{name: a, template: x, depends: b}, {name: b, template: x, depends: a}"),
            "cycle.yaml:9:",
            "dependency cycle detected: a->b->a",
        ),
        ("missing", tasks("{name: a, template: nope}"), "missing.yaml:9:", "template name 'nope' undefined"),
        (
            "depends",
            tasks("{name: a, template: x}, {name: b, template: x, depends: \"a &&\"}"),
            "depends.yaml:9:",
            "depends cannot be read",
        ),
        (
            "expression",
            container("command: [echo, \"{{=1 +}}\"]"),
            "expression.yaml:9:",
            "the expression cannot be read",
        ),
        (
            "parameter",
            container("command: [echo, \"{{inputs.parameters.nope}}\"]"),
            "parameter.yaml:9:",
            "declare 'nope' under `inputs.parameters`",
        ),
        ("twice", container("command: [a], command: [b]"), "twice.yaml:9:", "is already set"),
        (
            "word",
            container("command: [echo, no]"),
            "word.yaml:9:",
            "cannot unmarshal bool into field spec.templates[0].container.command[1] of type string",
        ),
    ];
    let bench = Bench::new();
    for (name, manifest, place, words) in cases {
        bench.run(&manifest, name).exits(2).says(&[place, words, "error[E", "help: ", "nothing was run"]);
        let linted = bench.dropforge(&["lint", &format!("{name}.yaml")]).exits(2);
        assert!(linted.stdout.contains(place) && linted.stdout.contains(words), "{linted}");
    }
    bench.write("binary.yaml", b"\xff\xfe\x00\x01\x02");
    bench.dropforge(&["run", "binary.yaml"]).exits(2).says(&["binary.yaml:1:1", "not UTF-8", "byte 0xff"]);
    assert!(!bench.store().exists());
}

#[test]
fn what_argo_refuses_as_a_whole_does_not_run_in_part() {
    let leaf = "  - name: x\n    inputs: {parameters: [{name: p, default: '1'}]}\n    container: {image: busybox, command: [\"true\"]}\n";
    let then = |call: &str| {
        format!("{}{leaf}", one(&format!("    steps: [[{{name: a, template: x}}], [{{name: b, {call}}}]]")))
    };
    let cases = [
        (
            "stored",
            then("templateRef: {name: nowhere, template: x}"),
            "steps[1].b couldn't find workflow template \"nowhere\"",
        ),
        (
            "expression",
            then("template: x, arguments: {parameters: [{name: p, valueFrom: {expression: '1'}}]}"),
            "valueFrom only allows: default, configMapKeyRef and supplied",
        ),
        (
            "global",
            then(
                "template: x, arguments: {parameters: [{name: p, value: '{{workflow.outputs.parameters.nobody}}'}]}",
            ),
            "failed to resolve {{workflow.outputs.parameters.nobody}}",
        ),
        (
            "label",
            then("template: x, arguments: {parameters: [{name: p, value: '{{workflow.labels.none}}'}]}"),
            "failed to resolve {{workflow.labels.none}}",
        ),
    ];
    let bench = Bench::new();
    for (name, manifest, words) in cases {
        bench.write(&format!("{name}.yaml"), manifest);
        let file = format!("{name}.yaml");
        let place = format!("{file}:9:");
        for verb in [&["run"][..], &["run", "--dry-run"], &["submit"]] {
            let refused = bench.dropforge(&[verb, &[&*file]].concat()).exits(2);
            refused.says(&[
                &place,
                ": error[E",
                "in \"one-\" (Workflow): ",
                words,
                "help: `dropforge explain E",
            ]);
        }
    }
    assert!(bench.dropforge(&["list"]).stdout.lines().count() <= 1, "nothing is stored");
    bench.dropforge(&["run", "-l", "none=there", "label.yaml"]).exits(0);
}

#[test]
fn a_script_that_is_longer_than_a_variable_may_be_runs() {
    let bench = Bench::new();
    let line = format!("{}\ntrue\n", format!("# {}\n", "x".repeat(98)).repeat(3000));
    bench.run(&shell(&line), "long").exits(0);
}

#[test]
fn only_stored_templates_run_where_the_settings_say_so() {
    let template = |command: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {{name: kept}}\nspec:\n  entrypoint: main\n  templates: [{{name: main, container: {{image: busybox, command: [\"{command}\"]}}}}]\n"
        )
    };
    let bench = Bench::new();
    bench.write("dropforge.toml", "[workflow-restrictions]\ntemplate-referencing = \"Strict\"\n");
    bench.write("kept.yaml", template("true"));
    bench.write("evil.yaml", template("false"));
    bench.write(
        "run.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: r-}\nspec: {workflowTemplateRef: {name: kept}}\n",
    );
    let refused = ["WorkflowTemplate \"kept\" is not stored like this", "dropforge apply"];
    bench.dropforge(&["run", "evil.yaml"]).exits(2).says(&refused);
    bench.dropforge(&["apply", "kept.yaml"]).exits(0);
    bench.dropforge(&["run", "evil.yaml"]).exits(2).says(&refused);
    bench.dropforge(&["run", "evil.yaml", "run.yaml"]).exits(2).says(&refused);
    bench.dropforge(&["run", "run.yaml"]).exits(0);
    bench.dropforge(&["run", "kept.yaml", "run.yaml"]).exits(0);
}

#[test]
fn a_bad_command_line_is_refused_in_words() {
    let bench = Bench::new();
    bench.write("ok.yaml", shell("true"));
    bench.write("empty.yaml", "");
    let cases: [(&[&str], &[&str]); 13] = [
        (&["run"], &["name a manifest"]),
        (&["run", "gone.yaml"], &["gone.yaml", "No such file"]),
        (&["run", "ok.yaml", "-p", "a"], &["expected NAME=VALUE"]),
        (&["run", "ok.yaml", "--name", "Bad_Name"], &["--name", "must consist of lower case letters"]),
        (&["run", "ok.yaml", "--generate-name", "Bad-"], &["--generate-name", "must consist of lower case"]),
        (&["run", "ok.yaml", "-l", "a b=c"], &["--labels", "the name must consist of"]),
        (&["run", "ok.yaml", "-l", "a=b c"], &["--labels", "the value must consist of"]),
        (&["retry", "x", "--node-field-selector", "displayName~b"], &["displayName~b", "has no '='"]),
        (&["stop", "x", "--node-field-selector", "colour=red"], &["unknown field \"colour\""]),
        (&["lists"], &["'list'"]),
        (&["list"], &["there is no store at .dropforge", "--store"]),
        (&["run", "--continue", "gone"], &["there is no store at .dropforge"]),
        (&["run", "--continue", "gone", "ok.yaml"], &["--continue", "cannot be used with"]),
    ];
    for (line, words) in cases {
        bench.dropforge(line).exits(2).says(words);
    }
    assert!(!bench.store().exists(), "a mistake on the line made a store");
    bench.dropforge(&["run", "ok.yaml", "-o", "name"]).exits(0);
    bench.dropforge(&["run", "empty.yaml"]).exits(2).says(&["there is no Workflow"]);
    bench
        .dropforge(&["run", "--from", "x/y"])
        .exits(2)
        .says(&["kinds are workflowtemplate, clusterworkflowtemplate and cronworkflow"]);
    bench.dropforge(&["run", "--from", "wftmpl/gone"]).exits(2).says(&["there is no such definition"]);
    bench
        .dropforge(&["explain", "E999"])
        .exits(2)
        .says(&["there is no finding E999", "E201  A variable that nothing"]);
    for verb in ["get", "logs", "watch", "stop", "terminate", "resume", "explain"] {
        bench.dropforge(&[verb, "gone"]).exits(2).says(&["there is no run \"gone\"", "`dropforge list`"]);
    }
    bench
        .dropforge(&["explain", "@latest", "gone"])
        .exits(2)
        .says(&["has no node \"gone\"", "`dropforge get"]);
    bench
        .dropforge(&["run", "ok.yaml", "--store", "ok.yaml"])
        .exits(3)
        .says(&["it is a file, not a directory"]);
}

#[test]
fn standard_input_and_json_are_manifests_too() {
    let bench = Bench::new();
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "typed"},
        "spec": {"entrypoint": "m", "templates": [{"name": "m", "container": {"image": "busybox", "command": ["echo", "hi"]}}]},
    });
    bench.write("typed.json", object.to_string());
    let answer = bench.dropforge(&["run", "typed.json", "-o", "name"]).exits(0);
    assert_eq!(answer.stdout, "typed\n");
    let mut command = bench.command(["run", "-", "--name", "piped", "-o", "name"]);
    let (reading, mut writing) = std::io::pipe().unwrap();
    let running = bench.start_command(command.stdin(Stdio::from(reading)));
    drop(command);
    writing.write_all(object.to_string().as_bytes()).unwrap();
    drop(writing);
    assert_eq!(running.end().exits(0).stdout, "piped\n");
}

/// What a step did not find or do is told in these words, by `run`, `get` and `explain` alike.
#[test]
fn a_step_that_cannot_run_says_why() {
    let quiet = |rest: &str| one(&format!("    container: {{image: busybox, command: [\"true\"], {rest}}}"));
    let env = |from: &str| {
        quiet(&format!("env: [{{name: A, valueFrom: {{{from}: {{name: creds, key: token}}}}}}]"))
    };
    let output = |output: &str| format!("{}    outputs: {{{output}}}\n", quiet("args: []"));
    let cases: Vec<(&str, String, &str, &[&str])> = vec![
        (
            "cpu",
            quiet("resources: {requests: {cpu: 9000}}"),
            "Error",
            &["asks for 9000 cpu", "this machine has"],
        ),
        (
            "memory",
            quiet("resources: {requests: {memory: 9000Ti}}"),
            "Error",
            &["of memory, this machine has"],
        ),
        (
            "secret",
            env("secretKeyRef"),
            "Error",
            &["secret \"creds\" not found, expected in", ".dropforge/secrets/creds"],
        ),
        ("config", env("configMapKeyRef"), "Error", &["config map \"creds\" not found, expected in"]),
        (
            "claim",
            quiet("volumeMounts: [{name: box, mountPath: /box}]")
                .replace("claimName: box", "claimName: other"),
            "Error",
            &["persistentvolumeclaim \"other\" not found", "dropforge.toml"],
        ),
        (
            "artifact",
            output("artifacts: [{name: model, path: /tmp/model}]"),
            "Error",
            &["output artifact model: stat /tmp/model: no such file"],
        ),
        (
            "parameter",
            output("parameters: [{name: p, valueFrom: {path: /tmp/p}}]"),
            "Error",
            &["/tmp/p: no such file"],
        ),
        (
            "command",
            quiet("args: []").replace("\"true\"", "nosuchcommand"),
            "Failed",
            &["\"nosuchcommand\": executable file not found"],
        ),
        ("exit", shell("exit 7"), "Failed", &["main: Error (exit code 7)"]),
        (
            "oom",
            one(
                "    container: {image: busybox, command: [tail, /dev/zero], resources: {limits: {memory: 64Mi}}}",
            ),
            "Failed",
            &["OOMKilled (exit code 137)"],
        ),
        (
            "late",
            shell("sleep 600").replace("    script", "    activeDeadlineSeconds: 1\n    script"),
            "Failed",
            &["longer than the specified deadline"],
        ),
        (
            "deadline",
            shell("sleep 600").replace("  entrypoint", "  activeDeadlineSeconds: 1\n  entrypoint"),
            "Failed",
            &["exceeded its deadline"],
        ),
    ];
    let bench = Bench::new();
    for (name, manifest, phase, words) in cases {
        let answer = bench.run(&manifest, name).exits(1).says(words);
        assert!(words.iter().all(|w| answer.stdout.contains(w)), "{answer}");
        let object = bench.dropforge(&["get", name, "-o", "json"]).exits(0).json();
        assert_eq!(object["status"]["phase"], json!(phase), "{answer}");
        let explained = bench.dropforge(&["explain", name]).exits(0);
        assert!(words.iter().all(|w| explained.stdout.contains(w)), "{explained}");
    }
}

#[test]
fn binary_output_is_kept_and_harms_nobody() {
    let bench = Bench::new();
    bench
        .run(
            &shell(r"printf '\377\376\000\001first\n'; head -c 3000 /dev/urandom; echo; echo last"),
            "binary",
        )
        .exits(0);
    let logs = bench.dropforge(&["logs", "binary", "--no-prefix"]).exits(0).stdout;
    assert!(logs.starts_with('\u{fffd}') && logs.contains("first\n") && logs.ends_with("last\n"), "{logs:?}");
    bench.dropforge(&["get", "binary", "-o", "json"]).exits(0).json();
    bench.dropforge(&["explain", "binary", "binary", "-o", "json"]).exits(0).json();
}

const DAEMON: &str = r"setsid sh -c 'read me rest < /proc/self/stat; echo $me > /box/daemon; while :; do sleep 600; done' &
until test -s /box/daemon; do sleep 0.02; done
echo ready > /box/ready
while test -e /box/hold; do sleep 0.02; done
echo over";

#[test]
fn what_a_step_leaves_running_is_ended_with_it() {
    let bench = Bench::new();
    bench.run(&shell(DAEMON), "forks").exits(0);
    let daemon: i32 = bench.wait_for_file("daemon").trim().parse().unwrap();
    until("the daemon's end", || (!lives(daemon)).then_some(()));
}

#[test]
fn a_step_that_forks_and_hangs_is_ended_on_stop() {
    let bench = Bench::new();
    bench.hold();
    let running = bench.start_run(&shell(DAEMON), "forks");
    bench.wait_for_file("ready");
    let daemon: i32 = bench.wait_for_file("daemon").trim().parse().unwrap();
    assert!(lives(daemon));
    bench.dropforge(&["stop", "forks", "-m", "enough"]).exits(0).says(&["forks stopped"]);
    running.end().exits(1);
    until("the daemon's end", || (!lives(daemon)).then_some(()));
}

#[test]
fn a_name_that_is_no_text_is_refused_in_a_folder_and_kept_in_an_archive() {
    let bench = Bench::new();
    let step = shell(r#"mkdir /tmp/d; echo kept > "/tmp/d/$(printf 'a\377b')"; echo kept > /tmp/d/plain"#);
    let folder =
        format!("{step}    outputs: {{artifacts: [{{name: d, path: /tmp/d, archive: {{none: {{}}}}}}]}}\n");
    bench.run(&folder, "folder").exits(1).says(&["output artifact d", "is not UTF-8", "pack it as tar"]);
    bench
        .run(&format!("{step}    outputs: {{artifacts: [{{name: d, path: /tmp/d}}]}}\n"), "archive")
        .exits(0);
    bench.dropforge(&["cp", "archive", "out"]).exits(0);
    let copied = bench.path("out/archive/d.tgz");
    let unpacked =
        std::process::Command::new("tar").arg("-xzf").arg(copied).arg("-C").arg(bench.path("")).status();
    assert!(unpacked.unwrap().success());
    let name =
        std::ffi::OsString::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"a\xffb"));
    assert_eq!(fs::read_to_string(bench.path("d").join(name)).unwrap(), "kept\n");
}

/// A step may close its folders to itself; root does not notice, everybody else would.
#[test]
fn the_volume_of_a_run_is_removed_whatever_a_step_did_to_it() {
    let bench = Bench::new();
    let claim = "  volumeClaimTemplates:\n  - metadata: {name: own}\n    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n  \
                 volumeClaimGC: {strategy: OnWorkflowCompletion}\n  entrypoint";
    let step = shell("mkdir -p /own/a/b; echo x > /own/a/b/file; chmod 500 /own/a/b /own/a");
    let manifest = step
        .replace("  entrypoint", claim)
        .replace("[{name: box, mountPath: /box}]", "[{name: own, mountPath: /own}]");
    let answer = bench.run(&manifest, "volume").exits(0);
    assert!(!answer.stderr.contains("not all is cleaned up"), "{answer}");
    assert_eq!(fs::read_dir(bench.store().join("volumes")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(bench.store().join("live")).unwrap().count(), 0);
}

#[test]
fn a_live_name_is_refused_and_a_finished_one_runs_again() {
    let bench = Bench::new();
    bench.hold();
    let first = bench
        .start_run(&shell("while test -e /box/hold; do sleep 0.02; done; echo one >> /box/done"), "same");
    first.wait_until_said("same started");
    // Beside a running run the name is refused before the store's owner is asked for.
    bench
        .dropforge(&["submit", "same.yaml", "--name", "same"])
        .exits(2)
        .says(&["a run named \"same\" is live", "--name"]);
    first.kill();
    bench.dropforge(&["run", "same.yaml", "--name", "same"]).exits(2).says(&["a run named \"same\" is live"]);
    bench.let_go();
    bench.dropforge(&["run", "--continue", "same"]).exits(0);
    bench.dropforge(&["run", "same.yaml", "--name", "same"]).exits(0);
    let list = bench.dropforge(&["list", "-o", "json"]).exits(0).json();
    let uids: Vec<&str> = list.as_array().unwrap().iter().map(|e| e["uid"].as_str().unwrap()).collect();
    assert_eq!(uids.len(), 2);
    for uid in uids {
        let object = bench.dropforge(&["get", uid, "-o", "json"]).exits(0).json();
        assert_eq!(object["metadata"]["uid"], json!(uid));
    }
    assert_eq!(bench.lines("done"), ["one", "one"]);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let bench = Bench::new();
    bench.run(&shell("seq 1 20000"), "long").exits(0);
    for line in
        [&["list"][..], &["get", "long", "-o", "json"], &["logs", "long"], &["explain", "long", "-o", "json"]]
    {
        let (reading, writing) = std::io::pipe().unwrap();
        drop(reading);
        let output = bench.command(line).stdout(Stdio::from(writing)).output().unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()),
            (Some(0), String::new())
        );
    }
}

/// A finished run and the file of its journal.
fn finished(bench: &Bench) -> PathBuf {
    bench.run(&shell("echo kept"), "run").exits(0);
    let [journal] = &bench.journals()[..] else { panic!("one run has one journal") };
    journal.clone()
}

#[test]
fn a_damaged_journal_is_named_with_its_offset_and_left_as_it_is() {
    let bench = Bench::new();
    let journal = finished(&bench);
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&journal, &bytes).unwrap();
    let file = fs::canonicalize(&journal).unwrap().display().to_string();
    for line in [
        &["get", "run"][..],
        &["logs", "run"],
        &["explain", "run"],
        &["watch", "run"],
        &["cp", "run", "out"],
        &["stop", "run"],
        &["resume", "run"],
        &["terminate", "run"],
        &["run", "--continue", "run"],
    ] {
        bench.dropforge(line).exits(3).says(&[
            &file,
            " at byte ",
            "commits follow it",
            "help: nothing was changed",
        ]);
    }
    assert_eq!(fs::read(&journal).unwrap(), bytes);
    assert_eq!(fs::read_dir(bench.store().join("live")).unwrap().count(), 0);
    // The others are not drawn in.
    assert_eq!(bench.dropforge(&["list", "-o", "name"]).exits(0).stdout, "run\n");
    bench.run(&shell("true"), "other").exits(0);
}

#[test]
fn a_torn_last_commit_is_cut_off_and_the_run_goes_on() {
    let bench = Bench::new();
    bench.hold();
    let step = "while test -e /box/hold; do sleep 0.02; done; echo done >> /box/done";
    let running = bench.start_run(&shell(step), "run");
    running.wait_until_said("run started");
    bench.wait_for_record("run", "attemptRunning");
    running.kill();
    let [journal] = &bench.journals()[..] else { panic!("one run has one journal") };
    let whole = fs::metadata(journal).unwrap().len();
    fs::OpenOptions::new().write(true).open(journal).unwrap().set_len(whole - 7).unwrap();
    bench.let_go();
    bench.dropforge(&["run", "--continue", "run"]).exits(0);
    assert_eq!(bench.lines("done"), ["done"]);
}

#[test]
fn a_newer_format_is_left_alone_with_both_figures() {
    let bench = Bench::new();
    finished(&bench);
    let uid = bench.dropforge(&["list", "-o", "json"]).json()[0]["uid"].as_str().unwrap().to_owned();
    let specs: Vec<PathBuf> = fs::read_dir(bench.store().join("runs"))
        .unwrap()
        .map(|f| f.unwrap().path().join(&uid).join("spec.json"))
        .collect();
    let [spec] = &specs[..] else { panic!("one run has one spec") };
    let text = fs::read_to_string(spec).unwrap().replacen("\"format\":1", "\"format\":99", 1);
    fs::write(spec, &text).unwrap();
    for line in [&["get", "run"][..], &["stop", "run"], &["run", "--continue", "run"]] {
        bench.dropforge(line).exits(3).says(&[
            "spec.json",
            "format is 99",
            "up to 1",
            "use a newer dropforge",
        ]);
    }
    assert_eq!(fs::read_to_string(spec).unwrap(), text);
}

#[test]
fn a_full_disk_is_told_and_the_run_goes_on_when_there_is_room() {
    let bench = Bench::new();
    let Some(disk) = Disk::mount(&bench.store(), 1024) else { return };
    bench.hold();
    // The output makes a verdict that finds no room in the last page of a file either.
    let source = json!(
        "head -c 9000 /dev/zero | tr '\\0' x > /box/large; echo begun > /box/begun; \
         while test -e /box/hold; do sleep 0.02; done; echo done >> /box/done"
    );
    let manifest = one(&format!(
        "    script: {{image: busybox, command: [sh], source: {source}, volumeMounts: [{{name: box, mountPath: /box}}]}}
    outputs: {{parameters: [{{name: large, valueFrom: {{path: /box/large}}}}]}}"
    ));
    let running = bench.start_run(&manifest, "run");
    bench.wait_for_file("begun");
    running.wait_until_said("run started");
    bench.wait_for_record("run", "attemptRunning");
    disk.fill();
    bench
        .dropforge(&["stop", "run"])
        .exits(3)
        .says(&["No space left on device", "help: nothing stored is lost: make room"]);
    bench.let_go();
    running.wait_until_said("its verdict can't be stored, trying again");
    assert!(running.stderr().contains("No space left on device"));
    disk.make_room();
    running.end().exits(0);
    assert_eq!(bench.lines("done"), ["done"]);
}

#[test]
fn a_store_that_cannot_be_written_is_still_read() {
    let bench = Bench::new();
    let Some(disk) = Disk::mount(&bench.store(), 1024) else { return };
    finished(&bench);
    disk.make_read_only();
    for line in
        [&["run", "run.yaml"][..], &["run", "--continue", "run"], &["submit", "run.yaml"], &["stop", "run"]]
    {
        bench.dropforge(line).exits(3).says(&["Read-only file system", ".lock", "help: "]);
    }
    assert_eq!(bench.dropforge(&["list", "-o", "name"]).exits(0).stdout, "run\n");
    assert_eq!(bench.dropforge(&["logs", "run"]).exits(0).stdout, "run: kept\n");
    bench.dropforge(&["get", "run"]).exits(0);
    bench.dropforge(&["explain", "run"]).exits(0);
}

#[test]
fn what_a_stored_template_is_refused_for_is_told_at_its_place_or_at_the_reference() {
    let bench = Bench::new();
    let leaf =
        "    inputs: {parameters: [{name: p}]}\n    container: {image: busybox, command: [\"true\"]}\n";
    let step =
        "{name: a, template: x, arguments: {parameters: [{name: p, value: '{{workflow.labels.none}}'}]}}";
    let template = one(&format!("    steps:\n    - [{step}]\n  - name: x\n{leaf}"))
        .replace("kind: Workflow", "kind: WorkflowTemplate")
        .replace("generateName: one-", "name: kept");
    bench.write("kept.yaml", template);
    let run = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: run-}\nspec:\n  workflowTemplateRef: {name: kept}\n";
    bench.write("run.yaml", run);
    let words = "failed to resolve {{workflow.labels.none}}";
    let both = bench.dropforge(&["run", "run.yaml", "kept.yaml"]).exits(2);
    both.says(&["kept.yaml:10:", "error[E201]: in \"run-\" (Workflow): ", words]);
    bench.write(
        "good.yaml",
        shell("true")
            .replace("kind: Workflow", "kind: WorkflowTemplate")
            .replace("generateName: one-", "name: good"),
    );
    bench.write("own.yaml", format!("{}  podGC: {{strategy: Bad}}\n", run.replace("kept", "good")));
    let own = bench.dropforge(&["run", "own.yaml", "good.yaml"]).exits(2);
    own.says(&["own.yaml:6:11: error[E503]: in \"run-\" (Workflow): podGC.strategy unknown strategy 'Bad'"]);
    bench.dropforge(&["apply", "kept.yaml"]).exits(0);
    let referring = bench.dropforge(&["run", "run.yaml"]).exits(2);
    referring.says(&["run.yaml:5:3: error[E201]: in \"run-\" (Workflow): ", words]);
    let stored = bench.dropforge(&["run", "--from", "wftmpl/kept"]).exits(2);
    stored.says(&["wftmpl/kept: invalid spec: ", words, "at spec.templates[0].steps[0][0]", "explain E201"]);
}

#[test]
fn the_beginning_of_a_generated_name_may_be_long() {
    let bench = Bench::new();
    let (a, b) = ("a".repeat(70), "b".repeat(70));
    bench.write("long.yaml", shell("true").replace("generateName: one-", &format!("generateName: {a}-")));
    let named = |more: &[&str]| {
        let words = [&["run", "--dry-run", "-o", "name", "long.yaml"], more].concat();
        bench.dropforge(&words).exits(0).stdout
    };
    assert_eq!(named(&[]).trim()[..58], a[..58]);
    assert_eq!(named(&["--generate-name", &b]).trim()[..58], b[..58]);
    assert_eq!(named(&["--generate-name", &b]).trim().len(), 63);
    bench.dropforge(&["run", "--generate-name", "Not_one-", "long.yaml"]).exits(2).says(&["lower case"]);
}
