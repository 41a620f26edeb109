//! Artifacts too large for one request, and what goes wrong on their way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dropforge_contracts::proxy::{Fault, Proxy};
use dropforge_contracts::{client, configuration, emulator, store, wait};
use dropforge_driver::pods::Stores;
use dropforge_driver::store::{Artifacts, ErrorKind, Place, StoreError};
use dropforge_storage::s3::S3Store;

const MIB: usize = 1024 * 1024;

struct Bed {
    proxy: Proxy,
    store: S3Store,
    stores: Stores,
    folder: tempfile::TempDir,
}

impl Bed {
    async fn new() -> Option<Bed> {
        let endpoint = emulator::endpoint()?;
        let proxy = Proxy::before(endpoint);
        let (_, stores) = store(endpoint).await;
        let seen = Stores { endpoint: Some(proxy.endpoint.clone()), ..stores.clone() };
        let store = S3Store::new(&configuration().await, &seen);
        Some(Bed { proxy, store, stores, folder: tempfile::tempdir().unwrap() })
    }

    /// A file that no two parts of are the same.
    fn file(&self, size: usize) -> PathBuf {
        let path = self.folder.path().join("file");
        let bytes: Vec<u8> = (0..size / 8).flat_map(|n| n.to_le_bytes()).collect();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn place(&self) -> Place {
        Place { bucket: Some(self.stores.artifacts.clone()), key: "models/größe 1.bin".to_owned() }
    }

    async fn put(&self, size: usize) -> Result<PathBuf, StoreError> {
        let file = self.file(size);
        self.store.store("ns", &file, &self.place(), false, &|_, _| {}).await.map(|_| file)
    }

    async fn get(&self) -> Result<PathBuf, StoreError> {
        let to = self.folder.path().join("to");
        self.store.fetch("ns", &self.place(), &to, &|_, _| {}).await.map(|_| to)
    }

    async fn open_uploads(&self) -> usize {
        let client = client(emulator::endpoint().unwrap()).await;
        let listed = client.list_multipart_uploads().bucket(&self.stores.artifacts).send().await.unwrap();
        listed.uploads().len()
    }
}

fn same(one: &Path, other: &Path) -> bool {
    fs::read(one).unwrap() == fs::read(other).unwrap()
}

#[test]
fn a_large_object_goes_in_parts_and_comes_in_ranges() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        let file = bed.put(40 * MIB).await.unwrap();
        assert_eq!((bed.proxy.count("PUT", "partNumber="), bed.proxy.count("POST", "uploadId=")), (3, 1));
        bed.proxy.take();
        assert!(same(&file, &bed.get().await.unwrap()));
        assert_eq!(bed.proxy.count("GET", "models"), 10);
    });
}

#[test]
fn parts_and_ranges_that_get_lost_are_sent_again() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        bed.proxy.fault("PUT", "partNumber=2", Fault::LoseAnswer);
        bed.proxy.fault("PUT", "partNumber=3", Fault::Answer(503, "SlowDown"));
        let file = bed.put(40 * MIB).await.unwrap();
        bed.proxy.fault("GET", "models", Fault::LoseAnswer);
        bed.proxy.fault("GET", "models", Fault::Answer(503, "SlowDown"));
        assert!(same(&file, &bed.get().await.unwrap()));
    });
}

/// A thousand pods that read one environment are told to slow down for longer than the SDK tries.
#[test]
fn who_has_patience_outlasts_an_s3_that_wants_fewer_requests() {
    wait(async {
        let Some(mut bed) = Bed::new().await else { return };
        let slow = |bed: &Bed, method: &str, times: usize| {
            (0..times).for_each(|_| bed.proxy.fault(method, "models", Fault::Answer(503, "SlowDown")));
        };
        slow(&bed, "PUT", 3);
        assert_eq!(bed.put(MIB).await.unwrap_err().kind(), ErrorKind::Retry);
        bed.store = bed.store.patience(Duration::from_secs(60));
        for size in [MIB, 20 * MIB] {
            slow(&bed, "PUT", 7);
            let file = bed.put(size).await.unwrap();
            slow(&bed, "GET", 7);
            assert!(same(&file, &bed.get().await.unwrap()));
        }
    });
}

/// Asked again, S3 says that there is no such upload.
#[test]
fn a_completion_whose_answer_was_lost_is_made() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        bed.proxy.fault("POST", "uploadId=", Fault::LoseAnswer);
        bed.proxy.fault("POST", "uploadId=", Fault::Answer(404, "NoSuchUpload"));
        let file = bed.put(20 * MIB).await.unwrap();
        assert!(same(&file, &bed.get().await.unwrap()));
        assert_eq!(bed.open_uploads().await, 0);
    });
}

#[test]
fn an_upload_that_fails_is_aborted_and_stores_nothing() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        bed.proxy.fault("PUT", "partNumber=2", Fault::Answer(403, "AccessDenied"));
        let error = bed.put(40 * MIB).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!((bed.open_uploads().await, bed.proxy.count("POST", "uploadId=")), (0, 0));
        assert_eq!(bed.store.head("ns", &bed.place()).await.unwrap(), None);
    });
}

#[test]
fn an_object_that_changes_on_its_way_is_an_error_and_leaves_no_file() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        bed.put(20 * MIB).await.unwrap();
        let (bucket, place) = (bed.stores.artifacts.clone(), bed.place());
        bed.proxy.before_next("GET", "models", move || {
            wait(async {
                let client = client(emulator::endpoint().unwrap()).await;
                let put = client.put_object().bucket(bucket).key(place.key).body(vec![0; 20 * MIB].into());
                put.send().await.unwrap();
            });
        });
        assert_eq!(bed.get().await.unwrap_err().kind(), ErrorKind::Retry);
        assert!(!bed.folder.path().join("to").exists());
    });
}

#[test]
fn an_object_that_is_not_what_was_stored_is_damage() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        let client = client(emulator::endpoint().unwrap()).await;
        let put = client.put_object().bucket(&bed.stores.artifacts).key(bed.place().key);
        let put = put.metadata("dropforge-sha256", "00").body(b"x".to_vec().into());
        put.send().await.unwrap();
        assert!(matches!(bed.get().await, Err(StoreError::Damaged { .. })));
    });
}

/// Its facts come from elsewhere than ours: the SHA-256 is known once it is read.
#[test]
fn an_object_of_somebody_elses_is_fetched_and_hashed() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        let client = client(emulator::endpoint().unwrap()).await;
        let put = client.put_object().bucket(&bed.stores.artifacts).key(bed.place().key);
        put.body(b"hello".to_vec().into()).send().await.unwrap();
        assert_eq!(bed.store.head("ns", &bed.place()).await.unwrap().unwrap().sha256, "");
        let to = bed.folder.path().join("to");
        let facts = bed.store.fetch("ns", &bed.place(), &to, &|_, _| {}).await.unwrap();
        assert_eq!(facts.sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    });
}

#[test]
fn a_versioned_object_is_named_with_its_version() {
    wait(async {
        let Some(bed) = Bed::new().await else { return };
        let client = client(emulator::endpoint().unwrap()).await;
        let enabled = aws_sdk_s3::types::VersioningConfiguration::builder()
            .status(aws_sdk_s3::types::BucketVersioningStatus::Enabled)
            .build();
        let put = client.put_bucket_versioning().bucket(&bed.stores.artifacts);
        put.versioning_configuration(enabled).send().await.unwrap();
        for size in [8, 20 * MIB] {
            let file = bed.file(size);
            let stored = bed.store.store("ns", &file, &bed.place(), true, &|_, _| {}).await.unwrap();
            assert!(stored.version_id.is_some() && !file.exists());
            let to = bed.folder.path().join("to");
            assert_eq!(bed.store.fetch("ns", &bed.place(), &to, &|_, _| {}).await.unwrap(), stored);
        }
    });
}
