//! The executor's image in the deployment's own repository.

use std::path::{Path, PathBuf};

use crate::cloud::image::registry::{Pushed, Repository};
use crate::cloud::image::{self, Image};
use crate::cloud::request::{Aws, Refused, Service};
use crate::cloud::session;
use crate::contexts::Context;
use crate::error::CliError;
use crate::output;

/// The registry's own service, which gives logins for it.
pub const ECR: Service = Service { name: "ecr", host: "api.ecr" };

/// What the executors are called beside this command, in a release. The one that cargo leaves there by its plain name is
/// for this machine, and not static.
const BESIDE: [&str; 2] = ["dropforge-executor-x86_64", "dropforge-executor-aarch64"];

/// Sees to it that the image which the functions put into pods is in the repository.
///
/// # Errors
/// When there is no executor to push, or the registry refuses it.
#[tokio::main(flavor = "current_thread")]
pub async fn push(context: &Context, files: &[PathBuf]) -> Result<(), CliError> {
    let deployment = &context.deployment;
    let failed = |why: String| CliError::Below { what: "push the executor's image", why };
    let Some(repository) = &deployment.executor_repository else {
        // Terraform was told an image of somebody else's registry.
        return output::text(&format!("image {} is somebody else's to push\n", deployment.executor_image));
    };
    let Some(tag) = deployment.executor_image.strip_prefix(&format!("{repository}:")) else {
        return Err(failed(format!("{} is not in {repository}", deployment.executor_image)));
    };
    let config = session::config(context).await?;
    let aws = Aws::of(&config, &deployment.region, context.endpoint.as_deref()).await;
    let aws = aws.ok_or_else(|| failed("there are no credentials".to_owned()))?;
    let login = login(&aws).map_err(|why| failed(denied(&why)))?;
    let repository = Repository::new(repository, Some(&login));
    let files = if files.is_empty() { beside() } else { files.to_vec() };
    if files.is_empty() {
        return match repository.tagged(tag).map_err(failed)? {
            Some(_) => output::text(&format!("image {} is there\n", deployment.executor_image)),
            None => Err(failed(format!(
                "there is no executor beside this command: name one with --executor FILE; \
                 shared/executor/build makes it ({} is not in the registry)",
                deployment.executor_image
            ))),
        };
    }
    let image = read(&files)?;
    let pushed = repository.push(&image, tag).map_err(failed)?;
    output::text(&told(&pushed, &deployment.executor_image, &image.top.digest).map_err(failed)?)
}

/// A name and password for the account's registry, as the registry takes them.
pub fn login(aws: &Aws) -> Result<String, Refused> {
    let target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
    let answer = aws.ask(&ECR, target, &serde_json::json!({}))?;
    let token = answer["authorizationData"][0]["authorizationToken"].as_str();
    token.map(str::to_owned).ok_or_else(|| Refused::Silent("ECR gives no login".to_owned()))
}

fn denied(why: &Refused) -> String {
    match why.is_denied() {
        true => format!("you need ecr:GetAuthorizationToken on *: {why}"),
        false => format!("log in to ECR: {why}"),
    }
}

fn beside() -> Vec<PathBuf> {
    let command = std::env::current_exe().unwrap_or_default();
    let folder = command.parent().unwrap_or(Path::new("."));
    BESIDE.iter().map(|name| folder.join(name)).filter(|file| file.is_file()).collect()
}

fn read(files: &[PathBuf]) -> Result<Image, CliError> {
    let mut executors = Vec::new();
    for file in files {
        let failed = |source| CliError::File { action: "read", path: file.clone(), source };
        executors.push(std::fs::read(file).map_err(failed)?);
    }
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    image::image(&executors).map_err(|why| CliError::Usage(format!("{}: {why}", names.join(", "))))
}

fn told(pushed: &Pushed, name: &str, digest: &str) -> Result<String, String> {
    match pushed {
        Pushed::New => Ok(format!("image {name} pushed ({digest})\n")),
        Pushed::There => Ok(format!("image {name} is there ({digest})\n")),
        Pushed::Other(other) => Err(format!(
            "{name} is another image already ({other}), and this executor would be {digest}: give the module another \
             executor_version, apply it, and deploy again"
        )),
    }
}
