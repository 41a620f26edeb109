//! A batch of messages: read, handed to the driver, and answered with those that are to come again.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use dropforge_driver::births::Identity;
use dropforge_driver::crons::keep::trim_history;
use dropforge_driver::crons::recurring::Schedules;
use dropforge_driver::doorbells::Doorbells;
use dropforge_driver::ingest::{Heads, Ingest, NewRuns, Notice};
use dropforge_driver::owner::chain;
use dropforge_driver::reminders::Reminders;
use dropforge_driver::store::{Artifacts, Documents, Index, Runs};

use crate::notices::{Message, read};

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Answer {
    /// Which messages are to come again.
    pub response: SqsBatchResponse,
    /// How many messages were dropped, since nobody can read them.
    pub dropped: u64,
}

/// Handles a batch; `call` names this call of the function among all that there ever are.
pub async fn handle<S, D, M, H>(ingest: &Ingest<'_, S, D, M, H>, event: SqsEvent, call: &str) -> Answer
where
    S: Documents + NewRuns + Runs + Index + Artifacts,
    D: Doorbells,
    M: Reminders + Schedules,
    H: Heads,
{
    let mut answer = Answer::default();
    let (ids, notices) = sorted(event, &mut answer);
    let mut drawn = 0;
    let mut new = || {
        drawn += 1;
        Identity::of_call(call, drawn)
    };
    let ingested = ingest.handle(&notices, &mut new).await;
    for (id, result) in ids.into_iter().zip(ingested.messages) {
        if let Err(why) = result {
            tracing::warn!(message = id, "a message comes again: {}", chain(&why));
            answer.response.add_failure(id);
        }
    }
    for (namespace, cron) in ingested.crons {
        // The history is trimmed at the next tick too.
        if let Err(why) = trim_history(ingest.store, &namespace, &cron, ingest.now).await {
            tracing::warn!(namespace, "the history of a schedule was not trimmed: {}", chain(&why));
        }
    }
    answer
}

/// The messages that say something, by their ids; those of a newer version are to come again, garbage is counted.
fn sorted(event: SqsEvent, answer: &mut Answer) -> (Vec<String>, Vec<Notice>) {
    let mut said = Vec::new();
    for message in event.records {
        let id = message.message_id.unwrap_or_default();
        match read(&message.body.unwrap_or_default()) {
            Message::Notice(notice) => said.push((id, notice)),
            Message::Nothing => {}
            Message::Newer(format) => {
                tracing::warn!(
                    message = id,
                    format,
                    "a message of a newer version waits for a newer program"
                );
                answer.response.add_failure(id);
            }
            Message::Garbage(why) => {
                tracing::warn!(message = id, "a message was dropped: {why}");
                answer.dropped += 1;
            }
        }
    }
    said.into_iter().unzip()
}
