//! Messages of the queues: what S3 and EventBridge announce, reminders, doorbells. Anybody may have sent them.
#![no_main]

use dropforge_queue::doorbell::Doorbell;
use libfuzzer_sys::fuzz_target;

// The function's crate brings AWS's stack, of which reading a message needs nothing.
#[path = "../../../functions/ingest/src/notices.rs"]
mod notices;

fuzz_target!(|text: &str| {
    let _ = notices::read(text);
    if let Ok(bell) = Doorbell::decode(text) {
        let written = bell.encode().expect("what was read can be written");
        assert_eq!(Doorbell::decode(&written).expect("what was written can be read"), bell);
    }
});
