//! Attempts that are requests and no pods: `http` of a template, made by this function itself.
//!
//! An attempt is claimed before its request is made, and the claim says until when its claimer lives: a function that
//! dies before it has stored the verdict leaves a claim that is out of date one day, and whoever looks then gives the
//! attempt up. No request is ever made twice. Requests go on side by side while the call looks at other things;
//! [`Requests::ended`] waits for them before the call answers, since Lambda stops what goes on afterwards.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::cluster::{Cluster, ClusterError, Observed};
use dropforge_driver::owner::{at_most, chain};
use dropforge_driver::store::{Attempts, Created, StoreError};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::config::{ConfigFound, ConfigKey};
use dropforge_engine::event::Event;
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::spec::RunSpec;
use dropforge_executor::request::{self, RESPONSE_BYTES_MAX, Request};
use dropforge_manifest::types::HttpTemplate;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

mod claims;
mod sources;
#[cfg(test)]
mod tests;
mod time;

use claims::Claimed;
pub use sources::{Claims, Secrets};
pub use time::Call;

/// How many requests go on at once, as on one machine.
const AT_ONCE: usize = 16;
/// As many are looked at side by side: that waits for a store.
const LOOKS_AT_ONCE: usize = 16;

/// Who made the request, as the verdict says.
const HOST: &str = "advance";

/// A cluster whose attempts are requests too.
pub struct Requests<C, S> {
    pods: Arc<C>,
    store: Arc<S>,
    /// Whether addresses of this machine are refused.
    guarded: bool,
    room: Arc<Semaphore>,
    call: Mutex<Call>,
    going: tokio::sync::Mutex<JoinSet<(RunUid, AttemptId)>>,
    /// Whose requests this function has made: there is no pod of theirs.
    made: Mutex<BTreeSet<AttemptId>>,
}

impl<C, S> Requests<C, S>
where
    C: Cluster + Secrets,
    S: Attempts + Claims + 'static,
{
    /// Requests beside the pods of a cluster.
    pub fn new(pods: Arc<C>, store: Arc<S>) -> Self {
        Requests {
            pods,
            store,
            guarded: true,
            room: Arc::new(Semaphore::new(AT_ONCE)),
            call: Mutex::new(Call::ended()),
            going: tokio::sync::Mutex::default(),
            made: Mutex::default(),
        }
    }

    /// A call of the function begins; requests of it have time until the deadline.
    pub fn begin(&self, call: Call) {
        *held(&self.call) = call;
        held(&self.made).clear();
    }

    /// The attempts whose requests have ended since the last call of this; waits for one where some go on.
    pub async fn ended(&self) -> Vec<(RunUid, AttemptId)> {
        let mut going = self.going.lock().await;
        let mut ended = Vec::new();
        while let Some(next) = going.join_next().await {
            match next {
                Ok(attempt) => ended.push(attempt),
                // Its claim is out of date one day.
                Err(why) => tracing::error!("a request's task failed: {why}"),
            }
            while let Some(Ok(attempt)) = going.try_join_next() {
                ended.push(attempt);
            }
            if !ended.is_empty() {
                break;
            }
        }
        ended
    }

    /// Claims a request and makes it, where this call has the time for it.
    async fn request(
        &self,
        attempt: &Arc<Attempt>,
        http: &HttpTemplate,
    ) -> Result<Option<Event>, ClusterError> {
        if held(&self.made).contains(&attempt.id) {
            return Ok(None);
        }
        let room = self.room.clone().acquire_owned().await.expect("nothing closes it");
        let call = *held(&self.call);
        let Some(limit) = call.grants(request::limit(http), SystemClock.now()) else {
            let why = "the next call of the function makes the request: this one has no time left".to_owned();
            return Ok(Some(Event::AttemptWaiting { attempt: attempt.id.clone(), why }));
        };
        let prepared = self.prepared(attempt, http).await?;
        let nonce = Claimed::until(call.deadline()).nonce();
        match self.store.claim(&attempt.namespace, &attempt.id, &nonce).await.map_err(unreadable)? {
            Created::Exists => return Ok(None),
            Created::New => drop(held(&self.made).insert(attempt.id.clone())),
        }
        let request = match prepared {
            Ok(request) => Request { limit: Some(limit), guarded: self.guarded, ..request },
            Err(refused) => {
                let verdict =
                    self.store.put_verdict(&attempt.namespace, &refused).await.map_err(unreadable)?;
                return Ok(Some(Event::AttemptFinished { verdict: Arc::new(verdict) }));
            }
        };
        let (store, attempt) = (self.store.clone(), attempt.clone());
        self.going.lock().await.spawn(async move {
            let verdict = made(&attempt, request).await;
            if let Err(why) = store.put_verdict(&attempt.namespace, &verdict).await {
                let (run, attempt) = (&attempt.run, &attempt.id);
                tracing::error!(%run, %attempt, "a request's result is lost: failed to {}", chain(&why));
            }
            drop(room);
            (attempt.run.clone(), attempt.id.clone())
        });
        Ok(None)
    }

    /// The request with its secrets; the verdict of one that can't be made.
    async fn prepared(
        &self,
        attempt: &Attempt,
        http: &HttpTemplate,
    ) -> Result<Result<Request, Verdict>, ClusterError> {
        let refused = |outcome, reason, why: String| {
            Ok(Err(Verdict::without_outputs(attempt.id.clone(), outcome, reason, why, SystemClock.now())))
        };
        if attempt.work.deadline.is_some_and(|deadline| deadline <= SystemClock.now()) {
            return refused(Outcome::Failed, Reason::DeadlineExceeded, OVERDUE.to_owned());
        }
        let secrets = match sources::all(&*self.pods, &attempt.namespace, request::secrets(http)).await? {
            Ok(secrets) => secrets,
            Err(why) => return refused(Outcome::Failed, Reason::Configuration, why),
        };
        match request::request(http, |key| secrets.key(key)) {
            Ok(request) => Ok(Ok(request)),
            Err(why) => refused(Outcome::Failed, Reason::Configuration, why),
        }
    }

    /// What is known of an attempt that is a request. None: nobody has claimed it, or its claimer may be at it still.
    async fn look(&self, attempt: &Attempt) -> Result<Option<Event>, StoreError> {
        let (namespace, id) = (&attempt.namespace, &attempt.id);
        if let Some(verdict) = self.store.verdict(namespace, id).await? {
            return Ok(Some(Event::AttemptFinished { verdict: Arc::new(verdict) }));
        }
        let claimed = self.store.claimer(namespace, id).await?.and_then(|nonce| Claimed::parse(&nonce));
        if !claimed.is_some_and(|claimed| claimed.is_over(SystemClock.now())) {
            return Ok(None);
        }
        let why = "the function that made it ended before it was answered";
        let (outcome, reason) = (Outcome::Lost, Reason::Vanished);
        let lost = Verdict::without_outputs(id.clone(), outcome, reason, why, SystemClock.now());
        let verdict = self.store.put_verdict(namespace, &lost).await?;
        Ok(Some(Event::AttemptFinished { verdict: Arc::new(verdict) }))
    }
}

const OVERDUE: &str = "Step exceeded its deadline";

/// Makes a request and gives what it came to. A request can't be taken back: at the run's deadline its answer is not
/// waited for any longer.
async fn made(attempt: &Attempt, request: Request) -> Verdict {
    let (started, deadline) = (SystemClock.now(), attempt.work.deadline);
    let allowed = request.limit;
    let asking = tokio::task::spawn_blocking(move || request.send(RESPONSE_BYTES_MAX));
    let left = deadline.map_or(Duration::MAX, |at| at.duration_since(started).try_into().unwrap_or_default());
    let ended = |outcome, reason, why: String| {
        Verdict::without_outputs(attempt.id.clone(), outcome, reason, why, SystemClock.now())
    };
    let http = attempt.work.template.http.as_ref().expect("only requests are made");
    match tokio::time::timeout(left, asking).await {
        Ok(Ok(answer)) => {
            let mut verdict = request::verdict(&attempt.id, http, started, answer, HOST);
            if verdict.reason == Reason::Unanswered && allowed < Some(request::limit(http)) {
                let seconds = allowed.unwrap_or_default().as_secs();
                verdict.message +=
                    &format!("; a function has {seconds} s for it, whatever timeoutSeconds says");
            }
            verdict
        }
        Ok(Err(why)) => {
            ended(Outcome::Error, Reason::Environment, format!("the request could not be made: {why}"))
        }
        Err(_) => Verdict {
            started_at: Some(started),
            ..ended(Outcome::Failed, Reason::DeadlineExceeded, OVERDUE.to_owned())
        },
    }
}

impl<C, S> Cluster for Requests<C, S>
where
    C: Cluster + Secrets,
    S: Attempts + Claims + 'static,
{
    const STARTS: bool = C::STARTS;
    const STARTS_AT_ONCE: usize = C::STARTS_AT_ONCE;
    const STARTS_AGAIN: bool = C::STARTS_AGAIN;

    async fn start(&self, spec: &RunSpec, attempt: Arc<Attempt>) -> Result<Option<Event>, ClusterError> {
        match &attempt.work.template.http {
            Some(http) => self.request(&attempt, http).await,
            None if held(&self.call).starts(SystemClock.now()) => self.pods.start(spec, attempt).await,
            None => {
                let why = "the next call of the function starts it: this one has no time left".to_owned();
                Ok(Some(Event::AttemptWaiting { attempt: attempt.id.clone(), why }))
            }
        }
    }

    async fn stop(&self, spec: &RunSpec, attempt: &AttemptId, why: &str) -> Result<(), ClusterError> {
        self.pods.stop(spec, attempt, why).await
    }

    async fn observe(&self, spec: &RunSpec, attempts: &[Arc<Attempt>]) -> Result<Observed, ClusterError> {
        let (requests, pods): (Vec<_>, Vec<_>) =
            attempts.iter().cloned().partition(|attempt| attempt.work.template.http.is_some());
        let looking = requests.iter().filter(|attempt| attempt.run == spec.uid);
        let looking = looking.map(|attempt| self.look(attempt)).collect();
        let mut events = Vec::new();
        for seen in at_most(LOOKS_AT_ONCE, looking).await {
            match seen {
                // It has ended: a newer program can tell how. The others are not its business.
                Err(newer @ StoreError::NewerFormat { .. }) => {
                    tracing::warn!(run = %spec.uid, "a result waits for a newer program: {}", chain(&newer));
                }
                seen => events.extend(seen.map_err(unreadable)?),
            }
        }
        let mut observed =
            if pods.is_empty() { Observed::default() } else { self.pods.observe(spec, &pods).await? };
        observed.events.extend(events);
        Ok(observed)
    }

    async fn tidy(&self, spec: &RunSpec, attempts: &[AttemptId]) -> Result<(), ClusterError> {
        let pods: Vec<AttemptId> =
            attempts.iter().filter(|attempt| !held(&self.made).contains(attempt)).cloned().collect();
        if pods.is_empty() { Ok(()) } else { self.pods.tidy(spec, &pods).await }
    }

    async fn config(&self, config: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        self.pods.config(config).await
    }

    async fn limit(&self, config: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        self.pods.limit(config).await
    }
}

fn unreadable(error: StoreError) -> ClusterError {
    ClusterError::Unreachable { what: "store of verdicts", source: std::io::Error::other(chain(&error)) }
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
