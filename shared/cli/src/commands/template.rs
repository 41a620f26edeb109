//! `template` and `cluster-template`: stored libraries of templates, of a namespace or of all.

use dropforge_driver::definitions::Stored;
use dropforge_manifest::parse::AnyObject;

use crate::args::{DefinitionOutput, DefinitionPutArgs, TemplateCommand};
use crate::commands::definitions::{self, Expected, delete, list, named, print};
use crate::commands::lint;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::lookup;
use crate::project::object_value;

/// Answers about the templates of a kind, or changes them.
///
/// # Errors
/// See [`CliError`].
#[tokio::main(flavor = "current_thread")]
pub async fn template(global: &Global, command: &TemplateCommand, kind: &str) -> Result<Exit, CliError> {
    match command {
        TemplateCommand::List { list: args } => {
            list(global, args, kind, &["ENTRYPOINT", "TEMPLATES"], async |stored| Ok(row(stored))).await
        }
        TemplateCommand::Get { get } => {
            for stored in named(global, kind, &get.names).await? {
                show(&stored.object, get.output)?;
            }
            Ok(Exit::Succeeded)
        }
        TemplateCommand::Create { put } => self::put(global, put, kind, Expected::Missing).await,
        TemplateCommand::Update { put } => self::put(global, put, kind, Expected::There).await,
        TemplateCommand::Delete { delete: args } => delete(global, args, kind).await,
        TemplateCommand::Lint { lint: args } => lint::lint_kind(global, args, kind),
    }
}

async fn put(
    global: &Global,
    args: &DefinitionPutArgs,
    kind: &str,
    expected: Expected,
) -> Result<Exit, CliError> {
    let documents = definitions::checked(global, &args.paths, Some(kind))?;
    let store = lookup::made(global).await?;
    let objects = definitions::packed(global, &store, documents, &args.paths).await?;
    definitions::put(global, &store, &objects, expected).await?;
    for (document, _) in &objects {
        show(&document.object, args.output)?;
    }
    Ok(Exit::Succeeded)
}

fn row(stored: &Stored) -> Vec<String> {
    let Some((spec, _)) = stored.object.workflow_spec() else { return Vec::new() };
    vec![spec.entrypoint.clone().unwrap_or_default(), spec.templates.len().to_string()]
}

fn show(object: &AnyObject, output: DefinitionOutput) -> Result<(), CliError> {
    let mut rows = vec![vec!["Name:".to_owned(), object.name().to_owned()]];
    let mut add = |title: &str, value: String| {
        if !value.is_empty() {
            rows.push(vec![title.to_owned(), value]);
        }
    };
    add("Namespace:", object.metadata().namespace.clone().unwrap_or_default());
    if let Some((spec, _)) = object.workflow_spec() {
        add("Entrypoint:", spec.entrypoint.clone().unwrap_or_default());
        for parameter in &spec.arguments.parameters {
            let value = parameter.value.as_ref().or(parameter.default.as_ref());
            add(
                "Parameter:",
                value.map_or(parameter.name.clone(), |value| format!("{} = {value}", parameter.name)),
            );
        }
        add("Templates:", spec.templates.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", "));
    }
    print(object.name(), &object_value(object)?, output, &rows)
}
