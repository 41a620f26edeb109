//! The list of runs.

use std::path::Path;

use dropforge_driver::store::{INDEX_FORMAT, Index, IndexEntry, StoreError};

use super::{S3Store, key};
use crate::{json, keys};

impl Index for S3Store {
    async fn put_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        let key = entry_key(entry)?;
        self.control.replace(&key, json::bytes(Path::new(&key), entry)?).await
    }

    async fn entries(&self, namespace: Option<&str>) -> Result<Vec<IndexEntry>, StoreError> {
        let prefix = match namespace {
            Some(namespace) => format!("{}/{}/", keys::INDEX, keys::name("namespace", namespace)?),
            None => format!("{}/", keys::INDEX),
        };
        let keys: Vec<String> =
            self.control.list(&prefix).await?.into_iter().map(|entry| entry.key).collect();
        let mut entries: Vec<IndexEntry> = Vec::new();
        for (key, found) in keys.iter().zip(self.control.get_all(keys.clone()).await?) {
            // None: removed since the index was listed.
            if let Some(found) = found {
                entries.push(json::parse(Path::new(key), &found.body, INDEX_FORMAT)?);
            }
        }
        entries.sort_by(|a, b| (b.created_at, &a.uid).cmp(&(a.created_at, &b.uid)));
        Ok(entries)
    }

    async fn remove_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        self.control.remove(&entry_key(entry)?).await
    }
}

fn entry_key(entry: &IndexEntry) -> Result<String, StoreError> {
    keys::index_entry(&entry.namespace, entry.created_at, &entry.uid).map(key)
}
