//! Artifacts: objects in the buckets or in the namespace's part of the default artifact repository.

use std::path::Path;

use dropforge_driver::store::{Artifacts, ObjectFacts, Place, StoreError};

use super::DirectoryStore;
use crate::keys;
use crate::objects::Objects;

impl Artifacts for DirectoryStore {
    async fn fetch(
        &self,
        namespace: &str,
        place: &Place,
        to: &Path,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<ObjectFacts, StoreError> {
        let (objects, bucket) = self.objects(namespace, place)?;
        objects.fetch(bucket, &place.key, to, progress)
    }

    /// The keys of a person's making may hold `..` as a component; who makes paths of them looks out for it.
    async fn list(&self, namespace: &str, place: &Place) -> Result<Vec<String>, StoreError> {
        let (objects, bucket) = self.objects(namespace, place)?;
        let prefix = format!("{}/", place.key.strip_suffix('/').unwrap_or(&place.key));
        let below = objects.list(bucket, &prefix)?.objects.into_iter();
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
        let (objects, bucket) = self.objects(namespace, place)?;
        objects.take(from, bucket, &place.key, consume, progress)
    }

    async fn remove_object(&self, namespace: &str, place: &Place) -> Result<(), StoreError> {
        let (objects, bucket) = self.objects(namespace, place)?;
        if objects.remove(bucket, place.key.trim_end_matches('/'))? {
            return Ok(());
        }
        for key in self.list(namespace, place).await? {
            objects.remove(bucket, &format!("{}/{key}", place.key.trim_end_matches('/')))?;
        }
        Ok(())
    }

    async fn head(&self, namespace: &str, place: &Place) -> Result<Option<ObjectFacts>, StoreError> {
        let (objects, bucket) = self.objects(namespace, place)?;
        match objects.open(bucket, &place.key) {
            Ok((mut file, stat)) => objects.full_facts(&mut file, &stat, &|_, _| {}).map(Some),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl DirectoryStore {
    fn objects<'a>(
        &'a self,
        namespace: &'a str,
        place: &'a Place,
    ) -> Result<(&'a Objects, &'a str), StoreError> {
        let Some(bucket) = &place.bucket else { return Ok((&self.artifacts, namespace)) };
        keys::check_bucket(bucket)?;
        Ok((&self.buckets, bucket))
    }
}
