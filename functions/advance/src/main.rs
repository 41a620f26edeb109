//! The function `advance`: takes doorbells, and advances the runs they name.

mod batch;
mod drain;
mod requests;
mod told;

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use dropforge_cluster::kubernetes::KubernetesCluster;
use dropforge_deployment::ends::CloudEnds;
use dropforge_deployment::metrics::Counts;
use dropforge_deployment::parts::Parts;
use dropforge_deployment::settings::Settings;
use dropforge_deployment::{logs, token};
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::doorbells::Why;
use dropforge_driver::heard::{Answer, Heard, Listener};
use dropforge_driver::owner::{Others, Owner};
use dropforge_queue::sqs::{Sqs, SqsReminders, SqsTimers};
use dropforge_queue::token::TokenKey;
use dropforge_storage::s3::S3Store;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use requests::{Call, Requests};
use tokio::sync::Mutex;

type Pods = KubernetesCluster<S3Store>;
type Steps = Requests<Pods, S3Store>;
type Ends = CloudEnds<S3Store, SqsReminders>;

/// The function with what it keeps from call to call.
struct Advance {
    key: TokenKey,
    doorbells: Arc<Sqs>,
    requests: Arc<Steps>,
    listener: Listener<S3Store, Steps, SqsTimers, Ends, SystemClock, Sqs>,
    counts: told::Shared,
}

impl Advance {
    async fn new() -> Result<Advance, Error> {
        let (settings, of_cluster) = Settings::with_cluster()?;
        let parts = Parts::new(&settings).await;
        let key = token::key(&*parts.store, token::random).await?;
        let cluster = Arc::new(parts.cluster(&settings, &of_cluster, key.clone()));
        let requests = Arc::new(Requests::new(cluster.clone(), parts.store.clone()));
        let counts = told::Shared::default();
        let doorbells = Arc::new(parts.events.clone());
        let (watched, steps) = (counts.clone(), requests.clone());
        let make = move || {
            let ends = CloudEnds {
                store: parts.store.clone(),
                cluster: cluster.clone(),
                reminders: parts.reminders.clone(),
            };
            let watcher = told::watcher(watched.clone());
            let (store, steps, timers) = (parts.store.clone(), steps.clone(), parts.timers.clone());
            Owner::new(store, steps, timers, ends, SystemClock, watcher).beside(Others::Many)
        };
        let listener = Listener::new(Box::new(make), doorbells.clone());
        Ok(Advance { key, doorbells, requests, listener, counts })
    }

    async fn handle(&mut self, event: SqsEvent, deadline: Timestamp) -> SqsBatchResponse {
        self.requests.begin(Call::new(SystemClock.now(), deadline));
        let handed = event.records.len();
        let mut batch = batch::read(event.records, &self.key);
        let contended = self.listener.is_contended(batch.heard.iter().map(|(_, heard)| &heard.run));
        let more = drain::more(&self.doorbells, handed, contended).await;
        batch.take(batch::read(more.iter().map(drain::handed).collect(), &self.key));
        let heard: Vec<_> = batch.heard.iter().map(|(_, heard)| heard.clone()).collect();
        let mut answers = self.listener.hear(&heard).await;
        // What the runs asked for meanwhile has to be answered before this call is.
        loop {
            let ended = self.requests.ended().await;
            if ended.is_empty() {
                break;
            }
            let rung = |(run, attempt)| Heard { run, why: Why::Attempt(attempt), hops: 0, again: false };
            let rung: Vec<Heard> = ended.into_iter().map(rung).collect();
            let more = self.listener.hear(&rung).await;
            answers.extend(more.into_iter().filter(|(_, answer)| !matches!(answer, Answer::Done)));
        }
        let mut counts: Counts = self.counts.take();
        let mut response = batch::reply(batch, &answers, &mut counts);
        counts.tell();
        if !more.is_empty() {
            drain::done(&self.doorbells, more, &mut response).await;
        }
        response
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::begin();
    let advance = Arc::new(Mutex::new(Advance::new().await?));
    let handler = |event: LambdaEvent<SqsEvent>| {
        let advance = advance.clone();
        let deadline = i64::try_from(event.context.deadline).ok();
        let deadline = deadline.and_then(|at| Timestamp::from_millisecond(at).ok()).unwrap_or_default();
        async move { Ok::<_, Error>(advance.lock().await.handle(event.payload, deadline).await) }
    };
    lambda_runtime::run(service_fn(handler)).await
}
