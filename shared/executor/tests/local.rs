//! The owner's side and the supervisor's, with the supervisor as a process of its own that is killed.

#![expect(clippy::unwrap_used, reason = "a test says by a panic that something is wrong")]

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dropforge_cluster::gpus::Gpus;
use dropforge_cluster::local::{LocalCluster, News, SupervisorProgram, Workshop};
use dropforge_cluster::settings::Settings;
use dropforge_cluster::{environments, python};
use dropforge_driver::cluster::Cluster;
use dropforge_driver::store::{Attempts, StoreError};
use dropforge_driver::supervision::PROTOCOL;
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict, Work};
use dropforge_engine::event::Event;
use dropforge_engine::ids::NodeId;
use dropforge_engine::spec::RunSpec;
use dropforge_executor::admission::Machine;
use dropforge_executor::supervisor::{Options, leave_session, serve};
use dropforge_manifest::types::{Container, Resources, Template, VolumeMount};
use dropforge_storage::directory::{Access, DirectoryStore};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Not a test: the supervisor's process, which is this program called with the store's folder as one more
/// filter.
#[test]
#[ignore = "the supervisor's process"]
fn supervise() {
    let Some(store) = std::env::args().next_back().filter(|last| Path::new(last).is_dir()) else { return };
    leave_session();
    let store = PathBuf::from(store);
    let machine = Machine { jobs: 1, cpu_millis: 4000, memory_bytes: 1 << 33, gpus: Vec::new() };
    let mut options = Options::in_store(&store, machine);
    options.grace = Duration::from_millis(300);
    let store = DirectoryStore::open(&store, Access::Reader).unwrap();
    let durability = store.durability();
    serve(options, store, durability, || None).unwrap();
}

struct Owner {
    runtime: Runtime,
    cluster: LocalCluster<DirectoryStore>,
    news: UnboundedReceiver<News>,
}

fn owner(at: &TempDir) -> Owner {
    owner_that_wants(at, false)
}

fn owner_that_wants(at: &TempDir, durable: bool) -> Owner {
    let store = Arc::new(open(at.path()));
    let mut settings = Settings::defaults(at.path());
    fs::create_dir_all(at.path().join("host")).unwrap();
    settings.claims = [("host".to_owned(), at.path().join("host"))].into();
    let workshop = Workshop {
        settings,
        cache: at.path().join("cache"),
        packages: environments::Options { offline: true, ..environments::Options::default() },
        pythons: python::Places::default(),
        gpus: Gpus::default(),
        path: Vec::new(),
        engine: None,
    };
    let arguments = ["supervise", "--exact", "--ignored"].map(OsString::from).into_iter();
    let supervisor = SupervisorProgram {
        socket: at.path().join("supervisor/socket"),
        program: std::env::current_exe().unwrap(),
        arguments: arguments.chain([at.path().into()]).collect(),
        log: at.path().join("supervisor/log"),
        durable,
    };
    let (tell, news) = unbounded_channel();
    let runtime = Runtime::new().unwrap();
    Owner { runtime, cluster: LocalCluster::new(store, supervisor, workshop, tell), news }
}

fn spec() -> RunSpec {
    serde_json::from_value(serde_json::json!({
        "format": 1, "uid": "uid", "metadata": {"name": "wf"}, "spec": {}, "createdAt": "2026-01-02T03:04:05Z",
        "cause": {"kind": "person", "by": "ada"},
    }))
    .unwrap()
}

/// A process that another test is just starting holds a copy of every lock of this one until it runs its own
/// program.
fn open(store: &Path) -> DirectoryStore {
    loop {
        match DirectoryStore::open(store, Access::Owner { what: "test" }) {
            Err(StoreError::Owned { .. }) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

impl Owner {
    fn start(&self, attempt: &Arc<Attempt>) {
        self.runtime.block_on(self.cluster.start(&spec(), Arc::clone(attempt))).unwrap();
    }

    fn observe(&self, attempts: &[Arc<Attempt>]) -> Vec<Event> {
        self.runtime.block_on(self.cluster.observe(&spec(), attempts)).unwrap().events
    }

    fn hear(&mut self) -> Event {
        loop {
            match self.news.blocking_recv().unwrap() {
                News::Event { event, .. } => return event,
                News::Progress { .. } => {}
            }
        }
    }

    fn hear_running(&mut self, name: &str) {
        let heard = self.hear();
        assert!(
            matches!(&heard, Event::AttemptRunning { attempt, .. } if attempt.as_str() == name),
            "{heard:?}"
        );
    }

    fn hear_waiting(&mut self, name: &str) {
        let heard = self.hear();
        assert!(
            matches!(&heard, Event::AttemptWaiting { attempt, .. } if attempt.as_str() == name),
            "{heard:?}"
        );
    }

    fn hear_finished(&mut self, name: &str) -> Arc<Verdict> {
        match self.hear() {
            Event::AttemptFinished { verdict } if verdict.attempt.as_str() == name => verdict,
            other => panic!("{other:?}"),
        }
    }
}

/// The name belongs to one test alone: a supervisor ends every process on the machine that carries the id of
/// an attempt it takes over.
fn step(name: &str, script: &str) -> Arc<Attempt> {
    let mount = VolumeMount { name: "host".into(), mount_path: "/host".into(), ..VolumeMount::default() };
    let container = Container {
        image: Some("alpine".into()),
        command: Some(["sh", "-c", script].map(String::from).to_vec()),
        volume_mounts: vec![mount],
        ..Container::default()
    };
    let template = Template { container: Some(container), ..Template::default() };
    let volumes = vec![json!({"name": "host", "persistentVolumeClaim": {"claimName": "host"}})];
    Arc::new(Attempt {
        id: name.into(),
        run: "uid".into(),
        run_name: "wf".into(),
        namespace: "default".into(),
        node: NodeId(1),
        node_name: "wf.step".into(),
        number: 0,
        on_exit: false,
        work: Arc::new(Work { template: template.into(), volumes, ..Work::default() }),
    })
}

fn number_in(file: &Path) -> i32 {
    loop {
        match fs::read_to_string(file).unwrap_or_default().trim().parse() {
            Ok(number) => return number,
            Err(_) => std::thread::yield_now(),
        }
    }
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn supervisor_pid(at: &TempDir) -> i32 {
    let about = fs::read(at.path().join("supervisor/supervisor.json")).unwrap();
    let about: serde_json::Value = serde_json::from_slice(&about).unwrap();
    about["pid"].as_i64().unwrap().try_into().unwrap()
}

/// Whether such a process lives; a dead one may not have been reaped yet.
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn a_step_runs_once_however_often_it_is_started() {
    let at = tempfile::tempdir().unwrap();
    let mut owner = owner(&at);
    let attempt = step("once", "echo ran >> /host/ran");
    owner.start(&attempt);
    owner.start(&attempt);
    while !matches!(owner.hear(), Event::AttemptFinished { verdict } if verdict.outcome == Outcome::Succeeded)
    {
    }
    owner.start(&attempt);
    assert_eq!(owner.hear_finished("once").outcome, Outcome::Succeeded);
    assert_eq!(fs::read_to_string(at.path().join("host/ran")).unwrap(), "ran\n");
}

#[test]
fn a_running_step_outlives_its_owner_and_the_next_owner_learns_its_end() {
    let at = tempfile::tempdir().unwrap();
    let attempt = step("outlives", "until [ -e /host/go ]; do sleep 0.01; done; echo end >> /host/end");
    let mut first = owner(&at);
    first.start(&attempt);
    first.hear_running("outlives");
    let waits = step("waits", "echo never > /host/waited");
    first.start(&waits);
    first.hear_waiting("waits");
    drop(first);
    let mut second = owner(&at);
    let seen = second.observe(&[Arc::clone(&attempt), Arc::clone(&waits)]);
    assert!(
        matches!(&seen[..], [Event::AttemptRunning { attempt, .. }] if attempt.as_str() == "outlives"),
        "{seen:?}"
    );
    fs::write(at.path().join("host/go"), "").unwrap();
    assert_eq!(second.hear_finished("outlives").outcome, Outcome::Succeeded);
    drop(second);
    let third = owner(&at);
    assert_eq!(third.observe(&[waits]), [], "it never began, and is the engine's to start");
    assert!(!at.path().join("host/waited").exists());
}

#[test]
fn when_the_supervisor_is_killed_survivors_are_ended_and_their_attempts_lost() {
    let at = tempfile::tempdir().unwrap();
    let mut owner = owner(&at);
    owner.start(&step("orphaned", "sleep 600 & setsid sleep 600 & echo $$$$ > /host/pid; wait"));
    owner.hear_running("orphaned");
    owner.start(&step("next", "echo ok > /host/next"));
    owner.hear_waiting("next");
    let pid = number_in(&at.path().join("host/pid"));
    kill(supervisor_pid(&at));
    let verdict = owner.hear_finished("orphaned");
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Lost, Reason::Vanished));
    assert!(!lives(pid), "a second execution must not run beside the first");
    owner.hear_running("next");
    assert_eq!(owner.hear_finished("next").outcome, Outcome::Succeeded);
    let left = dropforge_executor::process::survivors("orphaned".as_ref());
    assert_eq!(left, []);
}

#[test]
fn when_both_are_killed_the_next_owner_finds_the_attempt_lost() {
    let at = tempfile::tempdir().unwrap();
    let attempt = step("both-killed", "echo $$$$ > /host/pid; sleep 600");
    let mut first = owner(&at);
    first.start(&attempt);
    first.hear_running("both-killed");
    let pid = number_in(&at.path().join("host/pid"));
    let supervisor = supervisor_pid(&at);
    drop(first);
    kill(supervisor);
    assert!(lives(pid));
    let second = owner(&at);
    match &second.observe(&[attempt])[..] {
        [Event::AttemptFinished { verdict }] => assert_eq!(verdict.outcome, Outcome::Lost),
        other => panic!("{other:?}"),
    }
    assert!(!lives(pid));
}

#[test]
fn a_claim_that_nobody_holds_is_lost_and_no_claim_is_nothing() {
    let at = tempfile::tempdir().unwrap();
    let owner = owner(&at);
    let store = DirectoryStore::open(at.path(), Access::Reader).unwrap();
    owner.runtime.block_on(store.claim("default", &"claimed".into(), "somebody")).unwrap();
    let seen = owner.observe(&[step("claimed", "true"), step("free", "true")]);
    match &seen[..] {
        [Event::AttemptFinished { verdict }] => {
            assert_eq!((verdict.attempt.as_str(), verdict.outcome), ("claimed", Outcome::Lost));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn shutting_down_ends_the_steps_as_lost() {
    let at = tempfile::tempdir().unwrap();
    let mut owner = owner(&at);
    owner.start(&step("shut-down", "echo $$$$ > /host/pid; sleep 600"));
    owner.hear_running("shut-down");
    let pid = number_in(&at.path().join("host/pid"));
    owner.runtime.block_on(owner.cluster.shut_down());
    let verdict = owner.hear_finished("shut-down");
    assert_eq!((verdict.outcome, verdict.message.as_str()), (Outcome::Lost, "interrupted"));
    assert!(!lives(pid));
}

#[test]
fn a_step_is_stopped_whether_it_runs_or_waits() {
    let at = tempfile::tempdir().unwrap();
    let mut owner = owner(&at);
    owner.start(&step("leaving", "sleep 600"));
    owner.hear_running("leaving");
    owner.start(&step("waits", "true"));
    owner.hear_waiting("waits");
    for name in ["waits", "leaving"] {
        owner.runtime.block_on(owner.cluster.stop(&spec(), &name.into(), "enough")).unwrap();
        let verdict = owner.hear_finished(name);
        assert_eq!((verdict.reason, verdict.message.as_str()), (Reason::Stopped, "enough"));
    }
}

#[test]
fn what_can_not_be_prepared_is_an_error_that_says_why() {
    let at = tempfile::tempdir().unwrap();
    let mut owner = owner(&at);
    let mut attempt = Arc::unwrap_or_clone(step("odd", "true"));
    let mut work = (*attempt.work).clone();
    let container = Arc::make_mut(&mut work.template).container.as_mut().unwrap();
    let requests = [("cpu".to_owned(), "lots".into())].into();
    container.resources = Some(Resources { requests, ..Resources::default() });
    attempt.work = Arc::new(work);
    owner.start(&Arc::new(attempt));
    let verdict = owner.hear_finished("odd");
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Error, Reason::Configuration));
    assert_eq!(verdict.message, "read the resource cpu: \"lots\" is no quantity such as 500m, 2 or 1.5Gi");
}

/// A supervisor of an older version answers so, and one whose disk refuses.
#[test]
fn a_durable_owner_does_without_a_supervisor_that_is_not() {
    let at = tempfile::tempdir().unwrap();
    fs::create_dir(at.path().join("supervisor")).unwrap();
    let listener = UnixListener::bind(at.path().join("supervisor/socket")).unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for connection in listener.incoming() {
            let mut connection = BufReader::new(connection.unwrap());
            connection.read_line(&mut String::new()).unwrap();
            let welcome = format!(r#"{{"say":"welcome","protocol":{PROTOCOL},"pid":7,"endpoint":null}}"#);
            writeln!(connection.get_mut(), "{welcome}").unwrap();
            open.push(connection);
        }
    });
    let refused = owner_that_wants(&at, true);
    let why = told(&refused.runtime.block_on(refused.cluster.endpoint()).unwrap_err());
    assert!(why.contains("it (process 7) was started without --durable"), "{why}");
    drop(refused);
    let served = owner_that_wants(&at, false);
    assert_eq!(served.runtime.block_on(served.cluster.endpoint()).unwrap(), None);
}

fn told(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(|error| error.to_string()).collect()
}
