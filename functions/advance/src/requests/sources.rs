//! What a request needs beside its manifest: the values of secrets; and who holds its claim.

use std::collections::BTreeMap;
use std::future::Future;

use dropforge_cluster::kubernetes::{CallError, KubernetesCluster};
use dropforge_driver::cluster::ClusterError;
use dropforge_driver::store::{Attempts, Documents, StoreError};
use dropforge_engine::ids::AttemptId;
use dropforge_manifest::types::KeySelector;
use dropforge_storage::s3::S3Store;

/// What a secret holds, by key.
pub type Secret = BTreeMap<String, String>;

/// Gives secrets.
pub trait Secrets: Send + Sync {
    /// A secret; none where there is no such one; the error within: why it is not given.
    ///
    /// # Errors
    /// When it can't be asked for now.
    fn secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Result<Option<Secret>, String>, ClusterError>> + Send;
}

impl<S: Attempts + Documents + 'static> Secrets for KubernetesCluster<S> {
    async fn secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Result<Option<Secret>, String>, ClusterError> {
        match KubernetesCluster::secret(self, namespace, name).await {
            Ok(secret) => Ok(Ok(secret)),
            Err(refused @ CallError::Refused { .. }) => Ok(Err(refused.to_string())),
            Err(other) => Err(other.unreachable()),
        }
    }
}

/// Says who holds a claim.
pub trait Claims: Send + Sync {
    /// The nonce that an attempt was claimed with.
    ///
    /// # Errors
    /// When it can't be read.
    fn claimer(
        &self,
        namespace: &str,
        attempt: &AttemptId,
    ) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;
}

impl Claims for S3Store {
    async fn claimer(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<String>, StoreError> {
        S3Store::claimer(self, namespace, attempt).await
    }
}

/// Secrets by name.
#[derive(Default)]
pub struct Found(BTreeMap<String, Option<Secret>>);

impl Found {
    /// What a key holds; none where it is missing and may be.
    ///
    /// # Errors
    /// What is missing, in Kubernetes' words.
    pub fn key(&self, key: &KeySelector) -> Result<Option<String>, String> {
        let secret = self.0.get(&key.name).and_then(Option::as_ref);
        let missing = match secret {
            Some(secret) => match secret.get(&key.key) {
                Some(value) => return Ok(Some(value.clone())),
                None => format!("secret \"{}\" has no key \"{}\"", key.name, key.key),
            },
            None => format!("secret \"{}\" not found", key.name),
        };
        if key.optional.unwrap_or_default() { Ok(None) } else { Err(missing) }
    }
}

/// The secrets of these keys, each asked for once.
///
/// # Errors
/// When one can't be asked for now; within: why one is not given.
pub async fn all<C: Secrets>(
    from: &C,
    namespace: &str,
    keys: impl Iterator<Item = &KeySelector>,
) -> Result<Result<Found, String>, ClusterError> {
    let mut found = Found::default();
    for key in keys {
        if found.0.contains_key(&key.name) {
            continue;
        }
        match from.secret(namespace, &key.name).await? {
            Ok(secret) => drop(found.0.insert(key.name.clone(), secret)),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(found))
}
