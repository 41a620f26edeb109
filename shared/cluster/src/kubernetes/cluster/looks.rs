//! Looking at the attempts of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::cluster::{ClusterError, Observed};
use dropforge_driver::owner::{at_most, chain};
use dropforge_driver::store::{Attempts, Documents, StoreError};
use dropforge_driver::verdicts::{Verdicts, verdicts};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict};
use dropforge_engine::event::Event;
use dropforge_engine::ids::AttemptId;
use dropforge_engine::spec::RunSpec;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event as CoreEvent, Pod};
use kube::api::{Api, ListParams};

use super::{KubernetesCluster, is_of, unreadable, verdict};
use crate::kubernetes::client::{CallError, call};
use crate::kubernetes::pod::{RUN_LABEL, label_value};
use crate::kubernetes::status::{Glance, Seen, glance, seen, unprepared};

/// How many claims, or events of pods, are asked for at once.
const READS_AT_ONCE: usize = 16;

/// How many attempts without a pod one look looks for, and so has started at most: at the 20 a second of a cluster that
/// takes ten seconds. Where no pod may be made at present it is as many as tell why.
const SOUGHT_MAX: usize = 200;
const SOUGHT_MAX_BUSY: usize = 16;

/// How many verdicts one look reads of attempts whose pods go on. A pod ends soon after its verdict is stored, and whoever
/// stores it rings: of a thousand that run for hours hardly one has a verdict.
const GOING_READS_MAX: usize = 64;

/// About how many pods one look asks for events: those of a run mostly wait for the same, and the others are asked about
/// once these have ended.
const WARNINGS_MAX: usize = 16;

impl<S: Attempts + Documents + 'static> KubernetesCluster<S> {
    /// What has happened to attempts of a run, whose pods are looked at in one go.
    pub(super) async fn look(
        &self,
        spec: &RunSpec,
        attempts: &[Arc<Attempt>],
    ) -> Result<Observed, ClusterError> {
        let own = |attempt: &&Arc<Attempt>| attempt.run == spec.uid && attempt.work.template.http.is_none();
        let attempts: Vec<&Arc<Attempt>> = attempts.iter().filter(own).collect();
        if attempts.is_empty() {
            return Ok(Observed::default());
        }
        // Pods first: a verdict is stored before its pod ends, so that none is missed.
        let pods = self.pods_of(spec, &attempts).await.map_err(CallError::unreachable)?;
        let asked: BTreeSet<&str> = attempts.iter().map(|attempt| attempt.id.as_str()).collect();
        let (there, absent): (Vec<&str>, Vec<&str>) = asked.iter().partition(|id| pods.contains_key(**id));
        let (sought, unseen) = self.sought(absent).await.map_err(|e| unreadable(&e))?;
        let claimed = self.claimed(spec.namespace(), sought).await.map_err(|e| unreadable(&e))?;
        let (going, ended): (Vec<&str>, Vec<&str>) = there.iter().partition(|id| self.goes_on(&pods[**id]));
        let (going, _) = some(going, GOING_READS_MAX, SystemClock.now());
        let ids = ended.into_iter().chain(going).map(AttemptId::from);
        let ids = ids.chain(claimed.iter().cloned()).chain(left_over(&pods, &asked)).collect();
        let (mut verdicts, unread) =
            self.verdicts(spec.namespace(), ids).await.map_err(|e| unreadable(&e))?;
        let unseen: BTreeSet<AttemptId> =
            unread.into_iter().chain(unseen.into_iter().map(AttemptId::from)).collect();
        let mut warnings = self.warnings(spec.namespace(), &pods).await;
        let mut events = Vec::new();
        for attempt in attempts.into_iter().filter(|attempt| !unseen.contains(&attempt.id)) {
            events.extend(match verdicts.remove(&attempt.id) {
                Some(Some(verdict)) => Some(Event::AttemptFinished { verdict: Arc::new(verdict) }),
                // It has ended: a newer program can tell how.
                Some(None) => None,
                None => {
                    let (pod, warning) =
                        (pods.get(attempt.id.as_str()), warnings.remove(attempt.id.as_str()));
                    match pod {
                        Some(pod) => self.look_at(attempt, pod, warning.as_deref()).await?,
                        None if claimed.contains(&attempt.id) => self.vanished(spec, attempt).await?,
                        // Who performs its start again makes its pod again.
                        None => None,
                    }
                }
            });
        }
        // Whose end was on record before: somebody died before deleting them.
        let left: Vec<AttemptId> = verdicts.into_keys().collect();
        self.remove_pods(spec, &left).await?;
        Ok(Observed { events, unseen })
    }

    /// The attempts without a pod that this look looks for, and those that it does not.
    async fn sought<'a>(&self, absent: Vec<&'a str>) -> Result<(Vec<&'a str>, Vec<&'a str>), StoreError> {
        let now = SystemClock.now();
        let busy = absent.len() > SOUGHT_MAX_BUSY && !self.admission.has_room(now).await?;
        Ok(some(absent, if busy { SOUGHT_MAX_BUSY } else { SOUGHT_MAX }, now))
    }

    fn goes_on(&self, pod: &Pod) -> bool {
        let going = glance(pod, &self.settings.patience, SystemClock.now()) == Glance::Going;
        going && pod.metadata.deletion_timestamp.is_none()
    }

    /// Those of these attempts that are claimed: nobody gives a verdict without a claim.
    async fn claimed(&self, namespace: &str, attempts: Vec<&str>) -> Result<BTreeSet<AttemptId>, StoreError> {
        let attempts: Vec<AttemptId> = attempts.into_iter().map(AttemptId::from).collect();
        let asking = attempts.iter().map(|attempt| self.store.claimed(namespace, attempt)).collect();
        let answers = at_most(READS_AT_ONCE, asking).await;
        let mut claimed = BTreeSet::new();
        for (attempt, answer) in attempts.into_iter().zip(answers) {
            claimed.extend(answer?.then_some(attempt));
        }
        Ok(claimed)
    }

    /// The pods of a run by name: all in one question, or the one that is asked for.
    async fn pods_of(
        &self,
        spec: &RunSpec,
        attempts: &[&Arc<Attempt>],
    ) -> Result<BTreeMap<String, Pod>, CallError> {
        let mut pods = BTreeMap::new();
        if !self.is_ours(spec.namespace()) {
            return Ok(pods);
        }
        let mut keep = |mut pod: Pod| {
            if is_of(&pod, spec) {
                // Each container holds the launch document, and nobody looks at that here.
                if let Some(spec) = &mut pod.spec {
                    (spec.containers, spec.init_containers) = (Vec::new(), None);
                }
                pod.metadata.managed_fields = None;
                pods.insert(pod.metadata.name.clone().unwrap_or_default(), pod);
            }
        };
        if let [attempt] = attempts {
            let api: Api<Pod> = self.api(spec.namespace()).await?;
            call(api.get_opt(attempt.id.as_str())).await?.into_iter().for_each(keep);
        } else {
            let selector = format!("{RUN_LABEL}={}", label_value(spec.uid.as_str()));
            self.list(spec.namespace(), &selector, &mut keep).await?;
        }
        Ok(pods)
    }

    /// The verdicts that are stored for these attempts, none in place of one that only a newer program can read; and the
    /// attempts that are left for another look.
    async fn verdicts(
        &self,
        namespace: &str,
        attempts: Vec<AttemptId>,
    ) -> Result<(BTreeMap<AttemptId, Option<Verdict>>, Vec<AttemptId>), StoreError> {
        let Verdicts { read, unread } = verdicts(&*self.store, namespace, attempts).await;
        let mut found = BTreeMap::new();
        for (attempt, read) in read {
            match read {
                Ok(None) => {}
                Ok(verdict) => drop(found.insert(attempt, verdict)),
                Err(newer @ StoreError::NewerFormat { .. }) => {
                    tracing::warn!(%attempt, error = %chain(&newer), "a result waits for a newer program");
                    found.insert(attempt, None);
                }
                Err(why) => return Err(why),
            }
        }
        Ok((found, unread))
    }

    /// The last warnings about pods that have waited too long for their volumes or their address, by pod; nothing of
    /// those that can't be had, which explain and decide nothing.
    async fn warnings(&self, namespace: &str, pods: &BTreeMap<String, Pod>) -> BTreeMap<String, String> {
        let (patience, now) = (&self.settings.patience, SystemClock.now());
        let late = pods.iter().filter(|(_, pod)| unprepared(pod, patience, now).is_some());
        let asking = late.map(|(name, _)| self.warning(namespace, name)).take(WARNINGS_MAX).collect();
        at_most(READS_AT_ONCE, asking).await.into_iter().flatten().collect()
    }

    async fn warning(&self, namespace: &str, pod: &str) -> Option<(String, String)> {
        let about = format!("involvedObject.name={pod},type=Warning");
        let asking = async {
            let api: Api<CoreEvent> = self.api(namespace).await?;
            call(api.list(&ListParams::default().fields(&about))).await
        };
        match asking.await {
            Ok(events) => Some((pod.to_owned(), last(events.items)?)),
            Err(why) => {
                tracing::warn!(pod, namespace, "its events can't be read: {}", chain(&why));
                None
            }
        }
    }

    /// What a pod without a stored verdict says of its attempt.
    async fn look_at(
        &self,
        attempt: &Attempt,
        pod: &Pod,
        warning: Option<&str>,
    ) -> Result<Option<Event>, ClusterError> {
        let id = attempt.id.clone();
        let event = match seen(pod, attempt, &self.settings.patience, SystemClock.now(), warning) {
            Seen::Waiting(why) => Event::AttemptWaiting { attempt: id, why },
            Seen::Running { at, host } => Event::AttemptRunning { attempt: id, at, host },
            Seen::Ready { at, ip } => {
                // Its wrapper is ready before its command is.
                let claimed =
                    self.store.claimed(&attempt.namespace, &id).await.map_err(|e| unreadable(&e))?;
                if !claimed {
                    let why = "the daemon's command has not begun".to_owned();
                    return Ok(Some(Event::AttemptWaiting { attempt: id, why }));
                }
                Event::AttemptReady { attempt: id, at, ip }
            }
            Seen::Ended(verdict) => {
                let verdict = self.fence(&attempt.namespace, *verdict).await.map_err(|e| unreadable(&e))?;
                Event::AttemptFinished { verdict: Arc::new(verdict) }
            }
        };
        Ok(Some(event))
    }

    /// It was claimed, and has neither a pod nor a verdict: it is lost.
    async fn vanished(&self, spec: &RunSpec, attempt: &Arc<Attempt>) -> Result<Option<Event>, ClusterError> {
        let (namespace, id) = (&attempt.namespace, &attempt.id);
        // The pod may have been made, and claimed, between the two looks.
        let again = self.pods_of(spec, &[attempt]).await.map_err(CallError::unreachable)?;
        if !again.is_empty() {
            return Ok(None);
        }
        let lost = verdict(id, Outcome::Lost, Reason::Vanished, "pod deleted".to_owned());
        let verdict = self.store.put_verdict(namespace, &lost).await.map_err(|e| unreadable(&e))?;
        Ok(Some(Event::AttemptFinished { verdict: Arc::new(verdict) }))
    }
}

/// The last of these events: `reason: message`.
fn last(events: Vec<CoreEvent>) -> Option<String> {
    let told = |event: &CoreEvent| {
        let last = event.last_timestamp.as_ref().map(|time| time.0.as_nanosecond());
        last.or(event.event_time.as_ref().map(|time| time.0.as_nanosecond()))
    };
    let event = events.into_iter().max_by_key(told)?;
    let (reason, message) = (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
    Some(format!("{reason}: {}", message.trim_end()))
}

/// At most so many, other ones each time, and the rest.
fn some<T>(mut all: Vec<T>, max: usize, now: Timestamp) -> (Vec<T>, Vec<T>) {
    if all.len() > max {
        let first = usize::try_from(now.as_millisecond()).unwrap_or(0) % all.len();
        all.rotate_left(first);
    }
    let rest = all.split_off(max.min(all.len()));
    (all, rest)
}

/// The pods that nobody asked for and nobody deletes yet.
fn left_over<'a>(
    pods: &'a BTreeMap<String, Pod>,
    asked: &'a BTreeSet<&str>,
) -> impl Iterator<Item = AttemptId> + 'a {
    let staying = pods.iter().filter(|(_, pod)| pod.metadata.deletion_timestamp.is_none());
    let left = staying.filter(|(name, _)| !asked.contains(name.as_str()));
    left.map(|(name, _)| AttemptId::from(name.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_many_each_is_looked_for_some_time() {
        let at = |millisecond: i64| Timestamp::from_millisecond(1_790_000_000_000 + millisecond).unwrap();
        assert_eq!(some(vec![1, 2, 3], 3, at(1)), (vec![1, 2, 3], vec![]));
        let looks: Vec<_> = (0..200).map(|time| some((0..200).collect::<Vec<i64>>(), 64, at(time))).collect();
        assert!(looks.iter().all(|(some, rest)| some.len() == 64 && rest.len() == 136));
        assert_eq!(looks.into_iter().flat_map(|(some, _)| some).collect::<BTreeSet<_>>().len(), 200);
    }

    #[test]
    fn a_pod_that_is_being_deleted_is_not_deleted_again() {
        let pod = |metadata| serde_json::from_value::<Pod>(json!({"metadata": metadata})).unwrap();
        let pods = BTreeMap::from([
            ("asked".to_owned(), pod(json!({}))),
            ("deleted".to_owned(), pod(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}))),
            ("left".to_owned(), pod(json!({}))),
        ]);
        let asked = BTreeSet::from(["asked"]);
        assert_eq!(left_over(&pods, &asked).collect::<Vec<_>>(), [AttemptId::from("left")]);
    }
}
