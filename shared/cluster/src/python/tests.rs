use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// A program that introduces itself as an interpreter, and counts how often it is asked.
fn interpreter(program: &Path, version: &str) {
    let wanted: Wanted = version.parse().unwrap();
    let (minor, patch) = (wanted.minor.unwrap(), wanted.patch.unwrap());
    let said = format!(
        r#"{{"implementation":"CPython","interpreter":{{"executable":"{}","version":{{"major":{},"minor":{minor},"patch":{patch}}},"platform":"p","pip":[23,0],"ensurepip":true}}}}"#,
        program.display(),
        wanted.major
    );
    script(program, &format!("echo asked >> '{}.asked'\necho '{said}'", program.display()));
}

fn script(program: &Path, text: &str) {
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::write(program, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
}

fn asked(program: &Path) -> usize {
    fs::read_to_string(format!("{}.asked", program.display())).map_or(0, |text| text.lines().count())
}

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pythons(&self) -> Pythons {
        let places = Places {
            path: vec![self.path("pyenv/shims"), self.path("bin")],
            pyenv: Some(self.path("pyenv")),
            uv: None,
        };
        Pythons::new(self.path("cache"), places)
    }

    fn choose(&self, wanted: &str) -> String {
        self.pythons().choose(Some(wanted.parse().unwrap())).unwrap().interpreter.version.to_string()
    }
}

#[test]
fn the_same_minor_version_is_taken_else_the_nearest_and_the_newer_of_two() {
    let scene = Scene::new();
    for (program, version) in [
        ("bin/python3.8", "3.8.10"),
        ("bin/python3.10", "3.10.1"),
        ("pyenv/versions/3.10.13/bin/python3", "3.10.13"),
        ("pyenv/versions/3.13.0/bin/python3", "3.13.0"),
    ] {
        interpreter(&scene.path(program), version);
    }
    let wishes = ["3.8", "3.9", "3.10", "3.10.1", "3.11", "3.12", "3.6"];
    let taken = wishes.map(|wish| scene.choose(wish));
    assert_eq!(taken, ["3.8.10", "3.10.13", "3.10.13", "3.10.1", "3.10.13", "3.13.0", "3.8.10"]);
}

#[test]
fn another_version_than_the_wanted_one_is_said() {
    let scene = Scene::new();
    let program = scene.path("bin/python3.12");
    interpreter(&program, "3.12.1");
    let chosen = scene.pythons().choose(Some("3.9".parse().unwrap())).unwrap();
    let sentence = format!(
        "Python 3.9 is not on this machine; the nearest one here, 3.12.1, is used ({})",
        program.display()
    );
    assert_eq!(chosen.said(), Some(sentence));
    assert_eq!(scene.pythons().choose(Some("3.12.9".parse().unwrap())).unwrap().said(), None);
}

#[test]
fn broken_interpreters_are_skipped_and_the_default_is_the_first_that_works() {
    let scene = Scene::new();
    script(&scene.path("pyenv/shims/python3"), "echo 'pyenv: python3: command not found' >&2; exit 127");
    script(&scene.path("pyenv/shims/python3.9"), "exit 127");
    script(&scene.path("bin/python3"), "echo garbage");
    interpreter(&scene.path("bin/python"), "3.7.1");
    interpreter(&scene.path("pyenv/versions/3.11.7/bin/python3"), "3.11.7");
    assert_eq!(scene.pythons().choose(None).unwrap().interpreter.version.to_string(), "3.7.1");
    assert_eq!(scene.choose("3"), "3.7.1");
    assert_eq!(scene.choose("3.9"), "3.11.7");
}

#[test]
fn no_python_at_all_is_an_error_that_says_where_was_looked() {
    let scene = Scene::new();
    script(&scene.path("bin/python3"), "exit 1");
    let error = scene.pythons().choose(Some("3.9".parse().unwrap())).unwrap_err();
    assert!(matches!(&error, Error::NoPython { tried: 1, .. }), "{error}");
    assert!(error.to_string().starts_with("find a Python 3.9: none of the 1 programs"), "{error}");
}

#[test]
fn an_interpreter_is_asked_once_until_its_file_changes_and_a_shim_every_time() {
    let scene = Scene::new();
    let program = scene.path("bin/python3.11");
    let shim = scene.path("pyenv/shims/python3");
    fs::create_dir_all(scene.path("pyenv/versions")).unwrap();
    interpreter(&program, "3.11.7");
    interpreter(&shim, "3.12.1");
    for _ in 0..2 {
        assert_eq!(scene.choose("3.11"), "3.11.7");
        assert_eq!(scene.pythons().choose(None).unwrap().interpreter.version.to_string(), "3.12.1");
    }
    assert_eq!((asked(&program), asked(&shim)), (1, 2));

    interpreter(&program, "3.11.77");
    assert_eq!(scene.choose("3.11"), "3.11.77");
}

#[test]
fn a_damaged_memory_only_costs_asking_again() {
    let scene = Scene::new();
    interpreter(&scene.path("bin/python3.11"), "3.11.7");
    fs::create_dir_all(scene.path("cache")).unwrap();
    fs::write(scene.path("cache").join(MEMORY), "{").unwrap();
    assert_eq!(scene.choose("3.11"), "3.11.7");
    fs::remove_dir_all(scene.path("cache")).unwrap();
    fs::write(scene.path("cache"), "a file where the folder belongs").unwrap();
    assert_eq!(scene.choose("3.11"), "3.11.7");
}

#[test]
fn a_bare_interpreter_gets_its_usual_names() {
    let scene = Scene::new();
    interpreter(&scene.path("bin/python3.11"), "3.11.7");
    let pythons = scene.pythons();
    let interpreter = pythons.choose(wish("3.11")).unwrap().interpreter;
    for _ in 0..2 {
        let bin = pythons.bin(&interpreter).unwrap();
        let mut names: Vec<_> = fs::read_dir(&bin).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["python", "python3", "python3.11"]);
        assert_eq!(fs::read_link(bin.join("python")).unwrap(), interpreter.executable);
    }
}

fn wish(text: &str) -> Option<Wanted> {
    Some(text.parse().unwrap())
}

#[test]
fn versions_are_read_strictly() {
    let read = |text: &str| text.parse::<Wanted>().ok().map(|wanted| wanted.to_string());
    assert_eq!(["3", "3.9", "3.9.18"].map(read), ["3", "3.9", "3.9.18"].map(|text| Some(text.to_owned())));
    assert_eq!(["", "3.", "3.9.1.2", "3.x", "+3", "3.9-slim"].map(read), [const { None }; 6]);
}
