//! `context`: which deployments this person knows.

use std::path::{Path, PathBuf};

use crate::args::{ContextAddArgs, ContextCommand, GlobalArgs, ReachArgs};
use crate::commands::list::columns;
use crate::contexts::{self, Context, Contexts, Deployment};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, say};
use crate::project::read_text;

/// Answers about contexts, or changes them. What `--context` or its variable names does not matter here.
///
/// # Errors
/// When the contexts file can't be read or written, or what is given is no deployment.
pub fn context(global: &GlobalArgs, command: &ContextCommand) -> Result<Exit, CliError> {
    let file = contexts::file()?;
    let mut contexts = Contexts::load(&file)?;
    match command {
        ContextCommand::Add(args) => add(global, args, &file, contexts),
        ContextCommand::List => list(&contexts),
        ContextCommand::Show { name } => {
            let context = found(name, &contexts, &file)?;
            let text = toml::to_string_pretty(&context)
                .map_err(|why| CliError::Below { what: "print the context", why: why.to_string() })?;
            output::data(&text).map(|()| Exit::Succeeded)
        }
        ContextCommand::Remove { name } => {
            found(name, &contexts, &file)?;
            contexts.remove(name);
            contexts.save(&file)?;
            output::text(&format!("context {name} removed\n")).map(|()| Exit::Succeeded)
        }
    }
}

fn found(name: &str, contexts: &Contexts, file: &Path) -> Result<Context, CliError> {
    contexts.get(name).ok_or_else(|| CliError::Usage(contexts::unknown(name, file, contexts)))
}

fn add(
    global: &GlobalArgs,
    args: &ContextAddArgs,
    file: &Path,
    mut contexts: Contexts,
) -> Result<Exit, CliError> {
    let deployment = deployment(&args.outputs)?;
    let context = made(&args.name, deployment, &args.reach, global.namespace.clone());
    let what = if contexts.put(context.clone()) { "changed" } else { "added" };
    contexts.save(file)?;
    output::text(&format!("context {} {what}\n", args.name))?;
    say(&format!(
        "it is kept in {}; `dropforge --context {} doctor` says whether all of it can be reached",
        file.display(),
        args.name
    ));
    Ok(Exit::Succeeded)
}

/// What Terraform's output in a file, or in standard input, says.
///
/// # Errors
/// `Usage` when it is no deployment.
pub fn deployment(outputs: &Path) -> Result<Deployment, CliError> {
    let text = match outputs.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin())
            .map_err(|source| CliError::Machine { what: "read standard input".to_owned(), source })?,
        false => read_text(outputs)?,
    };
    Deployment::parse(&text).map_err(|why| CliError::Usage(format!("{}: {why}", outputs.display())))
}

/// A context for a deployment. Where it has one namespace only, that is the default.
pub fn made(name: &str, deployment: Deployment, reach: &ReachArgs, namespace: Option<String>) -> Context {
    let mut own = deployment.namespaces.keys();
    let only = own.next().filter(|_| own.next().is_none()).cloned();
    // Read from any folder afterwards.
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    Context {
        name: name.to_owned(),
        namespace: namespace.or(only),
        profile: reach.profile.clone(),
        endpoint: reach.endpoint.clone(),
        kubeconfig: reach.kubeconfig.as_ref().map(absolute),
        kube_context: reach.kube_context.clone(),
        any_cluster: reach.any_cluster,
        deployment,
    }
}

fn list(contexts: &Contexts) -> Result<Exit, CliError> {
    let head = ["NAME", "DEPLOYMENT", "REGION", "ACCOUNT", "CLUSTER", "NAMESPACE", "PROFILE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for context in contexts.names().filter_map(|name| contexts.get(name)) {
        let Deployment { name, region, account, cluster, .. } = context.deployment;
        let text = |option: Option<String>| option.unwrap_or_default();
        let known = [context.name, name, region, account, cluster.name];
        rows.push([known.as_slice(), &[text(context.namespace), text(context.profile)]].concat());
    }
    output::text(&columns(&rows))?;
    Ok(Exit::Succeeded)
}
