//! The containers of a pod: the person's and the executor's own.

use dropforge_manifest::merge::strategic;
use dropforge_manifest::types::{Container, MAIN, Template};
use serde_json::{Map, Value, json};

use super::{
    Commands, EXECUTOR, INIT, ImageCommand, PodError, TEXT_BYTES_MAX, WAIT, below, each_list, volumes,
};
use crate::kubernetes::site::Site;

/// What only the executor understands of a container.
const NOT_KUBERNETES: [&str; 3] = ["source", "dependencies", "mirrorVolumeMounts"];

/// The containers by whose ends the pod is judged.
pub fn mains(template: &Template, site: &Site) -> Vec<Value> {
    let shared = template.container_set.as_ref().map(|set| json!(set.volume_mounts)).unwrap_or_default();
    let mains = template.mains().into_iter().map(|(name, container)| {
        let mut shaped = shaped(name, container, site);
        shared.as_array().into_iter().flatten().for_each(|mount| volumes::mount(&mut shaped, mount.clone()));
        shaped
    });
    mains.collect()
}

/// Those that run before, one after the other.
pub fn before(template: &Template, site: &Site) -> Vec<Value> {
    template.init_containers.iter().map(|container| mirrored(container, template, site)).collect()
}

/// Those that run beside: Kubernetes ends them after the mains.
pub fn beside(template: &Template, site: &Site) -> Vec<Value> {
    let sidecars = template.sidecars.iter().map(|container| {
        let mut sidecar = mirrored(container, template, site);
        sidecar["restartPolicy"] = "Always".into();
        sidecar
    });
    sidecars.collect()
}

/// A container that sees what the main container sees, where the manifest says so.
fn mirrored(container: &Container, template: &Template, site: &Site) -> Value {
    let mut shaped = shaped(container.name(), container, site);
    if container.mirror_volume_mounts == Some(true) {
        let mounts = template.main().map(|main| json!(main.volume_mounts)).unwrap_or_default();
        let artifacts = volumes::artifacts(template);
        let all = mounts.as_array().into_iter().flatten().cloned().chain(artifacts);
        all.for_each(|mount| volumes::mount(&mut shaped, mount));
    }
    shaped
}

fn shaped(name: &str, container: &Container, site: &Site) -> Value {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(container) else { return Value::Null };
    fields.retain(|field, _| !NOT_KUBERNETES.contains(&field.as_str()));
    fields.insert("name".to_owned(), name.into());
    numeric_ports(&mut fields);
    let mut shaped = strategic(Value::Object(site.defaults.container.clone()), Value::Object(fields));
    if let Some(image) = &container.image {
        shaped["image"] = site.defaults.image(image).into();
    }
    if !site.defaults.env_from.is_empty() {
        // First, so that the manifest's own win.
        let own = each(&mut shaped, "envFrom");
        own.splice(0..0, site.defaults.env_from.iter().cloned());
    }
    shaped
}

/// A port that is written in digits is a number: as a text it would be the name of a port.
fn numeric_ports(container: &mut Map<String, Value>) {
    let Some(probe) = container.get_mut("readinessProbe") else { return };
    for action in ["httpGet", "tcpSocket"] {
        if let Some(port) = probe.get_mut(action).and_then(|action| action.get_mut("port"))
            && let Some(number) = port.as_str().and_then(|text| text.parse::<u16>().ok())
        {
            *port = number.into();
        }
    }
}

/// Puts the executor and the inputs in place.
pub fn init(template: &Template, site: &Site) -> Value {
    let mut init = own(INIT, "init", site);
    let mounts = volumes::mirrored_for_init(template);
    if !mounts.is_empty() && site.defaults.executor.get("securityContext").is_none() {
        // A folder on a volume may belong to any user: only root with its capabilities gets in.
        init["securityContext"] = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true});
    }
    for mount in mounts {
        volumes::mount(&mut init, mount);
    }
    init
}

/// The witness: a native sidecar, which outlives the mains.
pub fn wait(site: &Site) -> Value {
    let mut wait = own(WAIT, "witness", site);
    wait["restartPolicy"] = "Always".into();
    wait
}

fn own(name: &str, role: &str, site: &Site) -> Value {
    let fields = json!({
        "name": name,
        "image": site.executor_image,
        "command": [EXECUTOR, role],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    });
    let mut own = strategic(fields, Value::Object(site.defaults.executor.clone()));
    if !site.defaults.env_from.is_empty() {
        own["envFrom"] = site.defaults.env_from.clone().into();
    }
    own
}

/// Whether it is one of the executor's own.
pub fn is_own(container: &Value) -> bool {
    container["name"] == INIT || container["name"] == WAIT
}

/// Lets the executor start each of the person's commands.
pub fn wrap(spec: &mut Map<String, Value>, template: &Template, commands: &Commands) -> Result<(), PodError> {
    for list in ["initContainers", "containers"] {
        for container in each_list(spec, list).iter_mut().filter(|container| !is_own(container)) {
            wrap_one(container, template, commands)?;
        }
    }
    Ok(())
}

fn wrap_one(container: &mut Value, template: &Template, commands: &Commands) -> Result<(), PodError> {
    let name = container["name"].as_str().unwrap_or_default().to_owned();
    let said = texts(&container["command"]);
    let mut args = container.get("args").map(texts);
    let command = if said.is_empty() {
        let image = of_image(template, &name, commands).ok_or_else(|| {
            let image = container["image"].as_str().unwrap_or_default().to_owned();
            PodError::NoCommand { container: name.clone(), image }
        })?;
        // Arguments replace the image's own.
        args = args.or_else(|| Some(image.cmd.clone()).filter(|cmd| !cmd.is_empty()));
        image.entrypoint.clone()
    } else {
        said
    };
    let source =
        template.script.as_ref().filter(|_| name == MAIN).and_then(|script| script.source.as_deref());
    if source.is_some_and(|source| !source.is_empty()) {
        args.get_or_insert_default().push(below("script"));
    }
    let wrapped = [below("dropforge-executor"), "wrap".to_owned(), name, "--".to_owned()];
    container["command"] = wrapped.into_iter().chain(command).collect();
    if let Some(args) = args {
        container["args"] = args.into();
    }
    refuse_too_long(container)
}

/// Refuses what no program can be started with.
fn refuse_too_long(container: &Value) -> Result<(), PodError> {
    let listed = ["command", "args"].into_iter().flat_map(|field| {
        let texts = container[field].as_array().into_iter().flatten();
        texts.enumerate().map(move |(at, text)| (format!("{field}[{at}]"), text.as_str().map_or(0, str::len)))
    });
    let variables = container["env"].as_array().into_iter().flatten().map(|variable| {
        let (name, value) = (variable["name"].as_str().unwrap_or_default(), variable["value"].as_str());
        (format!("the variable {name}"), name.len() + 1 + value.map_or(0, str::len))
    });
    match listed.chain(variables).find(|(_, bytes)| *bytes > TEXT_BYTES_MAX) {
        None => Ok(()),
        Some((what, bytes)) => {
            let container = container["name"].as_str().unwrap_or_default().to_owned();
            Err(PodError::TooLong { container, what, bytes })
        }
    }
}

fn of_image<'a>(template: &Template, name: &str, commands: &'a Commands) -> Option<&'a ImageCommand> {
    let containers = template.containers();
    let (_, container) = containers.iter().find(|(other, _)| *other == name)?;
    let found = commands.get(container.image.as_deref()?)?;
    let starts = !found.entrypoint.is_empty() || !found.cmd.is_empty() || container.args.is_some();
    starts.then_some(found)
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What Kubernetes tells a container of its pod.
const OF_THE_POD: [(&str, &str); 3] = [
    ("DROPFORGE_POD_UID", "metadata.uid"),
    ("DROPFORGE_NODE", "spec.nodeName"),
    ("DROPFORGE_POD_IP", "status.podIP"),
];

/// Puts the executor's variables in front of every container's own.
pub fn add_variables(spec: &mut Map<String, Value>, name: &str, value: &str) {
    let fields =
        OF_THE_POD.map(|(name, path)| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}));
    let variables: Vec<Value> = [json!({"name": name, "value": value})].into_iter().chain(fields).collect();
    for list in ["initContainers", "containers"] {
        for container in each_list(spec, list) {
            each(container, "env").splice(0..0, variables.iter().cloned());
        }
    }
}

/// A list of a container, to be changed.
pub fn each<'a>(container: &'a mut Value, field: &str) -> &'a mut Vec<Value> {
    if !container[field].is_array() {
        container[field] = Value::Array(Vec::new());
    }
    container[field].as_array_mut().expect("it was made a list")
}
