//! Packages for pods: other machines, other Pythons, and bytes that tell nothing of this machine.

use std::collections::BTreeMap;
use std::io::Read;

use super::*;
use crate::parcel::Parcel;

/// `native` is built for each machine, and asks for `extra` on one of them only; it brings a program.
const NATIVE: &str = r#"
import sys, zipfile
def wheel(name, tag, requires="", scripts=""):
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(f"{sys.argv[1]}/{name}-1.0-{tag}.whl", "w") as file:
        file.writestr(f"{name}/__init__.py", f"tag = '{tag}'\ndef main(): print(tag)\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}")
        file.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n")
        if scripts:
            file.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{scripts}\n")
        file.writestr(f"{info}/RECORD", f"{name}/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
for machine in ["x86_64", "aarch64"]:
    requires = "Requires-Dist: extra; platform_machine == 'aarch64' and python_version == '3.11'\n"
    wheel("native", f"cp311-cp311-manylinux_2_17_{machine}", requires, "native = native:main")
wheel("native", "cp311-cp311-manylinux_2_39_x86_64")
wheel("extra", "py3-none-any")
"#;

fn scene() -> Option<Scene> {
    let scene = Scene::new()?;
    let python = &scene.python.interpreter.executable;
    let made = Command::new(python).args(["-I", "-c", NATIVE]).arg(scene.path("wheels")).status().unwrap();
    assert!(made.success());
    Some(scene)
}

const ON_ARM: Target = Target { major: 3, minor: 11, machine: Machine::Aarch64 };
const ON_INTEL: Target = Target { machine: Machine::X86_64, ..ON_ARM };

fn lock(scene: &Scene, environments: &Environments, target: Target) -> Result<TreeLock, Error> {
    let wish = Requirements::new(["native"]);
    let python = &scene.python.interpreter;
    environments.lock_tree("python:3", &wish, target, python, &scene.path(LOCK_FILE_NAME), &|_| ())
}

fn files(parcel: &Parcel) -> BTreeMap<String, String> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(&parcel.file).unwrap()));
    let entries = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (entry.path().unwrap().display().to_string(), text)
    });
    entries.collect()
}

fn packs(uv: Option<PathBuf>) {
    let Some(scene) = scene() else { return };
    let environments = scene.with(uv.clone());
    let [intel, arm] = [ON_INTEL, ON_ARM].map(|target| lock(&scene, &environments, target).unwrap());
    let names =
        |lock: &TreeLock| lock.entry.packages.iter().map(|p| p.requirement.clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&intel), names(&arm)),
        (vec!["native==1.0".to_owned()], vec!["extra==1.0".to_owned(), "native==1.0".to_owned()])
    );

    let [on_intel, on_arm] = [&intel, &arm].map(|lock| environments.tree(lock, &|_| ()).unwrap());
    let (held, held_on_arm) = (files(&on_intel), files(&on_arm));
    assert!(held["native/__init__.py"].contains("manylinux_2_17_x86_64"), "{held:?}");
    assert!(held_on_arm["native/__init__.py"].contains("manylinux_2_17_aarch64"), "{held_on_arm:?}");
    assert!(held_on_arm.contains_key("extra/__init__.py") && !held.contains_key("extra/__init__.py"));
    assert!(held["bin/native"].starts_with("#!/usr/bin/env python3\n"), "{held:?}");
    let here = scene.folder.path().to_str().unwrap();
    assert!(held.values().all(|text| !text.contains(here)), "nothing names this machine's folders: {held:?}");

    let elsewhere = scene_of(&scene, "elsewhere", uv);
    let again = elsewhere.tree(&lock(&scene, &elsewhere, ON_INTEL).unwrap(), &|_| ()).unwrap();
    assert_eq!(again.sha256, on_intel.sha256, "the same bytes from another cache");
    let phases = RefCell::new(Vec::new());
    let cached = environments.tree(&intel, &|progress| phases.borrow_mut().push(progress.phase)).unwrap();
    assert_eq!((cached, phases.into_inner()), (on_intel, Vec::new()));
}

fn scene_of(scene: &Scene, cache: &str, uv: Option<PathBuf>) -> Environments {
    Environments::new(scene.path(cache), Options { offline: true, wheels: Some(scene.path("wheels")), uv })
}

#[test]
fn pip_packs_for_other_machines() {
    packs(None);
}

#[test]
fn uv_packs_for_other_machines() {
    let Some(uv) = uv() else { return };
    packs(Some(uv));
}

#[test]
fn a_package_without_a_wheel_for_the_target_is_named() {
    let Some(scene) = scene() else { return };
    let target = Target { minor: 12, ..ON_INTEL };
    let why = lock(&scene, &scene.with(None), target).unwrap_err();
    assert!(matches!(&why, Error::Offline { package, .. } if package == "native"), "{why}");
}
