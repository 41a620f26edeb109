//! The settings of a deployment, from the variables that `functions/README.md` lists.

use std::fmt;
use std::path::PathBuf;

use dropforge_cluster::kubernetes::PodDefaults;
use dropforge_driver::births::Site;
use dropforge_driver::pods::Stores;
use dropforge_manifest::defaults;
use dropforge_manifest::diagnostic::Diagnostic;
use dropforge_manifest::types::WorkflowDefaults;

#[cfg(test)]
mod tests;

/// What every function needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The buckets.
    pub stores: Stores,
    /// The queue of doorbells.
    pub events: Queue,
    /// The queue of uploads and reminders.
    pub uploads: Queue,
    /// The group in which schedules are made.
    pub schedule_group: String,
    /// The role they send with.
    pub scheduler_role_arn: String,
}

/// A queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Where messages are sent to.
    pub url: String,
    /// What schedules send to.
    pub arn: String,
}

/// What a function needs that makes pods.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSettings {
    /// How the cluster is reached.
    pub reach: Reach,
    /// The namespaces of steps.
    pub namespaces: Vec<String>,
    /// The image that puts the executor into pods.
    pub executor_image: String,
    /// What every pod has.
    pub pod_defaults: PodDefaults,
}

/// What a function needs that starts runs by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct StartSettings {
    /// The namespaces whose definitions count.
    pub namespaces: Vec<String>,
    /// What holds for every run.
    pub site: Site,
}

/// How a cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// As a kubeconfig file says.
    Kubeconfig(PathBuf),
    /// As a caller that EKS knows.
    Eks {
        /// The cluster's name.
        name: String,
        /// Its API's URL.
        endpoint: String,
        /// Its certificate authority: PEM in base64.
        certificate_authority: String,
    },
    /// By this function, which reaches it.
    Function(String),
}

/// What the function needs that reaches the cluster for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchSettings {
    /// The region of the cluster.
    pub region: String,
    /// How the cluster is reached.
    pub reach: Reach,
    /// The namespaces of steps.
    pub namespaces: Vec<String>,
}

impl DispatchSettings {
    /// The settings that this process was started with.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn of_environment() -> Result<DispatchSettings, Problems> {
        let mut reader = Reader::of_environment();
        let settings = reader.dispatch();
        reader.done(settings)
    }
}

/// Everything that is wrong with the environment.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// One variable that is wrong.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    variable: &'static str,
    what: String,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read the settings of this function from its environment")?;
        for Problem { variable, what } in &self.0 {
            write!(f, "; {variable}: {what}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Settings {
    /// The settings that this process was started with.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn of_environment() -> Result<Settings, Problems> {
        let mut reader = Reader::of_environment();
        let settings = reader.settings();
        reader.done(settings)
    }

    /// The same with those for starting runs.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn with_starts() -> Result<(Settings, StartSettings), Problems> {
        let mut reader = Reader::of_environment();
        let both = (reader.settings(), reader.starts());
        reader.done(both)
    }

    /// The same with those for making pods.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn with_cluster() -> Result<(Settings, ClusterSettings), Problems> {
        let mut reader = Reader::of_environment();
        let both = (reader.settings(), reader.cluster());
        reader.done(both)
    }
}

/// A variable's value by its name.
type Get = Box<dyn Fn(&str) -> Option<String>>;

/// Reads variables, and remembers what is wrong with them.
struct Reader {
    get: Get,
    problems: Vec<Problem>,
}

impl Reader {
    fn of_environment() -> Reader {
        Reader::new(|name| std::env::var(name).ok())
    }

    fn new(get: impl Fn(&str) -> Option<String> + 'static) -> Reader {
        Reader { get: Box::new(get), problems: Vec::new() }
    }

    fn done<T>(self, read: T) -> Result<T, Problems> {
        if self.problems.is_empty() { Ok(read) } else { Err(Problems(self.problems)) }
    }

    fn get(&self, variable: &str) -> Option<String> {
        (self.get)(variable).filter(|value| !value.is_empty())
    }

    fn problem(&mut self, variable: &'static str, what: impl Into<String>) {
        self.problems.push(Problem { variable, what: what.into() });
    }

    /// A variable that has to be there; `hint` says what it holds.
    fn need(&mut self, variable: &'static str, hint: &str) -> String {
        self.get(variable).unwrap_or_else(|| {
            self.problem(variable, format!("it is not set; set it to {hint}"));
            String::new()
        })
    }

    fn settings(&mut self) -> Settings {
        Settings {
            stores: self.stores(),
            events: Queue {
                url: self.need("DROPFORGE_EVENTS_QUEUE_URL", "the URL of the queue of doorbells"),
                arn: self.need("DROPFORGE_EVENTS_QUEUE_ARN", "the ARN of the queue of doorbells"),
            },
            uploads: Queue {
                url: self
                    .need("DROPFORGE_UPLOAD_QUEUE_URL", "the URL of the queue that S3 announces uploads to"),
                arn: self
                    .need("DROPFORGE_UPLOAD_QUEUE_ARN", "the ARN of the queue that S3 announces uploads to"),
            },
            schedule_group: self
                .need("DROPFORGE_SCHEDULE_GROUP", "the name of the EventBridge schedule group of this stack"),
            scheduler_role_arn: self
                .need("DROPFORGE_SCHEDULER_ROLE_ARN", "the ARN of the role that schedules send with"),
        }
    }

    fn stores(&mut self) -> Stores {
        Stores {
            control: self.need("DROPFORGE_CONTROL_BUCKET", "the bucket of runs and journals"),
            artifacts: self.need("DROPFORGE_ARTIFACT_BUCKET", "the bucket of artifacts"),
            region: self.region(),
            endpoint: self.get("AWS_ENDPOINT_URL"),
        }
    }

    fn cluster(&mut self) -> ClusterSettings {
        ClusterSettings {
            reach: self.reach(),
            namespaces: self.namespaces(),
            executor_image: self.need(
                "DROPFORGE_EXECUTOR_IMAGE",
                "the image that puts the executor into pods, with its tag or digest",
            ),
            pod_defaults: self.pod_defaults(),
        }
    }

    fn dispatch(&mut self) -> DispatchSettings {
        DispatchSettings { region: self.region(), reach: self.own_reach(), namespaces: self.namespaces() }
    }

    fn region(&mut self) -> String {
        self.need("AWS_REGION", "the region of this deployment; Lambda sets it itself")
    }

    fn reach(&mut self) -> Reach {
        match self.get("DROPFORGE_DISPATCH_FUNCTION") {
            Some(function) => Reach::Function(function),
            None => self.own_reach(),
        }
    }

    fn own_reach(&mut self) -> Reach {
        if let Some(file) = self.get("DROPFORGE_KUBECONFIG") {
            return Reach::Kubeconfig(file.into());
        }
        let or = "or set DROPFORGE_KUBECONFIG to a kubeconfig file";
        Reach::Eks {
            name: self.need("DROPFORGE_CLUSTER_NAME", &format!("the name of the EKS cluster, {or}")),
            endpoint: self.need("DROPFORGE_CLUSTER_ENDPOINT", &format!("the URL of its API, {or}")),
            certificate_authority: self
                .need("DROPFORGE_CLUSTER_CA", &format!("its certificate authority as EKS gives it, {or}")),
        }
    }

    fn namespaces(&mut self) -> Vec<String> {
        let named = self.need("DROPFORGE_NAMESPACES", "the namespaces of steps, by comma");
        named.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    fn starts(&mut self) -> StartSettings {
        let site = Site { defaults: self.workflow_defaults(), days_max: self.days_max(), ..Site::default() };
        StartSettings { namespaces: self.namespaces(), site }
    }

    fn workflow_defaults(&mut self) -> WorkflowDefaults {
        let variable = "DROPFORGE_WORKFLOW_DEFAULTS";
        let Some(text) = self.get(variable) else { return WorkflowDefaults::default() };
        let (defaults, findings) = defaults::read(variable, &text);
        for Diagnostic { path, message, .. } in findings.into_iter().filter(Diagnostic::is_error) {
            self.problem(variable, format!("{path}: {message}"));
        }
        defaults
    }

    fn days_max(&mut self) -> Option<u32> {
        let variable = "DROPFORGE_DAYS_MAX";
        let days = self.get(variable)?.parse().ok().filter(|days| *days > 0);
        if days.is_none() {
            self.problem(variable, "it is no number of days; set it to how long a run may last");
        }
        days
    }

    fn pod_defaults(&mut self) -> PodDefaults {
        let variable = "DROPFORGE_POD_DEFAULTS";
        let text = self.get(variable).unwrap_or_else(|| "{}".to_owned());
        serde_json::from_str(&text).unwrap_or_else(|why| {
            self.problem(variable, format!("{why}; write JSON as functions/README.md says"));
            PodDefaults::default()
        })
    }
}
