//! The function `sweep`: rings what moved or may be stuck, and removes what is left over. Called every minute.

mod sweep;

use std::sync::Arc;

use dropforge_deployment::parts::Parts;
use dropforge_deployment::settings::Settings;
use dropforge_deployment::{logs, token};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use sweep::{Pods, Sweep};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::begin();
    let (settings, of_cluster) = Settings::with_cluster()?;
    let parts = Parts::new(&settings).await;
    let key = token::key(&*parts.store, token::random).await?;
    let cluster = parts.cluster(&settings, &of_cluster, key);
    let pods = Pods { cluster, namespaces: of_cluster.namespaces };
    let sweep = Arc::new(Sweep::new(parts, pods));
    let handler = |_: LambdaEvent<Value>| {
        let sweep = sweep.clone();
        async move { sweep.sweep().await.map_err(Error::from) }
    };
    lambda_runtime::run(service_fn(handler)).await
}
