//! Where a verb finds runs: a store on this machine, or a context's buckets and queue. What the two have in common is
//! the driver's traits; what they do not have in common is decided here and nowhere else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dropforge_driver::definitions::folder::{self, Contents};
use dropforge_driver::reminders::Starter;
use dropforge_driver::store::{
    Artifacts, Attempts, Buried, Commit, Created, Documents, Inbox, Index, IndexEntry, LoadedRun, Logs,
    ObjectFacts, Place, Runs, StoreError, Swap, Tail, Tombstone, Versioned,
};
use dropforge_engine::attempt::Verdict;
use dropforge_engine::event::Command;
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};
use dropforge_engine::record::Record;
use dropforge_engine::spec::{DroppedObject, RunSpec};
use dropforge_manifest::types::Trigger;
use dropforge_queue::doorbell::{Doorbell, Why};
use dropforge_storage::directory::DirectoryStore;
use dropforge_storage::endpoint::create_bucket;
use jiff::Timestamp;

use crate::bell;
#[cfg(feature = "aws")]
use crate::cloud::Cloud;
use crate::commands::dev::matching;
use crate::contexts::Context;
use crate::error::CliError;
use crate::output::say;

/// A place that holds runs.
pub enum Home {
    /// A folder of this machine, which one process owns at a time.
    Local(Arc<DirectoryStore>),
    /// Buckets and a queue; functions own it, always.
    #[cfg(feature = "aws")]
    Cloud(Box<Cloud>),
}

/// The same call on whichever store it is.
macro_rules! either {
    ($home:expr, $store:ident => $call:expr) => {
        match $home {
            Home::Local($store) => $call,
            #[cfg(feature = "aws")]
            Home::Cloud(cloud) => {
                let $store = &cloud.store;
                $call
            }
        }
    };
}

impl Home {
    /// A context's buckets and queue.
    ///
    /// # Errors
    /// When this program was built without AWS, or no credentials are found.
    #[cfg(feature = "aws")]
    pub async fn of(context: &Context) -> Result<Home, CliError> {
        Ok(Home::Cloud(Box::new(Cloud::open(context).await?)))
    }

    /// Contexts are not known to a program without AWS.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "aws"))]
    pub async fn of(_: &Context) -> Result<Home, CliError> {
        Err(crate::contexts::without_aws())
    }

    /// Tells whoever advances runs; gives whether there is somebody.
    ///
    /// # Errors
    /// When there is somebody who can't be told.
    pub async fn ring(&self, doorbell: &Doorbell) -> Result<bool, CliError> {
        match self {
            Home::Local(store) => bell::ring(store.root(), doorbell),
            #[cfg(feature = "aws")]
            Home::Cloud(cloud) => cloud.ring(doorbell).await.map(|()| true),
        }
    }

    /// Notes that these schedules are about to change: the sweep sees to those that nobody could be told of.
    ///
    /// # Errors
    /// When it is unknown whether it is noted.
    pub async fn definitions_change(&self, schedules: &[Starter]) -> Result<(), CliError> {
        match self {
            // Who owns this machine's store looks at all definitions whenever it begins.
            Home::Local(_) => {
                let _ = schedules;
                Ok(())
            }
            #[cfg(feature = "aws")]
            Home::Cloud(cloud) => cloud.mark(schedules).await,
        }
    }

    /// Tells whoever starts runs that definitions have changed, these schedules among them.
    ///
    /// # Errors
    /// When there is somebody who can't be told.
    pub async fn definitions_changed(&self, schedules: &[Starter]) -> Result<(), CliError> {
        match self {
            // The doorbell's form wants a run; none is meant.
            Home::Local(store) => {
                let _ = schedules;
                bell::ring(store.root(), &Doorbell::new("definitions".into(), Why::Definitions)).map(drop)
            }
            // Functions read definitions when they need them; only schedules are made beforehand.
            #[cfg(feature = "aws")]
            Home::Cloud(cloud) => cloud.remind(schedules).await,
        }
    }

    /// Whether somebody advances runs now.
    pub fn is_answered(&self) -> bool {
        match self {
            Home::Local(store) => bell::is_answered(store.root()),
            #[cfg(feature = "aws")]
            Home::Cloud(_) => true,
        }
    }

    /// How long to wait before looking again, where a store on this machine is looked at every `local`. Each look at a
    /// bucket is a request that costs.
    pub fn pause(&self, local: Duration) -> Duration {
        match self {
            Home::Local(_) => local,
            #[cfg(feature = "aws")]
            Home::Cloud(_) => local.max(Duration::from_secs(1)),
        }
    }

    /// How long a command may stay unread before the person is told so.
    pub fn patience(&self) -> Duration {
        match self {
            Home::Local(_) => Duration::from_secs(10),
            // The sweep comes every minute and finds what a lost doorbell left.
            #[cfg(feature = "aws")]
            Home::Cloud(_) => Duration::from_secs(90),
        }
    }

    /// Where runs find what they take along; nowhere on this machine, whose steps need nothing packed.
    pub fn luggage_bucket(&self) -> Option<&str> {
        match self {
            Home::Local(_) => None,
            #[cfg(feature = "aws")]
            Home::Cloud(cloud) => Some(&cloud.context.deployment.control_bucket),
        }
    }

    /// What a `dev` last loaded from its folder. No folder serves a context: there is nothing to ask for, and nobody is
    /// granted to.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn loaded(&self, namespace: &str) -> Result<Contents, CliError> {
        match self {
            Home::Local(store) => Ok(folder::loaded(&**store, namespace).await?),
            #[cfg(feature = "aws")]
            Home::Cloud(_) => Ok(Contents::new()),
        }
    }

    /// The objects that a trigger looks at and that are there.
    ///
    /// # Errors
    /// When they can't be listed; in a context, always.
    pub fn objects(
        &self,
        trigger: &Trigger,
        prefix: Option<&str>,
        since: Timestamp,
    ) -> Result<Vec<DroppedObject>, CliError> {
        match self {
            Home::Local(store) => matching(store.buckets(), trigger, prefix, since),
            #[cfg(feature = "aws")]
            Home::Cloud(_) => Err(CliError::Usage(
                "`trigger replay` works on this machine only; S3 announces an object again when it is copied onto itself: \
                 aws s3 cp s3://BUCKET/KEY s3://BUCKET/KEY --metadata-directive REPLACE"
                    .to_owned(),
            )),
        }
    }

    /// Sees to it that a trigger's bucket is watched.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn watch_bucket(&self, bucket: &str, trigger: &str) -> Result<(), CliError> {
        match self {
            Home::Local(store) => {
                if create_bucket(store.buckets(), bucket)? {
                    say(&format!("bucket {bucket}: made for trigger {trigger}"));
                }
            }
            #[cfg(feature = "aws")]
            Home::Cloud(cloud) => {
                let uploads = &cloud.context.deployment.upload_bucket;
                if bucket != uploads {
                    say(&format!(
                        "trigger {trigger} looks at the bucket {bucket}, and this context's uploads go to {uploads}: only where \
                         {bucket} announces its objects to this deployment's upload queue does the trigger see them"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Runs for Home {
    async fn create_run(&self, spec: &RunSpec) -> Result<Created, StoreError> {
        either!(self, store => store.create_run(spec).await)
    }

    async fn load_run(&self, run: &RunUid) -> Result<LoadedRun, StoreError> {
        either!(self, store => store.load_run(run).await)
    }

    async fn spec(&self, run: &RunUid) -> Result<RunSpec, StoreError> {
        either!(self, store => store.spec(run).await)
    }

    async fn part(&self, run: &RunUid, position: u64) -> Result<Option<Tail>, StoreError> {
        either!(self, store => store.part(run, position).await)
    }

    async fn tail(&self, run: &RunUid, position: u64) -> Result<Tail, StoreError> {
        either!(self, store => store.tail(run, position).await)
    }

    async fn commit(&self, run: &RunUid, position: u64, records: &[Record]) -> Result<Commit, StoreError> {
        either!(self, store => store.commit(run, position, records).await)
    }

    async fn live_runs(&self) -> Result<Vec<RunUid>, StoreError> {
        either!(self, store => store.live_runs().await)
    }

    async fn mark_live(&self, run: &RunUid) -> Result<(), StoreError> {
        either!(self, store => store.mark_live(run).await)
    }

    async fn unmark_live(&self, run: &RunUid, position: u64) -> Result<(), StoreError> {
        either!(self, store => store.unmark_live(run, position).await)
    }

    async fn unmark_unborn(&self, run: &RunUid) -> Result<(), StoreError> {
        either!(self, store => store.unmark_unborn(run).await)
    }

    async fn bury(&self, tombstone: &Tombstone) -> Result<Buried, StoreError> {
        either!(self, store => store.bury(tombstone).await)
    }
}

impl Attempts for Home {
    async fn claim(&self, namespace: &str, attempt: &AttemptId, nonce: &str) -> Result<Created, StoreError> {
        either!(self, store => store.claim(namespace, attempt, nonce).await)
    }

    async fn claimed(&self, namespace: &str, attempt: &AttemptId) -> Result<bool, StoreError> {
        either!(self, store => store.claimed(namespace, attempt).await)
    }

    async fn put_verdict(&self, namespace: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        either!(self, store => store.put_verdict(namespace, verdict).await)
    }

    async fn verdict(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<Verdict>, StoreError> {
        either!(self, store => store.verdict(namespace, attempt).await)
    }
}

impl Inbox for Home {
    async fn put_command(&self, run: &RunUid, command: &Command) -> Result<Created, StoreError> {
        either!(self, store => store.put_command(run, command).await)
    }

    async fn commands(&self, run: &RunUid) -> Result<Vec<Command>, StoreError> {
        either!(self, store => store.commands(run).await)
    }

    async fn command(&self, run: &RunUid, command: &CommandId) -> Result<Option<Command>, StoreError> {
        either!(self, store => store.command(run, command).await)
    }

    async fn remove_command(&self, run: &RunUid, command: &CommandId) -> Result<(), StoreError> {
        either!(self, store => store.remove_command(run, command).await)
    }
}

impl Index for Home {
    async fn put_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        either!(self, store => store.put_entry(entry).await)
    }

    async fn entries(&self, namespace: Option<&str>) -> Result<Vec<IndexEntry>, StoreError> {
        either!(self, store => store.entries(namespace).await)
    }

    async fn remove_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        either!(self, store => store.remove_entry(entry).await)
    }
}

impl Documents for Home {
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        either!(self, store => store.get(key).await)
    }

    async fn swap(&self, key: &str, expected: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
        either!(self, store => store.swap(key, expected, body).await)
    }

    async fn remove(&self, key: &str, expected: &str) -> Result<Swap, StoreError> {
        either!(self, store => store.remove(key, expected).await)
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        either!(self, store => store.keys(prefix).await)
    }
}

/// Told how much of an object has moved.
type Progress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

impl Artifacts for Home {
    async fn fetch(
        &self,
        namespace: &str,
        place: &Place,
        to: &Path,
        progress: Progress<'_>,
    ) -> Result<ObjectFacts, StoreError> {
        either!(self, store => store.fetch(namespace, place, to, progress).await)
    }

    async fn list(&self, namespace: &str, place: &Place) -> Result<Vec<String>, StoreError> {
        either!(self, store => store.list(namespace, place).await)
    }

    async fn store(
        &self,
        namespace: &str,
        from: &Path,
        place: &Place,
        consume: bool,
        progress: Progress<'_>,
    ) -> Result<ObjectFacts, StoreError> {
        either!(self, store => store.store(namespace, from, place, consume, progress).await)
    }

    async fn remove_object(&self, namespace: &str, place: &Place) -> Result<(), StoreError> {
        either!(self, store => store.remove_object(namespace, place).await)
    }

    async fn head(&self, namespace: &str, place: &Place) -> Result<Option<ObjectFacts>, StoreError> {
        either!(self, store => store.head(namespace, place).await)
    }
}

impl Logs for Home {
    async fn append_log(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        container: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        either!(self, store => store.append_log(namespace, attempt, container, bytes).await)
    }

    async fn read_log(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        container: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Vec<u8>, StoreError> {
        either!(self, store => store.read_log(namespace, attempt, container, offset, limit).await)
    }

    fn log_file(&self, namespace: &str, attempt: &AttemptId, container: &str) -> Option<PathBuf> {
        either!(self, store => store.log_file(namespace, attempt, container))
    }
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use aws_config::{BehaviorVersion, Region, SdkConfig};

    use super::*;
    use crate::contexts::Deployment;

    /// A context whose endpoint answers nobody.
    fn unreachable() -> Home {
        let deployment = Deployment { region: "eu-central-1".to_owned(), ..Deployment::default() };
        let context = Context {
            name: "cloud".to_owned(),
            namespace: None,
            profile: None,
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            kubeconfig: None,
            kube_context: None,
            any_cluster: false,
            deployment,
        };
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .build();
        Home::Cloud(Box::new(Cloud::of(&context, config)))
    }

    #[tokio::test]
    async fn a_context_is_not_asked_what_a_folder_holds() {
        assert_eq!(unreachable().loaded("ml").await.unwrap(), Contents::new());
    }
}
