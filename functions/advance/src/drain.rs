//! More doorbells than Lambda hands over in one call, taken while the queue is full of them: a run's doorbells cost one
//! commit, however many there are, so that commits grow with the load and not with the messages.

use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsMessage};
use dropforge_driver::owner::chain;
use dropforge_queue::sqs::{Sqs, Taken};

/// A call with so many messages has left some behind: Lambda hands over ten at most by default.
const FULL: usize = 10;

/// How many messages one call answers: more would keep the first ones waiting.
const MESSAGES_MAX: usize = 100;

/// How long it takes more, for the same reason.
const TIME_MAX: Duration = Duration::from_millis(300);

/// How long it lets more come where others advance the same run at the same time.
const MOMENT: Duration = Duration::from_millis(100);

/// Takes what waits beside the messages that were handed over.
pub async fn more(queue: &Sqs, handed: usize, contended: bool) -> Vec<Taken> {
    let began = Instant::now();
    if contended && handed < FULL {
        tokio::time::sleep(MOMENT).await;
    }
    let mut more: Vec<Taken> = Vec::new();
    while wanted(handed, contended, more.len(), began.elapsed()) {
        match queue.take().await {
            Ok(taken) if taken.is_empty() => break,
            Ok(taken) => more.extend(taken),
            Err(why) => {
                tracing::warn!("no more doorbells were taken: failed to {}", chain(&why));
                break;
            }
        }
    }
    more
}

fn wanted(handed: usize, contended: bool, taken: usize, since: Duration) -> bool {
    // A request brings ten.
    (handed >= FULL || contended) && handed + taken + FULL <= MESSAGES_MAX && since < TIME_MAX
}

/// A message as Lambda would have handed it over.
pub fn handed(taken: &Taken) -> SqsMessage {
    let mut message = SqsMessage::default();
    message.message_id = Some(taken.id.clone());
    message.body = Some(taken.body.clone());
    message.attributes.insert("ApproximateReceiveCount".to_owned(), taken.times.to_string());
    message
}

/// Deletes what was taken and is done with. What is not comes again; Lambda is told only of what it handed over.
pub async fn done(queue: &Sqs, taken: Vec<Taken>, response: &mut SqsBatchResponse) {
    let (again, done) = sorted(taken, response);
    if !again.is_empty() {
        tracing::warn!(messages = again.len(), "doorbells that were taken come again");
    }
    if let Err(why) = queue.delete(&done).await {
        tracing::warn!("answered doorbells come again: failed to {}", chain(&why));
    }
}

/// What comes again and what is done with, neither of which the response names any more.
fn sorted(taken: Vec<Taken>, response: &mut SqsBatchResponse) -> (Vec<Taken>, Vec<Taken>) {
    let failed: Vec<String> =
        response.batch_item_failures.iter().map(|failure| failure.item_identifier.clone()).collect();
    response.batch_item_failures.retain(|failure| !taken.iter().any(|own| own.id == failure.item_identifier));
    taken.into_iter().partition(|own| failed.contains(&own.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_taken_only_under_load_and_not_without_bounds() {
        let soon = Duration::from_millis(1);
        let table = [(9, 0, soon), (10, 0, soon), (10, 80, soon), (10, 81, soon), (10, 0, TIME_MAX)];
        let wanted = [false, true]
            .map(|contended| table.map(|(handed, taken, since)| wanted(handed, contended, taken, since)));
        assert_eq!(wanted, [[false, true, true, false, false], [true, true, true, false, false]]);
    }
}
