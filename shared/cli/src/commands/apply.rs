//! `apply`: stores templates, schedules and triggers, whether or not they were there.

use crate::args::ApplyArgs;
use crate::commands::definitions::{self, Change, Expected, place, titled};
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::lookup;
use crate::output;

/// Stores what is in the files.
///
/// # Errors
/// `Findings` when something is wrong with it; then nothing is stored.
#[tokio::main(flavor = "current_thread")]
pub async fn apply(global: &Global, args: &ApplyArgs) -> Result<Exit, CliError> {
    let documents = definitions::checked(global, &args.paths, None)?;
    let store = lookup::made(global).await?;
    let objects = definitions::packed(global, &store, documents, &args.paths).await?;
    let changes = definitions::put(global, &store, &objects, Expected::Any).await?;
    for ((document, _), change) in objects.iter().zip(changes) {
        let (_, kind, name) = place(global, &document.object);
        let what = match change {
            Change::Created => "created",
            Change::Configured => "configured",
            Change::Unchanged => "unchanged",
        };
        output::data(&format!("{} {what}\n", titled(kind, name)))?;
    }
    Ok(Exit::Succeeded)
}
