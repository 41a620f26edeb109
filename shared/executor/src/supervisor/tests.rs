use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;

use dropforge_driver::store::Attempts;
use dropforge_driver::supervision::{Demand, Greeting, Launch, PROTOCOL, Report, Request, StepEnvironment};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict, Work};
use dropforge_engine::ids::{AttemptId, NodeId};
use dropforge_manifest::types::{Container, Template, VolumeMount};
use dropforge_storage::directory::{Access, DirectoryStore};
use serde::Serialize;
use tempfile::TempDir;

use super::*;

/// A supervisor on a thread of this process, and its owner's end of the conversation.
struct Owner {
    requests: UnixStream,
    reports: Lines<BufReader<UnixStream>>,
    /// Steps see it as `/host`.
    host: PathBuf,
}

fn machine(jobs: usize) -> Machine {
    Machine { jobs, cpu_millis: 4000, memory_bytes: 1 << 33, gpus: vec!["0".into()] }
}

fn start(at: &TempDir, jobs: usize) -> JoinHandle<Result<(), SupervisorError>> {
    serve_store(at, jobs, DirectoryStore::open(at.path(), Access::Reader).unwrap())
}

fn serve_store(at: &TempDir, jobs: usize, store: DirectoryStore) -> JoinHandle<Result<(), SupervisorError>> {
    let mut options = Options::in_store(at.path(), machine(jobs));
    options.grace = Duration::from_millis(300);
    let durability = store.durability();
    std::thread::spawn(move || serve(options, store, durability, || None))
}

impl Owner {
    fn connect(at: &TempDir) -> Owner {
        let (owner, durable) = Owner::greet(at, false);
        assert!(!durable);
        owner
    }

    /// With what the supervisor says of its durability.
    fn greet(at: &TempDir, durable: bool) -> (Owner, bool) {
        let socket = at.path().join("supervisor/socket");
        let requests = loop {
            match socket::connect(&socket) {
                Ok(connected) => break connected,
                Err(_) => std::thread::yield_now(),
            }
        };
        let reports = BufReader::new(requests.try_clone().unwrap()).lines();
        let host = at.path().join("host");
        std::fs::create_dir_all(&host).unwrap();
        let mut owner = Owner { requests, reports, host };
        owner.say(&Greeting::Hello { protocol: PROTOCOL, durable });
        let welcome: Greeting = serde_json::from_str(&owner.reports.next().unwrap().unwrap()).unwrap();
        let Greeting::Welcome { protocol: PROTOCOL, endpoint: None, durable, .. } = welcome else {
            panic!("{welcome:?}")
        };
        (owner, durable)
    }

    fn say(&mut self, request: &impl Serialize) {
        let line = serde_json::to_string(request).unwrap();
        writeln!(self.requests, "{line}").unwrap();
    }

    /// The next report that is not for people only.
    fn hear(&mut self) -> Report {
        loop {
            match serde_json::from_str(&self.reports.next().unwrap().unwrap()).unwrap() {
                Report::Progress { .. } => {}
                report => return report,
            }
        }
    }

    fn start(&mut self, name: &str, script: &str, demand: Demand) {
        let launch = Box::new(launch(&self.host, name, script, demand));
        self.say(&Request::Start { launch });
    }

    fn stop(&mut self, name: &str) {
        let (attempt, namespace) = (name.into(), "default".to_owned());
        self.say(&Request::Stop { attempt, namespace, why: "a person said so".into() });
    }

    fn hear_running(&mut self, name: &str) {
        let heard = self.hear();
        assert!(matches!(&heard, Report::Running { attempt, .. } if attempt.as_str() == name), "{heard:?}");
    }

    fn hear_finished(&mut self, name: &str) -> Arc<Verdict> {
        match self.hear() {
            Report::Finished { verdict } if verdict.attempt.as_str() == name => verdict,
            other => panic!("{other:?}"),
        }
    }
}

fn launch(host: &Path, name: &str, script: &str, demand: Demand) -> Launch {
    let mount = VolumeMount { name: "host".into(), mount_path: "/host".into(), ..VolumeMount::default() };
    let container = Container {
        image: Some("alpine".into()),
        command: Some(["sh", "-c", script].map(String::from).to_vec()),
        volume_mounts: vec![mount],
        ..Container::default()
    };
    let template = Template { container: Some(container), ..Template::default() };
    let volumes = vec![json!({"name": "host", "persistentVolumeClaim": {"claimName": "host"}})];
    let attempt = Attempt {
        id: name.into(),
        run: "uid".into(),
        run_name: "wf".into(),
        namespace: "default".into(),
        node: NodeId(1),
        node_name: "wf.step".into(),
        number: 0,
        on_exit: false,
        work: Arc::new(Work {
            template: template.into(),
            volumes,
            artifact_prefix: format!("wf/{name}"),
            ..Work::default()
        }),
    };
    let claims = [("host".to_owned(), host.to_path_buf())].into();
    let environment = StepEnvironment { claims, ..StepEnvironment::default() };
    Launch { attempt: Arc::new(attempt), environment, demand, containers: Default::default(), engine: None }
}

fn stored(at: &TempDir, name: &str) -> Option<Verdict> {
    let store = DirectoryStore::open(at.path(), Access::Reader).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.verdict("default", &AttemptId::from(name))).unwrap()
}

#[test]
fn a_step_is_run_and_its_verdict_reported_as_stored() {
    let at = tempfile::tempdir().unwrap();
    let serving = start(&at, 2);
    let mut owner = Owner::connect(&at);
    owner.start("good", "echo out; echo err >&2", Demand::default());
    owner.hear_running("good");
    let verdict = owner.hear_finished("good");
    assert_eq!((verdict.outcome, verdict.exit_code), (Outcome::Succeeded, Some(0)));
    assert_eq!(stored(&at, "good").as_ref(), Some(&*verdict));
    let log = std::fs::read_to_string(at.path().join("logs/default/good/main/00000")).unwrap();
    assert_eq!(log, "out\nerr\n");
    owner.start("bad", "exit 3", Demand::default());
    owner.hear_running("bad");
    assert_eq!(owner.hear_finished("bad").message, "main: Error (exit code 3)");
    owner.start("bad", "exit 3", Demand::default());
    assert_eq!(owner.hear_finished("bad").message, "main: Error (exit code 3)", "told again, not run again");
    drop(owner);
    serving.join().unwrap().unwrap();
    assert!(!at.path().join("supervisor/socket").exists());
    assert_eq!(std::fs::read_dir(at.path().join("work")).unwrap().count(), 0);
    let left = Records::below(&at.path().join("supervisor")).unwrap().in_hand();
    assert_eq!(left, []);
}

#[test]
fn a_step_that_waits_is_told_why_and_can_be_stopped_before_it_begins() {
    let at = tempfile::tempdir().unwrap();
    let serving = start(&at, 1);
    let mut owner = Owner::connect(&at);
    owner.start("long", "sleep 600", Demand::default());
    owner.hear_running("long");
    owner.start("late", "touch ran", Demand::default());
    match owner.hear() {
        Report::Waiting { attempt, why } => {
            assert_eq!((attempt.as_str(), &*why), ("late", "1 steps run already, as many as --jobs allows"));
        }
        other => panic!("{other:?}"),
    }
    owner.say(&Request::List);
    assert_eq!(owner.hear(), Report::Attempts { waiting: vec!["late".into()], running: vec!["long".into()] });
    owner.stop("late");
    let verdict = owner.hear_finished("late");
    assert_eq!((verdict.reason, verdict.started_at), (Reason::Stopped, None));
    owner.stop("long");
    let verdict = owner.hear_finished("long");
    assert_eq!((verdict.outcome, verdict.message.as_str()), (Outcome::Failed, "a person said so"));
    drop(owner);
    serving.join().unwrap().unwrap();
}

#[test]
fn what_the_machine_can_never_give_is_an_error_at_once() {
    let at = tempfile::tempdir().unwrap();
    let serving = start(&at, 1);
    let mut owner = Owner::connect(&at);
    owner.start("greedy", "true", Demand { gpus: 2, ..Demand::default() });
    let verdict = owner.hear_finished("greedy");
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Error, Reason::Unschedulable));
    assert_eq!(verdict.message, "the step asks for 2 GPUs, this machine has 1 GPUs");
    drop(owner);
    serving.join().unwrap().unwrap();
}

#[test]
fn without_an_owner_running_steps_end_and_waiting_ones_never_start() {
    let at = tempfile::tempdir().unwrap();
    let serving = start(&at, 1);
    let go = at.path().join("host/go");
    let mut owner = Owner::connect(&at);
    owner.start("runs", "until [ -e /host/go ]; do sleep 0.01; done", Demand::default());
    owner.hear_running("runs");
    owner.start("waits", "true", Demand::default());
    assert!(matches!(owner.hear(), Report::Waiting { .. }));
    drop(owner);
    let mut next = Owner::connect(&at);
    while {
        next.say(&Request::List);
        next.hear() != Report::Attempts { waiting: vec![], running: vec!["runs".into()] }
    } {}
    std::fs::write(&go, "").unwrap();
    assert_eq!(next.hear_finished("runs").outcome, Outcome::Succeeded);
    drop(next);
    serving.join().unwrap().unwrap();
    assert_eq!(stored(&at, "waits"), None);
    assert!(!at.path().join("attempts/default/waits").exists(), "nobody claimed it");
}

#[test]
fn shutdown_ends_steps_as_lost_and_leaves_waiting_ones_alone() {
    let at = tempfile::tempdir().unwrap();
    let serving = start(&at, 1);
    let mut owner = Owner::connect(&at);
    // It ignores TERM: only KILL ends it, and its child with it.
    owner.start("stubborn", "trap '' TERM; sleep 600 & wait; sleep 600", Demand::default());
    owner.hear_running("stubborn");
    owner.start("waits", "true", Demand::default());
    assert!(matches!(owner.hear(), Report::Waiting { .. }));
    owner.say(&Request::Shutdown);
    let verdict = owner.hear_finished("stubborn");
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Lost, Reason::Interrupted));
    assert_eq!(verdict.message, "interrupted");
    assert!(owner.reports.next().is_none(), "the supervisor leaves");
    serving.join().unwrap().unwrap();
    assert_eq!(stored(&at, "waits"), None);
}

#[test]
fn another_protocol_is_answered_with_ours_and_refused() {
    let at = tempfile::tempdir().unwrap();
    let serving = start(&at, 1);
    let mut owner = Owner::connect(&at);
    let mut other = socket::connect(&at.path().join("supervisor/socket")).unwrap();
    writeln!(other, "{}", serde_json::to_string(&Greeting::Hello { protocol: 999, durable: false }).unwrap())
        .unwrap();
    let mut lines = BufReader::new(other).lines();
    let welcome: Greeting = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(matches!(welcome, Greeting::Welcome { protocol: PROTOCOL, .. }));
    assert!(lines.next().is_none());
    owner.start("unharmed", "true", Demand::default());
    owner.hear_running("unharmed");
    owner.hear_finished("unharmed");
    drop(owner);
    serving.join().unwrap().unwrap();
}

#[test]
fn an_owner_that_wants_durability_gets_it_of_a_supervisor_that_was_started_without() {
    let at = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(at.path(), Access::Reader).unwrap();
    let objects = store.buckets().clone();
    let serving = serve_store(&at, 1, store);
    let first = Owner::connect(&at);
    assert!(!objects.is_synced());
    let (second, durable) = Owner::greet(&at, true);
    assert!(durable);
    assert!(objects.is_synced(), "also where the endpoint stores them");
    // Once given it stays: what the steps of that owner leave may still be on its way.
    let (third, durable) = Owner::greet(&at, false);
    assert!(durable);
    drop((first, second, third));
    serving.join().unwrap().unwrap();
}

#[test]
fn a_supervisor_whose_store_was_deleted_leaves_too() {
    let at = TempDir::new().unwrap();
    let served = start(&at, 1);
    let owner = Owner::connect(&at);
    drop(at);
    drop(owner);
    served.join().unwrap().unwrap();
}
