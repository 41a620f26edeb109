//! `apply`: stores templates, schedules and triggers, whether or not they were there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dropforge_driver::births::Site;
use dropforge_manifest::parse::Document;

use crate::args::ApplyArgs;
use crate::commands::definitions::{self, Change, Expected, place, titled};
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::lookup;
use crate::luggage::settings_folder;
use crate::output::{self, say};
use crate::session::settings;

/// Stores what is in the files.
///
/// # Errors
/// `Findings` when something is wrong with it; then nothing is stored.
pub fn apply(global: &Global, args: &ApplyArgs) -> Result<Exit, CliError> {
    store(global, definitions::checked(global, &args.paths, None)?, &args.paths)?;
    Ok(Exit::Succeeded)
}

/// Stores what was found to be right in the files.
///
/// # Errors
/// When something that goes with it can't be packed, or the store refuses it.
#[tokio::main(flavor = "current_thread")]
pub async fn store(global: &Global, documents: Vec<Document>, paths: &[PathBuf]) -> Result<(), CliError> {
    let store = lookup::made(global).await?;
    let objects = definitions::packed(global, &store, documents, paths).await?;
    if global.context.is_some() {
        warn_of_sites(&objects, paths)?;
    }
    let changes = definitions::put(global, &store, &objects, Expected::Any).await?;
    for ((document, _), change) in objects.iter().zip(changes) {
        let (_, kind, name) = place(global, &document.object);
        let what = match change {
            Change::Created => "created",
            Change::Configured => "configured",
            Change::Unchanged => "unchanged",
        };
        output::text(&format!("{} {what}\n", titled(kind, name)))?;
    }
    Ok(())
}

/// Says where settings hold for what a person submits only, and not for what starts by itself in a context.
fn warn_of_sites(objects: &[(Document, String)], paths: &[PathBuf]) -> Result<(), CliError> {
    let mut folders: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for (document, _) in objects {
        if let kind @ ("Trigger" | "CronWorkflow") = document.object.kind() {
            let folder = settings_folder(&document.file, paths);
            folders.entry(folder).or_default().push(titled(kind, document.object.name()));
        }
    }
    for (folder, names) in &folders {
        if let Some(warning) = warning(&settings(None, folder)?.site, folder, names) {
            say(&warning);
        }
    }
    Ok(())
}

fn warning(site: &Site, folder: &Path, names: &[String]) -> Option<String> {
    let set = [
        ("[workflow-defaults]", site.defaults != Site::default().defaults),
        ("[workflow-restrictions]", site.referencing.is_some()),
        ("parallelism", site.parallelism.is_some()),
        ("namespace-parallelism", site.namespace_parallelism.is_some()),
    ];
    let sections: Vec<&str> = set.into_iter().filter(|(_, set)| *set).map(|(section, _)| section).collect();
    (!sections.is_empty()).then(|| {
        format!(
            "warning: {} of {} do not hold for the runs that {} start in a context, only for what you submit: say it in \
             the manifest, or defaults in the Terraform module's `workflow_defaults`",
            sections.join(" and "),
            folder.join("dropforge.toml").display(),
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use dropforge_driver::births::Referencing;

    use super::*;

    #[test]
    fn settings_that_hold_for_submitted_runs_only_are_told() {
        let names = ["trigger/csv".to_owned(), "cronworkflow/night".to_owned()];
        assert_eq!(warning(&Site::default(), Path::new("p"), &names), None);
        let strict = Site { referencing: Some(Referencing::Strict), ..Site::default() };
        assert_eq!(
            warning(&strict, Path::new("p"), &names).unwrap(),
            "warning: [workflow-restrictions] of p/dropforge.toml do not hold for the runs that trigger/csv, \
             cronworkflow/night start in a context, only for what you submit: say it in the manifest, or defaults in \
             the Terraform module's `workflow_defaults`"
        );
    }
}
