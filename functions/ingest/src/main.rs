//! The function `ingest`: takes what S3 announces and what the scheduler reminds of, and starts the runs that follow.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use dropforge_deployment::logs;
use dropforge_deployment::metrics::Counts;
use dropforge_deployment::parts::Parts;
use dropforge_deployment::settings::{Settings, StartSettings};
use dropforge_driver::births::Site;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::ingest::Ingest;
use dropforge_ingest::batch;
use dropforge_ingest::heads::S3Heads;
use lambda_runtime::{Error, LambdaEvent, service_fn};

/// The function with what it keeps from call to call.
struct Function {
    parts: Parts,
    heads: S3Heads,
    namespaces: Vec<String>,
    site: Site,
}

impl Function {
    async fn new() -> Result<Function, Error> {
        let (settings, StartSettings { namespaces, site }) = Settings::with_starts()?;
        let parts = Parts::new(&settings).await;
        // Where AWS is stood in for, a bucket has no host of its own.
        let of_s3 = aws_sdk_s3::config::Builder::from(&parts.aws);
        let of_s3 = of_s3.force_path_style(settings.stores.endpoint.is_some()).build();
        let heads = S3Heads::new(aws_sdk_s3::Client::from_conf(of_s3));
        Ok(Function { parts, heads, namespaces, site })
    }

    async fn handle(&self, event: LambdaEvent<SqsEvent>) -> SqsBatchResponse {
        let ingest = Ingest {
            store: &*self.parts.store,
            doorbells: &self.parts.events,
            alarms: &self.parts.reminders,
            heads: &self.heads,
            namespaces: &self.namespaces,
            site: &self.site,
            now: SystemClock.now(),
        };
        let answer = batch::handle(&ingest, event.payload, &event.context.request_id).await;
        let mut counts = Counts::default();
        counts.add("MessagesDropped", answer.dropped);
        counts.tell();
        answer.response
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::begin();
    let function = Arc::new(Function::new().await?);
    let handler = |event: LambdaEvent<SqsEvent>| {
        let function = function.clone();
        async move { Ok::<_, Error>(function.handle(event).await) }
    };
    lambda_runtime::run(service_fn(handler)).await
}
