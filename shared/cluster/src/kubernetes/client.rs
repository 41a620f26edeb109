//! The way to a cluster: who we are to it, and what its answers mean.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::cluster::ClusterError;
use dropforge_manifest::quantity::Quantity;
use jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::sync::Mutex;

use super::remote::Carrier;
use super::token;

/// How long one question to the cluster may take, all its repetitions together: kube repeats what was answered with
/// 429, 503 and 504, after the time that `Retry-After` says.
const ANSWER: Duration = Duration::from_secs(15);

/// How a cluster is reached.
#[derive(Clone, Debug)]
pub enum Access {
    /// As a kubeconfig file says.
    Kubeconfig(PathBuf),
    /// As a caller that EKS knows.
    Eks(Eks),
    /// Through a function that reaches it.
    Function(Carrier),
}

/// An EKS cluster.
#[derive(Clone, Debug)]
pub struct Eks {
    /// Its name.
    pub cluster: String,
    /// Its region.
    pub region: String,
    /// Its API's URL.
    pub endpoint: String,
    /// Its certificate authority: PEM in base64, as EKS gives it.
    pub certificate_authority: String,
    /// Who calls.
    pub credentials: SharedCredentialsProvider,
}

/// Makes clients, and new ones before a token is too old.
pub struct Connections {
    access: Access,
    /// By the clock of the day: the other one stands still while a function is frozen.
    made: Mutex<Option<(Client, Timestamp)>>,
}

impl Connections {
    /// No connection is made yet.
    pub fn new(access: Access) -> Self {
        Connections { access, made: Mutex::new(None) }
    }

    /// A client whose token holds for this call.
    ///
    /// # Errors
    /// When there are no credentials, or the settings are none.
    pub async fn client(&self) -> io::Result<Client> {
        let mut made = self.made.lock().await;
        if let Some((client, at)) = &*made
            && (!matches!(self.access, Access::Eks(_))
                || SystemClock.now().duration_since(*at).unsigned_abs() < token::USED_FOR)
        {
            return Ok(client.clone());
        }
        let at = SystemClock.now();
        let client = match &self.access {
            Access::Kubeconfig(path) => {
                connected(Kubeconfig::read_from(path).map_err(io::Error::other)?).await?
            }
            Access::Eks(eks) => connected(eks.kubeconfig().await?).await?,
            Access::Function(carrier) => carrier.client(),
        };
        *made = Some((client.clone(), at));
        Ok(client)
    }
}

async fn connected(kubeconfig: Kubeconfig) -> io::Result<Client> {
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(io::Error::other)?;
    Client::try_from(config).map_err(io::Error::other)
}

impl Eks {
    async fn kubeconfig(&self) -> io::Result<Kubeconfig> {
        let credentials = self.credentials.provide_credentials().await.map_err(io::Error::other)?;
        let since_1970 = Duration::try_from(SystemClock.now().as_duration()).map_err(io::Error::other)?;
        let now = SystemTime::UNIX_EPOCH + since_1970;
        let token = token::token(&self.cluster, &self.region, &credentials, now).map_err(io::Error::other)?;
        let kubeconfig = json!({
            "current-context": "eks",
            "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "eks"}}],
            "clusters": [{"name": "eks", "cluster": {
                "server": self.endpoint,
                "certificate-authority-data": self.certificate_authority,
            }}],
            "users": [{"name": "eks", "user": {"token": token}}],
        });
        serde_json::from_value(kubeconfig).map_err(io::Error::other)
    }
}

/// Why the cluster did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It answered; asking again brings the same answer.
    #[error("{message} ({reason}, {code})")]
    Refused {
        /// HTTP's code.
        code: u16,
        /// Kubernetes' word.
        reason: String,
        /// Its sentence.
        message: String,
    },
    /// It answered that there is no room at present.
    #[error("{message}")]
    Full {
        /// Its sentence.
        message: String,
    },
    /// It is not known what it did.
    #[error(transparent)]
    Unknown(#[from] io::Error),
}

impl CallError {
    /// HTTP's code of a refusal.
    pub fn code(&self) -> Option<u16> {
        match self {
            CallError::Refused { code, .. } => Some(*code),
            CallError::Full { .. } | CallError::Unknown(_) => None,
        }
    }

    /// For who can only ask again.
    pub fn unreachable(self) -> ClusterError {
        let source = match self {
            CallError::Unknown(source) => source,
            answered => io::Error::other(answered.to_string()),
        };
        ClusterError::Unreachable { what: "Kubernetes API", source }
    }
}

/// Asks the cluster, in bounded time.
///
/// # Errors
/// See [`CallError`].
pub async fn call<T>(asking: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(ANSWER, asking).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(meaning(error)),
        Err(_) => Err(CallError::Unknown(io::ErrorKind::TimedOut.into())),
    }
}

fn meaning(error: kube::Error) -> CallError {
    match error {
        kube::Error::Api(status) => match status.code {
            // A token that is refused may be one that has just become too old.
            401 | 408 | 500.. => CallError::Unknown(io::Error::other(status.to_string())),
            429 => CallError::Full { message: status.message },
            403 if status.message.contains("exceeded quota") && !is_beyond_quota(&status.message) => {
                CallError::Full { message: status.message }
            }
            code => CallError::Refused { code, reason: status.reason, message: status.message },
        },
        other => CallError::Unknown(io::Error::other(other)),
    }
}

/// Whether a quota's refusal (`exceeded quota: q, requested: a=1,b=2, used: …, limited: a=1,b=1`) is of something that
/// alone is more than the quota: it never fits, whatever ends.
fn is_beyond_quota(message: &str) -> bool {
    let amounts = |of: &str| -> BTreeMap<String, Quantity> {
        let list = message.split_once(&format!(" {of}: ")).map_or("", |(_, rest)| rest);
        let list = list.split(", ").next().unwrap_or_default();
        let amount = |pair: &str| {
            let (name, amount) = pair.split_once('=')?;
            Some((name.to_owned(), amount.trim_end_matches('.').parse().ok()?))
        };
        list.split(',').filter_map(amount).collect()
    };
    let limited = amounts("limited");
    amounts("requested").iter().any(|(name, asked)| limited.get(name).is_some_and(|limit| asked > limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_alone_is_more_than_its_quota_is_not_waited_for() {
        let quota = |amounts: &str| format!("pods \"a\" is forbidden: exceeded quota: team, {amounts}");
        for never in [
            "requested: requests.cpu=4, used: requests.cpu=0, limited: requests.cpu=2",
            "requested: pods=1,requests.memory=2Gi, used: pods=0,requests.memory=0, limited: pods=9,requests.memory=1500Mi",
            "requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=0, limited: requests.nvidia.com/gpu=0",
        ] {
            assert!(is_beyond_quota(&quota(never)), "{never}");
        }
        for passing in [
            "requested: requests.cpu=500m, used: requests.cpu=1900m, limited: requests.cpu=2",
            "requested: pods=1, used: pods=9, limited: pods=9",
            "requested: odd, limited",
        ] {
            assert!(!is_beyond_quota(&quota(passing)), "{passing}");
        }
    }
}
