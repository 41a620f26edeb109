//! Tags in a text, and in every text of a document. What follows the first zero byte is the value of `{{text}}`.
#![no_main]

use dropforge_manifest::tags::{Strictness, reads, replace, replace_value, scan};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[path = "../scope.rs"]
mod scope;

fuzz_target!(|data: &str| {
    let (text, value) = data.split_once('\0').unwrap_or((data, "{{number}} {{= text }}"));
    let scope = scope::Sample::new(value);
    let _ = (scan(text), reads(text));
    for strictness in [Strictness::Lenient, Strictness::Strict(&["steps", "inputs"]), Strictness::All] {
        let _ = replace(text, &scope, strictness);
        if let Ok(mut document) = serde_json::from_str::<Value>(text) {
            let _ = replace_value(&mut document, &scope, strictness);
        }
    }
});
