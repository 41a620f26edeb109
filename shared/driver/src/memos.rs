//! Caches of memoized templates: `memo/<namespace>/<cache>/<key>.json`, written by whoever comes last.

use dropforge_engine::memo::{MemoEntry, MemoKey};
use dropforge_manifest::types::Outputs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::documents::{self, component, escaped};
use crate::store::{Documents, StoreError};

/// The version of the document that this code writes.
pub const FORMAT: u32 = 1;

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredMemo {
    /// Version of this document.
    pub format: u32,
    /// Argo's id of the node that gave it.
    #[serde(rename = "nodeID")]
    pub node_id: String,
    /// What it gave.
    #[serde(default, skip_serializing_if = "Outputs::is_empty")]
    pub outputs: Outputs,
    /// When it was written.
    pub creation_timestamp: Timestamp,
    /// When it was last looked at.
    pub last_hit_timestamp: Timestamp,
}

/// The key of an entry's document.
pub fn key(namespace: &str, entry: &MemoKey) -> String {
    let [namespace, cache, key] =
        [namespace, entry.cache.as_str(), entry.key.as_str()].map(|name| component(escaped(name)));
    format!("memo/{namespace}/{cache}/{key}.json")
}

/// What a cache holds under a key, and the note that it was looked at. What is damaged is as good as gone: the step runs and
/// writes it anew.
///
/// # Errors
/// When it can't be read, or a newer version wrote it.
pub async fn read<S: Documents>(
    store: &S,
    namespace: &str,
    entry: &MemoKey,
    now: Timestamp,
) -> Result<Option<MemoEntry>, StoreError> {
    let key = key(namespace, entry);
    let looked_at = |stored: &mut StoredMemo| stored.last_hit_timestamp = now.max(stored.last_hit_timestamp);
    match documents::touch(store, &key, FORMAT, looked_at).await {
        Ok(stored) => Ok(stored.map(|s| MemoEntry {
            node_id: s.node_id,
            outputs: s.outputs,
            created_at: s.creation_timestamp,
        })),
        Err(StoreError::Damaged { why, .. }) => {
            tracing::warn!(%key, %why, "a cache entry can't be read; its step runs");
            Ok(None)
        }
        Err(why) => Err(why),
    }
}

/// Keeps what a node gave.
///
/// # Errors
/// When it is unknown whether it is kept; then keeping it again is right.
pub async fn write<S: Documents>(
    store: &S,
    namespace: &str,
    entry: &MemoKey,
    gave: &MemoEntry,
) -> Result<(), StoreError> {
    let stored = StoredMemo {
        format: FORMAT,
        node_id: gave.node_id.clone(),
        outputs: gave.outputs.clone(),
        creation_timestamp: gave.created_at,
        last_hit_timestamp: gave.created_at,
    };
    documents::put(store, &key(namespace, entry), FORMAT, &stored).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::fake::{FakeDocuments, now};
    use crate::store::Swap;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn entry() -> MemoKey {
        MemoKey { cache: "../a/b".to_owned(), key: "k".to_owned() }
    }

    fn gave(node: &str, second: i64) -> MemoEntry {
        let outputs = Outputs { result: Some(node.to_owned()), ..Outputs::default() };
        MemoEntry { node_id: node.to_owned(), outputs, created_at: at(second) }
    }

    #[test]
    fn the_last_writer_wins_and_a_look_is_noted() {
        let store = FakeDocuments::default();
        assert_eq!(now(read(&store, "ns", &entry(), at(1))).unwrap(), None);
        now(write(&store, "ns", &entry(), &gave("a", 1))).unwrap();
        now(write(&store, "ns", &entry(), &gave("b", 2))).unwrap();
        assert_eq!(now(read(&store, "ns", &entry(), at(9))).unwrap(), Some(gave("b", 2)));
        let kept =
            now(documents::read::<_, StoredMemo>(&store, "memo/ns/~2e~2e~2fa~2fb/k.json", FORMAT)).unwrap();
        assert_eq!(kept.unwrap().last_hit_timestamp, at(9));
        let other = MemoKey { key: "other".to_owned(), ..entry() };
        assert_eq!(now(read(&store, "ns", &other, at(9))).unwrap(), None);
    }

    #[test]
    fn a_long_key_fits_a_file_name_and_is_still_its_own() {
        let long = |end: &str| MemoKey { cache: "c".to_owned(), key: format!("{}{end}", "k".repeat(5000)) };
        let keys = [key("ns", &long("a")), key("ns", &long("b"))];
        assert!(keys.iter().all(|key| key.len() < 200), "{keys:?}");
        assert_ne!(keys[0], keys[1]);
    }

    #[test]
    fn what_is_damaged_is_a_miss_and_written_anew_and_a_newer_format_is_left_alone() {
        let store = FakeDocuments::default();
        let key = key("ns", &entry());
        assert!(matches!(now(store.swap(&key, None, b"{")).unwrap(), Swap::Stored { .. }));
        assert_eq!(now(read(&store, "ns", &entry(), at(1))).unwrap(), None);
        now(write(&store, "ns", &entry(), &gave("a", 1))).unwrap();
        assert_eq!(now(read(&store, "ns", &entry(), at(1))).unwrap(), Some(gave("a", 1)));
        let newer = now(store.get(&key)).unwrap().unwrap();
        now(store.swap(&key, Some(&newer.version), br#"{"format":2,"x":1}"#)).unwrap();
        assert!(matches!(now(read(&store, "ns", &entry(), at(1))), Err(StoreError::NewerFormat { .. })));
        assert!(matches!(
            now(write(&store, "ns", &entry(), &gave("a", 1))),
            Err(StoreError::NewerFormat { .. })
        ));
    }
}
