use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use super::*;

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(files: &[(&str, &str)]) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(scene.root()).unwrap();
        for (name, text) in files {
            scene.write(name, text);
        }
        scene
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn pack(&self, include: &[&str], exclude: &[&str], replace: &[&str]) -> Result<Code, Error> {
        let owned = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
        let files = CodeFiles { include: owned(include), exclude: owned(exclude), replace: owned(replace) };
        pack(&self.cache(), &self.root(), &files)
    }

    fn names(&self, include: &[&str], exclude: &[&str]) -> Vec<String> {
        self.pack(include, exclude, &[]).unwrap().files.into_iter().map(|file| file.path).collect()
    }

    fn git(&self, arguments: &[&str]) {
        let identity = ["-c", "user.name=n", "-c", "user.email=e@e", "-c", "commit.gpgsign=false"];
        let status =
            Command::new("git").arg("-C").arg(self.root()).args(identity).args(arguments).output().unwrap();
        assert!(status.status.success(), "{status:?}");
    }
}

const FILES: [(&str, &str); 8] = [
    ("train.py", "train"),
    ("src/a.py", "a"),
    ("src/deep/b.py", "b"),
    ("src/__pycache__/a.pyc", "compiled"),
    ("src/notes.txt", "notes"),
    ("data/big.csv", "1"),
    (".git/config", "git"),
    (".dropforge/state", "ours"),
];

#[test]
fn globs_and_folders_select_files() {
    let scene = Scene::new(&FILES);
    assert_eq!(
        scene.names(&["train.py", "src/**"], &[]),
        ["src/a.py", "src/deep/b.py", "src/notes.txt", "train.py"]
    );
    assert_eq!(scene.names(&["./src/"], &["src/deep"]), ["src/a.py", "src/notes.txt"]);
    assert_eq!(scene.names(&["src/*.py"], &[]), ["src/a.py"]);
    assert_eq!(scene.names(&["**"], &["data/**", "**/*.txt"]), ["src/a.py", "src/deep/b.py", "train.py"]);
    assert_eq!(scene.names(&["*"], &[]), ["train.py"]);
    assert_eq!(scene.names(&["{train,other}.py"], &[]), ["train.py"]);
    assert_eq!(scene.names(&[], &[]), [""; 0]);
}

#[test]
fn a_glob_that_finds_nothing_is_an_error() {
    let scene = Scene::new(&FILES);
    for glob in ["trian.py", "lib/**", "src/*.rs", "src/__pycache__/a.pyc"] {
        let error = scene.pack(&["train.py", glob], &[], &[]).unwrap_err();
        assert!(matches!(&error, Error::Missing { glob: named, .. } if named == glob), "{error}");
    }
    assert!(matches!(scene.pack(&["../x"], &[], &[]), Err(Error::Glob { .. })));
}

#[test]
fn a_stand_ins_code_takes_the_place_of_files_of_the_same_name() {
    let scene = Scene::new(&[("train.py", "real"), ("lib.py", "lib"), ("standin/train.py", "stand-in")]);
    let code = scene.pack(&["train.py", "lib.py"], &[], &["standin/**"]).unwrap();
    let step = scene.folder.path().join("step");
    place(&code, &step).unwrap();
    assert_eq!(fs::read_to_string(step.join("train.py")).unwrap(), "stand-in");
    assert_eq!(code.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["lib.py", "train.py"]);
}

#[test]
fn the_hash_follows_names_modes_and_contents_and_nothing_else() {
    let pack = |files: &[(&str, &str)], program: bool| {
        let scene = Scene::new(files);
        if program {
            fs::set_permissions(scene.root().join("a.py"), Permissions::from_mode(0o700)).unwrap();
        }
        scene.pack(&["**"], &[], &[]).unwrap().hash
    };
    let first = pack(&[("a.py", "x"), ("b.py", "y")], false);
    assert_eq!(first, pack(&[("b.py", "y"), ("a.py", "x")], false));
    assert_ne!(first, pack(&[("a.py", "x"), ("c.py", "y")], false));
    assert_ne!(first, pack(&[("a.py", "y"), ("b.py", "x")], false));
    assert_ne!(first, pack(&[("a.py", "x"), ("b.py", "y")], true));
}

#[test]
fn the_cached_copy_is_read_only_and_a_step_that_changes_its_files_does_not_reach_it() {
    let scene = Scene::new(&[("a.py", "x"), ("src/run", "y")]);
    fs::set_permissions(scene.root().join("src/run"), Permissions::from_mode(0o711)).unwrap();
    let code = scene.pack(&["**"], &[], &[]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    let modes = ["", "src", "a.py", "src/run"].map(|name| mode(&code.folder.join(name)));
    assert_eq!(modes, [0o555, 0o555, 0o444, 0o555]);
    let step = scene.folder.path().join("step");
    for _ in 0..2 {
        place(&code, &step).unwrap();
        assert_eq!(["a.py", "src/run"].map(|name| mode(&step.join(name))), [0o644, 0o755]);
        fs::write(step.join("a.py"), "changed").unwrap();
    }
    assert_eq!(fs::read_to_string(code.folder.join("a.py")).unwrap(), "x");
    assert_eq!(scene.pack(&["**"], &[], &[]).unwrap(), code);
}

#[test]
fn links_inside_are_followed_and_links_that_lead_out_are_refused() {
    let scene = Scene::new(&[("a.py", "x"), ("lib/b.py", "y")]);
    symlink("a.py", scene.root().join("alias.py")).unwrap();
    symlink("lib", scene.root().join("other")).unwrap();
    assert_eq!(scene.names(&["**"], &[]), ["a.py", "alias.py", "lib/b.py", "other/b.py"]);

    fs::write(scene.folder.path().join("outside"), "secret").unwrap();
    symlink("../outside", scene.root().join("leak.py")).unwrap();
    let error = scene.pack(&["**"], &[], &[]).unwrap_err();
    assert!(matches!(&error, Error::Escapes { path, .. } if path.ends_with("leak.py")), "{error}");
    assert_eq!(scene.names(&["**"], &["leak.py", "other"]), ["a.py", "alias.py", "lib/b.py"]);
}

#[test]
fn names_that_are_not_text_sockets_and_loops_are_refused() {
    let name = OsStr::from_bytes(b"\xff.py");
    let scene = Scene::new(&[("a.py", "x")]);
    fs::write(scene.root().join(name), "x").unwrap();
    assert!(matches!(scene.pack(&["*.py"], &[], &[]), Err(Error::NotUnicode { .. })));
    assert_eq!(scene.names(&["a.py"], &[]), ["a.py"]);

    let scene = Scene::new(&[("a.py", "x")]);
    let _socket = std::os::unix::net::UnixListener::bind(scene.root().join("socket")).unwrap();
    assert!(matches!(scene.pack(&["**"], &[], &[]), Err(Error::NotAFile { .. })));

    let scene = Scene::new(&[("src/a.py", "x")]);
    symlink("../src", scene.root().join("src/again")).unwrap();
    assert!(matches!(scene.pack(&["src"], &[], &[]), Err(Error::Read { .. })));
}

#[test]
fn a_cache_that_cannot_be_written_is_an_error_that_names_it() {
    let scene = Scene::new(&[("a.py", "x")]);
    fs::write(scene.cache(), "a file where the folder belongs").unwrap();
    let error = scene.pack(&["a.py"], &[], &[]).unwrap_err();
    assert!(matches!(&error, Error::Store { path, .. } if *path == scene.cache().join("code")), "{error}");
}

#[test]
fn the_commit_is_recorded_and_any_difference_of_a_packed_file_makes_it_dirty() {
    let scene = Scene::new(&[("sub/train.py", "x"), ("sub/.gitignore", "*.bin\n"), ("other.py", "x")]);
    let state = || {
        pack(
            &scene.cache(),
            &scene.root().join("sub"),
            &CodeFiles { include: vec!["**".to_owned()], ..CodeFiles::default() },
        )
        .unwrap()
        .git
    };
    assert_eq!(state(), None);
    scene.git(&["init", "-q"]);
    assert_eq!(state(), None, "no commit yet");
    scene.git(&["add", "."]);
    scene.git(&["commit", "-qm", "first"]);
    let clean = state().unwrap();
    assert_eq!((clean.commit.len(), clean.dirty), (40, false));

    scene.write("other.py", "changed, but not packed");
    assert!(!state().unwrap().dirty);
    scene.write("sub/weights.bin", "ignored, but packed");
    assert!(state().unwrap().dirty);
    fs::remove_file(scene.root().join("sub/weights.bin")).unwrap();
    scene.write("sub/train.py", "changed");
    assert!(state().unwrap().dirty);
}
