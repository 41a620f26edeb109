//! The JSON schema (draft 2020-12) of `kind: Trigger`, for editors and for whoever writes one by hand.

#[cfg(test)]
mod tests;

/// The schema, as pretty JSON.
pub const TRIGGER_SCHEMA: &str = include_str!("schema/trigger.json");
