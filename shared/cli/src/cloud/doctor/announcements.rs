//! Whether the upload bucket tells of its objects the way that the deployment reads.

use aws_sdk_s3::operation::get_bucket_notification_configuration::GetBucketNotificationConfigurationOutput as Told;

use super::Found;
use crate::contexts::Deployment;

/// What a bucket tells, against what the upload queue takes. The bucket may be somebody else's, of which Terraform writes
/// nothing.
pub fn found(told: &Told, deployment: &Deployment) -> Found {
    let queue = &deployment.upload_queue_arn;
    let by_queue = told.queue_configurations().iter().any(|own| {
        let is_of_new = own.events().iter().any(|event| event.as_str().starts_with("s3:ObjectCreated:"));
        own.queue_arn() == queue && is_of_new
    });
    let by_bridge = told.event_bridge_configuration().is_some();
    let silent = |why: &str, remedy: String| Found::Bad(format!("{why}: no trigger starts"), remedy);
    let to_queue = format!("send its ObjectCreated events to {queue}");
    let to_bridge = "turn EventBridge on for it".to_owned();
    let nothing = "nothing is told of its objects";
    let otherwise =
        |how: &str| format!(", or set `upload_notification = \"{how}\"` and apply the Terraform modules");
    match deployment.upload_notification.as_deref() {
        Some("queue") => match (by_queue, by_bridge) {
            (true, _) => Found::Good("go to the upload queue".to_owned()),
            (false, true) => silent(
                "they go to EventBridge, of which the upload queue hears nothing in this deployment",
                to_queue + &otherwise("eventbridge"),
            ),
            (false, false) => silent(nothing, to_queue),
        },
        Some("eventbridge") => match (by_bridge, by_queue) {
            (true, _) => Found::Good("go to EventBridge, whose rule the queue has".to_owned()),
            (false, true) => silent(
                "they go to the upload queue, which takes them from EventBridge alone in this deployment",
                to_bridge + &otherwise("queue"),
            ),
            (false, false) => silent(nothing, to_bridge),
        },
        Some("none") => Found::Unknown(
            "are not asked for (`upload_notification` is none): no trigger starts, unless something else writes to the \
             upload queue"
                .to_owned(),
        ),
        // Outputs of older modules do not say it.
        Some(_) | None => match (by_queue, by_bridge) {
            (true, _) => Found::Good("go to the upload queue".to_owned()),
            (false, true) => Found::Unknown(
                "go to EventBridge; whether a rule of it tells the upload queue is known where newer Terraform modules are \
                 applied"
                    .to_owned(),
            ),
            (false, false) => silent(nothing, format!("{to_queue}, or {to_bridge}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{Event, EventBridgeConfiguration, QueueConfiguration};

    use super::*;

    const QUEUE: &str = "arn:aws:sqs:r:1:forge-uploads";

    fn told(queue: Option<(&str, &str)>, bridge: bool) -> Told {
        let queue = queue.map(|(arn, event)| {
            QueueConfiguration::builder().queue_arn(arn).events(Event::from(event)).build().unwrap()
        });
        Told::builder()
            .set_queue_configurations(queue.map(|one| vec![one]))
            .set_event_bridge_configuration(bridge.then(|| EventBridgeConfiguration::builder().build()))
            .build()
    }

    fn judged(how: Option<&str>, told: &Told) -> Found {
        let deployment = Deployment {
            upload_queue_arn: QUEUE.to_owned(),
            upload_notification: how.map(str::to_owned),
            ..Deployment::default()
        };
        found(told, &deployment)
    }

    fn bad(found: Found) -> String {
        match found {
            Found::Bad(why, remedy) => format!("{why}; {remedy}"),
            other => panic!("{other:?}"),
        }
    }

    fn ours() -> Told {
        told(Some((QUEUE, "s3:ObjectCreated:*")), false)
    }

    #[test]
    fn a_bucket_tells_the_way_that_the_deployment_reads() {
        assert!(matches!(judged(Some("queue"), &ours()), Found::Good(_)));
        assert!(matches!(judged(Some("eventbridge"), &told(None, true)), Found::Good(_)));
        let bridge = bad(judged(Some("queue"), &told(None, true)));
        for words in
            ["they go to EventBridge", &format!("events to {QUEUE}"), "upload_notification = \"eventbridge\""]
        {
            assert!(bridge.contains(words), "{words}: {bridge}");
        }
        let queue = bad(judged(Some("eventbridge"), &ours()));
        for words in ["they go to the upload queue", "turn EventBridge on", "upload_notification = \"queue\""]
        {
            assert!(queue.contains(words), "{words}: {queue}");
        }
        assert!(matches!(judged(Some("none"), &told(None, false)), Found::Unknown(_)));
    }

    #[test]
    fn another_queue_and_events_of_what_goes_start_nothing() {
        for other in [("arn:other", "s3:ObjectCreated:*"), (QUEUE, "s3:ObjectRemoved:*")] {
            let silent = bad(judged(Some("queue"), &told(Some(other), false)));
            assert!(silent.contains("nothing is told of its objects: no trigger starts"), "{silent}");
        }
        assert!(matches!(
            judged(Some("queue"), &told(Some((QUEUE, "s3:ObjectCreated:Put")), false)),
            Found::Good(_)
        ));
        assert!(bad(judged(Some("eventbridge"), &told(None, false))).contains("nothing is told"));
    }

    #[test]
    fn outputs_that_do_not_say_how_are_told_less() {
        assert!(matches!(judged(None, &ours()), Found::Good(_)));
        assert!(
            matches!(judged(None, &told(None, true)), Found::Unknown(why) if why.contains("newer Terraform"))
        );
        assert!(bad(judged(None, &told(None, false))).contains("or turn EventBridge on"));
    }
}
