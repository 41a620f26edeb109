//! Claims and verdicts, each created once.

use std::path::Path;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::owner::chain;
use dropforge_driver::pods::launch_key;
use dropforge_driver::store::{Attempts, Created, Launches, StoreError};
use dropforge_engine::attempt::{Outcome, Reason, VERDICT_FORMAT, Verdict};
use dropforge_engine::ids::AttemptId;

use super::claim::{CLAIM_FORMAT, Claim};
use super::conditional::{Conditional, Put};
use super::requests::{Condition, Requests};
use super::{ObjectStore, key};
use crate::{json, keys};

/// A step's code may write its own verdict: one that is larger is no verdict.
const VERDICT_BYTES_MAX: u64 = 4 * 1024 * 1024;

impl<R: Requests> Attempts for ObjectStore<R> {
    async fn claim(&self, namespace: &str, attempt: &AttemptId, nonce: &str) -> Result<Created, StoreError> {
        let key = of_attempt(namespace, attempt, "claim.json")?;
        let claim = Claim { format: CLAIM_FORMAT, nonce: nonce.to_owned() };
        match self.control.put(&key, json::bytes(Path::new(&key), &claim)?, Condition::Absent).await? {
            Put::Committed { .. } | Put::Mine { .. } => Ok(Created::New),
            Put::Lost(found) => {
                let claim =
                    found.map(|found| json::parse::<Claim>(Path::new(&key), &found.body, CLAIM_FORMAT));
                // A claim that can't be read is somebody else's all the same.
                let ours = claim.is_some_and(|claim| claim.is_ok_and(|claim| claim.nonce == nonce));
                Ok(if ours { Created::New } else { Created::Exists })
            }
        }
    }

    async fn claimed(&self, namespace: &str, attempt: &AttemptId) -> Result<bool, StoreError> {
        Ok(self.control.etag(&of_attempt(namespace, attempt, "claim.json")?).await?.is_some())
    }

    async fn put_verdict(&self, namespace: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        let key = of_attempt(namespace, &verdict.attempt, "result.json")?;
        let body = json::bytes(Path::new(&key), verdict)?;
        match self.control.put(&key, body, Condition::Absent).await {
            // Nothing removes a verdict: a creation is never lost to nothing.
            Ok(Put::Committed { .. } | Put::Mine { .. } | Put::Lost(None)) => Ok(verdict.clone()),
            Ok(Put::Lost(Some(_))) | Err(StoreError::Damaged { .. }) => {
                let first = self.verdict(namespace, &verdict.attempt).await?;
                Ok(first.unwrap_or_else(|| verdict.clone()))
            }
            Err(unknown) => Err(unknown),
        }
    }

    async fn verdict(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<Verdict>, StoreError> {
        let key = of_attempt(namespace, attempt, "result.json")?;
        let found = match self.control.get_small(&key, VERDICT_BYTES_MAX).await {
            Ok(found) => found.map(|found| parsed(&key, &found.body)),
            Err(too_large @ StoreError::Damaged { .. }) => Some(Err(too_large)),
            Err(unknown) => return Err(unknown),
        };
        found.map(|found| judged(attempt, found)).transpose()
    }
}

fn parsed(key: &str, body: &[u8]) -> Result<Verdict, StoreError> {
    json::parse(Path::new(key), body, VERDICT_FORMAT)
}

/// The verdict that counts. A pod may write its own, and nobody can write another after it: one that can't be read, or
/// that is about another attempt, ends the attempt that it lies under, and no other.
fn judged(attempt: &AttemptId, stored: Result<Verdict, StoreError>) -> Result<Verdict, StoreError> {
    let why = match stored {
        Ok(verdict) if verdict.attempt != *attempt => format!("its result is that of {}", verdict.attempt),
        Err(damaged @ StoreError::Damaged { .. }) => format!("failed to {}", chain(&damaged)),
        other => return other,
    };
    tracing::warn!(%attempt, why, "a result is none");
    let now = SystemClock.now();
    Ok(Verdict::without_outputs(attempt.clone(), Outcome::Error, Reason::Outputs, why, now))
}

impl<R: Requests> ObjectStore<R> {
    /// The nonce of who holds an attempt's claim.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn claimer(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<String>, StoreError> {
        let key = of_attempt(namespace, attempt, "claim.json")?;
        let Some(found) = self.control.get_small(&key, VERDICT_BYTES_MAX).await? else { return Ok(None) };
        json::parse::<Claim>(Path::new(&key), &found.body, CLAIM_FORMAT).map(|claim| Some(claim.nonce))
    }
}

impl<R: Requests> Launches for ObjectStore<R> {
    async fn put_launch(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        document: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.control.replace(&launch_key(namespace, attempt), document).await
    }
}

fn of_attempt(namespace: &str, attempt: &AttemptId, document: &str) -> Result<String, StoreError> {
    Ok(key(keys::attempt(namespace, attempt)?.join(document)))
}
