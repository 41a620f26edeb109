//! One suite for each trait that a store implements; every store must pass all of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use dropforge_contracts::{bucket, emulator, store, wait};
use dropforge_storage::directory::{Access, DirectoryStore};
use dropforge_storage::memory::MemoryStore;

mod artifacts;
mod attempts;
mod documents;
mod inbox;
mod index;
mod logs;
mod runs;

/// One test for each suite and store.
macro_rules! contracts {
    ($($suite:ident),*) => {
        mod in_memory {
            use super::*;
            $(#[test]
            fn $suite() {
                wait($suite::contract(&MemoryStore::new()));
            })*
        }

        mod in_a_directory {
            use super::*;
            $(#[test]
            fn $suite() {
                let folder = tempfile::tempdir().unwrap();
                let access = Access::Owner { what: "a test" };
                wait($suite::contract(&DirectoryStore::open(folder.path(), access).unwrap()));
            })*
        }

        mod in_a_durable_directory {
            use super::*;
            $(#[test]
            fn $suite() {
                let folder = tempfile::tempdir().unwrap();
                let access = Access::Owner { what: "a test" };
                wait($suite::contract(&DirectoryStore::open(folder.path(), access).unwrap().durable(true)));
            })*
        }

        mod in_s3 {
            use super::*;
            $(#[test]
            fn $suite() {
                let Some(endpoint) = emulator::endpoint() else { return };
                wait(async {
                    for name in ["models", "folders", "shared", "gone"] {
                        bucket(endpoint, name).await;
                    }
                    $suite::contract(&store(endpoint).await.0).await;
                });
            })*
        }
    };
}

contracts!(runs, attempts, inbox, index, documents, artifacts, logs);
