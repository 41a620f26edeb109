//! The function's side: it performs requests with credentials of its own.

use std::io;
use std::time::Duration;

use dropforge_driver::pods::is_object_name;
use http::Request;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;

use super::{Answered, Asked, BODY_MAX, FORMAT, unpacked};
use crate::kubernetes::client::{Access, Connections};

/// Less than who asked waits for the whole of it, so that it hears why.
const ANSWER: Duration = Duration::from_secs(12);

/// Performs requests for others.
pub struct Dispatch {
    connections: Connections,
    namespaces: Vec<String>,
}

impl Dispatch {
    /// For requests that concern these namespaces.
    pub fn new(access: Access, namespaces: Vec<String>) -> Self {
        Dispatch { connections: Connections::new(access), namespaces }
    }

    /// Performs a request.
    ///
    /// # Errors
    /// When it is not known whether the API did it.
    pub async fn answer(&self, asked: Asked) -> io::Result<Answered> {
        if asked.format != FORMAT {
            let why = format!("this function reads requests of format {FORMAT}, and not {}", asked.format);
            return Ok(Answered::own(400, "BadRequest", &why));
        }
        if !permitted(&asked.method, &asked.path, &self.namespaces) {
            let why = format!("{} {} is not among what is dispatched", asked.method, asked.path);
            tracing::warn!("a request was refused: {why}");
            return Ok(Answered::own(403, "Forbidden", &why));
        }
        let performed = tokio::time::timeout(ANSWER, self.perform(&asked)).await;
        performed.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn perform(&self, asked: &Asked) -> io::Result<Answered> {
        let request = Request::builder().method(asked.method.as_str()).uri(&asked.path);
        let request = request.header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(unpacked(&asked.body)?)).map_err(io::Error::other)?;
        let response = self.connections.client().await?.send(request).await.map_err(io::Error::other)?;
        let (head, body) = response.into_parts();
        let after = head.headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()).map(str::to_owned);
        match Limited::new(body, BODY_MAX).collect().await {
            Ok(body) => Ok(Answered::new(head.status.as_u16(), after, &body.to_bytes())),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Ok(Answered::too_large()),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// Whether a request is one that pods are made, looked at and removed with; the cluster's Role says the same once more.
fn permitted(method: &str, path: &str, namespaces: &[String]) -> bool {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let Some(path) = path.strip_prefix("/api/v1/namespaces/") else { return false };
    let (place, named) = match path.split('/').collect::<Vec<_>>()[..] {
        [namespace, kind] => ((namespace, kind), false),
        [namespace, kind, name] if is_object_name(name) => ((namespace, kind), true),
        _ => return false,
    };
    let (namespace, kind) = place;
    let selects = method == "GET" && !named;
    let does = match kind {
        "pods" | "persistentvolumeclaims" if named => matches!(method, "GET" | "DELETE"),
        "pods" | "persistentvolumeclaims" => matches!(method, "GET" | "POST"),
        "configmaps" | "secrets" | "serviceaccounts" => method == "GET" && named,
        "events" => selects,
        _ => false,
    };
    let asks = |part: &str| {
        part.is_empty()
            || selects
                && ["labelSelector=", "fieldSelector=", "limit=", "continue="]
                    .iter()
                    .any(|key| part.starts_with(key))
    };
    does && namespaces.iter().any(|own| own == namespace) && query.split('&').all(asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted_in_ml(method: &str, path: &str) -> bool {
        permitted(method, path, &["ml".to_owned()])
    }

    #[test]
    fn what_the_cluster_adapter_asks_is_dispatched() {
        for (method, path) in [
            ("POST", "pods?"),
            ("GET", "pods?&labelSelector=dropforge.dev%2Frun%3Du&limit=250&continue=x"),
            ("GET", "pods/wf-main-0123456789abcdef"),
            ("DELETE", "pods/wf-main-0123456789abcdef?"),
            ("GET", "persistentvolumeclaims?&labelSelector=a%3Db"),
            ("POST", "persistentvolumeclaims?"),
            ("GET", "persistentvolumeclaims/wf-data"),
            ("DELETE", "persistentvolumeclaims/wf-data?"),
            ("GET", "configmaps/limits.v1"),
            ("GET", "events?&fieldSelector=involvedObject.name%3Dwf-a%2Ctype%3DWarning"),
            ("GET", "secrets/pull"),
            ("GET", "serviceaccounts/dropforge-step"),
        ] {
            assert!(permitted_in_ml(method, &format!("/api/v1/namespaces/ml/{path}")), "{method} {path}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (method, path) in [
            ("GET", "/api/v1/namespaces/kube-system/pods"),
            ("GET", "/api/v1/namespaces/ml/pods?watch=true"),
            ("GET", "/api/v1/namespaces/ml/pods?limit=1&watch=1"),
            ("POST", "/api/v1/namespaces/ml/pods?dryRun=All"),
            ("POST", "/api/v1/namespaces/ml/pods/a/exec?command=sh"),
            ("GET", "/api/v1/namespaces/ml/pods/a/log"),
            ("POST", "/api/v1/namespaces/ml/pods/a"),
            ("GET", "/api/v1/namespaces/ml/pods/.."),
            ("GET", "/api/v1/namespaces/ml/pods/../../kube-system/secrets/a"),
            ("GET", "/api/v1/namespaces/ml/pods/%2e%2e"),
            ("GET", "/api/v1/namespaces/ml/pods/"),
            ("DELETE", "/api/v1/namespaces/ml/pods"),
            ("PUT", "/api/v1/namespaces/ml/pods/a"),
            ("PATCH", "/api/v1/namespaces/ml/pods/a"),
            ("GET", "/api/v1/namespaces/ml/secrets"),
            ("GET", "/api/v1/namespaces/ml/configmaps?limit=1"),
            ("DELETE", "/api/v1/namespaces/ml/secrets/a"),
            ("POST", "/api/v1/namespaces/ml/serviceaccounts"),
            ("GET", "/api/v1/nodes"),
            ("GET", "/api/v1/namespaces/ml"),
            ("GET", "http://elsewhere/api/v1/namespaces/ml/pods"),
            ("GET", "//elsewhere/api/v1/namespaces/ml/pods"),
            ("get", "/api/v1/namespaces/ml/pods"),
        ] {
            assert!(!permitted_in_ml(method, path), "{method} {path}");
        }
    }
}
