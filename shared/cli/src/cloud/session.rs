//! How the person reaches AWS: profile, region, endpoint, credentials; and what to do where that fails.

use std::collections::BTreeSet;

use aws_config::profile::{self, ProfileSet};
use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use dropforge_driver::owner::chain;

use crate::contexts::Context;
use crate::error::CliError;

/// The SDK's configuration for a context. Credentials are asked for here, so that an expired session is told before
/// anything is tried with it.
///
/// # Errors
/// `Login` when no credentials are found, or those found have expired.
pub async fn config(context: &Context) -> Result<SdkConfig, CliError> {
    let mut loader = dropforge_aws::loader().region(Region::new(context.deployment.region.clone()));
    if let Some(profile) = &context.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = &context.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let config = loader.load().await;
    let Some(provider) = config.credentials_provider() else {
        return Err(login(context, "nothing gives credentials".to_owned()).await);
    };
    match provider.provide_credentials().await {
        Ok(_) => Ok(config),
        Err(why) => Err(login(context, chain(&why)).await),
    }
}

async fn login(context: &Context, why: String) -> CliError {
    let named = context.profile.clone().or_else(|| std::env::var("AWS_PROFILE").ok());
    let profile = match &named {
        Some(named) => Some(logged_in(named).await),
        None => None,
    };
    CliError::Login { context: context.name.clone(), help: remedy(profile.as_deref(), &why), why }
}

/// The profile to log in with: the one named, or that which it takes its credentials from to assume a role.
async fn logged_in(named: &str) -> String {
    match profile::load(&Default::default(), &Default::default(), &Default::default(), None).await {
        Ok(profiles) => source(&profiles, named).to_owned(),
        Err(_) => named.to_owned(),
    }
}

/// The end of a chain of profiles.
fn source<'a>(profiles: &'a ProfileSet, named: &'a str) -> &'a str {
    let (mut last, mut seen) = (named, BTreeSet::new());
    while seen.insert(last)
        && let Some(next) = profiles.get_profile(last).and_then(|profile| profile.get("source_profile"))
    {
        last = next;
    }
    last
}

/// What to do about credentials that can't be had, from what the SDK says of them.
fn remedy(profile: Option<&str>, why: &str) -> String {
    let said = |words: &[&str]| words.iter().any(|word| why.contains(word));
    let option = profile.map(|profile| format!(" --profile {profile}")).unwrap_or_default();
    if said(&["SSO", "sso", "InvalidGrant"]) {
        return format!("aws sso login{option}");
    }
    if said(&["expired", "Expired"]) {
        return format!("the session is over: get new credentials, such as by `aws sso login{option}`");
    }
    if said(&["credential_process", "CredentialProcess", "credential process"]) {
        return "run the profile's credential_process by hand: it says what it lacks".to_owned();
    }
    if said(&["profile", "Profile"]) && profile.is_some() {
        return format!("`aws configure list{option}` shows what the profile says");
    }
    format!("aws configure sso, or aws sso login{option}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_session_names_its_login_command() {
        let expired = "the SSO token for profile team has expired";
        assert_eq!(remedy(Some("team"), expired), "aws sso login --profile team");
        assert_eq!(remedy(None, expired), "aws sso login");
        assert!(remedy(None, "ExpiredToken: The provided token has expired").contains("the session is over"));
    }
}
