//! The end of a run, told to the schedule or trigger that made it: the same on a laptop and on AWS.

use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::{Cause, RunSpec};
use jiff::Timestamp;

use crate::crons::CronEnd;
use crate::reminders::Starter;
use crate::store::{Documents, StoreError};
use crate::{crons, triggers};

/// Tells whoever made the run; gives who may go on now that it has ended. Doing it twice is harmless.
///
/// # Errors
/// When it is unknown whether it was told.
pub async fn told<S: Documents>(
    store: &S,
    spec: &RunSpec,
    phase: RunPhase,
    now: Timestamp,
) -> Result<Option<Starter>, StoreError> {
    let namespace = spec.namespace();
    match &spec.cause {
        Cause::Person { .. } => Ok(None),
        Cause::Schedule { cron, .. } => {
            let end = CronEnd {
                uid: spec.uid.clone(),
                name: spec.name().to_owned(),
                created_at: spec.created_at,
                phase,
            };
            crons::keep::ended(store, namespace, cron, &end, now).await?;
            Ok(Some(Starter::CronWorkflow { namespace: namespace.to_owned(), name: cron.clone() }))
        }
        Cause::Drop { trigger, .. } => {
            triggers::keep::ended(store, namespace, trigger, (&spec.uid, phase), now).await?;
            Ok(Some(Starter::Trigger { namespace: namespace.to_owned(), name: trigger.clone() }))
        }
    }
}
