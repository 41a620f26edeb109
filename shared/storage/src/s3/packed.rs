//! A document that is kept compressed: JSON still, whose head says what those need who do not read all of it.

use std::io::{Read, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dropforge_driver::store::StoreError;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::json;

/// The version of documents that are compressed.
pub(super) const PACKED_FORMAT: u32 = 3;

/// A smaller document stays as it is: nothing is won, and people can read it.
const PACK_BYTES_MIN: usize = 16 * 1024;

/// What a function could not hold is not read.
const UNPACKED_BYTES_MAX: u64 = 512 * 1024 * 1024;

#[derive(Serialize)]
struct New<'a, H> {
    format: u32,
    #[serde(flatten)]
    head: &'a H,
    gzip: String,
}

#[derive(Deserialize)]
struct Stored {
    /// None: the document is not compressed.
    #[serde(default)]
    gzip: Option<String>,
}

/// A document as stored: as it is, or compressed below its head.
///
/// # Errors
/// When the head can't be written as JSON.
pub fn bytes<H: Serialize>(key: &str, document: Vec<u8>, head: &H) -> Result<Vec<u8>, StoreError> {
    if document.len() < PACK_BYTES_MIN {
        return Ok(document);
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = gzip.write_all(&document).and_then(|()| gzip.finish());
    let packed = packed.map_err(crate::files::failed("compress", Path::new(key)))?;
    let new = New { format: PACKED_FORMAT, head, gzip: STANDARD.encode(packed) };
    json::bytes(Path::new(key), &new)
}

/// Reads a document whose own format is `known` or older, compressed or not.
///
/// # Errors
/// `NewerFormat`, or `Damaged`.
pub fn parse<T: DeserializeOwned>(key: &str, body: &[u8], known: u32) -> Result<T, StoreError> {
    let path = Path::new(key);
    let Stored { gzip } = json::parse(path, body, PACKED_FORMAT)?;
    match gzip {
        None => json::parse(path, body, known),
        Some(text) => json::parse(path, &unpacked(&text).map_err(|why| damaged(key, why))?, known),
    }
}

fn unpacked(text: &str) -> Result<Vec<u8>, String> {
    let packed = STANDARD.decode(text).map_err(|error| error.to_string())?;
    let mut document = Vec::new();
    let mut gzip = GzDecoder::new(&*packed).take(UNPACKED_BYTES_MAX);
    gzip.read_to_end(&mut document).map_err(|error| error.to_string())?;
    if gzip.limit() == 0 {
        return Err(format!("it holds {UNPACKED_BYTES_MAX} bytes or more"));
    }
    Ok(document)
}

fn damaged(key: &str, why: String) -> StoreError {
    StoreError::Damaged { key: key.to_owned(), offset: 0, why }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document(letters: usize) -> Vec<u8> {
        json!({"format": 1, "text": "a".repeat(letters)}).to_string().into_bytes()
    }

    fn packed() -> Vec<u8> {
        bytes("key", document(1 << 20), &json!({"version": 7})).unwrap()
    }

    fn why(body: &[u8]) -> String {
        parse::<Value>("key", body, 2).unwrap_err().to_string()
    }

    #[test]
    fn a_small_document_is_stored_as_it_is() {
        let stored = bytes("key", document(10), &json!({"version": 7})).unwrap();
        assert_eq!(stored, document(10));
        assert_eq!(parse::<Value>("key", &stored, 1).unwrap()["text"], "aaaaaaaaaa");
    }

    #[test]
    fn a_large_one_is_smaller_and_keeps_its_head() {
        let stored = packed();
        assert!(stored.len() < 10_000, "{} bytes", stored.len());
        let head: Value = serde_json::from_slice(&stored).unwrap();
        assert_eq!((&head["format"], &head["version"]), (&json!(3), &json!(7)));
        assert_eq!(parse::<Value>("key", &stored, 1).unwrap()["text"], "a".repeat(1 << 20));
    }

    /// As written on 29 November 2026: every later program reads it.
    const GOLDEN: &str = concat!(
        r#"{"format":3,"version":7,"journal_seq":32,"gzip":"H4sIAAAAAAAEA6tWSssvyk0sUbIy0lEqSy0qzszPU7Iy11HKyi8"#,
        r#"tykvMiS9OLVSyMgZKFpcklqQqWVUrFWQkFgMZSkGleXmZeelKtbUA6dLe9EUAAAA="}"#,
    );

    #[test]
    fn a_document_of_the_first_packed_format_is_still_read() {
        let read: Value = parse("key", GOLDEN.as_bytes(), 2).unwrap();
        let state = json!({"phase": "Running"});
        assert_eq!(read, json!({"format": 2, "version": 7, "journal_seq": 32, "state": state}));
    }

    #[test]
    fn what_is_newer_or_damaged_is_refused() {
        let newer = json!({"format": 4, "gzip": ""}).to_string();
        assert!(why(newer.as_bytes()).contains('4'), "{}", why(newer.as_bytes()));
        let inside = json!({"format": 9, "text": "a".repeat(1 << 20)}).to_string();
        let inside = bytes("key", inside.into_bytes(), &json!({})).unwrap();
        assert!(why(&inside).contains('9'), "{}", why(&inside));
        let head: Value = serde_json::from_slice(&packed()).unwrap();
        let text = head["gzip"].as_str().unwrap();
        for torn in [&text[..text.len() / 8 * 4], "no base64", "QUJD"] {
            let body = json!({"format": 3, "gzip": torn}).to_string();
            parse::<Value>("key", body.as_bytes(), 2).unwrap_err();
        }
    }
}
