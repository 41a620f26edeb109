//! A batch of messages, and which of them are to come again. Anybody may have sent them.

use std::collections::BTreeMap;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsMessage};
use dropforge_deployment::metrics::Counts;
use dropforge_driver::doorbells::Why;
use dropforge_driver::heard::{Answer, Heard};
use dropforge_driver::owner::chain;
use dropforge_engine::ids::RunUid;
use dropforge_queue::doorbell::{Doorbell, DoorbellError};
use dropforge_queue::token::TokenKey;

/// What a batch holds.
#[derive(Debug, Default)]
pub struct Batch {
    /// The doorbells, each with its message's id.
    pub heard: Vec<(String, Heard)>,
    /// Messages of a newer version: they come again, until a newer program takes them or they are set apart.
    newer: Vec<String>,
    /// How many can't be doorbells.
    garbage: u64,
    /// How many name an attempt that did not send them.
    forged: u64,
}

impl Batch {
    /// Takes another batch in.
    pub fn take(&mut self, other: Batch) {
        self.heard.extend(other.heard);
        self.newer.extend(other.newer);
        self.garbage += other.garbage;
        self.forged += other.forged;
    }
}

/// Why a message is not answered.
enum Refused {
    Newer(String),
    Garbage(String),
    Forged,
}

/// Reads the messages of a batch.
pub fn read(messages: Vec<SqsMessage>, key: &TokenKey) -> Batch {
    let mut batch = Batch::default();
    for message in messages {
        let id = message.message_id.clone().unwrap_or_default();
        match doorbell(&message, key) {
            Ok(heard) => batch.heard.push((id, heard)),
            Err(Refused::Newer(why)) => {
                tracing::warn!(id, why, "a doorbell comes again, for a newer version of this function");
                batch.newer.push(id);
            }
            Err(Refused::Garbage(why)) => {
                tracing::warn!(id, why, "a message that is no doorbell was dropped");
                batch.garbage += 1;
            }
            Err(Refused::Forged) => {
                tracing::warn!(id, "a doorbell with a wrong token was dropped");
                batch.forged += 1;
            }
        }
    }
    batch
}

fn doorbell(message: &SqsMessage, key: &TokenKey) -> Result<Heard, Refused> {
    let body = message.body.as_deref().unwrap_or_default();
    let doorbell = Doorbell::decode(body).map_err(|why| match why {
        newer @ DoorbellError::Newer { .. } => Refused::Newer(chain(&newer)),
        other => Refused::Garbage(chain(&other)),
    })?;
    let Doorbell { run, why, hops, token, .. } = doorbell;
    // Who may ring for a run may ring for all of it; attempts ring for themselves alone.
    if let Why::Attempt(attempt) = &why
        && !token.is_some_and(|token| key.accepts(&run, attempt, &token))
    {
        return Err(Refused::Forged);
    }
    let received =
        message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse::<u32>().ok());
    Ok(Heard { run, why, hops, again: received.is_some_and(|times| times > 1) })
}

/// The messages that are to come again, with what happened counted.
pub fn reply(batch: Batch, answers: &BTreeMap<RunUid, Answer>, counts: &mut Counts) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for (run, _) in answers.iter().filter(|(_, answer)| matches!(answer, Answer::Stuck)) {
        tracing::error!(%run, "nothing of it runs, and what it is to do next could not be done for an hour");
        counts.add("RunsStuck", 1);
    }
    for (id, heard) in batch.heard {
        match answers.get(&heard.run) {
            Some(Answer::Done) => counts.add("Doorbells", 1),
            Some(Answer::Later | Answer::Stuck) => counts.add("DoorbellsLater", 1),
            Some(Answer::Unknown) => {
                tracing::warn!(run = %heard.run, "a doorbell names a run that is not there");
                counts.add("DoorbellsUnknown", 1);
            }
            Some(Answer::Failed(why)) => {
                tracing::error!(run = %heard.run, "a doorbell comes again: failed to {}", chain(why));
                counts.add("DoorbellsFailed", 1);
                response.add_failure(id);
            }
            None => response.add_failure(id),
        }
    }
    counts.add("DoorbellsGarbage", batch.garbage);
    counts.add("DoorbellsForged", batch.forged);
    counts.add("DoorbellsNewer", batch.newer.len() as u64);
    batch.newer.into_iter().for_each(|id| response.add_failure(id));
    response
}

#[cfg(test)]
mod tests {
    use dropforge_driver::owner::OwnError;
    use dropforge_driver::store::StoreError;
    use serde_json::{Value, json};

    use super::*;

    fn messages(bodies: &[(&str, String, u32)]) -> Vec<SqsMessage> {
        let record = |(id, body, times): &(&str, String, u32)| {
            let attributes = json!({"ApproximateReceiveCount": times.to_string()});
            json!({"messageId": id, "body": body, "attributes": attributes, "messageAttributes": {}})
        };
        let records: Vec<Value> = bodies.iter().map(record).collect();
        serde_json::from_value(json!(records)).unwrap()
    }

    fn bell(run: &str, why: Why) -> Doorbell {
        Doorbell::new(run.into(), why)
    }

    #[test]
    fn garbage_and_forgeries_are_dropped_and_what_is_newer_comes_again() {
        let key = TokenKey::new(b"key");
        let attempt = || Why::Attempt("a".into());
        let token = |run: &str| Some(key.token(&run.into(), &"a".into()));
        let own = Doorbell { token: token("u"), ..bell("u", attempt()) };
        let others = Doorbell { token: token("v"), ..bell("u", attempt()) };
        let batch = read(
            messages(&[
                ("1", own.encode().unwrap(), 1),
                ("2", others.encode().unwrap(), 1),
                ("3", bell("u", attempt()).encode().unwrap(), 1),
                ("4", "{".to_owned(), 1),
                ("5", "x".repeat(300_000), 1),
                ("6", r#"{"format":99,"run":"u","why":"sweep"}"#.to_owned(), 1),
                ("7", bell("v", Why::Sweep).encode().unwrap(), 2),
            ]),
            &key,
        );
        let heard = |run: &str, why, again| Heard { run: run.into(), why, hops: 0, again };
        let expected =
            [("1".to_owned(), heard("u", attempt(), false)), ("7".to_owned(), heard("v", Why::Sweep, true))];
        assert_eq!(batch.heard, expected);
        assert_eq!((batch.garbage, batch.forged), (2, 2));
        let answers = [("u".into(), Answer::Later), ("v".into(), Answer::Done)].into();
        let response = reply(batch, &answers, &mut Counts::default());
        let again: Vec<&str> =
            response.batch_item_failures.iter().map(|f| f.item_identifier.as_str()).collect();
        assert_eq!(again, ["6"]);
    }

    #[test]
    fn a_run_that_is_stuck_is_counted_once_and_its_messages_are_done_with() {
        let key = TokenKey::new(b"key");
        let bell = |id| (id, bell("u", Why::Sweep).encode().unwrap(), 1);
        let batch = read(messages(&[bell("1"), bell("2")]), &key);
        let mut counts = Counts::default();
        let response = reply(batch, &[("u".into(), Answer::Stuck)].into(), &mut counts);
        assert!(response.batch_item_failures.is_empty());
        assert!(format!("{counts:?}").contains(r#""RunsStuck": 1"#), "{counts:?}");
    }

    #[test]
    fn only_the_messages_of_runs_that_failed_come_again() {
        let runs = ["u", "v", "w"].map(|run| bell(run, Why::Sweep).encode().unwrap());
        let [u, v, w] = runs;
        let batch = read(
            messages(&[("1", u.clone(), 1), ("2", v, 1), ("3", w, 1), ("4", u, 1)]),
            &TokenKey::new(b"k"),
        );
        let failed = StoreError::NotFound { what: "bucket", name: "b".to_owned() };
        let answers = [
            ("u".into(), Answer::Failed(OwnError::Store(failed))),
            ("v".into(), Answer::Done),
            ("w".into(), Answer::Unknown),
        ];
        let response = reply(batch, &answers.into(), &mut Counts::default());
        let again: Vec<&str> =
            response.batch_item_failures.iter().map(|f| f.item_identifier.as_str()).collect();
        assert_eq!(again, ["1", "4"]);
    }
}
