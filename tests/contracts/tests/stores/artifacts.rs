use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use dropforge_driver::store::{Artifacts, ObjectFacts, Place, StoreError};

pub async fn contract<S: Artifacts>(store: &S) {
    what_was_stored_is_fetched(store).await;
    a_directory_is_its_files(store).await;
    namespaces_are_apart_and_buckets_are_not(store).await;
    what_is_not_there_is_not_found(store).await;
    bad_names_are_refused(store).await;
    a_key_is_removed_before_what_lies_below_it(store).await;
}

/// Above every size at which a store begins to link.
const LARGE: usize = 2 * 1024 * 1024 + 1;

fn at(bucket: Option<&str>, key: &str) -> Place {
    Place { bucket: bucket.map(str::to_owned), key: key.to_owned() }
}

fn file(folder: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join("file");
    fs::write(&path, bytes).unwrap();
    path
}

async fn put<S: Artifacts>(store: &S, namespace: &str, place: &Place, bytes: &[u8]) -> ObjectFacts {
    let folder = tempfile::tempdir().unwrap();
    store.store(namespace, &file(&folder, bytes), place, true, &|_, _| {}).await.unwrap()
}

async fn what_was_stored_is_fetched<S: Artifacts>(store: &S) {
    let folder = tempfile::tempdir().unwrap();
    for (key, bytes) in
        [("empty", vec![]), ("wf/pod/größe.txt", b"hello".to_vec()), ("large", vec![5; LARGE])]
    {
        for place in [at(None, key), at(Some("models"), key)] {
            let steps = Mutex::new(Vec::new());
            let watch = |done: u64, size: u64| steps.lock().unwrap().push((done, size));
            let stored = store.store("default", &file(&folder, &bytes), &place, false, &watch).await.unwrap();
            assert_eq!(stored.size, bytes.len() as u64);
            let steps = steps.into_inner().unwrap();
            assert!(steps.is_sorted() && steps.iter().all(|step| step.1 == stored.size), "{steps:?}");
            assert_eq!(steps.last().map_or(0, |step| step.0), stored.size);
            assert_eq!(store.head("default", &place).await.unwrap().as_ref(), Some(&stored));
            let to = folder.path().join("fetched");
            assert_eq!(store.fetch("default", &place, &to, &|_, _| {}).await.unwrap(), stored);
            assert_eq!(fs::read(&to).unwrap(), bytes);
        }
    }
    let hello = store.head("default", &at(None, "wf/pod/größe.txt")).await.unwrap().unwrap();
    assert_eq!(hello.sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
}

async fn a_directory_is_its_files<S: Artifacts>(store: &S) {
    for key in ["dir/b", "dir/a/1", "dir/a-1", "dir", "dir-x/y", "dir/", "dir/a/"] {
        put(store, "default", &at(Some("folders"), key), b"").await;
    }
    for key in ["dir", "dir/"] {
        let below = store.list("default", &at(Some("folders"), key)).await.unwrap();
        assert_eq!(below, ["a-1", "a/1", "b"]);
    }
    assert_eq!(store.list("default", &at(Some("folders"), "none")).await.unwrap(), [""; 0]);
}

async fn namespaces_are_apart_and_buckets_are_not<S: Artifacts>(store: &S) {
    put(store, "a", &at(None, "own"), b"").await;
    assert_eq!(store.head("b", &at(None, "own")).await.unwrap(), None);
    let shared = at(Some("shared"), "k");
    let facts = put(store, "a", &shared, b"x").await;
    assert_eq!(store.head("b", &shared).await.unwrap(), Some(facts));
    let facts = put(store, "b", &shared, b"newer").await;
    assert_eq!(store.head("a", &shared).await.unwrap(), Some(facts));
}

async fn what_is_not_there_is_not_found<S: Artifacts>(store: &S) {
    let folder = tempfile::tempdir().unwrap();
    for place in [at(None, "nothing"), at(Some("nowhere"), "nothing")] {
        assert_eq!(store.head("default", &place).await.unwrap(), None);
        let to = folder.path().join("to");
        let error = store.fetch("default", &place, &to, &|_, _| {}).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
        assert!(!to.exists());
    }
}

async fn bad_names_are_refused<S: Artifacts>(store: &S) {
    let folder = tempfile::tempdir().unwrap();
    for place in [at(None, ""), at(Some("models"), &"k".repeat(1025)), at(Some("../models"), "k")] {
        let answer = store.store("default", &file(&folder, b"x"), &place, false, &|_, _| {}).await;
        assert!(matches!(answer, Err(StoreError::BadName { .. })), "{answer:?}");
    }
}

async fn a_key_is_removed_before_what_lies_below_it<S: Artifacts>(store: &S) {
    let (model, below) = (at(Some("gone"), "model"), at(Some("gone"), "model/a/1"));
    let beside = at(Some("gone"), "model-2");
    for place in [&model, &below, &beside] {
        put(store, "default", place, b"x").await;
    }
    store.remove_object("default", &model).await.unwrap();
    assert_eq!(store.head("default", &model).await.unwrap(), None);
    assert!(store.head("default", &below).await.unwrap().is_some());
    for _ in 0..2 {
        store.remove_object("default", &model).await.unwrap();
    }
    assert_eq!(store.head("default", &below).await.unwrap(), None);
    assert!(store.head("default", &beside).await.unwrap().is_some());
}
