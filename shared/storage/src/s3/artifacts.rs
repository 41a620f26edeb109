//! Artifacts: objects in any bucket, or in the namespace's part of the default artifact repository.

use std::io::ErrorKind;
use std::path::Path;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use dropforge_driver::store::{Artifacts, ObjectFacts, Place, StoreError};

use super::S3Store;
use super::bucket::Bucket;
use super::conditional::Conditional;
use super::requests::Failure;
use super::requests::{Listed, Requests};
use crate::keys;

/// S3 removes at most this many objects at a time.
const REMOVED_AT_ONCE: usize = 1_000;

impl Artifacts for S3Store {
    async fn fetch(
        &self,
        namespace: &str,
        place: &Place,
        to: &Path,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        let (bucket, key) = self.at(namespace, place)?;
        bucket.download(&key, to, progress).await
    }

    /// The keys of a person's making may hold `..` as a component; who makes paths of them looks out for it.
    async fn list(&self, namespace: &str, place: &Place) -> Result<Vec<String>, StoreError> {
        let (bucket, prefix) = self.folder(namespace, place)?;
        let below = bucket.list(&prefix).await?.into_iter();
        // `a/b/` is an empty object by which some tools mark a folder.
        let keys = below.filter(|object| !object.key.ends_with('/'));
        Ok(keys.map(|object| object.key[prefix.len()..].to_owned()).collect())
    }

    async fn store(
        &self,
        namespace: &str,
        from: &Path,
        place: &Place,
        consume: bool,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        let (bucket, key) = self.at(namespace, place)?;
        let facts = bucket.upload(from, &key, progress).await?;
        if consume {
            crate::files::remove(from)?;
        }
        Ok(facts)
    }

    async fn remove_object(&self, namespace: &str, place: &Place) -> Result<(), StoreError> {
        let (bucket, key) = self.at(namespace, place)?;
        let key = key.trim_end_matches('/');
        if bucket.etag(key).await?.is_some() {
            return bucket.remove(key).await;
        }
        let (_, prefix) = self.folder(namespace, place)?;
        bucket.remove_all(bucket.list(&prefix).await?).await
    }

    async fn head(&self, namespace: &str, place: &Place) -> Result<Option<ObjectFacts>, StoreError> {
        let (bucket, key) = self.at(namespace, place)?;
        bucket.facts(&key).await
    }
}

impl S3Store {
    /// The bucket and key of a place.
    fn at(&self, namespace: &str, place: &Place) -> Result<(Bucket, String), StoreError> {
        let (bucket, key) = match &place.bucket {
            None => {
                (self.artifacts.clone(), format!("{}/{}", keys::name("namespace", namespace)?, place.key))
            }
            Some(name) => {
                keys::check_bucket(name)?;
                (Bucket { name: name.clone(), ..self.artifacts.clone() }, place.key.clone())
            }
        };
        keys::check_key(&place.key)?;
        keys::check_key(&key)?;
        Ok((bucket, key))
    }

    /// The prefix of what lies below a place.
    fn folder(&self, namespace: &str, place: &Place) -> Result<(Bucket, String), StoreError> {
        let (bucket, key) = self.at(namespace, place)?;
        Ok((bucket, format!("{}/", key.strip_suffix('/').unwrap_or(&key))))
    }
}

impl Bucket {
    async fn remove_all(&self, objects: Vec<Listed>) -> Result<(), StoreError> {
        for some in objects.chunks(REMOVED_AT_ONCE) {
            let name = |object: &Listed| ObjectIdentifier::builder().key(&object.key).build();
            let named = some
                .iter()
                .map(name)
                .collect::<Result<Vec<_>, _>>()
                .and_then(|named| Delete::builder().quiet(true).set_objects(Some(named)).build());
            let prefix = some.first().map_or("", |object| object.key.as_str());
            let failed = |source| StoreError::Io { action: "remove", key: prefix.to_owned(), source };
            let named = named.map_err(|error| failed(std::io::Error::other(error)))?;
            let request = self.client.delete_objects().bucket(&self.name).delete(named);
            let answer = request.send().await.map_err(|error| Failure::of(error).at("remove", prefix))?;
            if let Some(error) = answer.errors().first() {
                let why = format!(
                    "{}: {}: {}",
                    error.key().unwrap_or_default(),
                    error.code().unwrap_or_default(),
                    error.message().unwrap_or_default()
                );
                let denied = error.code() == Some("AccessDenied");
                let kind = if denied { ErrorKind::PermissionDenied } else { ErrorKind::Other };
                return Err(failed(std::io::Error::new(kind, why)));
            }
        }
        Ok(())
    }
}
