//! The parts that a scenario plays on.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::emulator::Emulator;
use crate::report;

/// How often something is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What `tests/cloud/run` started and deployed.
pub struct Bed {
    /// What the deployment is called and holds, as Terraform's examples give it.
    pub deployment: Value,
    /// AWS.
    pub emulator: Emulator,
    /// Kubernetes, in the namespace of the steps.
    pub cluster: Cluster,
    /// The command, built for AWS.
    pub command: PathBuf,
}

/// Plays a scenario on the bed, or says that there is none.
///
/// # Panics
/// When the scenario does; what is known of functions, pods and objects is printed first.
pub fn scenario(name: &str, play: impl FnOnce(&Bed)) {
    let Some(bed) = Bed::here() else {
        println!("SKIPPED: {name} (start it with tests/cloud/run)");
        return;
    };
    if let Err(why) = catch_unwind(AssertUnwindSafe(|| play(&bed))) {
        println!("{}", report::all(&bed));
        resume_unwind(why);
    }
}

impl Bed {
    fn here() -> Option<Bed> {
        let deployment = std::env::var_os("DROPFORGE_CLOUD_DEPLOYMENT")?;
        let text = std::fs::read_to_string(&deployment).expect("tests/cloud/run wrote the deployment");
        let deployment: Value = serde_json::from_str(&text).expect("the deployment is JSON");
        let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
        let namespace = variable("DROPFORGE_CLOUD_NAMESPACE");
        Some(Bed {
            deployment,
            emulator: Emulator::new(variable("AWS_ENDPOINT_URL")),
            cluster: Cluster::new(namespace),
            command: variable("DROPFORGE_CLOUD_COMMAND").into(),
        })
    }

    /// A text of the deployment.
    ///
    /// # Panics
    /// When it has none of that name.
    pub fn named(&self, name: &str) -> &str {
        self.deployment[name].as_str().unwrap_or_else(|| panic!("the deployment has no {name}"))
    }

    /// The name of one of our functions: `ingest`, `advance`, `sweep`, `dispatch`.
    ///
    /// # Panics
    /// When the deployment has no such function.
    pub fn function(&self, function: &str) -> &str {
        let name = self.deployment["functions"][function]["name"].as_str();
        name.unwrap_or_else(|| panic!("the deployment has no function {function}"))
    }

    /// Has the sweep look, without waiting for its minute.
    pub fn sweep(&self) {
        self.emulator.invoke(self.function("sweep"), &Value::Object(serde_json::Map::new()));
    }
}

/// Waits until `look` sees something.
///
/// # Panics
/// When it does not in time.
#[expect(clippy::disallowed_methods, reason = "what is waited for lies in other processes")]
pub fn until<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(since.elapsed() < Duration::from_secs(seconds), "waited {seconds} s for {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}
