//! The list of runs.

use std::path::Path;

use dropforge_driver::store::{EntryPage, INDEX_FORMAT, Index, IndexEntry, StoreError};

use super::conditional::{Conditional, Put};
use super::requests::{Condition, Requests};
use super::{ObjectStore, key};
use crate::{json, keys};

impl<R: Requests> Index for ObjectStore<R> {
    async fn put_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        let key = entry_key(entry)?;
        let body = json::bytes(Path::new(&key), entry)?;
        // Whoever is first needs no look at what is there.
        let mut there = match self.control.put(&key, body.clone(), Condition::Absent).await? {
            Put::Committed { .. } | Put::Mine { .. } => return Ok(()),
            Put::Lost(there) => there,
        };
        while let Some(found) = there {
            let old: IndexEntry = json::parse(Path::new(&key), &found.body, INDEX_FORMAT)?;
            if old.position > entry.position {
                return Ok(());
            }
            there = match self.control.put(&key, body.clone(), Condition::Unchanged(&found.etag)).await? {
                Put::Committed { .. } | Put::Mine { .. } => return Ok(()),
                Put::Lost(there) => there,
            };
        }
        // Somebody removed it meanwhile: the run was deleted.
        Ok(())
    }

    async fn entries(&self, namespace: Option<&str>) -> Result<Vec<IndexEntry>, StoreError> {
        let prefix = match namespace {
            Some(namespace) => format!("{}/{}/", keys::INDEX, keys::name("namespace", namespace)?),
            None => format!("{}/", keys::INDEX),
        };
        let keys: Vec<String> =
            self.control.list(&prefix).await?.into_iter().map(|entry| entry.key).collect();
        let mut entries = self.read_entries(keys).await?;
        entries.sort_by(|a, b| (b.created_at, &a.uid).cmp(&(a.created_at, &b.uid)));
        Ok(entries)
    }

    async fn entries_after(&self, after: Option<&str>, many: usize) -> Result<EntryPage, StoreError> {
        let keys = self.control.list_after(&format!("{}/", keys::INDEX), after, many).await?;
        let end = keys.last().filter(|_| keys.len() >= many).cloned();
        Ok(EntryPage { entries: self.read_entries(keys).await?, end })
    }

    async fn remove_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        self.control.remove(&entry_key(entry)?).await
    }
}

impl<R: Requests> ObjectStore<R> {
    /// The entries under these keys. One that is damaged, or a newer version's, hides none of the others.
    async fn read_entries(&self, keys: Vec<String>) -> Result<Vec<IndexEntry>, StoreError> {
        let mut entries = Vec::new();
        for (key, found) in keys.iter().zip(self.control.get_all(keys.clone()).await?) {
            // None: removed since the index was listed.
            let Some(found) = found else { continue };
            match json::parse(Path::new(key), &found.body, INDEX_FORMAT) {
                Ok(entry) => entries.push(entry),
                Err(why) => {
                    tracing::warn!(key, %why, "a run's line of the list can't be read and is left out")
                }
            }
        }
        Ok(entries)
    }
}

fn entry_key(entry: &IndexEntry) -> Result<String, StoreError> {
    keys::index_entry(&entry.namespace, entry.created_at, &entry.uid).map(key)
}
