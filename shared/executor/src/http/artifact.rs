//! Artifacts behind a URL: fetched by GET, stored by PUT, as Argo's executor does it.

use std::path::{Path, PathBuf};

use dropforge_manifest::types::{HttpLocation, KeySelector};

use super::{HttpError, Request};
use crate::variables::{LocalObjects, NotFound};

/// Why an artifact could not be fetched or stored.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// A secret of its `auth` is not there.
    #[error(transparent)]
    Secret(#[from] NotFound),
    /// There was no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server refused it.
    #[error("loading content from {url} failed with reason: {status}")]
    Load {
        /// The URL.
        url: String,
        /// What the server said.
        status: String,
    },
    /// The server refused it.
    #[error("saving file {} to {url} failed with reason: {status}", path.display())]
    Save {
        /// The file's path in the step.
        path: PathBuf,
        /// The URL.
        url: String,
        /// What the server said.
        status: String,
    },
}

/// Fetches the artifact to the file `to`; false when the server has no such thing.
///
/// # Errors
/// When it can't be had.
pub fn load(location: &HttpLocation, secrets: &LocalObjects, to: &Path) -> Result<bool, ArtifactError> {
    let status = request(location, "GET", secrets)?.download(to)?;
    match status.code {
        404 => Ok(false),
        _ if status.is_success() => Ok(true),
        _ => Err(ArtifactError::Load { url: location.url.clone(), status: status.text }),
    }
}

/// Stores the file `from`, which the step knows as `path`.
///
/// # Errors
/// When it can't be stored.
pub fn save(
    location: &HttpLocation,
    secrets: &LocalObjects,
    from: &Path,
    path: &Path,
) -> Result<(), ArtifactError> {
    let status = request(location, "PUT", secrets)?.upload(from)?;
    if status.is_success() {
        return Ok(());
    }
    Err(ArtifactError::Save { path: path.to_path_buf(), url: location.url.clone(), status: status.text })
}

fn request(location: &HttpLocation, method: &str, secrets: &LocalObjects) -> Result<Request, NotFound> {
    let key = |key: &Option<KeySelector>| match key {
        Some(key) => Ok(secrets.key(key)?.unwrap_or_default().trim_end_matches(['\r', '\n']).to_owned()),
        None => Ok(String::new()),
    };
    let mut request = Request { method: method.to_owned(), url: location.url.clone(), ..Request::default() };
    request.headers = location.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect();
    let auth = location.auth.clone().unwrap_or_default();
    if let Some(basic) = &auth.basic_auth {
        let (user, password) = (key(&basic.username_secret)?, key(&basic.password_secret)?);
        // Argo sends neither where one is empty.
        if !user.is_empty() && !password.is_empty() {
            request.headers.push(("Authorization".to_owned(), super::basic(&user, &password)));
        }
    }
    if let Some(client) = &auth.client_cert {
        request.certificate = Some((key(&client.client_cert_secret)?, key(&client.client_key_secret)?));
    }
    Ok(request)
}
