//! The pod of an attempt: a pure function of the attempt, its run and the deployment.
//!
//! Everything is shaped as JSON, since the manifest's own fields and patches are, so that fields of a newer Kubernetes
//! pass through; the whole is read as a pod once, to find a wrong type here and not at the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use dropforge_driver::pods::{
    EXECUTOR_FOLDER, LAUNCH_BYTES_MAX, LAUNCH_FORMAT, LAUNCH_VARIABLE, LaunchPlace, PodLaunch, launch_key,
};
use dropforge_engine::attempt::Attempt;
use dropforge_engine::ids::argo_node_id;
use dropforge_engine::spec::{PackedEnvironment, RunSpec};
use dropforge_manifest::merge::strategic;
use dropforge_manifest::types::{MAIN, Template};
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::site::{Site, Witness};
use crate::settings::image_matches;

mod containers;
mod patches;
mod volumes;

/// Where the executor lies in its own image.
pub const EXECUTOR: &str = "/dropforge-executor";

/// The label that holds the run's uid: a pod of another run is not ours, whatever its name is.
pub const RUN_LABEL: &str = "dropforge.dev/run";

/// The label of every pod that this program makes, and its value.
pub const MANAGED_LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "dropforge");

/// The executor's own containers.
pub const INIT: &str = "init";
/// See [`INIT`].
pub const WAIT: &str = "wait";

/// How long the executor has after a command's own grace: to store outputs and the last of the log.
const REPORT_SECONDS: u64 = 10;

/// A command's grace where the manifest sets no `terminationGracePeriodSeconds`: Kubernetes' own default.
const GRACE_SECONDS: u64 = 30;

/// How much later than the executor the kubelet ends a pod that is over its `activeDeadlineSeconds`: only a wrapper
/// that hangs is ended so.
const DEADLINE_SLACK_SECONDS: u64 = 180;

/// A label's value has at most this length.
const LABEL_BYTES_MAX: usize = 63;

/// An object of Kubernetes has at most 1.5 MiB in its store; the launch document stands in each container.
const POD_LAUNCH_BYTES_MAX: usize = 512 * 1024;

/// The longest argument, or variable with its name, that Linux gives a program: 128 KiB with the zero at its end. A longer
/// one ends the container with a StartError that says "argument list too long".
const TEXT_BYTES_MAX: usize = 128 * 1024 - 1;

/// What an image starts where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct ImageCommand {
    /// Its entrypoint.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// Its command, which arguments replace.
    #[serde(default)]
    pub cmd: Vec<String>,
}

/// What images start, by the image as the manifest names it.
pub type Commands = BTreeMap<String, ImageCommand>;

/// A pod to create.
#[derive(Clone, Debug, PartialEq)]
pub struct Launched {
    /// The pod.
    pub pod: Value,
    /// The launch document, where it is too large for the pod: the object `launch.json` beside the attempt's claim, to be
    /// stored first.
    pub document: Option<Vec<u8>>,
}

/// Why an attempt can't be a pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodError {
    /// A container says no command, and its image's is not known.
    #[error(
        "start container {container:?}: the manifest gives no `command`, and what the image {image:?} starts is not known; \
         write the command into the manifest"
    )]
    NoCommand {
        /// The container.
        container: String,
        /// Its image.
        image: String,
    },
    /// A text is longer than a program can be given.
    #[error(
        "start container {container:?}: {what} has {bytes} bytes, and Linux gives a program no text of more than {TEXT_BYTES_MAX}; \
         hand it over as an artifact, `raw` where it is the manifest's own"
    )]
    TooLong {
        /// The container.
        container: String,
        /// Which text: `args[1]`, `the variable DATA`.
        what: String,
        /// How long it is.
        bytes: usize,
    },
    /// A container mounts a volume that nothing defines.
    #[error(
        "mount volume {name:?} in container {container:?}: it is not among the `volumes` of the workflow or template"
    )]
    NoVolume {
        /// The volume.
        name: String,
        /// The container.
        container: String,
    },
    /// A patch names a container that there is not.
    #[error("apply the podSpecPatch: there is no container {name:?} in the pod")]
    NoContainer {
        /// The container.
        name: String,
    },
    /// The pod is none.
    #[error("make the pod: a field of it has the wrong type: {why}")]
    Misfit {
        /// What does not fit.
        why: String,
    },
}

/// The images whose own command must be known to make the pod.
pub fn images_without_command(template: &Template) -> Vec<&str> {
    let silent =
        template.containers().into_iter().filter(|(_, c)| c.command.as_ref().is_none_or(Vec::is_empty));
    silent.filter_map(|(_, c)| c.image.as_deref()).collect()
}

/// The pod of an attempt. `commands` holds what the images start that [`images_without_command`] names.
///
/// # Errors
/// See [`PodError`].
pub fn pod(
    run: &RunSpec,
    attempt: &Arc<Attempt>,
    site: &Site,
    commands: &Commands,
) -> Result<Launched, PodError> {
    let template = &attempt.work.template;
    let mut spec = base_spec(attempt, site);
    spec.insert("containers".to_owned(), containers::mains(template, site).into());
    let (before, beside) = (containers::before(template, site), containers::beside(template, site));
    let before: Vec<Value> = [containers::init(template, site), containers::wait(site)]
        .into_iter()
        .chain(before)
        .chain(beside)
        .collect();
    spec.insert("initContainers".to_owned(), before.into());
    volumes::add_artifacts(&mut spec, template);
    volumes::add_volumes(&mut spec, &attempt.work)?;
    patches::apply(&mut spec, &attempt.work.pod.patches)?;
    if !needs_witness(&spec, site) {
        each_list(&mut spec, "initContainers").retain(|container| container["name"] != WAIT);
    }
    containers::wrap(&mut spec, template, commands)?;
    volumes::add_executor(&mut spec);
    let document = add_launch(&mut spec, run, attempt, site, commands)?;
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(run, attempt, site),
        "spec": spec,
    });
    Pod::deserialize(&pod).map_err(|why| PodError::Misfit { why: why.to_string() })?;
    Ok(Launched { pod, document })
}

/// The pod's own fields: the deployment's beneath the manifest's.
fn base_spec(attempt: &Attempt, site: &Site) -> Map<String, Value> {
    let fields = Value::Object(attempt.work.pod.spec.clone());
    let Value::Object(mut spec) = strategic(Value::Object(site.defaults.spec.clone()), fields) else {
        return Map::new();
    };
    spec.insert("restartPolicy".to_owned(), "Never".into());
    let grace = json!(GRACE_SECONDS + REPORT_SECONDS);
    spec.entry("terminationGracePeriodSeconds").or_insert(grace);
    if let Some(seconds) = attempt.work.active_deadline_seconds {
        spec.insert("activeDeadlineSeconds".to_owned(), json!(seconds + DEADLINE_SLACK_SECONDS));
    }
    spec
}

fn metadata(run: &RunSpec, attempt: &Attempt, site: &Site) -> Value {
    let mut labels = site.defaults.labels.clone();
    labels.extend(attempt.work.pod.labels.clone());
    let own = [
        ("workflows.argoproj.io/workflow", label_value(run.name())),
        ("workflows.argoproj.io/completed", "false".to_owned()),
        (RUN_LABEL, label_value(run.uid.as_str())),
        (MANAGED_LABEL.0, MANAGED_LABEL.1.to_owned()),
    ];
    labels.extend(own.map(|(name, value)| (name.to_owned(), value)));
    if attempt.on_exit {
        labels.insert("workflows.argoproj.io/on-exit".to_owned(), "true".to_owned());
    }
    let mut annotations = BTreeMap::from([
        ("kubectl.kubernetes.io/default-container".to_owned(), MAIN.to_owned()),
        ("workflows.argoproj.io/node-id".to_owned(), argo_node_id(&attempt.run_name, &attempt.node_name)),
        ("workflows.argoproj.io/node-name".to_owned(), attempt.node_name.clone()),
        ("workflows.argoproj.io/pod-name-format".to_owned(), "v2".to_owned()),
    ]);
    annotations.extend(site.defaults.annotations.clone());
    annotations.extend(attempt.work.pod.annotations.clone());
    json!({
        "name": attempt.id,
        "namespace": attempt.namespace,
        "labels": labels,
        "annotations": annotations,
    })
}

/// A text as the value of a label: cut where it is too long.
pub fn label_value(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(LABEL_BYTES_MAX)];
    cut.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// Whether something can end a container without its wrapper, which then reports nothing.
fn needs_witness(spec: &Map<String, Value>, site: &Site) -> bool {
    let limited = |of: &Value| of.pointer("/resources/limits/memory").is_some();
    let whole = spec.get("resources").is_some_and(|resources| resources.pointer("/limits/memory").is_some());
    let shared = spec.get("shareProcessNamespace").is_some_and(|shared| shared == true);
    let persons = all(spec).filter(|container| !containers::is_own(container));
    site.defaults.witness == Witness::Always || whole || shared || persons.into_iter().any(limited)
}

/// All containers of a pod's spec.
fn all(spec: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().filter_map(|list| spec.get(list)?.as_array()).flatten()
}

/// A list of a pod's spec, to be changed.
fn each_list<'a>(spec: &'a mut Map<String, Value>, field: &str) -> &'a mut Vec<Value> {
    let list = spec.entry(field).or_insert_with(|| Value::Array(Vec::new()));
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut().expect("it was made a list")
}

/// Puts the launch document into every container; gives it where it is too large for that.
fn add_launch(
    spec: &mut Map<String, Value>,
    run: &RunSpec,
    attempt: &Arc<Attempt>,
    site: &Site,
    commands: &Commands,
) -> Result<Option<Vec<u8>>, PodError> {
    let grace = spec.get("terminationGracePeriodSeconds").and_then(Value::as_u64).unwrap_or_default();
    let launch = PodLaunch {
        format: LAUNCH_FORMAT,
        attempt: attempt.clone(),
        stores: site.stores.clone(),
        queue_url: site.queue_url.clone(),
        token: (site.token)(&attempt.run, &attempt.id),
        // A short grace of the manifest's own is halved: the rest is for the report.
        grace_seconds: grace.saturating_sub(REPORT_SECONDS).max(grace / 2),
        environments: environments(run, &attempt.work.template),
        code: run.packed.code.clone(),
        commands: of_images(&attempt.work.template, commands),
    };
    let text = serde_json::to_string(&launch).map_err(|why| PodError::Misfit { why: why.to_string() })?;
    // Kubernetes replaces `$(NAME)` in a variable's value, and reads `$$` as `$`.
    let value = text.replace('$', "$$");
    let total = value.len() * all(spec).count();
    let fits = value.len() <= LAUNCH_BYTES_MAX && total <= POD_LAUNCH_BYTES_MAX;
    if fits {
        containers::add_variables(spec, LAUNCH_VARIABLE, &value);
        return Ok(None);
    }
    let place = LaunchPlace { stores: site.stores.clone(), key: launch_key(&attempt.namespace, &attempt.id) };
    containers::add_variables(spec, LAUNCH_VARIABLE, &format!("@{}", json!(place)));
    Ok(Some(text.into_bytes()))
}

/// What the containers run whose manifest names no command.
fn of_images(template: &Template, commands: &Commands) -> BTreeMap<String, Vec<String>> {
    let containers = template.containers().into_iter();
    let silent = containers.filter(|(_, container)| container.command.as_ref().is_none_or(Vec::is_empty));
    let started = silent.filter_map(|(name, container)| {
        let image = commands.get(container.image.as_deref()?)?;
        // The manifest's arguments take the place of the image's.
        let cmd = if container.args.is_some() { &[][..] } else { &image.cmd };
        Some((name.to_owned(), [image.entrypoint.as_slice(), cmd].concat()))
    });
    started.collect()
}

/// What each container finds beside its image: the most specific pattern that its image matches.
fn environments(run: &RunSpec, template: &Template) -> BTreeMap<String, PackedEnvironment> {
    let of = |image: &str| {
        let matching = run.packed.environments.iter().filter(|(pattern, _)| image_matches(pattern, image));
        matching.max_by_key(|(pattern, _)| {
            let stars = pattern.matches('*').count();
            (stars == 0, pattern.len() - stars)
        })
    };
    let containers = template.containers().into_iter();
    let found =
        containers.filter_map(|(name, c)| Some((name.to_owned(), of(c.image.as_deref()?)?.1.clone())));
    found.collect()
}

/// A path below the executor's folder.
fn below(path: &str) -> String {
    format!("{EXECUTOR_FOLDER}/{path}")
}
