//! Attempts of several containers, and daemons.

use std::io::{Read, Write};
use std::net::TcpListener;

use dropforge_manifest::types::{
    ContainerSet, ContainerSetRetry, ExecAction, HttpGetAction, Probe, TcpSocketAction,
};

use super::*;

/// A volume of the attempt's own, which its containers share.
fn shared() -> VolumeMount {
    VolumeMount { name: "shared".into(), mount_path: "/shared".into(), ..VolumeMount::default() }
}

fn container(name: &str, script: &str) -> Container {
    Container {
        name: Some(name.into()),
        image: Some("alpine:3".into()),
        command: Some(["sh", "-c", script].map(String::from).to_vec()),
        ..Container::default()
    }
}

fn after(container: Container, dependencies: &[&str]) -> Container {
    Container { dependencies: dependencies.iter().map(|d| (*d).to_owned()).collect(), ..container }
}

/// A rig whose template is a set of these containers, which share `/shared`.
fn set(containers: Vec<Container>) -> Rig {
    let mut rig = Rig::new("");
    rig.template().container = None;
    let set = ContainerSet { containers, volume_mounts: vec![shared()], retry_strategy: None };
    rig.template().container_set = Some(set);
    rig.template().volumes = vec![json!({"name": "shared", "emptyDir": {}})];
    rig
}

/// A rig whose main container sees `/shared`.
fn main_with_shared(script: &str) -> Rig {
    let mut rig = Rig::new(script);
    rig.container().volume_mounts.push(shared());
    rig.template().volumes = vec![json!({"name": "shared", "emptyDir": {}})];
    rig
}

fn log_of(rig: &Rig, container: &str) -> String {
    let read = rig.site.store.read_log("default", &rig.id, container, 0, 1 << 20);
    String::from_utf8(rig.site.wait(read).unwrap()).unwrap()
}

fn parts(verdict: &Verdict) -> Vec<(&str, Outcome, &str)> {
    verdict.containers.iter().map(|c| (c.name.as_str(), c.outcome, c.message.as_str())).collect()
}

#[test]
fn containers_of_a_set_run_in_their_order_over_shared_volumes() {
    let mut rig = set(vec![
        after(container("main", "cat /shared/*; echo both > /shared/out"), &["b", "c"]),
        container("a", "echo a > /shared/1; echo own > /tmp/own"),
        after(container("b", "cat /shared/1; echo b > /shared/2; test ! -e /tmp/own"), &["a"]),
        after(container("c", "echo c > /shared/3"), &["a"]),
    ])
    .parameter("out", "/shared/out", None);
    rig.work.capture_result = true;
    rig.work.archive_logs = true;
    let verdict = rig.run();
    assert_eq!(ended(&verdict), (Outcome::Succeeded, Reason::Exited, ""), "{:?}", parts(&verdict));
    assert_eq!(verdict.outputs.result.as_deref(), Some("a\nb\nc"));
    assert_eq!(verdict.outputs.exit_code.as_deref(), Some("0"));
    assert_eq!(verdict.outputs.parameters[0].value.as_ref().unwrap().as_str(), "both");
    let mut logs: Vec<&str> = verdict.outputs.artifacts.iter().map(|a| a.name.as_str()).collect();
    logs.sort_unstable();
    assert_eq!(logs, ["a-logs", "b-logs", "c-logs", "main-logs"]);
    assert_eq!((log_of(&rig, "b"), log_of(&rig, "main")), ("a\n".into(), "a\nb\nc\n".into()));
    let mut names: Vec<&str> = verdict.containers.iter().map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c", "main"]);
}

#[test]
fn a_failed_container_ends_the_others_and_those_that_wait_for_it_never_start() {
    let rig = set(vec![
        container("a", "until [ -e /shared/up ]; do sleep 0.01; done; exit 3"),
        after(container("main", "echo never"), &["a"]),
        after(container("later", "echo never"), &["main"]),
        container("other", "echo > /shared/up; sleep 600"),
    ]);
    let verdict = rig.run();
    assert_eq!(ended(&verdict), (Outcome::Failed, Reason::Exited, "a: Error (exit code 3)"));
    assert_eq!(verdict.exit_code, Some(64));
    let mut parts = parts(&verdict);
    parts.sort_unstable_by_key(|(name, ..)| *name);
    assert_eq!(
        parts,
        [
            ("a", Outcome::Failed, "a: Error (exit code 3): "),
            (
                "later",
                Outcome::Error,
                "later: Error (exit code 64): dependency \"main\" exited with non-zero code: 3"
            ),
            (
                "main",
                Outcome::Error,
                "main: Error (exit code 64): dependency \"a\" exited with non-zero code: 3"
            ),
            ("other", Outcome::Failed, "other: Error (exit code 143): "),
        ]
    );
    assert_eq!(log_of(&rig, "main"), "");
}

#[test]
fn a_container_of_a_set_runs_again_as_often_as_its_retry_strategy_says() {
    let tries = "echo x >> /shared/tries; [ $(wc -l < /shared/tries) -ge 3 ]";
    let with = |retries: &str| {
        let mut rig = set(vec![container("a", tries)]);
        let retry = ContainerSetRetry { retries: Some(retries.into()), duration: Some("1ms".into()) };
        rig.template().container_set.as_mut().unwrap().retry_strategy = Some(retry);
        rig.run().message
    };
    assert_eq!(with("3"), "");
    assert_eq!(with("2"), "a: Error (exit code 1)");
}

#[test]
fn init_containers_run_before_the_main_one_in_their_order() {
    let mut rig = main_with_shared("cat /shared/order");
    let init = |name: &str| Container {
        mirror_volume_mounts: Some(true),
        ..container(name, &format!("echo {name} >> /shared/order"))
    };
    rig.template().init_containers = vec![init("first"), init("second")];
    let verdict = rig.run();
    assert_eq!(verdict.outcome, Outcome::Succeeded, "{}", verdict.message);
    assert_eq!(rig.log(), b"first\nsecond\n");
}

#[test]
fn an_init_container_that_fails_is_the_steps_failure_and_nothing_else_starts() {
    let mut rig = Rig::new("echo never");
    rig.template().init_containers = vec![container("hello", "exit 7"), container("next", "echo never")];
    let verdict = rig.run_told(&Control::new().unwrap(), &|told| {
        assert!(!matches!(told, Told::Running { .. }), "a pod does not run before its main container");
    });
    let verdict = verdict.unwrap();
    assert_eq!(ended(&verdict), (Outcome::Failed, Reason::Exited, "hello: Error (exit code 7)"));
    assert_eq!((log_of(&rig, "next"), rig.log()), (String::new(), Vec::new()));
}

#[test]
fn a_sidecar_runs_beside_the_main_container_and_ends_with_it() {
    let mut rig = main_with_shared("until [ -e /shared/up ]; do sleep 0.01; done; echo served");
    let helper = Container {
        mirror_volume_mounts: Some(true),
        ..container("helper", "echo up; echo > /shared/up; sleep 600")
    };
    rig.template().sidecars = vec![helper];
    let verdict = rig.run();
    assert_eq!(ended(&verdict), (Outcome::Succeeded, Reason::Exited, ""));
    assert_eq!((rig.log(), log_of(&rig, "helper")), (b"served\n".to_vec(), "up\n".to_owned()));
}

#[test]
fn a_sidecars_own_failure_is_the_steps() {
    let mut rig = Rig::new("true");
    rig.template().sidecars = vec![container("helper", "trap 'exit 5' TERM; sleep 600 & wait")];
    let rig = Rig { work: rig.work.clone(), ..rig };
    let verdict = rig.run();
    // Asked before its shell had set the trap, it ends by the signal, which is no failure.
    let by_signal = verdict.containers.iter().any(|c| c.name == "helper" && c.exit_code == Some(143));
    let message = if by_signal { "" } else { "helper: Error (exit code 5)" };
    assert_eq!(verdict.message, message);
}

#[test]
fn a_server_that_this_machine_does_not_have_is_told_at_once() {
    let mut rig = Rig::new("sleep 600");
    let missing = Container { command: Some(vec!["no-such-server".into()]), ..container("db", "") };
    rig.template().sidecars = vec![missing];
    let verdict = rig.run();
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Failed, Reason::NotStarted));
    for part in ["db: Error (exit code 64)", "no-such-server", "\"alpine:3\"", "container executor"] {
        assert!(verdict.message.contains(part), "{}", verdict.message);
    }
}

#[test]
fn each_container_has_the_environment_and_the_gpus_of_its_own() {
    let mut rig = Rig::new("echo $WHO $CUDA_VISIBLE_DEVICES $ARGO_CONTAINER_NAME");
    rig.template().init_containers =
        vec![container("i", "echo $WHO $CUDA_VISIBLE_DEVICES $ARGO_CONTAINER_NAME")];
    for (name, gpus) in [("main", 1), ("i", 0)] {
        let variables = [("WHO".to_owned(), format!("for-{name}"))].into();
        let environment = StepEnvironment { variables, ..StepEnvironment::default() };
        let launch = ContainerLaunch { environment, gpus, ..ContainerLaunch::default() };
        rig.containers.insert(name.to_owned(), launch);
    }
    let gpus = ["7".to_owned()];
    let verdict =
        super::super::run(&rig.site, &rig.launch(), &gpus, &Control::new().unwrap(), &|_| {}).unwrap();
    assert_eq!(verdict.unwrap().verdict.message, "");
    assert_eq!((log_of(&rig, "i"), log_of(&rig, "main")), ("for-i i\n".into(), "for-main 7 main\n".into()));
}

#[test]
fn a_stop_ends_all_containers_with_what_was_said() {
    let mut rig = set(vec![container("a", "sleep 600"), container("b", "sleep 600")]);
    rig.template().sidecars = vec![container("helper", "sleep 600")];
    let control = Control::new().unwrap();
    let verdict = rig.run_told(&control, &|told| {
        if matches!(told, Told::Running { .. }) {
            control.ask(Ask::Stop("enough".into()));
        }
    });
    assert_eq!(ended(&verdict.unwrap()), (Outcome::Failed, Reason::Stopped, "enough"));

    let rig = set(vec![container("a", "sleep 600"), after(container("b", "true"), &["a"])]);
    let control = Control::new().unwrap();
    let verdict = rig.run_told(&control, &|told| {
        if matches!(told, Told::Running { .. }) {
            control.ask(Ask::Interrupt);
        }
    });
    assert_eq!(verdict.unwrap().outcome, Outcome::Lost);
}

#[test]
fn a_deadline_ends_all_containers() {
    let mut rig = set(vec![container("a", "sleep 600"), after(container("b", "true"), &["a"])]);
    rig.work.active_deadline_seconds = Some(1);
    let verdict = rig.run();
    assert_eq!(verdict.reason, Reason::DeadlineExceeded);
    assert_eq!(verdict.message, "Pod was active on the node longer than the specified deadline");
}

/// Runs a daemon until it has told that it is ready, then stops it; gives what it told, in order.
fn serve(rig: &Rig) -> Vec<&'static str> {
    let control = Control::new().unwrap();
    let heard = Mutex::new(Vec::new());
    let verdict = rig.run_told(&control, &|told| {
        let mut heard = heard.lock().unwrap();
        match told {
            Told::Running { .. } => heard.push("running"),
            Told::Ready { .. } => {
                heard.push("ready");
                control.ask(Ask::Stop("served".into()));
            }
            Told::Process { .. } | Told::Progress(_) | Told::Counted(_) => {}
        }
    });
    assert_eq!(verdict.unwrap().message, "served");
    heard.into_inner().unwrap()
}

fn daemon(script: &str, probe: Option<Probe>) -> Rig {
    let mut rig = Rig::new(script);
    rig.template().daemon = Some(true);
    rig.container().readiness_probe = probe;
    rig
}

#[test]
fn a_daemon_without_a_probe_is_ready_once_it_runs() {
    assert_eq!(serve(&daemon("sleep 600", None)), ["running", "ready"]);
}

#[test]
fn a_daemon_is_ready_when_a_command_among_its_files_ends_well() {
    let exec = ExecAction { command: ["test", "-e", "/tmp/up"].map(String::from).to_vec() };
    let probe = Probe { exec: Some(exec), ..Probe::default() };
    assert_eq!(serve(&daemon("sleep 0.2; : > /tmp/up; sleep 600", Some(probe))), ["running", "ready"]);
}

#[test]
fn a_daemon_is_ready_when_its_port_answers() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    // The first answer says that it is not.
    thread::spawn(move || {
        for code in ["503 Starting", "204 Up"] {
            let (mut connection, _) = server.accept().unwrap();
            let mut asked = [0; 1024];
            let length = connection.read(&mut asked).unwrap();
            assert!(asked[..length].starts_with(b"GET /health HTTP/1.1\r\n"));
            connection.write_all(format!("HTTP/1.1 {code}\r\n\r\n").as_bytes()).unwrap();
        }
    });
    let get = HttpGetAction { path: Some("/health".into()), port: "web".into(), ..HttpGetAction::default() };
    let mut rig = daemon("sleep 600", Some(Probe { http_get: Some(get), ..Probe::default() }));
    rig.container().ports = Some(json!([{"name": "web", "containerPort": port}]));
    assert_eq!(serve(&rig), ["running", "ready"]);

    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let socket = TcpSocketAction { port: port.as_str().into(), host: None };
    let probe = Probe { tcp_socket: Some(socket), ..Probe::default() };
    assert_eq!(serve(&daemon("sleep 600", Some(probe))), ["running", "ready"]);
}

#[test]
fn a_daemon_that_ends_before_it_is_ready_is_not_asked_any_more() {
    let exec = ExecAction { command: vec!["false".into()] };
    let rig = daemon("exit 0", Some(Probe { exec: Some(exec), ..Probe::default() }));
    let verdict =
        rig.run_told(&Control::new().unwrap(), &|told| assert!(!matches!(told, Told::Ready { .. })));
    assert_eq!(ended(&verdict.unwrap()), (Outcome::Succeeded, Reason::Exited, ""));
}
