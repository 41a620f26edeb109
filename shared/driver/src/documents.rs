//! JSON documents that are changed by compare and swap.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::store::{Documents, StoreError, Swap};

/// A longer name ends in a hash of the whole.
const NAME_MAX: usize = 120;

/// A name of the person's as part of a key: letters, digits, `-` and `_` stand for themselves, so that no two names
/// share a key and none leads elsewhere.
pub fn escaped(name: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(b).to_string(),
        other => format!("~{other:02x}"),
    };
    name.bytes().map(byte).collect()
}

/// An escaped name as one component of a key, which is bounded, whatever its length is.
pub fn component(escaped: String) -> String {
    if escaped.len() <= NAME_MAX {
        return escaped;
    }
    let hash: String = Sha256::digest(&escaped)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hash}", &escaped[..NAME_MAX])
}

/// Reads a document whose format this code knows up to `known`.
///
/// # Errors
/// `Damaged`, `NewerFormat`, `Io`.
pub async fn read<S: Documents, D: DeserializeOwned>(
    store: &S,
    key: &str,
    known: u32,
) -> Result<Option<D>, StoreError> {
    match store.get(key).await? {
        Some(stored) => decode(key, &stored.body, known).map(Some),
        None => Ok(None),
    }
}

/// Changes a document: `change` gets what is stored and gives what shall be, and is called again when somebody else
/// was faster. What stays equal is not written.
///
/// # Errors
/// When it is unknown whether it was stored; then changing it again is right, if `change` is.
pub async fn change<S, D, T>(
    store: &S,
    key: &str,
    known: u32,
    mut change: impl FnMut(Option<D>) -> (D, T),
) -> Result<T, StoreError>
where
    S: Documents,
    D: Serialize + DeserializeOwned + PartialEq + Clone,
{
    let change = |old| {
        let (new, answer) = change(old);
        (Some(new), answer)
    };
    change_or_remove(store, key, known, change).await
}

/// As [`change`], of a document that need not be there: where `change` gives none, it is removed, unless somebody has
/// changed it meanwhile.
///
/// # Errors
/// When it is unknown whether it was stored or removed; then changing it again is right, if `change` is.
pub async fn change_or_remove<S, D, T>(
    store: &S,
    key: &str,
    known: u32,
    mut change: impl FnMut(Option<D>) -> (Option<D>, T),
) -> Result<T, StoreError>
where
    S: Documents,
    D: Serialize + DeserializeOwned + PartialEq + Clone,
{
    loop {
        let stored = store.get(key).await?;
        let old: Option<D> = stored.as_ref().map(|stored| decode(key, &stored.body, known)).transpose()?;
        let (new, answer) = change(old.clone());
        if old == new {
            return Ok(answer);
        }
        let expected = stored.as_ref().map(|stored| stored.version.as_str());
        let swapped = match (&new, expected) {
            (Some(new), _) => store.swap(key, expected, &encode(key, new)?).await?,
            (None, Some(version)) => store.remove(key, version).await?,
            (None, None) => return Ok(answer),
        };
        if let Swap::Stored { .. } = swapped {
            return Ok(answer);
        }
    }
}

/// Changes a document by what `look` finds elsewhere after the document was read: whatever somebody does meanwhile who
/// changes the document before or after it is either found or answered with a conflict, and both are asked again.
///
/// # Errors
/// When it is unknown whether it was stored, or `look` fails; then changing it again is right, if `change` is.
pub async fn change_by<S, D, L, T>(
    store: &S,
    key: &str,
    known: u32,
    mut look: impl AsyncFnMut(&D) -> Result<L, StoreError>,
    mut change: impl FnMut(&mut D, L) -> T,
) -> Result<T, StoreError>
where
    S: Documents,
    D: Serialize + DeserializeOwned + PartialEq + Clone + Default,
{
    loop {
        let stored = store.get(key).await?;
        let old: Option<D> = stored.as_ref().map(|stored| decode(key, &stored.body, known)).transpose()?;
        let mut new = old.clone().unwrap_or_default();
        let found = look(&new).await?;
        let answer = change(&mut new, found);
        if old.as_ref() == Some(&new) {
            return Ok(answer);
        }
        let expected = stored.as_ref().map(|stored| stored.version.as_str());
        if let Swap::Stored { .. } = store.swap(key, expected, &encode(key, &new)?).await? {
            return Ok(answer);
        }
    }
}

/// Changes a document that exists and gives what is stored then; none when there is none.
///
/// # Errors
/// When it is unknown whether it was stored; then changing it again is right, if `change` is.
pub async fn touch<S, D>(
    store: &S,
    key: &str,
    known: u32,
    mut change: impl FnMut(&mut D),
) -> Result<Option<D>, StoreError>
where
    S: Documents,
    D: Serialize + DeserializeOwned,
{
    while let Some(stored) = store.get(key).await? {
        let mut document: D = decode(key, &stored.body, known)?;
        change(&mut document);
        if let Swap::Stored { .. } = store.swap(key, Some(&stored.version), &encode(key, &document)?).await? {
            return Ok(Some(document));
        }
    }
    Ok(None)
}

/// Stores a document in place of whatever is there, unless a newer version wrote that.
///
/// # Errors
/// `NewerFormat`, or when it is unknown whether it was stored; then storing it again is right.
pub async fn put<S, D>(store: &S, key: &str, known: u32, document: &D) -> Result<(), StoreError>
where
    S: Documents,
    D: Serialize + DeserializeOwned,
{
    let body = encode(key, document)?;
    loop {
        let stored = store.get(key).await?;
        if let Some(Err(newer @ StoreError::NewerFormat { .. })) =
            stored.as_ref().map(|stored| decode::<D>(key, &stored.body, known))
        {
            return Err(newer);
        }
        let expected = stored.as_ref().map(|stored| stored.version.as_str());
        if let Swap::Stored { .. } = store.swap(key, expected, &body).await? {
            return Ok(());
        }
    }
}

/// Stores a document unless there is one under this key; gives whether it was new.
///
/// # Errors
/// When it is unknown whether it is stored.
pub async fn create<S: Documents, D: Serialize>(
    store: &S,
    key: &str,
    document: &D,
) -> Result<bool, StoreError> {
    let swapped = store.swap(key, None, &encode(key, document)?).await?;
    Ok(matches!(swapped, Swap::Stored { .. }))
}

pub(crate) fn encode<D: Serialize>(key: &str, document: &D) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(document).map_err(|why| StoreError::Io {
        action: "encode",
        key: key.to_owned(),
        source: std::io::Error::other(why),
    })
}

pub(crate) fn decode<D: DeserializeOwned>(key: &str, body: &[u8], known: u32) -> Result<D, StoreError> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |why: serde_json::Error| StoreError::Damaged {
        key: key.to_owned(),
        offset: 0,
        why: format!("it is no document of this kind: {why}"),
    };
    let Format { format } = serde_json::from_slice(body).map_err(damaged)?;
    if format > known {
        return Err(StoreError::NewerFormat { key: key.to_owned(), found: format, known });
    }
    serde_json::from_slice(body).map_err(damaged)
}

/// A store in memory that fails on demand.
#[cfg(test)]
pub mod fake {
    use std::collections::BTreeMap;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::{Mutex, PoisonError};
    use std::task::{Context, Poll, Waker};

    use crate::store::{Documents, StoreError, Swap, Versioned};

    /// What a failing write leaves.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Fault {
        /// Nothing: the process died before it.
        Before,
        /// The document: the process died after it, and nobody heard the answer.
        After,
    }

    #[derive(Default)]
    struct Inner {
        documents: BTreeMap<String, Versioned>,
        writes: usize,
        fault: Option<(usize, Fault)>,
    }

    /// Documents in memory.
    #[derive(Default)]
    pub struct FakeDocuments(Mutex<Inner>);

    impl FakeDocuments {
        fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Lets the write number `n` from now (0: the next) fail, and all after it.
        pub fn fail_at(&self, n: usize, fault: Fault) {
            let mut inner = self.inner();
            inner.fault = Some((inner.writes + n, fault));
        }

        /// Lets writes succeed again: a new process.
        pub fn restart(&self) {
            self.inner().fault = None;
        }

        /// How many writes there were.
        pub fn writes(&self) -> usize {
            self.inner().writes
        }

        fn write(&self, key: &str, expected: Option<&str>, body: Option<&[u8]>) -> Result<Swap, StoreError> {
            let mut inner = self.inner();
            let number = inner.writes;
            inner.writes += 1;
            let dead = || StoreError::Io {
                action: "write",
                key: key.to_owned(),
                source: std::io::Error::other("killed"),
            };
            let fault = inner.fault.filter(|(at, _)| number >= *at);
            if fault.is_some_and(|(at, fault)| number > at || fault == Fault::Before) {
                return Err(dead());
            }
            if inner.documents.get(key).map(|d| d.version.as_str()) != expected {
                return Ok(Swap::Conflict);
            }
            let version = format!("v{number}");
            match body {
                Some(body) => {
                    let stored = Versioned { body: body.to_vec(), version: version.clone() };
                    inner.documents.insert(key.to_owned(), stored);
                }
                None => drop(inner.documents.remove(key)),
            }
            if fault.is_some() { Err(dead()) } else { Ok(Swap::Stored { version }) }
        }
    }

    impl Documents for FakeDocuments {
        async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
            Ok(self.inner().documents.get(key).cloned())
        }

        async fn swap(&self, key: &str, expected: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
            self.write(key, expected, Some(body))
        }

        async fn remove(&self, key: &str, expected: &str) -> Result<Swap, StoreError> {
            self.write(key, Some(expected), None)
        }

        async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
            Ok(self.inner().documents.keys().filter(|k| k.starts_with(prefix)).cloned().collect())
        }
    }

    /// Runs a future that never waits.
    pub fn now<T>(future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("a fake waits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::{FakeDocuments, now};
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Count {
        format: u32,
        n: u32,
    }

    #[test]
    fn a_document_is_created_changed_and_left_alone_when_equal() {
        let store = FakeDocuments::default();
        let add = |by| {
            now(change(&store, "d/x", 1, move |old: Option<Count>| {
                let n = old.map_or(0, |c| c.n) + by;
                (Count { format: 1, n }, n)
            }))
            .unwrap()
        };
        assert_eq!((add(2), add(3), add(0), store.writes()), (2, 5, 5, 2));
        assert!(!now(create(&store, "d/x", &1)).unwrap());
    }

    #[test]
    fn a_newer_format_is_left_alone_and_damage_is_named() {
        let store = FakeDocuments::default();
        now(create(&store, "d/newer", &serde_json::json!({"format": 2, "m": 1}))).unwrap();
        now(create(&store, "d/damaged", &"x")).unwrap();
        let newer = now(read::<_, Count>(&store, "d/newer", 1)).unwrap_err();
        assert!(matches!(newer, StoreError::NewerFormat { found: 2, known: 1, .. }));
        let damaged = now(read::<_, Count>(&store, "d/damaged", 1)).unwrap_err();
        assert!(matches!(damaged, StoreError::Damaged { .. }));
    }
}
