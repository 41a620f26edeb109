//! Stored documents outlive the code: what the first format looks like in S3, beside the documents that a directory
//! holds too (their golden files are the directory's).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_sdk_s3::Client;
use dropforge_contracts::{client, emulator, store, wait};
use dropforge_driver::pods::Stores;
use dropforge_driver::store::{Attempts, Commit, Created, Documents, Inbox, Index, Runs, StoreError, Swap};
use dropforge_engine::attempt::Outcome;
use dropforge_engine::record::Record;

const SPEC: &str = include_str!("golden/spec-1.json");
const SEGMENT: &str = include_str!("golden/segment-1.json");
const SNAPSHOT: &str = include_str!("golden/snapshot-1.json");

/// What a directory of the first format holds as S3 does.
macro_rules! of_directory {
    ($path:literal) => {
        include_str!(concat!("../../../shared/storage/tests/golden/format-1/", $path))
    };
}

const CLAIM: &str = of_directory!("attempts/default/churn-x7k2-train-01/claim.json");
const RESULT: &str = of_directory!("attempts/default/churn-x7k2-train-01/result.json");
const COMMAND: &str = of_directory!("runs/a2/u-1/inbox/c-1.json");
const ENTRY: &str = of_directory!("index/default/251634977758999999-u-1.json");
const DOCUMENT: &str = of_directory!("definitions/default/Trigger/churn.yaml");

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

#[test]
fn what_the_first_format_left_is_gone_on_with() {
    wait(async {
        let Some(endpoint) = emulator::endpoint() else { return };
        let (store, stores) = store(endpoint).await;
        let client = client(endpoint).await;
        let attempt = "churn-x7k2-train-01".into();
        for (key, body) in [
            ("live/u-1", "00000000000000aa-1"),
            ("runs/a2/u-1/spec.json", SPEC),
            ("runs/a2/u-1/inbox/c-1.json", COMMAND),
            ("journals/a2/u-1/00000000000000000001.json", SEGMENT),
            ("attempts/default/churn-x7k2-train-01/claim.json", CLAIM),
            ("attempts/default/churn-x7k2-train-01/result.json", RESULT),
            ("index/default/251634977758999999-u-1.json", ENTRY),
            ("definitions/default/Trigger/churn.yaml", DOCUMENT),
        ] {
            put(&client, &stores, key, body).await;
        }
        assert_eq!(store.live_runs().await.unwrap(), ["u-1".into()]);
        // A claim keeps everybody else out, and the verdict that was first counts.
        assert_eq!(store.claim("default", &attempt, "theirs").await.unwrap(), Created::Exists);
        assert_eq!(store.claim("default", &attempt, "mine").await.unwrap(), Created::New);
        let verdict = store.verdict("default", &attempt).await.unwrap().unwrap();
        assert_eq!((verdict.outcome, verdict.attempt.clone()), (Outcome::Lost, attempt));
        assert_eq!(store.put_verdict("default", &verdict).await.unwrap(), verdict);
        // The journal grows behind what is there, and its command is taken away.
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let resumed = store.resume(&"u-1".into()).await.unwrap();
        let committed = store.commit(&"u-1".into(), resumed.position, &[Record::RunStarted { at }]).await;
        assert!(matches!(committed, Ok(Commit::Committed { position: 2 })), "{committed:?}");
        let commands = store.commands(&"u-1".into()).await.unwrap();
        store.unmark_live(&"u-1".into(), 2).await.unwrap();
        assert_eq!(store.live_runs().await.unwrap(), ["u-1".into()], "its command is unread");
        store.remove_command(&"u-1".into(), &commands[0].id).await.unwrap();
        store.unmark_live(&"u-1".into(), 2).await.unwrap();
        assert_eq!(store.live_runs().await.unwrap(), []);
        assert_eq!(store.entries(None).await.unwrap()[0].name, "churn-x7k2");
        let found = store.get("definitions/default/Trigger/churn.yaml").await.unwrap().unwrap();
        assert_eq!(found.body, b"kind: Trigger\n");
        let swapped = store.swap("definitions/default/Trigger/churn.yaml", Some(&found.version), b"x").await;
        assert!(matches!(swapped, Ok(Swap::Stored { .. })), "{swapped:?}");
    });
}
