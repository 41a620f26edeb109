use std::fs;

use super::*;
use crate::environments::Machine;

fn packer(folder: &std::path::Path, text: &str) -> Packer {
    let settings = Settings::parse(&folder.join("dropforge.toml"), text).unwrap();
    Packer {
        settings,
        cache: folder.join("cache"),
        packages: environments::Options { offline: true, ..environments::Options::default() },
        pythons: python::Places::of_this_machine(),
    }
}

fn images<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn of(text: &str) -> Image {
    packer("/project".as_ref(), text).settings.images[0].clone()
}

fn names(image: &Image) -> Vec<String> {
    targets(image).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn packages_are_packed_for_the_images_python_on_both_machines_unless_the_settings_say_otherwise() {
    assert_eq!(names(&of("[images.\"python:3.9-slim\"]")), ["3.9-x86_64", "3.9-aarch64"]);
    assert_eq!(names(&of("[images.any]\npython = \"3.10\"")), ["3.10-x86_64", "3.10-aarch64"]);
    let said = "[images.\"python:3.9\"]\n[images.\"python:3.9\".cluster]\npython = [\"3.9\", \"3.11\"]\nplatforms = [\"amd64\"]";
    assert_eq!(names(&of(said)), ["3.9-x86_64", "3.11-x86_64"]);
    let why = targets(&of("[images.\"python:3\"]")).unwrap_err();
    assert!(why.to_string().contains("[images.\"python:3\".cluster]"), "{why}");
}

#[test]
fn a_cluster_may_need_other_packages_or_none() {
    let own = of("[images.a]\nrequirements = [\"torch\"]");
    assert_eq!(own.cluster_requirements(), Some(&Requirements::new(["torch"])));
    let other = of("[images.a]\nrequirements = [\"torch\"]\n[images.a.cluster]\nrequirements = [\"numpy\"]");
    assert_eq!(other.cluster_requirements(), Some(&Requirements::new(["numpy"])));
    let none = of("[images.a]\nrequirements = [\"torch\"]\n[images.a.cluster]\nrequirements = []");
    assert_eq!(none.cluster_requirements(), None);
    let nowhere = of("[images.a]\npython = \"3.9\"\n[images.a.cluster]\nplatforms = []");
    assert_eq!((targets(&nowhere).unwrap(), nowhere.cluster.platforms), (vec![], Vec::<Machine>::new()));
}

#[test]
fn an_image_known_only_at_run_time_may_be_any_of_the_settings() {
    let packer = packer(
        "/project".as_ref(),
        "[images.\"python:*\"]\npython = \"3.9\"\n[images.tools]\npython = \"3.9\"",
    );
    let wanted = |names| packer.wanted(&names).into_keys().collect::<Vec<_>>();
    assert_eq!(wanted(images(["python:3.9", "alpine"])), ["python:3.9"]);
    assert_eq!(
        wanted(images(["python:3.9", "{{inputs.parameters.image}}"])),
        ["python:*", "python:3.9", "tools"]
    );
}

#[test]
fn code_is_packed_once_under_the_hash_of_its_archive() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("train.py"), "print(1)\n").unwrap();
    let packer = packer(folder.path(), "[code]\ninclude = [\"*.py\"]");
    let one = packer.pack(&images([]), &|_| ()).unwrap();
    let again = packer.pack(&images([]), &|_| ()).unwrap();
    assert_eq!(one, again);
    let [parcel] = &one.parcels[..] else { panic!("{one:?}") };
    assert_eq!(one.packed.code, Some(PackedCode { hash: parcel.sha256.clone(), git: None }));
    fs::write(folder.path().join("train.py"), "print(2)\n").unwrap();
    assert_ne!(packer.pack(&images([]), &|_| ()).unwrap().packed.code, one.packed.code);
}

#[test]
fn an_image_that_the_settings_do_not_know_takes_nothing_along() {
    let folder = tempfile::tempdir().unwrap();
    let packer = packer(folder.path(), "");
    assert_eq!(packer.pack(&images(["python:3.9"]), &|_| ()).unwrap(), Luggage::default());
}
