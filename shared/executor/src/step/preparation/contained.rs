//! What becomes a container of an engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dropforge_driver::supervision::ContainerEngine;
use dropforge_engine::attempt::{Outcome, Provenance, Reason};
use dropforge_manifest::quantity::Quantity;
use dropforge_manifest::types::Container;
use serde_json::Value;

use super::super::places::{Places, clean};
use super::super::{Refused, StepStore, refused, told};
use super::paths::outputs;
use super::{Making, Parts, SCRIPT, make, not_ready, place_files, script_source, stage, unmade};
use crate::container::client::{Client, EngineError, Image};
use crate::container::creation::Wanted;
use crate::container::pull::Pull;
use crate::container::running::{Running, StartError};
use crate::isolation::Bind;
use crate::volumes::Mount;

/// The folder for what step and executor say to each other, at Argo's own path.
pub const HOME: &str = "/var/run/argo";

/// A container that can be started.
pub struct Contained {
    client: Arc<Client>,
    wanted: Wanted,
    image: Image,
    /// The files that are fetched when it has ended.
    pub leaves: Vec<PathBuf>,
}

impl Contained {
    /// Starts it.
    ///
    /// # Errors
    /// When it did not start; nothing of it is left.
    pub fn start(&self, log: std::fs::File) -> Result<Running, StartError> {
        Running::start(Arc::clone(&self.client), &self.wanted, &self.image, log)
    }

    /// Runs a command beside it, among its files; whether that ended well in time.
    pub fn runs(&self, argv: &[String], timeout: std::time::Duration) -> bool {
        self.client.runs(&self.wanted.name(), argv, timeout)
    }
}

/// Command and arguments as the manifest has them; the image has those it leaves out.
pub(super) fn words(container: &Container) -> Vec<String> {
    [&container.command, &container.args].into_iter().flatten().flatten().cloned().collect()
}

impl Parts<'_> {
    /// The container, with its image pulled and its files in their places.
    pub(super) fn contained<S: StepStore>(
        self,
        making: &Making<'_, S>,
        engine: &ContainerEngine,
        places: &mut Places,
        provenance: &mut Provenance,
    ) -> Result<Contained, Refused> {
        let client = making.site.engines.client(engine, &making.site.runtime);
        let client = client.map_err(|error| {
            refused(Outcome::Error, Reason::Environment, format!("failed to {}", told(&error)))
        })?;
        let image = self.image(&client, &|what| (making.say)(what))?;
        provenance.isolation = format!("{} container", engine.kind.name());
        provenance.image_digest.clone_from(&image.digest);
        self.show_inputs(places);
        if let Some(source) = script_source(self.files) {
            let file = places.host(Path::new(SCRIPT));
            stage(&file, source).map_err(|error| unmade(&error))?;
            places.mounts.push(Mount { target: SCRIPT.into(), source: file, read_only: true });
        }
        let home = self.folders.home.clone();
        open_to_all(&home).map_err(|error| unmade(&(home.clone(), error)))?;
        places.mounts.push(Mount { target: HOME.into(), source: home, read_only: false });
        let working_dir = self.container_dir(places)?;
        let leaves = outputs(self.files).into_iter().filter(|path| !places.holds(path)).collect();
        let (command, arguments) = self.command();
        let attempt = &making.launch.attempt;
        let wanted = Wanted {
            attempt: attempt.id.to_string(),
            container: (!making.alone).then(|| self.name.to_owned()),
            run: attempt.run.to_string(),
            image: self.container.image.clone().unwrap_or_default(),
            command,
            arguments,
            user: user(self.container),
            privileged: security(self.container, "privileged") == Some(&Value::Bool(true)),
            working_dir,
            binds: places.mounts.iter().map(bind).collect(),
            memory_limit_bytes: self.limit,
            cpu_limit_millis: cpu_limit_millis(self.container),
            gpus: self.gpus.to_vec(),
            variables: self.expanded.variables,
        };
        Ok(Contained { client, wanted, image, leaves })
    }

    fn image(&self, client: &Client, say: &dyn Fn(String)) -> Result<Image, Refused> {
        let name = self.container.image.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err(not_ready(self.name, "the container names no image".to_owned()));
        }
        let policy = self.container.image_pull_policy.as_ref().and_then(Value::as_str);
        let pull = Pull::of(policy, name).ok_or_else(|| {
            let policy = policy.unwrap_or_default();
            let why = format!("imagePullPolicy {policy:?} is none of Always, IfNotPresent and Never");
            not_ready(self.name, why)
        })?;
        client.image(name, pull, say).map_err(|error| not_pulled(self.name, &error))
    }

    /// Inputs outside of the volumes are mounted at their paths, as Argo does.
    fn show_inputs(&self, places: &mut Places) {
        let paths = self.files.inputs.artifacts.iter().filter_map(|artifact| artifact.path.as_deref());
        for target in paths.filter_map(|path| clean(path).ok()) {
            let source = places.host(&target);
            if !places.holds(&target) && source.exists() {
                places.mounts.push(Mount { target, source, read_only: false });
            }
        }
    }

    /// The working directory; none: the image's. The person's files are put there, beside what the image has; where the
    /// manifest names no directory they get one of their own.
    fn container_dir(&self, places: &mut Places) -> Result<Option<PathBuf>, Refused> {
        let given = self.container.working_dir.as_deref().filter(|path| !path.is_empty());
        let given = given
            .map(|path| clean(path).map_err(|error| not_ready(self.name, format!("workingDir: {error}"))))
            .transpose()?;
        if self.environment.files.is_empty() {
            return Ok(given);
        }
        let Some(folder) = given else {
            let own = self.folders.work.clone();
            place_files(self.environment, &own).map_err(|error| unmade(&error))?;
            open_to_all(&own).map_err(|error| unmade(&(own.clone(), error)))?;
            places.mounts.push(Mount { target: own.clone(), source: own.clone(), read_only: false });
            return Ok(Some(own));
        };
        // A volume is shared and may be the person's own: nothing is put there unasked.
        if places.mount(&folder).is_none() {
            let host = make(places.host(&folder)).map_err(|error| unmade(&error))?;
            place_files(self.environment, &host).map_err(|error| unmade(&error))?;
            for relative in self.environment.files.keys() {
                let (target, source) = (folder.join(relative), host.join(relative));
                places.mounts.push(Mount { target, source, read_only: false });
            }
        }
        Ok(Some(folder))
    }

    /// What replaces the image's entrypoint, and what replaces its arguments.
    fn command(&self) -> (Option<Vec<String>>, Option<Vec<String>>) {
        let entrypoint = self.container.command.as_ref().map_or(0, Vec::len);
        let (command, arguments) = self.expanded.command.split_at(entrypoint);
        let mut arguments = arguments.to_vec();
        arguments.extend(script_source(self.files).map(|_| SCRIPT.to_owned()));
        let given = |words: Vec<String>| (!words.is_empty()).then_some(words);
        (given(command.to_vec()), given(arguments))
    }
}

fn bind(mount: &Mount) -> Bind {
    let Mount { source, target, read_only } = mount.clone();
    Bind { source, target, read_only }
}

/// A container's user may be any.
fn open_to_all(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777))
}

fn security<'c>(container: &'c Container, key: &str) -> Option<&'c Value> {
    container.security_context.as_ref()?.get(key)
}

/// `runAsUser` and `runAsGroup`; a group alone leaves the image's user.
fn user(container: &Container) -> Option<String> {
    let number = |key| security(container, key).and_then(Value::as_u64);
    let group = number("runAsGroup").map(|group| format!(":{group}")).unwrap_or_default();
    number("runAsUser").map(|user| format!("{user}{group}"))
}

fn cpu_limit_millis(container: &Container) -> Option<u64> {
    let limit = container.resources.as_ref()?.limits.get("cpu")?;
    u64::try_from(limit.as_str().parse::<Quantity>().ok()?.millis()).ok()
}

/// In Argo's words for an image that can't be had.
fn not_pulled(name: &str, error: &EngineError) -> Refused {
    let why = format!("failed to {}", told(error));
    let message = format!("Pod failed before {name} container starts due to ErrImagePull: {why}");
    refused(Outcome::Error, Reason::Configuration, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_user_is_the_manifests_where_it_names_one() {
        let of = |context| user(&Container { security_context: context, ..Container::default() });
        assert_eq!(of(Some(json!({"runAsUser": 1000, "runAsGroup": 100}))), Some("1000:100".to_owned()));
        assert_eq!(of(Some(json!({"runAsUser": 0}))), Some("0".to_owned()));
        assert_eq!((of(Some(json!({"runAsGroup": 100}))), of(None)), (None, None));
    }
}
