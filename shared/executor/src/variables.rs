//! The environment of a step's command: nothing of the person's, what Argo sets, what the manifest asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dropforge_driver::supervision::{Endpoint, Launch, StepEnvironment};
use dropforge_engine::attempt::Attempt;
use dropforge_engine::ids::argo_node_id;
use dropforge_manifest::quantity::Quantity;
use dropforge_manifest::text::AnyString;
use dropforge_manifest::types::{Container, EnvVarSource, Resources};
use serde_json::Value;

mod local;
#[cfg(test)]
mod tests;

pub use local::{LocalObjects, NotFound};

/// The folders of programs that every image has.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a variable has no value.
#[derive(Debug, thiserror::Error)]
pub enum VariableError {
    /// A secret or config map, or a key of it, is not there.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// The field can't be known here.
    #[error("variable {name}: {kind} {field:?} is not known on this machine")]
    Field {
        /// The variable.
        name: String,
        /// `fieldRef` or `resourceFieldRef`.
        kind: &'static str,
        /// The field's path.
        field: String,
    },
}

/// What the variables are made of, beside the manifest.
pub struct Surroundings<'a> {
    /// The attempt.
    pub launch: &'a Launch,
    /// The container's name.
    pub container: &'a str,
    /// What its image gives.
    pub environment: &'a StepEnvironment,
    /// The S3 endpoint that the step sees.
    pub endpoint: Option<&'a Endpoint>,
    /// The GPUs the step holds.
    pub gpus: &'a [String],
    /// The machine's name.
    pub host: &'a str,
    /// The step's home folder, as the step sees it.
    pub home: &'a Path,
    /// The folder for temporary files, as the step sees it.
    pub temporary: &'a Path,
}

/// A command with its environment, every `$(VAR)` replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// Command and arguments.
    pub command: Vec<String>,
    /// The whole environment.
    pub variables: BTreeMap<String, String>,
    /// The part of it that is of our making.
    pub base: BTreeMap<String, String>,
}

/// The environment of `container`, and `command` (with arguments) expanded by it as Kubernetes does.
///
/// # Errors
/// When a secret, config map or field that a variable names is not there.
pub fn expand(
    container: &Container,
    command: &[String],
    around: &Surroundings<'_>,
) -> Result<Expanded, VariableError> {
    let mut declared = argo(around.launch, around.container);
    add_declared(&mut declared, container, around)?;
    let command = command.iter().map(|part| replace(part, &declared)).collect();
    let base = base(around);
    let mut variables = base.clone();
    variables.extend(declared);
    add_endpoint(&mut variables, around.endpoint);
    Ok(Expanded { command, variables, base })
}

/// What an image's own environment would give, where the image does not give it itself, and what each step gets.
fn base(around: &Surroundings<'_>) -> BTreeMap<String, String> {
    let mut variables = match around.launch.engine {
        Some(_) => BTreeMap::new(),
        None => of_image(around),
    };
    variables.insert("HOSTNAME".to_owned(), around.launch.attempt.id.to_string());
    variables.extend(progress(&progress_file(around.home)));
    variables
}

/// What tells a step where it may write how far it is.
fn progress(file: &Path) -> [(String, String); 3] {
    [
        ("ARGO_PROGRESS_FILE", file.to_string_lossy().into_owned()),
        ("ARGO_PROGRESS_FILE_TICK_DURATION", "3s".to_owned()),
        ("ARGO_PROGRESS_PATCH_TICK_DURATION", "15s".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// A longer value could not be handed to a program: Linux takes 128 KiB.
const VALUE_BYTES_MAX: usize = 120 * 1024;

/// What Argo gives a container of a pod, beside what its pod gives it.
pub fn of_a_pod(launch: &Launch, container: &str, progress_file: &Path) -> BTreeMap<String, String> {
    let mut variables = argo(launch, container);
    variables.extend(progress(progress_file));
    variables
}

fn of_image(around: &Surroundings<'_>) -> BTreeMap<String, String> {
    let environment = around.environment;
    let folders = environment.path.iter().map(|folder| folder.to_string_lossy().into_owned());
    let path: Vec<String> = folders.chain([SYSTEM_PATH.to_owned()]).collect();
    let mut variables = BTreeMap::from([
        ("HOME".to_owned(), around.home.to_string_lossy().into_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("TMPDIR".to_owned(), around.temporary.to_string_lossy().into_owned()),
        // Empty and not absent: an absent variable would show the step every GPU of the machine.
        ("CUDA_VISIBLE_DEVICES".to_owned(), around.gpus.join(",")),
    ]);
    variables.extend(environment.variables.clone());
    variables.insert("PATH".to_owned(), path.join(":"));
    variables
}

/// The file into which a step writes how far it is.
pub fn progress_file(home: &Path) -> PathBuf {
    home.join(".argo-progress")
}

/// The variables that Argo gives every container, and the template, of which Argo has a file too: one that is too long
/// for a variable, as a long script makes it, is left out.
fn argo(launch: &Launch, container: &str) -> BTreeMap<String, String> {
    let attempt = &launch.attempt;
    let deadline = attempt.work.deadline.map_or("0001-01-01T00:00:00Z".to_owned(), |d| d.to_string());
    let mut template = (*attempt.work.template).clone();
    template.inputs.parameters.clear();
    [
        ("ARGO_CONTAINER_NAME", container.to_owned()),
        ("ARGO_NODE_ID", argo_node_id(&attempt.run_name, &attempt.node_name)),
        ("ARGO_POD_NAME", attempt.id.to_string()),
        ("ARGO_WORKFLOW_NAME", attempt.run_name.clone()),
        ("ARGO_WORKFLOW_UID", attempt.run.to_string()),
        ("ARGO_INCLUDE_SCRIPT_OUTPUT", attempt.work.capture_result.to_string()),
        ("ARGO_DEADLINE", deadline),
        ("ARGO_TEMPLATE", serde_json::to_string(&template).unwrap_or_default()),
    ]
    .into_iter()
    .filter(|(_, value)| value.len() <= VALUE_BYTES_MAX)
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// `envFrom`, then `env`, each seeing those before it.
fn add_declared(
    variables: &mut BTreeMap<String, String>,
    container: &Container,
    around: &Surroundings<'_>,
) -> Result<(), VariableError> {
    let environment = &around.launch.environment;
    let secrets = LocalObjects::secrets(environment.secrets.as_deref());
    let config_maps = LocalObjects::config_maps(environment.config_maps.as_deref());
    for from in &container.env_from {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let sources = [(&secrets, &from.secret_ref), (&config_maps, &from.config_map_ref)];
        for (objects, reference) in sources {
            let Some(reference) = reference else { continue };
            let keys = objects.all(&reference.name, reference.optional.unwrap_or_default())?;
            variables.extend(keys.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
        }
    }
    for variable in &container.env {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => Some(replace(value, variables)),
            (None, None) => Some(String::new()),
            (None, Some(source)) => looked_up(&variable.name, source, &secrets, &config_maps, around)?,
        };
        if let Some(value) = value {
            variables.insert(variable.name.clone(), value);
        }
    }
    Ok(())
}

fn looked_up(
    name: &str,
    source: &EnvVarSource,
    secrets: &LocalObjects,
    config_maps: &LocalObjects,
    around: &Surroundings<'_>,
) -> Result<Option<String>, VariableError> {
    if let Some(key) = &source.secret_key_ref {
        return Ok(secrets.key(key)?);
    }
    if let Some(key) = &source.config_map_key_ref {
        return Ok(config_maps.key(key)?);
    }
    if let Some(field) = &source.resource_field_ref {
        let main = around.launch.attempt.work.template.main();
        let resources = main.and_then(|main| main.resources.clone()).unwrap_or_default();
        let value = resource_field(field, &resources);
        return value.map(Some).ok_or_else(|| unknown(name, "resourceFieldRef", field, "resource"));
    }
    let field = source.field_ref.clone().unwrap_or_default();
    pod_field(&field, around).map(Some).ok_or_else(|| unknown(name, "fieldRef", &field, "fieldPath"))
}

fn unknown(name: &str, kind: &'static str, field: &Value, key: &str) -> VariableError {
    let field = field.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    VariableError::Field { name: name.to_owned(), kind, field }
}

/// The downward API, as far as a process on this machine has an answer.
fn pod_field(field: &Value, around: &Surroundings<'_>) -> Option<String> {
    let attempt = &around.launch.attempt;
    match field.get("fieldPath")?.as_str()? {
        "metadata.name" | "metadata.uid" => Some(attempt.id.to_string()),
        "metadata.namespace" => Some(attempt.namespace.clone()),
        "spec.nodeName" => Some(around.host.to_owned()),
        "spec.serviceAccountName" => Some("default".to_owned()),
        "status.podIP" | "status.hostIP" | "status.podIPs" | "status.hostIPs" => Some("127.0.0.1".to_owned()),
        path => {
            let (kind, key) = path.strip_prefix("metadata.")?.strip_suffix("']")?.split_once("['")?;
            metadata(attempt, kind, key)
        }
    }
}

/// A label or annotation of the pod: Argo's own, or the template's. One that is not there is empty, as in Kubernetes.
fn metadata(attempt: &Attempt, kind: &str, key: &str) -> Option<String> {
    let argos = match (kind, key.strip_prefix("workflows.argoproj.io/")) {
        ("labels", Some("workflow")) => Some(attempt.run_name.clone()),
        ("labels", Some("completed")) => Some("false".to_owned()),
        ("annotations", Some("node-name")) => Some(attempt.node_name.clone()),
        ("annotations", Some("node-id")) => Some(argo_node_id(&attempt.run_name, &attempt.node_name)),
        ("labels" | "annotations", _) => None,
        _ => return None,
    };
    let of_template = || attempt.work.template.metadata.as_ref()?.get(kind)?.get(key)?.as_str();
    Some(argos.or_else(|| of_template().map(str::to_owned)).unwrap_or_default())
}

/// A container's own request or limit, divided and rounded up. A limit that is not there is what the machine has, a
/// request that is not there is the limit, or nothing.
fn resource_field(field: &Value, resources: &Resources) -> Option<String> {
    let (kind, resource) = field.get("resource")?.as_str()?.split_once('.')?;
    let amount = |from: &BTreeMap<String, AnyString>| {
        Some(from.get(resource)?.as_str().parse::<Quantity>().ok()?.millis())
    };
    let amount = match kind {
        "limits" => amount(&resources.limits).or_else(|| capacity_millis(resource))?,
        "requests" => amount(&resources.requests).or_else(|| amount(&resources.limits)).unwrap_or_default(),
        _ => return None,
    };
    let divisor = field.get("divisor").map(|d| d.as_str().map_or_else(|| d.to_string(), str::to_owned));
    let divisor = divisor.as_deref().filter(|d| !matches!(*d, "" | "0")).unwrap_or("1");
    let divisor = divisor.parse::<Quantity>().ok()?.millis().max(1);
    Some((amount.div_euclid(divisor) + i128::from(amount.rem_euclid(divisor) != 0)).to_string())
}

fn capacity_millis(resource: &str) -> Option<i128> {
    match resource {
        "cpu" => Some(std::thread::available_parallelism().ok()?.get() as i128 * 1000),
        "memory" => {
            let machine = rustix::system::sysinfo();
            Some(i128::from(machine.totalram) * i128::from(machine.mem_unit.max(1)) * 1000)
        }
        _ => None,
    }
}

/// The endpoint and its credentials stand over the manifest's own: a step must not reach a real bucket, and
/// the endpoint knows no other key.
fn add_endpoint(variables: &mut BTreeMap<String, String>, endpoint: Option<&Endpoint>) {
    let Some(endpoint) = endpoint else { return };
    for name in ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"] {
        variables.remove(name);
    }
    variables.insert("AWS_ENDPOINT_URL".to_owned(), endpoint.url.clone());
    variables.insert("AWS_ACCESS_KEY_ID".to_owned(), endpoint.access_key.clone());
    variables.insert("AWS_SECRET_ACCESS_KEY".to_owned(), endpoint.secret_key.clone());
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        variables.entry(name.to_owned()).or_insert_with(|| endpoint.region.clone());
    }
}

/// Replaces `$(NAME)` by the variable's value; an unknown name stays as it is, `$$` is a dollar sign.
pub fn replace(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            match variables.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}
