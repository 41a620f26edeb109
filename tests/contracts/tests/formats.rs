//! Stored documents outlive the code: what the first format looks like in S3, beside the documents that a directory
//! holds too (their golden files are the directory's).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_sdk_s3::Client;
use dropforge_contracts::{client, emulator, store, wait};
use dropforge_driver::pods::Stores;
use dropforge_driver::store::{Runs, StoreError};
use dropforge_engine::record::Record;

const SPEC: &str = include_str!("golden/spec-1.json");
const SEGMENT: &str = include_str!("golden/segment-1.json");
const SNAPSHOT: &str = include_str!("golden/snapshot-1.json");

async fn put(client: &Client, stores: &Stores, key: &str, body: &str) {
    let put = client.put_object().bucket(&stores.control).key(key).body(body.as_bytes().to_vec().into());
    put.send().await.unwrap();
}

#[test]
fn a_run_of_the_first_format_is_read_and_a_newer_one_left_alone() {
    wait(async {
        let Some(endpoint) = emulator::endpoint() else { return };
        let (store, stores) = store(endpoint).await;
        let client = client(endpoint).await;
        put(&client, &stores, "runs/a2/u-1/spec.json", SPEC).await;
        put(&client, &stores, "runs/a2/u-1/snapshot.json", SNAPSHOT).await;
        for number in 1..=2 {
            put(&client, &stores, &format!("journals/a2/u-1/{number:020}.json"), SEGMENT).await;
        }
        let at = "2026-01-02T03:04:02Z".parse().unwrap();
        let loaded = store.load_run(&"u-1".into()).await.unwrap();
        assert_eq!((loaded.records, loaded.position), (vec![Record::RunStarted { at }; 2], 2));
        let resumed = store.resume(&"u-1".into()).await.unwrap();
        assert_eq!((resumed.records.clone(), resumed.position), (vec![Record::RunStarted { at }], 2));
        assert_eq!(resumed.state().unwrap().message, "from the snapshot");

        let newer = SEGMENT.replace("\"format\":1", "\"format\":2");
        put(&client, &stores, "journals/a2/u-1/00000000000000000003.json", &newer).await;
        let read = store.resume(&"u-1".into()).await;
        assert!(matches!(read, Err(StoreError::NewerFormat { found: 2, known: 1, .. })), "{read:?}");
        let newer = SNAPSHOT.replace("\"format\":1", "\"format\":2");
        put(&client, &stores, "runs/a2/u-1/snapshot.json", &newer).await;
        let read = store.resume(&"u-1".into()).await;
        assert!(matches!(read, Err(StoreError::NewerFormat { found: 2, known: 1, .. })), "{read:?}");
    });
}
