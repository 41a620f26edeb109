//! The formats of Go that users of Argo see: numbers, durations, times, printf.

pub mod duration;
pub mod float;
pub mod item;
pub mod json;
pub mod layout;
pub mod pattern;
pub mod printf;

#[cfg(test)]
mod tests;

pub use duration::{duration_text, humanize, parse_duration, parse_duration_or_seconds};
pub use float::{float_json, float_text};
pub use item::{item_description, item_fields, item_text};
pub use json::json_error;
pub use layout::{creation_timestamp_letters, format_layout, parse_layout, strftime};
pub use pattern::{Pattern, compile_pattern};
pub use printf::printf_integer;
