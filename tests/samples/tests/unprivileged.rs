//! Samples and demo as a user without rights, where no user namespace can be made and no container engine answers: the paths
//! of the manifests are rewritten then.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use dropforge_samples_tests::place::{Person, Place};
use dropforge_samples_tests::play;
use serde_json::Value;

/// A user without rights and without a name of meaning.
const NOBODY: u32 = 65534;

/// In a user namespace of its own: no further one may be made, and no right is kept.
const REFUSE: &str = "echo 0 > /proc/sys/user/max_user_namespaces && \
    exec setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all \"$0\" \"$@\"";

#[test]
fn the_demo() {
    match person() {
        Ok(person) => play::demo(&person),
        Err(why) => println!("SKIPPED: the demo as an unprivileged user ({why})"),
    }
}

#[test]
fn approval() {
    unprivileged("approval", "train-model");
}

#[test]
fn data_drop() {
    unprivileged("data-drop", "train-model");
}

#[test]
fn gpu_training() {
    unprivileged("gpu-training", "train-model");
}

#[test]
fn notebook() {
    unprivileged("notebook", "run-notebook");
}

#[test]
fn scheduled_retraining() {
    unprivileged("scheduled-retraining", "train-challenger(0)");
}

#[test]
fn hyperparameter_search() {
    unprivileged("hyperparameter-search", "choose-best");
}

#[test]
fn ml_pipeline() {
    unprivileged("ml-pipeline", "model-storage");
}

#[test]
fn train_until_accurate() {
    unprivileged("train-until-accurate", "train-model");
}

/// Plays a sample and looks at how a step of its newest run was kept apart.
fn unprivileged(sample: &str, step: &str) {
    let person = match person() {
        Ok(person) => person,
        Err(why) => {
            println!("SKIPPED: {sample} as an unprivileged user ({why})");
            return;
        }
    };
    let place = play::play(sample, &person);
    let isolation = isolation(&place, step);
    assert_eq!(isolation, "rewritten paths");
}

fn isolation(place: &Place, step: &str) -> String {
    let text = place.call(&["explain", "@latest", step, "-o", "json"]).data();
    let node: Value = serde_json::from_str(&text).expect("`explain -o json` prints a JSON object");
    node["attempts"][0]["verdict"]["provenance"]["isolation"].as_str().unwrap_or_default().to_owned()
}

/// The person, or why this machine has none.
fn person() -> Result<Person, String> {
    let mut person = Person {
        // Where an engine runs, it is not found.
        variables: ["DOCKER_HOST", "CONTAINER_HOST"]
            .map(|name| (name.to_owned(), "unix:///nonexistent/engine.sock".into()))
            .into(),
        ..Person::default()
    };
    if rustix::process::geteuid().is_root() {
        let home = home(&person)?;
        let below = |folder: &str| home.join(folder).into_os_string();
        person.variables.extend([
            ("HOME".to_owned(), below("")),
            ("XDG_CACHE_HOME".to_owned(), below(".cache")),
            ("DROPFORGE_CACHE".to_owned(), below(".cache/dropforge")),
        ]);
        person.user = Some(NOBODY);
    }
    // Where the kernel refuses namespaces by itself, the wrapper can't be had and isn't needed.
    let refusing = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", REFUSE];
    let wrapped = Person { wrapper: refusing.map(OsString::from).into(), ..person.clone() };
    [wrapped, person]
        .into_iter()
        .find(|person| {
            says(person, "unshare --user --map-root-user --mount true || echo refused") == "refused\n"
        })
        .ok_or_else(|| "namespaces can't be refused here".to_owned())
}

/// The home of the user that root becomes. It is kept, since packages are installed there: beside the build's files,
/// or where only this user can enter those, among all temporary files.
fn home(person: &Person) -> Result<PathBuf, String> {
    // One test at a time: between being made and being given away a home looks like somebody else's.
    let files = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(files.join("dropforge-unprivileged.lock")).expect("cargo made this folder");
    lock.lock().expect("nobody holds it for long");
    let person = Person { user: Some(NOBODY), ..person.clone() };
    let bases = [files.to_path_buf(), std::env::temp_dir()];
    let homes = bases.map(|base| base.join("dropforge-unprivileged"));
    let usable = homes.into_iter().find(|home| {
        // A name among temporary files may be anybody's.
        let made = fs::create_dir(home).is_ok() && lchown(home, Some(NOBODY), Some(NOBODY)).is_ok();
        let kept = || fs::symlink_metadata(home).is_ok_and(|it| it.is_dir() && it.uid() == NOBODY);
        let enter = format!("test -w '{}' && echo mine", home.display());
        (made || kept()) && says(&person, &enter) == "mine\n"
    });
    usable.ok_or_else(|| format!("there is no folder that user {NOBODY} may enter"))
}

/// What a shell of this person prints.
fn says(person: &Person, script: &str) -> String {
    let mut shell = person.command("sh");
    let output = shell.args(["-c", script]).current_dir("/").stderr(Stdio::null()).output();
    output.map_or_else(|why| why.to_string(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}
