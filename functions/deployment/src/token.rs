//! The key of the deployment's tokens: an object that the first function which needs it creates.

use std::io::Read;

use dropforge_driver::documents::{create, read};
use dropforge_driver::store::{Documents, StoreError};
use dropforge_queue::token::TokenKey;
use serde::{Deserialize, Serialize};

/// Where it is kept; only functions may read it.
const KEY: &str = "settings/token-key.json";
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    key: [u8; 32],
}

/// The deployment's key; `new` makes one where there is none.
///
/// # Errors
/// When it can't be read or stored.
pub async fn key<S: Documents>(store: &S, new: impl FnOnce() -> [u8; 32]) -> Result<TokenKey, StoreError> {
    if let Some(stored) = read::<_, Stored>(store, KEY, FORMAT).await? {
        return Ok(TokenKey::new(&stored.key));
    }
    let made = Stored { format: FORMAT, key: new() };
    if create(store, KEY, &made).await? {
        return Ok(TokenKey::new(&made.key));
    }
    // Another function was faster.
    let stored = read::<_, Stored>(store, KEY, FORMAT).await?;
    stored
        .map(|stored| TokenKey::new(&stored.key))
        .ok_or_else(|| StoreError::NotFound { what: "token key", name: KEY.to_owned() })
}

/// Bytes that nobody can guess.
pub fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    let source = std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    source.expect("Linux has /dev/urandom wherever a function runs");
    bytes
}

#[cfg(test)]
mod tests {
    use dropforge_storage::memory::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn all_functions_use_the_key_that_the_first_one_made() {
        let store = MemoryStore::new();
        let first = key(&store, || [1; 32]).await.unwrap();
        let second = key(&store, || [2; 32]).await.unwrap();
        let token = first.token(&"u".into(), &"a".into());
        assert!(second.accepts(&"u".into(), &"a".into(), &token));
    }
}
