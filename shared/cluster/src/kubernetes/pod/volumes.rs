//! Volumes of a pod and where its containers see them.

use std::collections::BTreeSet;

use dropforge_driver::pods::{EXECUTOR_FOLDER, MIRRORED, SECRETS};
use dropforge_engine::attempt::Work;
use dropforge_manifest::types::{Artifact, HttpAuth, Template};
use serde_json::{Map, Value, json};

use super::containers::each;
use super::{INIT, PodError, all, each_list};

/// The volume of the executor's binary, its notes, the inputs and the logs.
const OWN: &str = "dropforge";

/// Adds a mount, unless something is mounted there already.
pub fn mount(container: &mut Value, mount: Value) {
    let mounts = each(container, "volumeMounts");
    if mounts.iter().all(|other| other["mountPath"] != mount["mountPath"]) {
        mounts.push(mount);
    }
}

/// The mounts of input artifacts: `init` brings each into the executor's own volume.
pub fn artifacts(template: &Template) -> Vec<Value> {
    let mounted = template.inputs.artifacts.iter().filter(|a| a.has_location());
    let own = mounted.filter_map(|artifact| {
        let path = artifact.path.as_deref().filter(|path| !path.is_empty())?;
        let volume = template.volume_of(path);
        let sub_path = format!("inputs/{}", artifact.name);
        volume.is_none().then(|| json!({"name": OWN, "mountPath": path, "subPath": sub_path}))
    });
    own.collect()
}

/// The main container's volumes that an input artifact is brought into.
pub fn mirrored_for_init(template: &Template) -> Vec<Value> {
    let paths =
        template.inputs.artifacts.iter().filter(|a| a.has_location()).filter_map(|a| a.path.as_deref());
    let mut seen = BTreeSet::new();
    let holding = paths.filter_map(|path| template.volume_of(path));
    let once = holding.filter(|volume| seen.insert(volume.mount_path.as_str()));
    let mirrored = once.map(|volume| {
        let mut mount = json!(volume);
        mount["mountPath"] = format!("{MIRRORED}{}", volume.mount_path).into();
        // Only Argo's main container may be kept from writing; its inputs must get in.
        if let Some(fields) = mount.as_object_mut() {
            fields.remove("readOnly");
        }
        mount
    });
    mirrored.collect()
}

/// Mounts input artifacts, and the secrets of artifacts, where they are used.
pub fn add_artifacts(spec: &mut Map<String, Value>, template: &Template) {
    let mounts = artifacts(template);
    let (inputs, outputs) = (secrets(&template.inputs.artifacts), secrets(&template.outputs.artifacts));
    for container in each_list(spec, "containers") {
        mounts.iter().chain(&secret_mounts(&outputs)).for_each(|each| mount(container, each.clone()));
    }
    for init in each_list(spec, "initContainers").iter_mut().filter(|container| container["name"] == INIT) {
        secret_mounts(&inputs).into_iter().for_each(|each| mount(init, each));
    }
    for name in inputs.union(&outputs) {
        let volume = json!({"name": secret_volume(name), "secret": {"secretName": name, "optional": true}});
        each_list(spec, "volumes").push(volume);
    }
}

/// The secrets that artifacts name for their requests.
fn secrets(artifacts: &[Artifact]) -> BTreeSet<String> {
    let auths = artifacts.iter().filter_map(|artifact| artifact.http.as_ref()?.auth.as_ref());
    let git = artifacts.iter().filter_map(|artifact| artifact.git.as_ref()).map(|git| json!(git));
    auths.map(|auth: &HttpAuth| json!(auth)).chain(git).flat_map(|value| named(&value)).collect()
}

/// The names of all key selectors in a value: objects of a `name` and a `key`.
fn named(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => match (fields.get("name"), fields.get("key")) {
            (Some(Value::String(name)), Some(Value::String(_))) => vec![name.clone()],
            _ => fields.values().flat_map(named).collect(),
        },
        Value::Array(items) => items.iter().flat_map(named).collect(),
        _ => Vec::new(),
    }
}

fn secret_volume(name: &str) -> String {
    // A volume's name is a label: without dots, of at most 63 characters.
    let plain = name.replace('.', "-");
    format!("dropforge-{}", super::label_value(&plain[..plain.floor_char_boundary(50)]))
}

fn secret_mounts(names: &BTreeSet<String>) -> Vec<Value> {
    let mount = |name: &String| json!({"name": secret_volume(name), "mountPath": format!("{SECRETS}/{name}"), "readOnly": true});
    names.iter().map(mount).collect()
}

/// The manifest's volumes that a container mounts.
///
/// # Errors
/// When one of them is not defined.
pub fn add_volumes(spec: &mut Map<String, Value>, work: &Work) -> Result<(), PodError> {
    let defined = |name: &str| {
        let own = work.template.volumes.iter().rev();
        own.chain(work.volumes.iter().rev()).find(|volume| volume["name"] == name).cloned()
    };
    let mut used: Vec<Value> = Vec::new();
    for container in all(spec) {
        for name in mounted(container) {
            let known = |volume: &Value| volume["name"] == name;
            if name == OWN || used.iter().any(known) || spec_has(spec, &name) {
                continue;
            }
            let container = || container["name"].as_str().unwrap_or_default().to_owned();
            let missing = || PodError::NoVolume { name: name.clone(), container: container() };
            used.push(defined(&name).ok_or_else(missing)?);
        }
    }
    each_list(spec, "volumes").extend(used);
    Ok(())
}

fn spec_has(spec: &Map<String, Value>, name: &str) -> bool {
    let volumes = spec.get("volumes").and_then(Value::as_array);
    volumes.into_iter().flatten().any(|volume| volume["name"] == name)
}

fn mounted(container: &Value) -> Vec<String> {
    let lists = ["volumeMounts", "volumeDevices"];
    let mounts = lists.into_iter().filter_map(|list| container[list].as_array()).flatten();
    mounts.filter_map(|mount| mount["name"].as_str()).map(str::to_owned).collect()
}

/// The executor's own volume, seen by every container.
pub fn add_executor(spec: &mut Map<String, Value>) {
    each_list(spec, "volumes").insert(0, json!({"name": OWN, "emptyDir": {}}));
    for list in ["initContainers", "containers"] {
        for container in each_list(spec, list) {
            let first = json!({"name": OWN, "mountPath": EXECUTOR_FOLDER});
            each(container, "volumeMounts").insert(0, first);
        }
    }
}
