//! Steps as processes of this machine, under a supervisor that outlives its owner.
//!
//! This side prepares what a step runs in (Python, packages, code) and talks to the supervisor; it never
//! touches a step's process. When the supervisor dies, a new one is started, which ends what survived before
//! it answers, and every attempt that was in its hands is looked at again.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use dropforge_driver::cluster::{Cluster, ClusterError, Observed};
use dropforge_driver::store::Attempts;
use dropforge_driver::supervision::Endpoint;
use dropforge_engine::attempt::Attempt;
use dropforge_engine::config::{ConfigFound, ConfigKey};
use dropforge_engine::event::Event;
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::spec::RunSpec;
use tokio::sync::mpsc::UnboundedSender;

mod attempts;
mod config;
mod demand;
mod environment;
mod link;

use attempts::Inner;
pub use demand::{BadQuantity, demand};
pub use environment::{EnvironmentError, Made, Workshop};

/// How the supervisor is reached and started.
#[derive(Clone, Debug)]
pub struct SupervisorProgram {
    /// Its socket.
    pub socket: PathBuf,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The file that takes what it has to say beside its reports.
    pub log: PathBuf,
    /// Whether what steps leave must outlive a power failure, whoever started the supervisor that runs.
    pub durable: bool,
}

/// What the owner is told.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// For the run's engine.
    Event {
        /// The run.
        run: RunUid,
        /// What happened.
        event: Event,
    },
    /// For people.
    Progress {
        /// The run.
        run: RunUid,
        /// The attempt it is about.
        attempt: AttemptId,
        /// One line.
        what: String,
    },
}

/// The cluster that is this machine.
pub struct LocalCluster<S> {
    inner: Arc<Inner<S>>,
}

impl<S> Clone for LocalCluster<S> {
    fn clone(&self) -> Self {
        LocalCluster { inner: Arc::clone(&self.inner) }
    }
}

impl<S: Attempts + 'static> LocalCluster<S> {
    /// A cluster that tells its owner through `news`. No process is started before the first attempt is.
    pub fn new(
        store: Arc<S>,
        supervisor: SupervisorProgram,
        workshop: Workshop,
        news: UnboundedSender<News>,
    ) -> Self {
        LocalCluster { inner: Inner::new(store, supervisor, workshop, news) }
    }

    /// Takes new settings, which hold for runs that begin from now on.
    pub fn set_workshop(&self, workshop: Workshop) {
        self.inner.set_workshop(workshop);
    }

    /// The S3 endpoint that steps see; starts the supervisor, which serves it.
    ///
    /// # Errors
    /// When there is no supervisor and none can be started.
    pub async fn endpoint(&self) -> Result<Option<Endpoint>, ClusterError> {
        Ok(self.inner.link().await?.endpoint.clone())
    }

    /// Ends all steps (TERM, grace, KILL) and the supervisor, and waits for both. Their verdicts still come as
    /// events. Nothing is started any more.
    pub async fn shut_down(&self) {
        self.inner.shut_down().await;
    }
}

impl<S: Attempts + 'static> Cluster for LocalCluster<S> {
    async fn start(&self, _: &RunSpec, attempt: Arc<Attempt>) -> Result<Option<Event>, ClusterError> {
        self.inner.start(attempt).await.map(|()| None)
    }

    async fn stop(&self, spec: &RunSpec, attempt: &AttemptId, why: &str) -> Result<(), ClusterError> {
        self.inner.stop(spec, attempt, why).await
    }

    async fn observe(&self, spec: &RunSpec, attempts: &[Arc<Attempt>]) -> Result<Observed, ClusterError> {
        Ok(self.inner.observe(&spec.uid, attempts).await?.into())
    }

    async fn config(&self, config: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        let found = config::read(&self.inner.workshop().settings, config);
        found.map(Some).map_err(|source| ClusterError::Unreachable { what: "config maps", source })
    }
}
