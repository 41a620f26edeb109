//! Real installs, from wheels made here, so that no network is needed; those with uv fetch uv once.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::{OnceLock, mpsc};

use super::*;
use crate::python::{Places, Pythons};

mod said;
mod trees;

/// Makes wheels: `slim` 1.0 and 2.0, and `wide`, which needs `slim`.
const WHEELS: &str = r#"
import sys, zipfile
def wheel(name, version, requires=""):
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(f"{sys.argv[1]}/{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}/__init__.py", f"version = '{version}'\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
wheel("slim", "1.0")
wheel("slim", "2.0")
wheel("wide", "1.0", "Requires-Dist: slim<2\n")
"#;

struct Scene {
    folder: tempfile::TempDir,
    python: Chosen,
}

impl Scene {
    /// Nothing, with a line that says so, on a machine without Python.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let pythons = Pythons::new(folder.path().join("cache"), Places::of_this_machine());
        let Ok(python) = pythons.choose(None) else {
            println!("SKIPPED: no Python on this machine");
            return None;
        };
        fs::create_dir(folder.path().join("wheels")).unwrap();
        let wheels = folder.path().join("wheels");
        let made = Command::new(&python.interpreter.executable)
            .args(["-I", "-c", WHEELS])
            .arg(wheels)
            .status()
            .unwrap();
        assert!(made.success());
        Some(Self { folder, python })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn with(&self, uv: Option<PathBuf>) -> Environments {
        Environments::new(
            self.path("cache"),
            Options { offline: true, wheels: Some(self.path("wheels")), uv },
        )
    }

    fn lock(&self, environments: &Environments, requirements: &[&str]) -> Result<Lock, Error> {
        let requirements = Requirements::new(requirements);
        environments.lock("python:3", &requirements, &self.python, &self.path(LOCK_FILE_NAME), &|_| ())
    }

    fn home(&self, environment: &Environment) -> PathBuf {
        self.path("cache/environments").join(&environment.hash)
    }
}

fn says(environment: &Environment, code: &str) -> String {
    let output = Command::new(&environment.python).args(["-I", "-c", code]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn packages(lock: &Lock) -> Vec<&str> {
    lock.packages().collect()
}

/// uv from PATH, else from the package index; nothing, with a line that says so, where neither has it.
fn uv() -> Option<PathBuf> {
    static UV: OnceLock<Option<(tempfile::TempDir, PathBuf)>> = OnceLock::new();
    let fetched = || {
        let folder = tempfile::tempdir().ok()?;
        let python =
            Pythons::new(folder.path(), Places::of_this_machine()).choose(None).ok()?.interpreter.executable;
        let run = |command: &mut Command| command.output().ok().filter(|output| output.status.success());
        run(Command::new(python).args(["-I", "-m", "venv"]).arg(folder.path().join("venv")))?;
        run(Command::new(folder.path().join("venv/bin/pip")).args([
            "install",
            "--quiet",
            "--retries",
            "1",
            "uv",
        ]))?;
        let uv = folder.path().join("venv/bin/uv");
        Some((folder, uv))
    };
    let uv = find_uv().or_else(|| UV.get_or_init(fetched).as_ref().map(|(_, uv)| uv.clone()));
    if uv.is_none() {
        println!("SKIPPED: uv is neither on PATH nor to be had from the package index");
    }
    uv
}

fn locks_and_installs(scene: &Scene, environments: &Environments) {
    let lock = scene.lock(environments, &["wide"]).unwrap();
    assert_eq!((packages(&lock), lock.is_new), (vec!["slim==1.0", "wide==1.0"], true));
    assert!(lock.entry.packages.iter().all(|package| package.hashes.len() == 1), "{lock:?}");

    let phases = RefCell::new(Vec::new());
    let environment =
        environments.ensure(&lock, &|progress| phases.borrow_mut().push(progress.phase)).unwrap();
    assert_eq!(says(&environment, "import wide, slim; print(wide.version, slim.version)"), "1.0 1.0");
    let phases = phases.into_inner();
    assert!(matches!(phases[..], [.., Phase::Installing { .. }, Phase::Done]), "{phases:?}");

    let slim = says(&environment, "import slim; print(slim.__cached__)");
    assert!(Path::new(&slim).is_file(), "compiled at install time");
    let folder = Path::new(&slim).parent().unwrap();
    for sealed in [folder, folder.parent().unwrap(), &environment.bin, &scene.home(&environment)] {
        assert_eq!((sealed, fs::metadata(sealed).unwrap().mode() & 0o222), (sealed, 0));
    }

    let phases = RefCell::new(Vec::new());
    let again = scene.lock(environments, &["wide"]).unwrap();
    assert!(!again.is_new);
    let reused = environments.ensure(&again, &|progress| phases.borrow_mut().push(progress.phase)).unwrap();
    assert_eq!((reused, phases.into_inner()), (environment, vec![Phase::Done]));
}

#[test]
fn pip_locks_and_installs_once() {
    let Some(scene) = Scene::new() else { return };
    locks_and_installs(&scene, &scene.with(None));
}

#[test]
fn uv_locks_and_installs_once() {
    let (Some(scene), Some(uv)) = (Scene::new(), uv()) else { return };
    locks_and_installs(&scene, &scene.with(Some(uv)));
}

#[test]
fn a_pip_too_old_to_report_locks_and_installs_once() {
    let Some(mut scene) = Scene::new() else { return };
    if !scene.python.interpreter.ensurepip {
        return println!("SKIPPED: this Python has no ensurepip");
    }
    scene.python.interpreter.pip = Some((18, 1));
    locks_and_installs(&scene, &scene.with(None));
}

#[test]
fn a_lock_follows_the_requirements_and_keeps_what_does_not_change() {
    let Some(scene) = Scene::new() else { return };
    let environments = scene.with(None);
    let first = scene.lock(&environments, &["slim<2"]).unwrap();
    let other = Requirements::new(["slim<2"]);
    let file = scene.path(LOCK_FILE_NAME);
    let shared = environments.lock("another:1", &other, &scene.python, &file, &|_| ()).unwrap();
    assert_eq!((shared.is_new, &shared.hash), (false, &first.hash), "equal requirements are resolved once");

    let second = scene.lock(&environments, &["slim"]).unwrap();
    assert_eq!((packages(&second), second.is_new), (vec!["slim==2.0"], true));
    assert_ne!(second.hash, first.hash);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("[[environment]]").count(), 2, "{text}");
    assert!(text.contains("slim==1.0") && text.contains("slim==2.0"), "{text}");
}

#[test]
fn offline_without_the_wheel_names_the_package_and_what_to_do() {
    let Some(scene) = Scene::new() else { return };
    // The index has six, and must not be asked; uv may have it in its cache, which serves offline as well.
    for (uv, name) in [(None, "six"), (uv(), "absent-thing")] {
        let error = scene.lock(&scene.with(uv), &["slim", &format!("{name}>=1")]).unwrap_err();
        assert!(matches!(&error, Error::Offline { package, .. } if package == name), "{error:?}");
        assert!(error.to_string().contains("[pip] wheels = "), "{error}");
    }
}

#[test]
fn a_wheel_that_is_gone_after_locking_is_missed_by_name() {
    let Some(scene) = Scene::new() else { return };
    for uv in [None, uv()] {
        let environments = scene.with(uv);
        let lock = scene.lock(&environments, &["wide"]).unwrap();
        let wheel = scene.path("wheels/slim-1.0-py3-none-any.whl");
        fs::rename(&wheel, scene.path("kept")).unwrap();
        let error = environments.ensure(&lock, &|_| ()).unwrap_err();
        assert!(matches!(&error, Error::Offline { package, .. } if package == "slim"), "{error:?}");
        fs::rename(scene.path("kept"), &wheel).unwrap();
    }
}

#[test]
fn a_package_or_version_that_does_not_exist_is_named() {
    let Some(scene) = Scene::new() else { return };
    for uv in [None, uv()] {
        let options = Options { offline: false, wheels: Some(scene.path("wheels")), uv };
        let environments = Environments::new(scene.path("cache"), options);
        for (requirement, name) in [("absent-thing", "absent-thing"), ("slim==9", "slim")] {
            let error = scene.lock(&environments, &["--no-index", requirement]).unwrap_err();
            assert!(
                matches!(&error, Error::Resolve { package: Some(package), .. } if package == name),
                "{error:?}"
            );
        }
    }
}

#[test]
fn requirements_that_contradict_each_other_have_no_solution() {
    let Some(scene) = Scene::new() else { return };
    for uv in [None, uv()] {
        let error = scene.lock(&scene.with(uv), &["wide", "slim==2.0"]).unwrap_err();
        assert!(matches!(&error, Error::Resolve { reason, .. } if reason.contains("slim")), "{error:?}");
    }
}

#[test]
fn another_file_than_the_locked_one_is_not_installed() {
    let Some(scene) = Scene::new() else { return };
    for uv in [None, uv()] {
        let environments = scene.with(uv);
        let mut lock = scene.lock(&environments, &["slim"]).unwrap();
        lock.entry.packages[0].hashes = vec![format!("sha256:{}", "0".repeat(64))];
        lock.hash = lock.entry.hash();
        let error = environments.ensure(&lock, &|_| ()).unwrap_err();
        assert!(matches!(&error, Error::Hashes { .. }), "{error:?}");
        assert!(error.to_string().contains(LOCK_FILE_NAME), "{error}");
    }
}

#[test]
fn a_damaged_environment_is_built_again() {
    let Some(scene) = Scene::new() else { return };
    let environments = scene.with(None);
    let lock = scene.lock(&environments, &["slim"]).unwrap();
    let environment = environments.ensure(&lock, &|_| ()).unwrap();
    let home = scene.home(&environment);
    fs::remove_file(home.join("complete.json")).or_else(|_| folder::remove(&home)).unwrap();
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("complete.json"), "{").unwrap();
    assert_eq!(environments.ensure(&lock, &|_| ()).unwrap(), environment);
    assert_eq!(says(&environment, "import slim; print(slim.version)"), "2.0");
}

#[test]
fn a_damaged_or_newer_lock_file_is_left_alone_and_named() {
    let Some(scene) = Scene::new() else { return };
    let file = scene.path(LOCK_FILE_NAME);
    for (text, line) in [
        ("format = 1\n[[environment]\n", Some(2)),
        ("format = 1\nfoo = 2\n", Some(2)),
        ("format = 2\n", None),
    ] {
        fs::write(&file, text).unwrap();
        let error = scene.lock(&scene.with(None), &["slim"]).unwrap_err();
        let place = match &error {
            Error::BadLockFile { place, .. } => place.map(|place| place.line),
            _ => panic!("{error:?}"),
        };
        assert_eq!((place, fs::read_to_string(&file).unwrap().as_str()), (line, text), "{error}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let Some(scene) = Scene::new() else { return };
    let cache = scene.path("file");
    fs::write(&cache, "a file where the folder belongs").unwrap();
    let environments = Environments::new(&cache, Options::default());
    let error = scene.lock(&environments, &["slim"]).unwrap_err();
    assert!(matches!(&error, Error::Unwritable { path, .. } if path.starts_with(&cache)), "{error:?}");
}

#[test]
fn a_wheel_folder_that_is_not_there_is_named() {
    let Some(scene) = Scene::new() else { return };
    fs::remove_dir_all(scene.path("wheels")).unwrap();
    let error = scene.lock(&scene.with(None), &["slim"]).unwrap_err();
    assert!(matches!(&error, Error::NoWheels { path } if *path == scene.path("wheels")), "{error:?}");
}

#[test]
fn a_wheel_named_by_its_path_is_locked_with_its_hash() {
    let Some(scene) = Scene::new() else { return };
    for uv in [None, uv()] {
        let environments = scene.with(uv);
        let lock = scene.lock(&environments, &["./wheels/slim-1.0-py3-none-any.whl"]).unwrap();
        assert_eq!(lock.entry.packages[0].hashes.len(), 1, "{lock:?}");
        let text = fs::read_to_string(scene.path(LOCK_FILE_NAME)).unwrap();
        assert!(!text.contains(scene.folder.path().to_str().unwrap()), "no path of this machine: {text}");
        let environment = environments.ensure(&lock, &|_| ()).unwrap();
        assert_eq!(says(&environment, "import slim; print(slim.version)"), "1.0");
        fs::remove_file(scene.path(LOCK_FILE_NAME)).unwrap();
    }
}

#[test]
fn of_two_at_once_one_installs_and_the_other_waits() {
    let Some(scene) = Scene::new() else { return };
    let environments = scene.with(None);
    let lock = scene.lock(&environments, &["slim"]).unwrap();
    let (began, has_begun) = mpsc::channel();
    let (waits, is_waiting) = mpsc::channel();
    let (first, locked) = (&environments, &lock);
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let has_waited = RefCell::new(false);
            first.ensure(locked, &|progress| {
                // Hold the installation up until the other one has said that it waits.
                if !has_waited.replace(true) && progress.phase != Phase::Done {
                    began.send(()).unwrap();
                    is_waiting.recv().unwrap();
                }
            })
        });
        has_begun.recv().unwrap();
        let phases = RefCell::new(Vec::new());
        let environment = environments.ensure(&lock, &|progress| {
            if progress.phase == Phase::Waiting {
                waits.send(()).unwrap();
            }
            phases.borrow_mut().push(progress.phase);
        });
        assert_eq!(phases.into_inner(), [Phase::Waiting, Phase::Done]);
        assert_eq!(says(&environment.unwrap(), "import slim; print(slim.version)"), "2.0");
    });
}

const VICTIM: &str = "DROPFORGE_TEST_VICTIM";

/// The process that the next test kills: it stops for ever in the middle of an install.
#[test]
#[ignore = "started by the test that kills it"]
fn victim() {
    let Some(folder) = std::env::var_os(VICTIM).map(PathBuf::from) else { return };
    let options = Options { offline: true, wheels: Some(folder.join("wheels")), uv: None };
    let environments = Environments::new(folder.join("cache"), options);
    let python = Pythons::new(folder.join("cache"), Places::of_this_machine()).choose(None).unwrap();
    let requirements = Requirements::new(["slim"]);
    let lock =
        environments.lock("python:3", &requirements, &python, &folder.join(LOCK_FILE_NAME), &|_| ()).unwrap();
    environments
        .ensure(&lock, &|progress| {
            // What pip itself says: it is at work, and outlives this process.
            while progress.phase == (Phase::Installing { package: "slim".to_owned() }) {
                println!("victim is installing");
                std::thread::park();
            }
        })
        .unwrap();
}

#[test]
fn what_a_killed_process_half_built_is_removed_and_built_again() {
    let Some(scene) = Scene::new() else { return };
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "environments::tests::victim", "--ignored", "--nocapture"])
        .env(VICTIM, scene.folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("victim is installing")));
    victim.kill().unwrap();
    victim.wait().unwrap();

    let environments = scene.with(None);
    let lock = scene.lock(&environments, &["slim"]).unwrap();
    assert!(!lock.is_new, "the victim locked it");
    let halves: Vec<PathBuf> = fs::read_dir(scene.path("cache/environments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() && path.extension().is_none())
        .collect();
    let [half] = &halves[..] else { panic!("one half-built environment: {halves:?}") };
    assert!(!half.join("complete.json").exists());
    fs::write(half.join("left-behind"), "").unwrap();

    let environment = environments.ensure(&lock, &|_| ()).unwrap();
    assert_eq!((&scene.home(&environment), half.join("left-behind").exists()), (half, false));
    assert!(!half.with_extension("work").exists());
    assert_eq!(says(&environment, "import slim; print(slim.version)"), "2.0");
}
