//! `init`: a project of one's own that runs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::args::InitArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::say;

/// The files of the project; `NAME` in them is its name.
const FILES: [(&str, &str); 7] = [
    ("pipeline.yaml", include_str!("init/pipeline.yaml")),
    ("trigger.yaml", include_str!("init/trigger.yaml")),
    ("train.py", include_str!("init/train.py")),
    ("data/first.csv", include_str!("init/first.csv")),
    ("dropforge.toml", include_str!("init/dropforge.toml")),
    ("README.md", include_str!("init/README.md")),
    (".gitignore", include_str!("init/gitignore")),
];

/// Kubernetes' bound for names that pods are made from.
const NAME_CHARACTERS_MAX: usize = 40;

/// Writes the project.
///
/// # Errors
/// When the name can't be one, or a file is there already; then nothing is written.
pub fn init(args: &InitArgs) -> Result<Exit, CliError> {
    check(&args.name)?;
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    for (file, _) in FILES {
        let path = dir.join(file);
        if path.exists() {
            return Err(CliError::Usage(format!("{} is there already: nothing was written", path.display())));
        }
    }
    for (file, text) in FILES {
        write(&dir.join(file), &text.replace("NAME", &args.name))?;
    }
    say(&format!("{} holds a project that runs:", dir.display()));
    say(&format!("  cd {}", dir.display()));
    say("  dropforge run pipeline.yaml");
    Ok(Exit::Succeeded)
}

fn check(name: &str) -> Result<(), CliError> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = (1..=NAME_CHARACTERS_MAX).contains(&name.len())
        && name.chars().all(inner)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(outer);
    if good {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "{name:?} can't be a project's name: up to {NAME_CHARACTERS_MAX} lower-case letters, digits and hyphens, a letter first"
    )))
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |source| CliError::File { action: "write", path: path.to_path_buf(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}
