//! The formats of Go that users of Argo see: numbers, durations, times, printf.

pub mod base;
pub mod duration;
pub mod float;
pub mod item;
pub mod json;
pub mod layout;
pub mod number;
pub mod pattern;
pub mod printf;
pub mod quote;

#[cfg(test)]
mod tests;

pub use base::{base32_decode, base32_encode, base64_decode, base64_encode};
pub use duration::{duration_text, humanize, parse_duration, parse_duration_or_seconds};
pub use float::{float_json, float_text};
pub use item::{item_description, item_fields, item_text, json_compacted};
pub use json::json_error;
pub use layout::{creation_timestamp_letters, format_layout, parse_layout, strftime};
pub use number::{atoi, parse_float, parse_integer, power};
pub use pattern::{Pattern, compile_pattern};
pub use printf::printf_integer;
pub use quote::quoted;
