//! Where the API of a container engine is found on this machine.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use dropforge_driver::supervision::{ContainerEngine, EngineKind};

/// What runs the steps of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// Each step is a process, and its image only a name.
    #[default]
    Process,
    /// An engine runs the step's image.
    Engine(EngineKind),
}

impl Executor {
    /// The executor that is written so.
    pub fn named(name: &str) -> Option<Executor> {
        let engines = [EngineKind::Docker, EngineKind::Podman];
        let engine = engines.into_iter().find(|kind| kind.name() == name).map(Executor::Engine);
        engine.or((name == "process").then_some(Executor::Process))
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A variable names an engine that is elsewhere: it would see none of the steps' files.
    #[error("reach {} at {given:?}, which {variable} names: steps share files and network with this machine, so that only a socket of its own will do: unix:///path/to/socket", kind.name())]
    Elsewhere {
        /// Which engine.
        kind: EngineKind,
        /// The variable.
        variable: &'static str,
        /// Its value.
        given: String,
    },
    /// Nobody listens.
    #[error("reach {} at {}; {}", kind.name(), socket.display(), remedy(*kind, socket))]
    Silent {
        /// Which engine.
        kind: EngineKind,
        /// Where it should listen.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn remedy(kind: EngineKind, socket: &Path) -> String {
    match kind {
        EngineKind::Docker => {
            "start Docker, or name its socket in DOCKER_HOST (unix:///path/to/socket)".to_owned()
        }
        EngineKind::Podman => format!(
            "start its service (`systemctl --user start podman.socket`, or `podman system service --time 0 unix://{}`), or \
             name its socket in CONTAINER_HOST (unix:///path/to/socket)",
            socket.display()
        ),
    }
}

/// The engine of this machine that answers; `variable` looks up the person's environment.
///
/// # Errors
/// When none answers.
pub fn find(
    kind: EngineKind,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<ContainerEngine, EngineError> {
    let socket = socket(kind, variable)?;
    match UnixStream::connect(&socket) {
        Ok(_) => Ok(ContainerEngine { kind, socket }),
        Err(source) => Err(EngineError::Silent { kind, socket, source }),
    }
}

/// Where the engine's own command would look.
fn socket(kind: EngineKind, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, EngineError> {
    let host = match kind {
        EngineKind::Docker => "DOCKER_HOST",
        EngineKind::Podman => "CONTAINER_HOST",
    };
    let given = variable(host).map(|given| given.to_string_lossy().into_owned());
    if let Some(given) = given.filter(|given| !given.is_empty()) {
        return match given.strip_prefix("unix://") {
            Some(path) => Ok(PathBuf::from(path)),
            None => Err(EngineError::Elsewhere { kind, variable: host, given }),
        };
    }
    let (own, common) = match kind {
        EngineKind::Docker => ("docker.sock", "/var/run/docker.sock"),
        EngineKind::Podman => ("podman/podman.sock", "/run/podman/podman.sock"),
    };
    let of_person = variable("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join(own));
    Ok(of_person.filter(|socket| socket.exists()).unwrap_or_else(|| PathBuf::from(common)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: EngineKind, variables: &[(&str, &str)]) -> Result<PathBuf, String> {
        let variable = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, v)| v.into());
        socket(kind, variable).map_err(|error| error.to_string())
    }

    #[test]
    fn the_engines_own_variable_names_the_socket_and_nothing_that_is_elsewhere() {
        let podman = [("CONTAINER_HOST", "unix:///a/b.sock"), ("DOCKER_HOST", "unix:///c")];
        assert_eq!(found(EngineKind::Podman, &podman), Ok("/a/b.sock".into()));
        assert_eq!(found(EngineKind::Docker, &podman), Ok("/c".into()));
        let refused = found(EngineKind::Docker, &[("DOCKER_HOST", "tcp://far:2375")]).unwrap_err();
        assert!(refused.contains("tcp://far:2375") && refused.contains("DOCKER_HOST"), "{refused}");
    }

    #[test]
    fn an_engine_that_does_not_listen_is_named_with_what_to_do() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("none.sock");
        let host = OsString::from(format!("unix://{}", path.display()));
        let refused = find(EngineKind::Podman, |name| (name == "CONTAINER_HOST").then(|| host.clone()));
        let told = refused.unwrap_err().to_string();
        for part in [path.to_str().unwrap(), "podman system service", "CONTAINER_HOST"] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }

    #[test]
    fn executors_are_known_by_name() {
        let names = ["process", "docker", "podman", "Docker"].map(Executor::named);
        let engine = |kind| Some(Executor::Engine(kind));
        use EngineKind::{Docker, Podman};
        assert_eq!(names, [Some(Executor::Process), engine(Docker), engine(Podman), None]);
    }
}
