//! `schema`: what editors check and complete manifests with.

use dropforge_manifest::schema::{TRIGGER_SCHEMA, manifest_schema};

use crate::args::{SchemaArgs, SchemaKind};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;

/// Prints a JSON schema.
///
/// # Errors
/// When it can't be written.
pub fn schema(args: &SchemaArgs) -> Result<Exit, CliError> {
    match args.kind {
        Some(SchemaKind::Trigger) => output::data(TRIGGER_SCHEMA)?,
        None | Some(SchemaKind::Manifest) => {
            output::data(&format!("{}\n", serde_json::to_string_pretty(&manifest_schema())?))?;
        }
    }
    Ok(Exit::Succeeded)
}
