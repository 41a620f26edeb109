//! A folder of files that defines what is stored: what was last loaded from it.
//!
//! Definitions of the folder stand beside those that people store one by one. Whoever changed a definition last has
//! the say: a file overwrites what is stored when the file changes, not whenever it is looked at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::documents::{change, read};
use crate::store::{Documents, StoreError};

/// The version of the document that this code writes.
const FORMAT: u32 = 1;

/// A definition as it was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// The file it stands in.
    pub file: String,
    /// Its text there.
    pub text: String,
}

/// Definitions by their key.
pub type Contents = BTreeMap<String, Loaded>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Document {
    format: u32,
    loaded: Contents,
}

fn key(namespace: &str) -> String {
    format!("folders/{namespace}.json")
}

/// What was last loaded; nothing where no folder ever was.
///
/// # Errors
/// When the document can't be read.
pub async fn loaded<S: Documents>(store: &S, namespace: &str) -> Result<Contents, StoreError> {
    let document: Option<Document> = read(store, &key(namespace), FORMAT).await?;
    Ok(document.map(|document| document.loaded).unwrap_or_default())
}

/// Notes what is loaded.
///
/// # Errors
/// When the document can't be stored.
pub async fn note<S: Documents>(store: &S, namespace: &str, loaded: &Contents) -> Result<(), StoreError> {
    change(store, &key(namespace), FORMAT, |_: Option<Document>| {
        (Document { format: FORMAT, loaded: loaded.clone() }, ())
    })
    .await
}
