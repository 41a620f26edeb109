//! `completion`: what a shell completes.

use clap::CommandFactory;

use crate::args::{Cli, CompletionArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;

/// Prints the script of a shell.
///
/// # Errors
/// When it can't be written.
pub fn completion(args: &CompletionArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dropforge", &mut script);
    output::data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Succeeded)
}
