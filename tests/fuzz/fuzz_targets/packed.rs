//! Documents that may be compressed: as they are, and as what is compressed in one.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dropforge_storage::s3::packed::{bytes, parse};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// The newest format of what is compressed.
const KNOWN: u32 = 2;

fuzz_target!(|data: &[u8]| {
    read(data);
    read(json!({"format": 3, "gzip": STANDARD.encode(data)}).to_string().as_bytes());
});

fn read(body: &[u8]) {
    let Ok(document) = parse::<Value>("key", body, KNOWN) else { return };
    let text = document.to_string().into_bytes();
    let stored = bytes("key", text, &json!({"version": 1})).expect("what was read can be written");
    let again = parse::<Value>("key", &stored, KNOWN).expect("what was written can be read");
    assert_eq!(again.to_string(), document.to_string());
}
