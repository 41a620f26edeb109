//! The function `dispatch`: performs the Kubernetes requests of `advance` and `sweep` from inside the VPC of a cluster whose
//! endpoint is private. It needs nothing but the cluster: the token is made locally, no bucket and no queue is asked.

use std::sync::Arc;

use dropforge_cluster::kubernetes::remote::{Asked, Dispatch};
use dropforge_deployment::logs;
use dropforge_deployment::parts::access;
use dropforge_deployment::settings::DispatchSettings;
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::begin();
    let settings = DispatchSettings::of_environment()?;
    let aws = dropforge_aws::from_environment().await;
    let access = access(&aws, &settings.region, &settings.reach);
    let dispatch = Arc::new(Dispatch::new(access, settings.namespaces));
    let handler = |event: LambdaEvent<Asked>| {
        let dispatch = dispatch.clone();
        async move { dispatch.answer(event.payload).await.map_err(Error::from) }
    };
    lambda_runtime::run(service_fn(handler)).await
}
