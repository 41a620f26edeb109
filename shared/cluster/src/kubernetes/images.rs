//! What images start by themselves: from the settings, from what was looked up before, from their registry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::documents;
use dropforge_driver::store::{Documents, StoreError};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::pod::{Commands, ImageCommand};

mod ecr;
mod registry;

use registry::Unsaid;
pub use registry::{Logins, RegistryError, logins};

/// The version of the documents that this code writes.
const FORMAT: u32 = 1;

/// How long what a tag starts is believed: tags move.
const TAG_HOLDS: SignedDuration = SignedDuration::from_hours(24);

/// What it takes to look into an image, as people are told.
const RIGHTS: &str = "ecr:GetAuthorizationToken, ecr:BatchGetImage and ecr:GetDownloadUrlForLayer \
     (of functions by `entrypoint_repository_arns` of the Terraform module)";

/// How long a registry that did not say it is not asked again.
const FAILURE_HOLDS: SignedDuration = SignedDuration::from_secs(10);

/// A registry that nobody has asked for so long has not failed all the while.
const FAILURES_MEET: SignedDuration = SignedDuration::from_mins(10);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    format: u32,
    image: String,
    at: Timestamp,
    starts: ImageCommand,
}

/// A registry's last failure to say what an image starts.
struct Failure {
    /// Since when it fails.
    since: Timestamp,
    at: Timestamp,
    why: RegistryError,
}

/// What images start.
pub struct Images<S> {
    store: Arc<S>,
    said: Commands,
    /// Who asks Amazon's registries.
    credentials: Option<SharedCredentialsProvider>,
    /// How long a registry that does not answer is waited for.
    patience: SignedDuration,
    known: Mutex<BTreeMap<String, Known>>,
    /// What could not be had. Held while a registry is asked: starts side by side would all ask it the same, and
    /// would wait one after the other for one that does not answer.
    failed: tokio::sync::Mutex<BTreeMap<String, Failure>>,
}

impl<S: Documents> Images<S> {
    /// Knows what the settings say.
    pub fn new(
        store: Arc<S>,
        said: Commands,
        credentials: Option<SharedCredentialsProvider>,
        patience: Duration,
    ) -> Self {
        let (known, failed) = (Mutex::default(), tokio::sync::Mutex::default());
        let patience = SignedDuration::try_from(patience).unwrap_or(SignedDuration::MAX);
        Images { store, said, credentials, patience, known, failed }
    }

    /// What an image starts, where nothing need be asked but the store.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn known(&self, image: &str) -> Result<Option<ImageCommand>, StoreError> {
        if let Some(said) = self.said.get(image) {
            return Ok(Some(said.clone()));
        }
        if let Some(known) = self.memory().get(image).filter(|known| holds(known)) {
            return Ok(Some(known.starts.clone()));
        }
        let known: Option<Known> = documents::read(&*self.store, &key(image), FORMAT).await?;
        let Some(known) = known.filter(|known| known.image == image && holds(known)) else { return Ok(None) };
        self.memory().insert(image.to_owned(), known.clone());
        Ok(Some(known.starts))
    }

    /// Asks the image's registry (`pulled` is its name there), and keeps the answer.
    ///
    /// # Errors
    /// When the registry does not say it; that the answer can't be kept is no error.
    pub async fn look_up(
        &self,
        image: &str,
        pulled: &str,
        logins: Logins,
    ) -> Result<ImageCommand, RegistryError> {
        let mut failed = self.failed.lock().await;
        if let Some(known) = self.memory().get(image).filter(|known| holds(known)) {
            return Ok(known.starts.clone());
        }
        let now = SystemClock.now();
        failed.retain(|_, failure| now.duration_since(failure.at) < FAILURES_MEET);
        let before = failed.get(image);
        if let Some(failure) = before.filter(|failure| now.duration_since(failure.at) < FAILURE_HOLDS) {
            return Err(failure.why.clone());
        }
        let since = before.map_or(now, |failure| failure.since);
        let starts = match ask(pulled, logins, self.credentials.as_ref()).await {
            Ok(starts) => starts,
            Err(why) => {
                let why = judged(why, now.duration_since(since), self.patience);
                failed.insert(image.to_owned(), Failure { since, at: now, why: why.clone() });
                return Err(why);
            }
        };
        failed.remove(image);
        let known =
            Known { format: FORMAT, image: image.to_owned(), at: SystemClock.now(), starts: starts.clone() };
        self.memory().insert(image.to_owned(), known.clone());
        if let Err(error) = documents::put(&*self.store, &key(image), FORMAT, &known).await {
            tracing::warn!(image, %error, "what an image starts could not be kept, and will be asked again");
        }
        Ok(starts)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an image starts, as a person sees it who has these credentials at AWS and no login of other registries.
///
/// # Errors
/// When the registry does not say it.
pub async fn seen(
    image: &str,
    credentials: Option<&SharedCredentialsProvider>,
) -> Result<ImageCommand, RegistryError> {
    ask(image, Logins::new(), credentials).await
}

/// Asks with a pull secret's login, or with one of the asker's own where Amazon's registry gives it.
async fn ask(
    pulled: &str,
    mut logins: Logins,
    credentials: Option<&SharedCredentialsProvider>,
) -> Result<ImageCommand, RegistryError> {
    let registry = registry::registry(pulled);
    let mut lacks = String::new();
    if let Some(credentials) = credentials.filter(|_| !logins.contains_key(&registry)) {
        match ecr::login(&registry, credentials).await {
            Ok(login) => logins.extend(login.map(|login| (registry, login))),
            Err(why) if why.passes => return Err(RegistryError::of(pulled, why)),
            Err(Unsaid { why, .. }) => lacks = format!("; ECR gave no login ({why}): that takes {RIGHTS}"),
        }
    }
    let asked = pulled.to_owned();
    let asking = tokio::task::spawn_blocking(move || registry::starts(&asked, &logins));
    let answer = asking.await.map_err(|why| RegistryError::of(pulled, why.to_string().into()));
    answer.and_then(|answer| answer).map_err(|why| why.and(&lacks))
}

fn key(image: &str) -> String {
    format!("images/{}.json", documents::component(documents::escaped(image)))
}

/// A digest names the same image for ever, a tag for a while.
fn holds(known: &Known) -> bool {
    known.image.contains("@sha256:") || SystemClock.now().duration_since(known.at) < TAG_HOLDS
}

/// A registry that nobody reaches has been named wrongly, or is away for long: who waits is told so.
fn judged(why: RegistryError, since: SignedDuration, patience: SignedDuration) -> RegistryError {
    if why.passes() && since > patience { why.for_good(since) } else { why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_fails_for_longer_than_is_waited_is_refused() {
        let judge = |passes: bool, seconds: i64| {
            let why = RegistryError::of("r/i:1", Unsaid { why: "it answered 503".to_owned(), passes });
            let judged = judged(why, SignedDuration::from_secs(seconds), SignedDuration::from_secs(300));
            (judged.passes(), judged.to_string().contains("503 (for "))
        };
        assert_eq!((judge(true, 300), judge(true, 301)), ((true, false), (false, true)));
        assert_eq!(judge(false, 301), (false, false), "that is no wait");
    }
}
