//! The function `advance`: takes doorbells, and advances the runs they name.

mod batch;
mod told;

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use dropforge_cluster::kubernetes::KubernetesCluster;
use dropforge_deployment::ends::CloudEnds;
use dropforge_deployment::metrics::Counts;
use dropforge_deployment::parts::Parts;
use dropforge_deployment::settings::Settings;
use dropforge_deployment::{logs, token};
use dropforge_driver::clock::SystemClock;
use dropforge_driver::heard::Listener;
use dropforge_driver::owner::{Others, Owner};
use dropforge_queue::sqs::{Sqs, SqsReminders, SqsTimers};
use dropforge_queue::token::TokenKey;
use dropforge_storage::s3::S3Store;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use tokio::sync::Mutex;

type Pods = KubernetesCluster<S3Store>;
type Ends = CloudEnds<S3Store, SqsReminders>;

/// The function with what it keeps from call to call.
struct Advance {
    key: TokenKey,
    listener: Listener<S3Store, Pods, SqsTimers, Ends, SystemClock, Sqs>,
    counts: told::Shared,
}

impl Advance {
    async fn new() -> Result<Advance, Error> {
        let (settings, of_cluster) = Settings::with_cluster()?;
        let parts = Parts::new(&settings).await;
        let key = token::key(&*parts.store, token::random).await?;
        let cluster = Arc::new(parts.cluster(&settings, &of_cluster, key.clone()));
        let counts = told::Shared::default();
        let doorbells = Arc::new(parts.events.clone());
        let watched = counts.clone();
        let make = move || {
            let ends = CloudEnds {
                store: parts.store.clone(),
                cluster: cluster.clone(),
                reminders: parts.reminders.clone(),
            };
            let watcher = told::watcher(watched.clone());
            let (store, cluster, timers) = (parts.store.clone(), cluster.clone(), parts.timers.clone());
            Owner::new(store, cluster, timers, ends, SystemClock, watcher).beside(Others::Many)
        };
        Ok(Advance { key, listener: Listener::new(Box::new(make), doorbells), counts })
    }

    async fn handle(&mut self, event: SqsEvent) -> SqsBatchResponse {
        let batch = batch::read(event, &self.key);
        let heard: Vec<_> = batch.heard.iter().map(|(_, heard)| heard.clone()).collect();
        let answers = self.listener.hear(&heard).await;
        let mut counts: Counts = self.counts.take();
        let response = batch::reply(batch, &answers, &mut counts);
        counts.tell();
        response
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::begin();
    let advance = Arc::new(Mutex::new(Advance::new().await?));
    let handler = |event: LambdaEvent<SqsEvent>| {
        let advance = advance.clone();
        async move { Ok::<_, Error>(advance.lock().await.handle(event.payload).await) }
    };
    lambda_runtime::run(service_fn(handler)).await
}
