//! A context's buckets and queue, reached with the person's own credentials.

use aws_config::SdkConfig;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::pods::Stores;
use dropforge_driver::reminders::Starter;
use dropforge_driver::starters;
use dropforge_queue::doorbell::Doorbell;
use dropforge_queue::reminder::Reminder;
use dropforge_queue::sqs::{Message, Sqs};
use dropforge_storage::s3::S3Store;
use jiff::SignedDuration;

use crate::contexts::Context;
use crate::error::CliError;

pub mod doctor;
pub mod image;
pub mod letters;
pub mod objects;
pub mod request;
pub mod session;

/// One deployment, reached.
pub struct Cloud {
    /// What is known of it.
    pub context: Context,
    /// Its runs.
    pub store: S3Store,
    /// How AWS is reached.
    pub config: SdkConfig,
    events: Sqs,
    uploads: Sqs,
}

impl Cloud {
    /// Finds the person's credentials; nothing is asked of the deployment yet.
    ///
    /// # Errors
    /// When there are none.
    pub async fn open(context: &Context) -> Result<Cloud, CliError> {
        Ok(Cloud::of(context, session::config(context).await?))
    }

    /// The deployment of a context, with how AWS is reached.
    pub fn of(context: &Context, config: SdkConfig) -> Cloud {
        let deployment = &context.deployment;
        let stores = Stores {
            control: deployment.control_bucket.clone(),
            artifacts: deployment.artifact_bucket.clone(),
            region: deployment.region.clone(),
            endpoint: context.endpoint.clone(),
        };
        Cloud {
            store: S3Store::new(&config, &stores),
            events: Sqs::new(&config, &deployment.events_queue_url),
            uploads: Sqs::new(&config, &deployment.upload_queue_url),
            context: context.clone(),
            config,
        }
    }

    /// Rings whoever advances runs.
    ///
    /// # Errors
    /// When the queue can't be reached.
    pub async fn ring(&self, doorbell: &Doorbell) -> Result<(), CliError> {
        Ok(self.events.ring_one(doorbell).await?)
    }

    /// Marks these schedules, before anything of them is written.
    ///
    /// # Errors
    /// When it is unknown whether they are marked.
    pub async fn mark(&self, schedules: &[Starter]) -> Result<(), CliError> {
        for starter in schedules {
            starters::mark(&self.store, starter, SystemClock.now()).await?;
        }
        Ok(())
    }

    /// Sees to it that somebody looks at these schedules: their EventBridge schedules are made, changed or removed.
    ///
    /// # Errors
    /// When the queue can't be reached.
    pub async fn remind(&self, schedules: &[Starter]) -> Result<(), CliError> {
        let message = |starter: &Starter| Message {
            body: Reminder::of(starter.clone()).encode(),
            after: SignedDuration::ZERO,
        };
        Ok(self.uploads.send(schedules.iter().map(message).collect()).await?)
    }
}
