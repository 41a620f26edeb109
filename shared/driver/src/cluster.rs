//! Where steps run.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use dropforge_engine::attempt::Attempt;
use dropforge_engine::config::{ConfigFound, ConfigKey};
use dropforge_engine::event::Event;
use dropforge_engine::ids::AttemptId;
use dropforge_engine::spec::RunSpec;

/// What an owner sees of attempts that were started before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// What has happened to them.
    pub events: Vec<Event>,
    /// Those that were not looked for: a later look does so, and nobody starts them before.
    pub unseen: BTreeSet<AttemptId>,
}

impl From<Vec<Event>> for Observed {
    fn from(events: Vec<Event>) -> Self {
        Observed { events, unseen: BTreeSet::new() }
    }
}

/// Performs the effects that concern attempts and config maps. What happens to an attempt comes back as events on the channel
/// the implementation was made with, or is found by [`Cluster::observe`].
pub trait Cluster: Send + Sync {
    /// Whether anything is started here. Where nothing is, no lock is taken: nobody would use it.
    const STARTS: bool = true;

    /// How many starts are performed side by side.
    const STARTS_AT_ONCE: usize = 1;

    /// Whether an attempt that [`Cluster::observe`] has an event for is started again all the same, so that this process
    /// knows what it needs to start it once more.
    const STARTS_AGAIN: bool = true;

    /// Starts an attempt of a run, or sees that it has been started already. Gives what is known of it at once: that it
    /// was refused for good, or, where it is done by the caller itself, its end.
    ///
    /// # Errors
    /// When it is unknown whether the attempt was started; it stays in the outbox and is performed again.
    fn start(
        &self,
        spec: &RunSpec,
        attempt: Arc<Attempt>,
    ) -> impl Future<Output = Result<Option<Event>, ClusterError>> + Send;

    /// Ends an attempt, or fences it so that it never begins; its verdict comes as an event.
    ///
    /// # Errors
    /// When it is unknown whether the attempt was told; it stays in the outbox and is performed again.
    fn stop(
        &self,
        spec: &RunSpec,
        attempt: &AttemptId,
        why: &str,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// What has happened to these started attempts of a run, for an owner that was not there: verdicts stored
    /// meanwhile, attempts running, attempts lost (for which this writes the verdict). Of many that may never have been
    /// started it looks for some at a time.
    ///
    /// # Errors
    /// When the cluster can't be asked.
    fn observe(
        &self,
        spec: &RunSpec,
        attempts: &[Arc<Attempt>],
    ) -> impl Future<Output = Result<Observed, ClusterError>> + Send;

    /// The ends of these attempts of a run are on record: what is left of them may go. Doing it twice, or for one that
    /// never was, is harmless.
    ///
    /// # Errors
    /// When the cluster can't be asked; then something is left, which its own sweep finds.
    fn tidy(
        &self,
        spec: &RunSpec,
        attempts: &[AttemptId],
    ) -> impl Future<Output = Result<(), ClusterError>> + Send {
        let _ = (spec, attempts);
        std::future::ready(Ok(()))
    }

    /// What stands in a config map; none where nobody can look.
    ///
    /// # Errors
    /// When the cluster can't be asked; it stays in the outbox and is asked again.
    fn config(
        &self,
        config: &ConfigKey,
    ) -> impl Future<Output = Result<Option<ConfigFound>, ClusterError>> + Send;

    /// As [`Cluster::config`], whatever label the config map has: the limit of a semaphore.
    ///
    /// # Errors
    /// As [`Cluster::config`].
    fn limit(
        &self,
        config: &ConfigKey,
    ) -> impl Future<Output = Result<Option<ConfigFound>, ClusterError>> + Send {
        self.config(config)
    }
}

/// Why a cluster could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The place where steps run can't be reached.
    #[error("reach the {what}")]
    Unreachable {
        /// `supervisor`, `Kubernetes API`, …
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It answered with a refusal that will not change by asking again.
    #[error("start attempt {attempt}: {why}")]
    Refused {
        /// The attempt.
        attempt: AttemptId,
        /// Its words.
        why: String,
    },
}

/// A cluster that starts nothing: for an owner that only commits what a person asked and leaves. What it was asked
/// stays in the outbox for the next owner.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle;

impl Cluster for Idle {
    const STARTS: bool = false;

    async fn start(&self, _: &RunSpec, _: Arc<Attempt>) -> Result<Option<Event>, ClusterError> {
        Ok(None)
    }

    async fn stop(&self, _: &RunSpec, _: &AttemptId, _: &str) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn observe(&self, _: &RunSpec, _: &[Arc<Attempt>]) -> Result<Observed, ClusterError> {
        Ok(Observed::default())
    }

    async fn config(&self, _: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        Ok(None)
    }
}
