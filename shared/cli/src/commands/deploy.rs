//! `deploy`: what Terraform's provider can't make. The executor's image, Kubernetes objects, the context, definitions; then
//! the doctor looks.
//!
//! Every step can be taken again: objects are applied, the context is overwritten, definitions are put.

use std::path::{Path, PathBuf};
use std::process::Command;

use dropforge_cluster::kubernetes::{CallError, Person};

use crate::args::{ClusterPart, DeployArgs, GlobalArgs};
use crate::cloud::doctor::kubernetes::{accounts, another_cluster};
use crate::cloud::objects;
use crate::commands::context::{deployment, made};
use crate::commands::{apply, definitions, doctor};
use crate::contexts::{self, Context, Contexts, Deployment};
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::output::{self, say};

mod executor;

pub use executor::login;

/// Deploys.
///
/// # Errors
/// When Terraform's outputs can't be read or a definition is wrong, and then nothing is done; or the registry or the cluster
/// refuses something, and what was done before stays.
pub fn deploy(global: &GlobalArgs, args: &DeployArgs) -> Result<Exit, CliError> {
    let deployment = outputs(&args.outputs)?;
    let name = args.name.clone().unwrap_or_else(|| deployment.name.clone());
    if name.is_empty() {
        return Err(CliError::Usage("the deployment has no name: give one with --name".to_owned()));
    }
    let context = made(&name, deployment, &args.reach, global.namespace.clone());
    if let Some(version) = &args.push {
        executor::push(&of_version(context, version), &args.executors)?;
        return Ok(Exit::Succeeded);
    }
    if args.print {
        return print(&context.deployment, &args.has);
    }
    let global = Global {
        store: global.store.clone(),
        namespace: context.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        context: Some(context.clone()),
    };
    // What is wrong with the files is told before anything is made.
    let documents = match args.definitions.as_slice() {
        [] => Vec::new(),
        paths => definitions::checked(&global, paths, None)?,
    };
    executor::push(&context, &args.executors)?;
    apply_objects(&context, args.take_over)?;
    keep(&context)?;
    if !documents.is_empty() {
        apply::store(&global, documents, &args.definitions)?;
    }
    doctor::doctor(&global)
}

/// As the deployment will be that names this version of the executor.
fn of_version(mut context: Context, version: &str) -> Context {
    if let Some(repository) = &context.deployment.executor_repository {
        context.deployment.executor_image = format!("{repository}:{version}");
    }
    context
}

/// What a folder of Terraform's, a file or standard input says.
fn outputs(from: &Path) -> Result<Deployment, CliError> {
    if !from.is_dir() {
        return deployment(from);
    }
    let mut chdir = std::ffi::OsString::from("-chdir=");
    chdir.push(from);
    let failed = |why: &str| CliError::Below {
        what: "run terraform output -json",
        why: format!("in {}: {why}", from.display()),
    };
    let ran = Command::new("terraform").arg(chdir).args(["output", "-json", "-no-color"]).output();
    let ran = ran.map_err(|why| match why.kind() {
        std::io::ErrorKind::NotFound => failed(
            "there is no terraform on the PATH: install it, or run that where it is and name the file with what it says",
        ),
        _ => failed(&why.to_string()),
    })?;
    if !ran.status.success() {
        return Err(failed(String::from_utf8_lossy(&ran.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&ran.stdout);
    Deployment::parse(&text).map_err(|why| CliError::Usage(format!("{}: {why}", from.display())))
}

fn print(deployment: &Deployment, has: &[ClusterPart]) -> Result<Exit, CliError> {
    let objects = [objects::of_namespaces(deployment), objects::of_cluster(has)].concat();
    output::data(&objects.iter().map(output::yaml).collect::<Vec<_>>().join("---\n"))?;
    if has.is_empty() {
        say(
            "the cluster's own objects (a default StorageClass, a pool of GPU nodes, a device plugin) are left out: they \
             depend on what it has, and --has says that (auto-mode, ebs-csi, default-class, silent-gpus)",
        );
    }
    Ok(Exit::Succeeded)
}

#[tokio::main(flavor = "current_thread")]
async fn apply_objects(context: &Context, take_over: bool) -> Result<(), CliError> {
    let failed = |why: String| CliError::Below { what: "apply the Kubernetes objects", why };
    let person = Person::new(context.kubeconfig.as_deref(), context.kube_context.as_deref()).await;
    let person = person.map_err(|why| failed(format!("no kubeconfig: {why}")))?;
    if let Some((why, remedy)) = another_cluster(context, &person) {
        return Err(failed(format!("{why}; {remedy}")));
    }
    let survey = person.survey(&accounts(&context.deployment)).await;
    if let Err(why) = &survey.version {
        return Err(failed(format!("the cluster does not answer: {why}")));
    }
    let all =
        [objects::of_namespaces(&context.deployment), objects::of_cluster(&objects::parts(&survey))].concat();
    // Before anything is applied, and also for who takes over: that other stack would make no pod any more.
    if let Some((why, remedy)) = all.iter().find_map(|object| objects::of_another_stack(object, &survey)) {
        return Err(failed(format!("{why}; {remedy}")));
    }
    for object in all {
        let title = objects::title(&object);
        let (object, kept) = objects::as_strict_as_it_is(object, &survey);
        match person.apply(&object, take_over).await {
            Ok(()) => output::text(&format!("{title} applied{}\n", kept.unwrap_or_default()))?,
            Err(CallError::Refused { code: 409, message, .. }) => output::text(&format!(
                "{title} stays as it is: {message}. Have whoever set that set it otherwise, or say --take-over\n"
            ))?,
            Err(why) => return Err(failed(format!("{title}: {why}"))),
        }
    }
    Ok(())
}

fn keep(context: &Context) -> Result<(), CliError> {
    let file: PathBuf = contexts::file()?;
    let mut contexts = Contexts::load(&file)?;
    contexts.put(context.clone());
    contexts.save(&file)?;
    output::text(&format!("context {} kept\n", context.name))
}
