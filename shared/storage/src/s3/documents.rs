//! Documents under compare and swap. The first line of each holds a number used once: it is how a writer knows its own
//! document again, and why equal bytes never have an equal entity tag, not even after a removal.

use std::path::Path;

use dropforge_driver::store::{Documents, StoreError, Swap, Versioned};

use super::conditional::{Conditional, Put, Removed};
use super::requests::{Condition, Requests};
use super::{ObjectStore, bounded, key};
use crate::keys;

const HEADER: &str = "#dropforge-version ";

impl<R: Requests> Documents for ObjectStore<R> {
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        let found = self.control.get(&bounded(keys::document(key)?)?).await?;
        Ok(found.map(|found| Versioned { body: body_of(&found.body).to_owned(), version: found.etag }))
    }

    async fn swap(&self, key: &str, expected: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
        let mut bytes = format!("{HEADER}{}\n", self.nonces.next()).into_bytes();
        bytes.extend(body);
        let condition = expected.map_or(Condition::Absent, Condition::Unchanged);
        match self.control.put(&bounded(keys::document(key)?)?, bytes, condition).await? {
            Put::Committed { etag } | Put::Mine { etag } => Ok(Swap::Stored { version: etag }),
            Put::Lost(_) => Ok(Swap::Conflict),
        }
    }

    async fn remove(&self, key: &str, expected: &str) -> Result<Swap, StoreError> {
        match self.control.remove_unchanged(&bounded(keys::document(key)?)?, expected).await? {
            Removed::Gone => Ok(Swap::Stored { version: expected.to_owned() }),
            Removed::Missing | Removed::Changed => Ok(Swap::Conflict),
        }
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let folders = match prefix.rsplit_once('/') {
            Some((folder, _)) => vec![key(keys::folder_of_documents(folder)?)],
            None => {
                let all = self.control.folders().await?;
                all.into_iter().filter(|folder| !keys::is_table(folder)).collect()
            }
        };
        let mut found = Vec::new();
        for folder in folders {
            let listed = self.control.list(&format!("{folder}/")).await?;
            found.extend(listed.iter().filter_map(|document| keys::key_of(Path::new(&document.key))));
        }
        found.retain(|key| key.starts_with(prefix));
        found.sort_unstable();
        Ok(found)
    }
}

/// The bytes after the first line, where that is ours; a document put there by hand has none.
fn body_of(bytes: &[u8]) -> &[u8] {
    let ours = bytes.strip_prefix(HEADER.as_bytes());
    let end = ours.and_then(|rest| rest.iter().position(|byte| *byte == b'\n'));
    end.map_or(bytes, |end| &bytes[HEADER.len() + end + 1..])
}
