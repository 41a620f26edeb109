//! A pod without a cluster: each container is a process of this test's own program, with the shared folder and the store
//! in a folder of the test's.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dropforge_driver::pods::{LAUNCH_FORMAT, LAUNCH_VARIABLE, PodLaunch, Stores};
use dropforge_driver::store::{Artifacts, Attempts, Logs, Place};
use dropforge_engine::attempt::{Attempt, Verdict, Work};
use dropforge_engine::ids::NodeId;
use dropforge_executor::container::client::Engines;
use dropforge_executor::roles::folder::Folder;
use dropforge_executor::roles::signals::{Command as Signalled, listen};
use dropforge_executor::roles::{Bell, BellError, Pod, init, witness, wrap};
use dropforge_executor::step::Site;
use dropforge_executor::step::control::{Ask, Control};
use dropforge_executor::step::room::Rooms;
use dropforge_manifest::types::{Container, MAIN, Template};
use dropforge_storage::directory::{Access, DirectoryStore};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const ROLE: &str = "POD_ROLE";
const FOLDER: &str = "POD_FOLDER";
const STORE: &str = "POD_STORE";
const WRAPPED: &str = "POD_WRAPPED";

/// Doorbells as lines of a file.
struct Bells(PathBuf);

impl Bell for Bells {
    async fn ring(&self, launch: &PodLaunch) -> Result<(), BellError> {
        // What somebody finds who looks at once.
        let (place, attempt) = (self.0.parent().unwrap(), &launch.attempt);
        let store = DirectoryStore::open(place, Access::Reader).unwrap();
        let log = store.read_log(&attempt.namespace, &attempt.id, MAIN, 0, 1 << 20).await.unwrap();
        fs::write(place.join("log-at-bell"), log).unwrap();
        let file = fs::OpenOptions::new().append(true).create(true).open(&self.0);
        let told = file.and_then(|mut file| writeln!(file, "{} {}", launch.attempt.run, launch.attempt.id));
        told.map_err(|error| BellError(error.to_string()))
    }
}

/// The process of a container; says nothing where this program runs its tests.
pub fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let var = |name: &str| std::env::var(name).unwrap();
    let runtime = runtime();
    let pod = Pod {
        site: Site {
            store: DirectoryStore::open(Path::new(&var(STORE)), Access::Reader).unwrap(),
            runtime: runtime.handle().clone(),
            rooms: Rooms::below(PathBuf::new()),
            volumes: PathBuf::new(),
            endpoint: None,
            host: "node".into(),
            grace: Duration::from_secs(
                serde_json::from_str::<PodLaunch>(&var(LAUNCH_VARIABLE)).unwrap().grace_seconds,
            ),
            engines: Engines::default(),
        },
        bell: Bells(Path::new(&var(STORE)).join("bells")),
        launch: serde_json::from_str(&var(LAUNCH_VARIABLE)).unwrap(),
        folder: Folder::at(var(FOLDER)),
        mirrored: Path::new(&var(FOLDER)).join("mirrored"),
        secrets: Path::new(&var(FOLDER)).join("secrets"),
    };
    let code = match role.as_str() {
        "init" => init::run(&pod, &std::env::current_exe().unwrap()),
        "witness" => {
            let control = Arc::new(Control::new().unwrap());
            listen(runtime.handle(), &control, &Ask::Over, &Signalled::default()).unwrap();
            witness::run(&pod, &control)
        }
        name => {
            let hidden = [ROLE, FOLDER, STORE, WRAPPED];
            let environ = std::env::vars().filter(|(name, _)| !hidden.contains(&name.as_str()));
            wrap::run(&pod, name, serde_json::from_str(&var(WRAPPED)).unwrap(), environ.collect())
        }
    };
    std::process::exit(code.unwrap());
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A pod before its containers are started.
pub struct TestPod {
    pub at: TempDir,
    pub launch: PodLaunch,
    /// The shared folder.
    pub folder: PathBuf,
    runtime: Runtime,
}

impl TestPod {
    /// Of a step whose only container is this one.
    pub fn new(container: Container) -> TestPod {
        TestPod::of(Template { container: Some(container), ..Template::default() })
    }

    pub fn of(template: Template) -> TestPod {
        let at = tempfile::tempdir().unwrap();
        let work = Work { template: template.into(), artifact_prefix: "wf/wf-1".into(), ..Work::default() };
        let attempt = Attempt {
            id: "wf-1".into(),
            run: "uid".into(),
            run_name: "wf".into(),
            namespace: "ns".into(),
            node: NodeId(1),
            node_name: "wf".into(),
            number: 0,
            on_exit: false,
            work: work.into(),
        };
        let launch = PodLaunch {
            format: LAUNCH_FORMAT,
            attempt: attempt.into(),
            stores: Stores { control: "control".into(), ..Stores::default() },
            queue_url: String::new(),
            token: String::new(),
            grace_seconds: 5,
            environments: BTreeMap::new(),
            code: None,
            commands: BTreeMap::new(),
        };
        let folder = at.path().join("dropforge");
        let pod = TestPod { launch, folder, runtime: runtime(), at };
        pod.make(&pod.folder);
        DirectoryStore::open(&pod.store_path(), Access::Owner { what: "test" }).unwrap();
        pod.open_to_all(pod.at.path());
        pod
    }

    /// As a kubelet makes an emptyDir.
    pub fn make(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        self.open_to_all(folder);
    }

    pub fn open_to_all(&self, folder: &Path) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    }

    pub fn work(&mut self) -> &mut Work {
        Arc::make_mut(&mut Arc::make_mut(&mut self.launch.attempt).work)
    }

    pub fn template(&mut self) -> &mut Template {
        Arc::make_mut(&mut self.work().template)
    }

    /// Another pod of the same attempt.
    pub fn again(&mut self) {
        self.folder = self.at.path().join("again");
        self.make(&self.folder.clone());
    }

    pub fn store_path(&self) -> PathBuf {
        self.at.path().join("store")
    }

    pub fn store(&self) -> DirectoryStore {
        DirectoryStore::open(&self.store_path(), Access::Reader).unwrap()
    }

    /// The process of a container, before it is started.
    pub fn process(&self, role: &str, command: &[&str]) -> Command {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["container_of_a_pod", "--exact", "--ignored", "--nocapture"]);
        let document = serde_json::to_string(&self.launch).unwrap();
        process.env(ROLE, role).env(FOLDER, &self.folder).env(STORE, self.store_path());
        process.env(LAUNCH_VARIABLE, document).env(WRAPPED, serde_json::to_string(command).unwrap());
        process
    }

    pub fn start(&self, role: &str, command: &[&str]) -> Running {
        Running(self.process(role, command).spawn().unwrap())
    }

    /// Runs a container to its end, and gives its exit code.
    pub fn run(&self, role: &str, command: &[&str]) -> i32 {
        self.start(role, command).end().code().unwrap()
    }

    pub fn init(&self) -> i32 {
        self.run("init", &[])
    }

    /// `init`, then `main` with a script of the shell.
    pub fn sh(&self, script: &str) -> i32 {
        assert_eq!(self.init(), 0);
        self.run("main", &["sh", "-c", script])
    }

    pub fn verdict(&self) -> Option<Verdict> {
        let attempt = &self.launch.attempt;
        self.runtime.block_on(self.store().verdict(&attempt.namespace, &attempt.id)).unwrap()
    }

    /// Stores a verdict as somebody else does.
    pub fn judge(&self, verdict: &Verdict) {
        self.runtime.block_on(self.store().put_verdict("ns", verdict)).unwrap();
    }

    pub fn claimed(&self) -> bool {
        let attempt = &self.launch.attempt;
        self.runtime.block_on(self.store().claimed(&attempt.namespace, &attempt.id)).unwrap()
    }

    pub fn log(&self, container: &str) -> String {
        let attempt = &self.launch.attempt;
        let store = self.store();
        let read = store.read_log(&attempt.namespace, &attempt.id, container, 0, 1 << 20);
        String::from_utf8(self.runtime.block_on(read).unwrap()).unwrap()
    }

    /// The lines of the doorbells that were rung.
    pub fn bells(&self) -> Vec<String> {
        let bells = fs::read_to_string(self.store_path().join("bells")).unwrap_or_default();
        bells.lines().map(str::to_owned).collect()
    }

    /// What was in the store of the log of `main` when the last doorbell rang.
    pub fn log_at_bell(&self) -> String {
        fs::read_to_string(self.store_path().join("log-at-bell")).unwrap()
    }

    pub fn put_object(&self, place: &Place, content: &[u8]) {
        let file = self.at.path().join("object");
        fs::write(&file, content).unwrap();
        let store = self.store();
        let stored = store.store("ns", &file, place, false, &|_, _| {});
        self.runtime.block_on(stored).unwrap();
    }

    pub fn object(&self, place: &Place) -> Vec<u8> {
        let file = self.at.path().join("fetched");
        let _ = fs::remove_file(&file);
        self.runtime.block_on(self.store().fetch("ns", place, &file, &|_, _| {})).unwrap();
        fs::read(&file).unwrap()
    }
}

/// A container's process, ended with the test.
pub struct Running(Child);

impl Running {
    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.0)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    pub fn end(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// The most memory that it has held so far, in bytes; none once it has ended.
    pub fn memory_bytes_max(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so; a test that waits for what never comes fails.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        let _ =
            rustix::event::poll(&mut [], Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 10_000_000 }));
    }
}
