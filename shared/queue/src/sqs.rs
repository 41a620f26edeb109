//! Doorbells, timers and reminders over SQS; what is due later than SQS can delay goes through EventBridge Scheduler.

use std::io::{Error as IoError, ErrorKind};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Config;
use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchRequestEntry};
use dropforge_driver::doorbells::{DELAY_MAX, Doorbells, Ring};
use dropforge_driver::store::StoreError;
use jiff::SignedDuration;

use crate::doorbell::Doorbell;

mod later;
mod taking;

pub use later::{SqsReminders, SqsTimers};
pub use taking::Taken;

/// SQS takes ten messages in one request.
const BATCH_MAX: usize = 10;

/// How often single messages are sent that SQS itself refused as its own fault, beside what the SDK repeats of whole
/// requests.
const TRIES: u32 = 4;

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its text.
    pub body: String,
    /// How long nobody receives it, rounded up to whole seconds, at most [`DELAY_MAX`].
    pub after: SignedDuration,
}

/// A queue to send to.
#[derive(Clone, Debug)]
pub struct Sqs {
    client: Client,
    url: String,
}

impl Sqs {
    /// The queue of this URL.
    pub fn new(config: impl Into<Config>, url: &str) -> Sqs {
        Sqs { client: Client::from_conf(config.into()), url: url.to_owned() }
    }

    /// Rings one doorbell at once.
    ///
    /// # Errors
    /// When it is unknown whether it rings, or its names are too long; ringing again is harmless.
    pub async fn ring_one(&self, doorbell: &Doorbell) -> Result<(), StoreError> {
        self.ring_later(doorbell, SignedDuration::ZERO).await
    }

    /// Rings one doorbell after a while, at most [`DELAY_MAX`].
    ///
    /// # Errors
    /// See [`Sqs::ring_one`].
    pub async fn ring_later(&self, doorbell: &Doorbell, after: SignedDuration) -> Result<(), StoreError> {
        self.send(vec![Message { body: encoded(doorbell)?, after }]).await
    }

    /// Sends all of these, in no order.
    ///
    /// # Errors
    /// When it is unknown whether all of them are sent.
    pub async fn send(&self, messages: Vec<Message>) -> Result<(), StoreError> {
        for batch in messages.chunks(BATCH_MAX) {
            self.send_batch(batch).await?;
        }
        Ok(())
    }

    /// Sends at most ten; those that SQS refused as its own fault are sent again.
    async fn send_batch(&self, messages: &[Message]) -> Result<(), StoreError> {
        let mut unsent: Vec<usize> = (0..messages.len()).collect();
        let mut tries = 0;
        loop {
            let failed = self.send_once(messages, &unsent).await?;
            tries += 1;
            match failed.first() {
                None => return Ok(()),
                Some(first) if tries == TRIES || failed.iter().any(BatchResultErrorEntry::sender_fault) => {
                    let why = format!("{}: {}", first.code(), first.message().unwrap_or_default());
                    return Err(failure("send to", &self.url, IoError::other(why)));
                }
                Some(_) => unsent = failed.iter().filter_map(|entry| entry.id().parse().ok()).collect(),
            }
            tokio::time::sleep(Duration::from_millis(50 << tries)).await;
        }
    }

    async fn send_once(
        &self,
        messages: &[Message],
        which: &[usize],
    ) -> Result<Vec<BatchResultErrorEntry>, StoreError> {
        let entry = |at: &usize| {
            let message = &messages[*at];
            let entry = SendMessageBatchRequestEntry::builder().id(at.to_string());
            let entry = entry.message_body(&message.body).delay_seconds(seconds(message.after));
            entry.build().expect("it has an id and a body")
        };
        let entries = which.iter().map(entry).collect();
        let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let sent = request.send().await.map_err(|why| refused("send to", &self.url, why))?;
        Ok(sent.failed().to_vec())
    }
}

impl Doorbells for Sqs {
    async fn ring(&self, rings: &[Ring]) -> Result<(), StoreError> {
        let messages = rings.iter().map(|ring| {
            let doorbell = Doorbell { hops: ring.hops, ..Doorbell::new(ring.run.clone(), ring.why.clone()) };
            Ok(Message { body: encoded(&doorbell)?, after: ring.after })
        });
        let messages: Vec<Message> = messages.collect::<Result<_, StoreError>>()?;
        self.send(messages).await
    }
}

fn encoded(doorbell: &Doorbell) -> Result<String, StoreError> {
    doorbell.encode().map_err(|why| failure("ring", doorbell.run.as_str(), IoError::other(why)))
}

/// Rounded up: a timer that is early would only be set again.
fn seconds(after: SignedDuration) -> i32 {
    let after = after.clamp(SignedDuration::ZERO, DELAY_MAX);
    let seconds = after.as_secs() + i64::from(after.subsec_nanos() > 0);
    i32::try_from(seconds).expect("fifteen minutes have few seconds")
}

fn failure(action: &'static str, key: &str, source: IoError) -> StoreError {
    StoreError::Io { action, key: key.to_owned(), source }
}

/// What AWS answered as an error, with all that it said.
pub(crate) fn refused<E>(action: &'static str, key: &str, why: E) -> StoreError
where
    E: std::error::Error + ProvideErrorMetadata,
{
    let denied = why.code().is_some_and(|code| code.contains("AccessDenied"));
    let kind = if denied { ErrorKind::PermissionDenied } else { ErrorKind::Other };
    failure(action, key, IoError::new(kind, DisplayErrorContext(&why).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_whole_seconds_never_early_and_what_sqs_takes() {
        let delays = [(-5_000, 0), (0, 0), (1, 1), (1_000, 1), (1_001, 2), (900_000, 900), (10_000_000, 900)];
        for (millis, expected) in delays {
            assert_eq!(seconds(SignedDuration::from_millis(millis)), expected, "{millis} ms");
        }
    }
}
