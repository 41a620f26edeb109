//! Messages that a program takes itself, beside those that Lambda hands over.

use std::io::Error as IoError;

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};
use dropforge_driver::store::StoreError;

use super::{BATCH_MAX, Sqs, failure, refused};

/// A message that was taken: nobody else gets it before the queue's visibility timeout is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its id.
    pub id: String,
    /// Its text.
    pub body: String,
    /// How often it has been taken, this time included.
    pub times: u32,
    handle: String,
}

impl Sqs {
    /// Takes messages that wait, ten at most, and waits for none.
    ///
    /// # Errors
    /// When the queue does not answer; what it gave all the same comes again.
    pub async fn take(&self) -> Result<Vec<Taken>, StoreError> {
        let count = MessageSystemAttributeName::ApproximateReceiveCount;
        let most = i32::try_from(BATCH_MAX).expect("ten are few");
        let request = self.client.receive_message().queue_url(&self.url).max_number_of_messages(most);
        let request = request.wait_time_seconds(0).message_system_attribute_names(count);
        let answer = request.send().await.map_err(|why| refused("receive from", &self.url, why))?;
        Ok(answer.messages.unwrap_or_default().into_iter().map(taken).collect())
    }

    /// Deletes messages that are done with.
    ///
    /// # Errors
    /// When one is not known to be deleted; it may come again.
    pub async fn delete(&self, done: &[Taken]) -> Result<(), StoreError> {
        for batch in done.chunks(BATCH_MAX) {
            let entry = |(at, message): (usize, &Taken)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string());
                entry.receipt_handle(&message.handle).build().expect("it has an id and a handle")
            };
            let entries = batch.iter().enumerate().map(entry).collect();
            let request = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
            let answer = request.send().await.map_err(|why| refused("delete from", &self.url, why))?;
            if let Some(first) = answer.failed().first() {
                let why = format!("{}: {}", first.code(), first.message().unwrap_or_default());
                return Err(failure("delete from", &self.url, IoError::other(why)));
            }
        }
        Ok(())
    }
}

fn taken(message: Message) -> Taken {
    let count = MessageSystemAttributeName::ApproximateReceiveCount;
    let times = message.attributes.as_ref().and_then(|all| all.get(&count)?.parse().ok());
    Taken {
        id: message.message_id.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
        // Whoever took it before may have died half-way.
        times: times.unwrap_or(2),
        handle: message.receipt_handle.unwrap_or_default(),
    }
}
