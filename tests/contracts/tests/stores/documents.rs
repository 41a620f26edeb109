use dropforge_driver::store::{Documents, StoreError, Swap};

pub async fn contract<S: Documents>(store: &S) {
    a_document_is_created_changed_and_removed_by_version(store).await;
    equal_bytes_never_share_a_version(store).await;
    any_bytes_come_back(store).await;
    keys_are_listed_by_prefix(store).await;
    racing_increments_all_count(store).await;
    keys_outside_of_folders_are_refused(store).await;
}

async fn stored<S: Documents>(store: &S, key: &str, expected: Option<&str>, body: &[u8]) -> String {
    match store.swap(key, expected, body).await.unwrap() {
        Swap::Stored { version } => version,
        Swap::Conflict => panic!("conflict at {expected:?}"),
    }
}

async fn a_document_is_created_changed_and_removed_by_version<S: Documents>(store: &S) {
    let key = "triggers/default/churn/state.json";
    assert_eq!(store.get(key).await.unwrap(), None);
    assert_eq!(store.swap(key, Some("1"), b"a").await.unwrap(), Swap::Conflict);
    assert_eq!(store.remove(key, "1").await.unwrap(), Swap::Conflict);
    let first = stored(store, key, None, b"a").await;
    assert_eq!(store.swap(key, None, b"b").await.unwrap(), Swap::Conflict);
    let second = stored(store, key, Some(&first), b"b").await;
    assert_eq!(store.swap(key, Some(&first), b"c").await.unwrap(), Swap::Conflict);
    assert_eq!(store.remove(key, &first).await.unwrap(), Swap::Conflict);
    let document = store.get(key).await.unwrap().unwrap();
    assert_eq!((document.body.as_slice(), &document.version), (&b"b"[..], &second));
    assert!(matches!(store.remove(key, &second).await.unwrap(), Swap::Stored { .. }));
    assert_eq!(store.get(key).await.unwrap(), None);
}

async fn equal_bytes_never_share_a_version<S: Documents>(store: &S) {
    let key = "crons/default/nightly.json";
    let mut versions = vec![stored(store, key, None, b"same").await];
    versions.push(stored(store, key, Some(&versions[0]), b"same").await);
    // Not even after it was gone.
    store.remove(key, &versions[1]).await.unwrap();
    versions.push(stored(store, key, None, b"same").await);
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), 3);
}

async fn any_bytes_come_back<S: Documents>(store: &S) {
    let bodies = [&b""[..], b"\n", b"\xff\0", b"#dropforge-version 7\nx", b"kind: Trigger\n"];
    for (number, body) in bodies.into_iter().enumerate() {
        let key = format!("definitions/default/Trigger/{number}.yaml");
        stored(store, &key, None, body).await;
        assert_eq!(store.get(&key).await.unwrap().unwrap().body, body);
    }
}

async fn keys_are_listed_by_prefix<S: Documents>(store: &S) {
    let odd = format!("listed/{}/../%41", "ü".repeat(150));
    for key in ["listed/b/1", "listed/a", "listed/b-1", "listed/b/2/3", &odd] {
        stored(store, key, None, b"").await;
    }
    let listed = store.keys("listed/").await.unwrap();
    assert_eq!(listed, ["listed/a", "listed/b-1", "listed/b/1", "listed/b/2/3", &odd]);
    assert_eq!(store.keys("listed/b").await.unwrap(), ["listed/b-1", "listed/b/1", "listed/b/2/3"]);
    assert_eq!(store.keys("listed/b/").await.unwrap(), ["listed/b/1", "listed/b/2/3"]);
    assert_eq!(store.keys("liste").await.unwrap(), listed);
    assert_eq!(store.keys("listed/x/").await.unwrap(), [""; 0]);
    assert!(store.keys("").await.unwrap().is_sorted());
}

async fn racing_increments_all_count<S: Documents>(store: &S) {
    let key = "crons/default/count.json";
    let increment = || loop {
        let now = dropforge_contracts::wait(store.get(key)).unwrap();
        let count =
            now.as_ref().map_or(0, |now| String::from_utf8(now.body.clone()).unwrap().parse().unwrap());
        let version = now.as_ref().map(|now| now.version.as_str());
        let swap = dropforge_contracts::wait(store.swap(key, version, (count + 1u32).to_string().as_bytes()))
            .unwrap();
        if swap != Swap::Conflict {
            return;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..50).for_each(|_| increment()));
        }
    });
    assert_eq!(store.get(key).await.unwrap().unwrap().body, b"100");
}

async fn keys_outside_of_folders_are_refused<S: Documents>(store: &S) {
    for key in ["", "loose", "live/u", "runs/00/u/spec.json", ".tmp/x", "a//b"] {
        let error = store.swap(key, None, b"").await.unwrap_err();
        assert!(matches!(error, StoreError::BadName { .. }), "{key:?}: {error:?}");
        assert!(matches!(store.get(key).await, Err(StoreError::BadName { .. })), "{key:?}");
    }
}
