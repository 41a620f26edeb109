//! Documents with a `format`.

use std::path::Path;

use dropforge_driver::store::StoreError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Header {
    format: u32,
}

/// Reads a document whose format is `known` or older.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8], known: u32) -> Result<T, StoreError> {
    parse_at(path, 0, bytes, known)
}

/// Reads a document that begins at `offset` of its file.
pub(crate) fn parse_at<T: DeserializeOwned>(
    path: &Path,
    offset: u64,
    bytes: &[u8],
    known: u32,
) -> Result<T, StoreError> {
    let damaged = |error: serde_json::Error| StoreError::Damaged {
        key: path.display().to_string(),
        offset: offset + place_of(bytes, &error),
        why: error.to_string(),
    };
    let Header { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format > known {
        return Err(StoreError::NewerFormat { key: path.display().to_string(), found: format, known });
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// A document as stored.
pub(crate) fn bytes<T: Serialize>(path: &Path, document: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(document)
        .map_err(|error| crate::files::failed("write", path)(std::io::Error::from(error)))
}

/// The byte that serde_json's line and column name.
fn place_of(bytes: &[u8], error: &serde_json::Error) -> u64 {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    (lines.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1)) as u64
}
