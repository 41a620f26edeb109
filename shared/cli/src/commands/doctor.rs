//! `doctor`: whether a context's parts are reached, and what is missing.

use crate::cloud::Cloud;
use crate::cloud::doctor::{Check, Found, examine};
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::output;

/// Looks at everything that a deployment needs. The exit code is 1 when something will not work.
///
/// # Errors
/// When no context is named, or nobody is logged in.
#[tokio::main(flavor = "current_thread")]
pub async fn doctor(global: &Global) -> Result<Exit, CliError> {
    let Some(context) = &global.context else {
        return Err(CliError::Usage("name the deployment to look at: --context NAME".to_owned()));
    };
    let cloud = Cloud::open(context).await?;
    let checks = examine(&cloud, &global.namespace).await;
    output::text(&text(&checks))?;
    let is_bad = checks.iter().any(|check| matches!(check.found, Found::Bad(..)));
    Ok(if is_bad { Exit::Failed } else { Exit::Succeeded })
}

fn text(checks: &[Check]) -> String {
    let line = |Check { what, found }: &Check| match found {
        Found::Good(how) => format!("ok    {what}: {how}\n"),
        Found::Unknown(why) => format!("?     {what}: {why}\n"),
        Found::Bad(why, remedy) => format!("FAIL  {what}: {why}\n      help: {remedy}\n"),
    };
    checks.iter().map(line).collect()
}
