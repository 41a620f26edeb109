//! Dead letters: messages that were delivered five times and that no function could finish.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use jiff::Timestamp;

/// How long a letter that is looked at is shown to nobody else, in seconds.
const HELD: i32 = 60;

/// SQS gives ten messages in one request.
const BATCH: i32 = 10;

/// How many are shown at one look, so that none is held longer than it takes.
pub const SHOWN_MAX: usize = 100;

/// One dead-letter queue, and the queue that its messages came from.
pub struct DeadLetters<'a> {
    /// SQS.
    pub client: &'a Client,
    /// The dead-letter queue.
    pub url: &'a str,
    /// Where the messages were before.
    pub home: &'a str,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// When it was sent first.
    pub sent: Option<Timestamp>,
    /// Its text.
    pub body: String,
    handle: String,
}

impl DeadLetters<'_> {
    /// What lies there, at most [`SHOWN_MAX`]; it lies there afterwards too.
    ///
    /// # Errors
    /// In words, with the permission that is missing.
    pub async fn look(&self) -> Result<Vec<Letter>, String> {
        let mut letters = Vec::new();
        while letters.len() < SHOWN_MAX {
            match self.some().await? {
                some if some.is_empty() => break,
                some => letters.extend(some),
            }
        }
        for letter in &letters {
            let request = self.client.change_message_visibility().queue_url(self.url);
            // Where this fails the letter is back after a minute.
            let _ = request.receipt_handle(&letter.handle).visibility_timeout(0).send().await;
        }
        Ok(letters)
    }

    /// Puts all of them back; gives how many. A letter is sent before it is deleted: one that this is interrupted at
    /// is in both queues, which does no harm, since messages may always come twice.
    ///
    /// # Errors
    /// In words, with the permission that is missing; the letters that were not reached lie where they lay.
    pub async fn put_back(&self) -> Result<usize, String> {
        let mut count = 0;
        loop {
            let some = self.some().await?;
            if some.is_empty() {
                return Ok(count);
            }
            for letter in some {
                let sent = self.client.send_message().queue_url(self.home).message_body(&letter.body);
                sent.send().await.map_err(|why| refusal(&why, "sqs:SendMessage", self.home))?;
                let gone = self.client.delete_message().queue_url(self.url).receipt_handle(&letter.handle);
                gone.send().await.map_err(|why| refusal(&why, "sqs:DeleteMessage", self.url))?;
                count += 1;
            }
        }
    }

    async fn some(&self) -> Result<Vec<Letter>, String> {
        let request = self.client.receive_message().queue_url(self.url).max_number_of_messages(BATCH);
        let request = request.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        // A wait asks all of the queue's servers; without one an empty answer means little.
        let request = request.visibility_timeout(HELD).wait_time_seconds(1);
        let answer = request.send().await;
        let answer = answer.map_err(|why| refusal(&why, "sqs:ReceiveMessage", self.url))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(letter).collect())
    }
}

fn letter(message: Message) -> Option<Letter> {
    let told = message.attributes.as_ref();
    let sent = told.and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
    let sent = sent.and_then(|text| Timestamp::from_millisecond(text.parse().ok()?).ok());
    Some(Letter { sent, body: message.body?, handle: message.receipt_handle? })
}

fn refusal<E, R>(why: &SdkError<E, R>, permission: &str, url: &str) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match why.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some(code) if code.contains("AccessDenied") => format!("you need {permission} on {url}"),
        _ => DisplayErrorContext(why).to_string(),
    }
}

#[cfg(test)]
impl Letter {
    /// A letter of this text.
    pub fn text(body: &str) -> Letter {
        Letter { sent: None, body: body.to_owned(), handle: String::new() }
    }
}
