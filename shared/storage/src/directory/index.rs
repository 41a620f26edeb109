//! The list of runs.

use dropforge_driver::store::{INDEX_FORMAT, Index, IndexEntry, StoreError};

use super::DirectoryStore;
use crate::{files, json, keys};

impl Index for DirectoryStore {
    async fn put_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        let path = self.at(keys::index_entry(&entry.namespace, entry.created_at, &entry.uid)?);
        self.replace(&path, &json::bytes(&path, entry)?)
    }

    async fn entries(&self, namespace: Option<&str>) -> Result<Vec<IndexEntry>, StoreError> {
        let index = self.root.join(keys::INDEX);
        let namespaces = match namespace {
            Some(namespace) => vec![keys::name("namespace", namespace)?],
            None => files::names(&index)?,
        };
        let mut entries: Vec<IndexEntry> = Vec::new();
        for folder in namespaces.iter().map(|namespace| index.join(namespace)) {
            for path in files::names(&folder)?.into_iter().map(|name| folder.join(name)) {
                // None: removed since the folder was read.
                if let Some(bytes) = files::read(&path)? {
                    entries.push(json::parse(&path, &bytes, INDEX_FORMAT)?);
                }
            }
        }
        entries.sort_by(|a, b| (b.created_at, &a.uid).cmp(&(a.created_at, &b.uid)));
        Ok(entries)
    }

    async fn remove_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        files::remove(&self.at(keys::index_entry(&entry.namespace, entry.created_at, &entry.uid)?))
    }
}
