//! The parts of a deployment, made from its settings. Nothing is asked of AWS before a part is used.

use std::sync::Arc;

use aws_config::SdkConfig;
use dropforge_cluster::kubernetes::{Access, Eks, KubernetesCluster, Settings as Use, Site};
use dropforge_queue::scheduler::{Scheduler, Target};
use dropforge_queue::sqs::{Sqs, SqsReminders, SqsTimers};
use dropforge_queue::token::TokenKey;
use dropforge_storage::s3::S3Store;

use crate::carrier;
use crate::settings::{ClusterSettings, Queue, Reach, Settings};

/// What every function is made of.
#[derive(Clone)]
pub struct Parts {
    /// How AWS is reached.
    pub aws: SdkConfig,
    /// Where everything is kept.
    pub store: Arc<S3Store>,
    /// The queue of doorbells.
    pub events: Sqs,
    /// The queue of uploads and reminders.
    pub uploads: Sqs,
    /// Timers of runs.
    pub timers: SqsTimers,
    /// Reminders of schedules and triggers.
    pub reminders: SqsReminders,
}

impl Parts {
    /// The parts for these settings.
    pub async fn new(settings: &Settings) -> Parts {
        let aws = dropforge_aws::from_environment().await;
        let events = Sqs::new(&aws, &settings.events.url);
        let uploads = Sqs::new(&aws, &settings.uploads.url);
        let scheduler = |queue: &Queue| {
            let target = Target {
                group: settings.schedule_group.clone(),
                role_arn: settings.scheduler_role_arn.clone(),
                queue_arn: queue.arn.clone(),
            };
            Scheduler::new(&aws, target)
        };
        Parts {
            store: Arc::new(S3Store::new(&aws, &settings.stores)),
            timers: SqsTimers::new(events.clone(), scheduler(&settings.events)),
            reminders: SqsReminders::new(uploads.clone(), scheduler(&settings.uploads)),
            events,
            uploads,
            aws,
        }
    }

    /// The cluster whose pods ring with tokens of this key.
    pub fn cluster(
        &self,
        settings: &Settings,
        of_cluster: &ClusterSettings,
        key: TokenKey,
    ) -> KubernetesCluster<S3Store> {
        let site = Site {
            executor_image: of_cluster.executor_image.clone(),
            stores: settings.stores.clone(),
            queue_url: settings.events.url.clone(),
            token: Arc::new(move |run, attempt| key.token(run, attempt)),
            defaults: of_cluster.pod_defaults.clone(),
        };
        let name = match &of_cluster.reach {
            Reach::Eks { name, .. } => name.clone(),
            Reach::Kubeconfig(_) | Reach::Function(_) => Use::default().name,
        };
        KubernetesCluster::new(
            access(&self.aws, &settings.stores.region, &of_cluster.reach),
            site,
            self.store.clone(),
            Use {
                registry_credentials: self.aws.credentials_provider(),
                ..Use::of(&of_cluster.pod_defaults.limits, name).within(of_cluster.namespaces.clone())
            },
        )
    }
}

/// The way to a cluster.
pub fn access(aws: &SdkConfig, region: &str, reach: &Reach) -> Access {
    match reach {
        Reach::Kubeconfig(file) => Access::Kubeconfig(file.clone()),
        Reach::Function(function) => Access::Function(carrier::to(aws, function)),
        Reach::Eks { name, endpoint, certificate_authority } => Access::Eks(Eks {
            cluster: name.clone(),
            region: region.to_owned(),
            endpoint: endpoint.clone(),
            certificate_authority: certificate_authority.clone(),
            credentials: aws.credentials_provider().expect("the SDK's own chain is always there"),
        }),
    }
}
