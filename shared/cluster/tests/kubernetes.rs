//! Against a real Kubernetes: `DROPFORGE_TEST_KUBECONFIG` names it, and not `KUBECONFIG`, which may name a cluster that
//! somebody works on. The pods hold busybox and nothing of ours, so that these tests see what a cluster does and not what
//! the executor says. What a real one does not do on demand (too much to do, broken answers), a server of the test does.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use base64::Engine as _;

use dropforge_cluster::kubernetes::remote::{Carrier, Dispatch, NotCarried};
use dropforge_cluster::kubernetes::{Access, Eks, Glance, KubernetesCluster, PodDefaults, Settings, Site};
use dropforge_driver::cluster::Cluster;
use dropforge_driver::pods::Stores;
use dropforge_driver::store::{Attempts, Created, Documents, Launches, StoreError, Swap, Versioned};
use dropforge_engine::attempt::{Attempt, Outcome, Reason, Verdict, Work};
use dropforge_engine::config::{ConfigFound, ConfigKey};
use dropforge_engine::event::Event;
use dropforge_engine::ids::{AttemptId, NodeId};
use dropforge_engine::spec::{Cause, RunSpec, SPEC_FORMAT};
use dropforge_manifest::types::{ObjectMeta, WorkflowSpec};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

/// Claims, verdicts and launches in memory.
#[derive(Default)]
struct Memory {
    claims: Mutex<BTreeMap<String, String>>,
    verdicts: Mutex<BTreeMap<String, Verdict>>,
    launches: Mutex<BTreeMap<String, Vec<u8>>>,
    /// What was last written of each; nobody reads it back here.
    documents: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Attempts for Memory {
    async fn claim(&self, _: &str, attempt: &AttemptId, nonce: &str) -> Result<Created, StoreError> {
        let mut claims = self.claims.lock().unwrap();
        let held = claims.entry(attempt.to_string()).or_insert_with(|| nonce.to_owned());
        Ok(if held == nonce { Created::New } else { Created::Exists })
    }

    async fn claimed(&self, _: &str, attempt: &AttemptId) -> Result<bool, StoreError> {
        Ok(self.claims.lock().unwrap().contains_key(attempt.as_str()))
    }

    async fn put_verdict(&self, _: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        let mut verdicts = self.verdicts.lock().unwrap();
        Ok(verdicts.entry(verdict.attempt.to_string()).or_insert_with(|| verdict.clone()).clone())
    }

    async fn verdict(&self, _: &str, attempt: &AttemptId) -> Result<Option<Verdict>, StoreError> {
        Ok(self.verdicts.lock().unwrap().get(attempt.as_str()).cloned())
    }
}

impl Launches for Memory {
    async fn put_launch(&self, _: &str, attempt: &AttemptId, document: Vec<u8>) -> Result<(), StoreError> {
        self.launches.lock().unwrap().insert(attempt.to_string(), document);
        Ok(())
    }
}

impl Documents for Memory {
    async fn get(&self, _: &str) -> Result<Option<Versioned>, StoreError> {
        Ok(None)
    }

    async fn swap(&self, key: &str, _: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
        self.documents.lock().unwrap().insert(key.to_owned(), body.to_vec());
        Ok(Swap::Stored { version: "1".to_owned() })
    }

    async fn remove(&self, _: &str, _: &str) -> Result<Swap, StoreError> {
        Ok(Swap::Conflict)
    }

    async fn keys(&self, _: &str) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}

fn run(namespace: &str, uid: &str) -> RunSpec {
    RunSpec {
        format: SPEC_FORMAT,
        uid: uid.into(),
        metadata: ObjectMeta {
            name: Some("wf".to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        spec: WorkflowSpec::default(),
        library: Default::default(),
        created_at: Timestamp::UNIX_EPOCH,
        cause: Cause::Person { by: "test".to_owned() },
        settings: Default::default(),
        reused: Vec::new(),
        source: None,
        packed: Default::default(),
    }
}

fn attempt(namespace: &str, name: &str, container: Value) -> Arc<Attempt> {
    let template = json!({"name": "main", "container": container});
    let work = Work { template: serde_json::from_value(template).unwrap(), ..Work::default() };
    Arc::new(Attempt {
        id: name.into(),
        run: "run-1".into(),
        run_name: "wf".to_owned(),
        namespace: namespace.to_owned(),
        node: NodeId(1),
        node_name: "wf".to_owned(),
        number: 0,
        on_exit: false,
        work: Arc::new(work),
    })
}

fn kubeconfig() -> Option<PathBuf> {
    std::env::var_os("DROPFORGE_TEST_KUBECONFIG").map(PathBuf::from)
}

fn site() -> Site {
    // The person's image stands for the executor's: init and wait are busybox' own programs.
    let defaults: PodDefaults = serde_json::from_value(json!({
        "container": {"imagePullPolicy": "IfNotPresent"},
        "executor": {"imagePullPolicy": "IfNotPresent", "command": ["true"]},
        "spec": {"terminationGracePeriodSeconds": 1},
    }))
    .unwrap();
    Site {
        executor_image: "busybox:1".to_owned(),
        stores: Stores::default(),
        queue_url: String::new(),
        token: Arc::new(|_, _| String::new()),
        defaults,
    }
}

/// A namespace of a real cluster.
struct Rig {
    client: Client,
    namespace: String,
    store: Arc<Memory>,
    cluster: KubernetesCluster<Memory>,
}

impl Rig {
    /// The cluster for tests, with an empty namespace.
    async fn new(name: &str, settings: Settings) -> Option<Rig> {
        Rig::reached(name, settings, |direct, _| direct).await
    }

    /// The same, reached as `way` makes it of the direct way and the namespace.
    async fn reached(name: &str, settings: Settings, way: impl Fn(Access, &str) -> Access) -> Option<Rig> {
        let Some(kubeconfig) = kubeconfig() else {
            println!("SKIPPED: pods on a real Kubernetes ({name}) (DROPFORGE_TEST_KUBECONFIG is not set)");
            return None;
        };
        let read = Kubeconfig::read_from(&kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let namespace = format!("cluster-test-{name}-{}", std::process::id());
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let labels = json!({"pod-security.kubernetes.io/enforce": "baseline"});
        let object = json!({"metadata": {"name": namespace, "labels": labels}});
        namespaces.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        let store = Arc::new(Memory::default());
        let access = way(Access::Kubeconfig(kubeconfig), &namespace);
        let cluster = KubernetesCluster::new(access, site(), store.clone(), settings);
        let rig = Rig { client, namespace, store, cluster };
        rig.eventually("its default service account", || async {
            let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = rig.api();
            accounts.get_opt("default").await.unwrap()
        })
        .await;
        Some(rig)
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn run(&self, uid: &str) -> RunSpec {
        run(&self.namespace, uid)
    }

    fn attempt(&self, name: &str, container: Value) -> Arc<Attempt> {
        attempt(&self.namespace, name, container)
    }

    /// What `observe` says of one attempt.
    async fn look(&self, attempt: &Arc<Attempt>) -> Option<Event> {
        self.cluster.observe(&self.run("run-1"), std::slice::from_ref(attempt)).await.unwrap().events.pop()
    }

    /// Asks until there is an answer; a cluster takes its time.
    async fn eventually<T, F: Future<Output = Option<T>>>(&self, what: &str, ask: impl Fn() -> F) -> T {
        let mut clock = tokio::time::interval(Duration::from_millis(200));
        let asking = async {
            loop {
                clock.tick().await;
                if let Some(answer) = ask().await {
                    return answer;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), asking).await.unwrap_or_else(|_| panic!("no {what}"))
    }

    async fn ended(&self, attempt: &Arc<Attempt>) -> (Outcome, Reason, String) {
        let verdict = self
            .eventually("end", || async {
                match self.look(attempt).await {
                    Some(Event::AttemptFinished { verdict }) => Some(verdict),
                    _ => None,
                }
            })
            .await;
        (verdict.outcome, verdict.reason, verdict.message.clone())
    }

    async fn done(self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
    }
}

/// A container whose wrapper can't be started, since no executor lies in its volume.
fn unwrapped() -> Value {
    json!({"image": "busybox:1", "command": ["true"]})
}

#[tokio::test]
async fn an_attempt_is_started_once_and_its_end_without_a_result_is_told() {
    let Some(rig) = Rig::new("once", Settings::default()).await else { return };
    let run = rig.run("run-1");
    let attempt = rig.attempt("wf-main-1", unwrapped());
    assert_eq!(rig.cluster.start(&run, attempt.clone()).await.unwrap(), None);
    let uid = rig.api::<Pod>().get("wf-main-1").await.unwrap().metadata.uid;
    assert_eq!(rig.cluster.start(&run, attempt.clone()).await.unwrap(), None, "twice is harmless");
    assert_eq!(rig.api::<Pod>().get("wf-main-1").await.unwrap().metadata.uid, uid);
    let (outcome, reason, message) = rig.ended(&attempt).await;
    assert_eq!((outcome, reason), (Outcome::Error, Reason::NotStarted), "{message}");
    assert!(message.starts_with("main: StartError (exit code 128)"), "{message}");
    assert!(rig.store.claimed("", &attempt.id).await.unwrap(), "given up, so fenced");
    let pods = rig.cluster.pods(std::slice::from_ref(&rig.namespace)).await.unwrap().pods;
    assert_eq!(
        pods.iter().map(|pod| (pod.run.as_str(), pod.state)).collect::<Vec<_>>(),
        [("run-1", Glance::Ended)]
    );
    rig.cluster.remove_pods(&run, std::slice::from_ref(&attempt.id)).await.unwrap();
    rig.cluster.remove_pods(&run, std::slice::from_ref(&attempt.id)).await.unwrap();
    rig.eventually("deletion", || async {
        rig.api::<Pod>().get_opt("wf-main-1").await.unwrap().is_none().then_some(())
    })
    .await;
    rig.done().await;
}

/// A way by a function that performs what it is asked in one namespace.
fn dispatched(direct: Access, namespace: &str) -> Access {
    let dispatch = Arc::new(Dispatch::new(direct, vec![namespace.to_owned()]));
    Access::Function(Carrier::new(move |document| {
        let dispatch = dispatch.clone();
        Box::pin(async move {
            let asked = serde_json::from_slice(&document).unwrap();
            let answered = dispatch.answer(asked).await.map_err(NotCarried::Failed)?;
            Ok(serde_json::to_vec(&answered).unwrap())
        })
    }))
}

#[tokio::test]
async fn everything_goes_as_well_by_a_function_that_reaches_the_cluster() {
    let Some(rig) = Rig::reached("function", Settings::default(), dispatched).await else { return };
    let run = rig.run("run-1");
    let attempts: Vec<_> = (0..8).map(|i| rig.attempt(&format!("wf-main-{i}"), unwrapped())).collect();
    let starting = attempts.iter().map(|attempt| rig.cluster.start(&run, attempt.clone()));
    for started in starting {
        assert_eq!(started.await.unwrap(), None);
    }
    assert_eq!(rig.cluster.start(&run, attempts[0].clone()).await.unwrap(), None, "twice is harmless");
    let (outcome, reason, message) = rig.ended(&attempts[7]).await;
    assert_eq!((outcome, reason), (Outcome::Error, Reason::NotStarted), "{message}");
    assert_eq!(rig.cluster.pods(std::slice::from_ref(&rig.namespace)).await.unwrap().pods.len(), 8);
    let why = rig.cluster.pods(&["kube-system".to_owned()]).await.unwrap_err();
    assert!(format!("{why:?}").contains("is not among what is dispatched"), "{why:?}");
    let limit = ConfigKey { namespace: rig.namespace.clone(), name: "none".to_owned(), key: "k".to_owned() };
    assert!(matches!(rig.cluster.limit(&limit).await.unwrap(), Some(ConfigFound::NoMap { .. })));
    let privileged =
        json!({"image": "busybox:1", "command": ["true"], "securityContext": {"privileged": true}});
    let Some(Event::AttemptFinished { verdict }) =
        rig.cluster.start(&run, rig.attempt("wf-main-9", privileged)).await.unwrap()
    else {
        panic!("it is refused")
    };
    assert!(verdict.message.contains("violates PodSecurity \"baseline:latest\""), "{}", verdict.message);
    let ids: Vec<AttemptId> = attempts.iter().map(|attempt| attempt.id.clone()).collect();
    rig.cluster.remove_pods(&run, &ids).await.unwrap();
    rig.eventually("deletion", || async {
        rig.cluster.pods(std::slice::from_ref(&rig.namespace)).await.unwrap().pods.is_empty().then_some(())
    })
    .await;
    rig.done().await;
}

/// A cluster that answers as `answer` does to method and path, with what it keeps.
fn played(
    answer: impl Fn(&str, &str) -> (u16, Value) + Send + Sync + 'static,
) -> (KubernetesCluster<Memory>, Arc<Memory>) {
    let answer = Arc::new(answer);
    let access = Access::Function(Carrier::new(move |document| {
        let answer = answer.clone();
        Box::pin(async move {
            let asked: Value = serde_json::from_slice(&document).unwrap();
            let path = asked["path"].as_str().unwrap();
            let (status, body) = answer(asked["method"].as_str().unwrap(), path);
            let body = base64::prelude::BASE64_STANDARD.encode(packed(body.to_string().as_bytes()));
            Ok(serde_json::to_vec(&json!({"format": 1, "status": status, "body": body})).unwrap())
        })
    }));
    let store = Arc::new(Memory::default());
    (KubernetesCluster::new(access, site(), store.clone(), Settings::default()), store)
}

/// An attempt that mounts a claim of its run.
fn mounting(namespace: &str, name: &str) -> Arc<Attempt> {
    let mounts = json!([{"name": "work", "mountPath": "/w"}]);
    let container = json!({"image": "busybox:1", "command": ["true"], "volumeMounts": mounts});
    let mut attempt = (*attempt(namespace, name, container)).clone();
    let mut work = (*attempt.work).clone();
    work.volumes = vec![json!({"name": "work", "persistentVolumeClaim": {"claimName": "wf-work"}})];
    work.claims = vec!["wf-work".to_owned()];
    attempt.work = Arc::new(work);
    Arc::new(attempt)
}

/// What Kubernetes says of what it does not do.
fn refusal(code: u16, reason: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "status": "Failure", "message": "no", "reason": reason, "code": code}))
}

#[tokio::test]
async fn a_namespace_that_is_refused_hides_the_pods_of_no_other() {
    let (cluster, store) = played(|_, path| match path.contains("/namespaces/open/") {
        true => {
            let labels = json!({"dropforge.dev/run": "u"});
            let pod = json!({"metadata": {"name": "wf-a-1", "labels": labels}});
            (200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod]}))
        }
        false => refusal(403, "Forbidden"),
    });
    let namespaces = ["shut", "open"].map(str::to_owned);
    let looked = cluster.pods(&namespaces).await.unwrap();
    assert_eq!(looked.pods.iter().map(|pod| pod.attempt.as_str()).collect::<Vec<_>>(), ["wf-a-1"]);
    assert_eq!(looked.refused.iter().map(|(namespace, _)| namespace.as_str()).collect::<Vec<_>>(), ["shut"]);
    let counted = store.documents.lock().unwrap()["admission/cluster.json"].clone();
    let counted: Value = serde_json::from_slice(&counted).unwrap();
    assert_eq!(counted["open"], 1, "permits of pods that are gone come back");
    cluster.pods(&namespaces[..1]).await.unwrap_err();
}

#[tokio::test]
async fn a_claim_that_is_being_removed_is_waited_for_and_made_anew() {
    let (going, made) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
    let (is_going, making) = (going.clone(), made.clone());
    let (cluster, _) = played(move |method, path| {
        let kind = path.trim_end_matches('?').split('/').nth(5).unwrap().to_owned();
        if method == "POST" {
            making.lock().unwrap().push(kind);
            return (201, json!({"metadata": {"name": "x"}}));
        }
        let metadata = json!({"name": "wf-work", "labels": {"dropforge.dev/run": "run-1"},
            "deletionTimestamp": "2026-01-01T00:00:00Z"});
        match is_going.load(Ordering::Relaxed) {
            true => (200, json!({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": metadata})),
            false => refusal(404, "NotFound"),
        }
    });
    let mut run = run("ml", "run-1");
    run.spec.volume_claim_templates = vec![json!({"metadata": {"name": "work"}, "spec": {}})];
    let start = || async { cluster.start(&run, mounting("ml", "wf-main-1")).await.unwrap() };
    let Some(Event::AttemptWaiting { why, .. }) = start().await else { panic!("it waits") };
    assert_eq!(why, "the volume claim wf-work of before is being removed, and is made anew once it is gone");
    assert!(made.lock().unwrap().is_empty(), "a pod would wait for a claim that nobody makes again");
    going.store(false, Ordering::Relaxed);
    assert_eq!(start().await, None);
    assert_eq!(*made.lock().unwrap(), ["persistentvolumeclaims", "pods"]);
}

#[tokio::test]
async fn a_pod_that_is_more_than_its_quota_is_refused_and_one_that_finds_no_room_waits() {
    let limited = |limit: u32| {
        let (cluster, _) = played(move |_, _| {
            let (code, mut said) = refusal(403, "Forbidden");
            let amounts =
                format!("requested: requests.cpu=4, used: requests.cpu=1, limited: requests.cpu={limit}");
            said["message"] =
                json!(format!("pods \"wf-main-1\" is forbidden: exceeded quota: team, {amounts}"));
            (code, said)
        });
        async move { cluster.start(&run("ml", "run-1"), attempt("ml", "wf-main-1", unwrapped())).await.unwrap() }
    };
    let Some(Event::AttemptFinished { verdict }) = limited(2).await else {
        panic!("no end makes room for it")
    };
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Error, Reason::Configuration));
    assert!(verdict.message.contains("exceeded quota: team"), "{}", verdict.message);
    assert!(matches!(limited(4).await, Some(Event::AttemptWaiting { .. })));
}

#[tokio::test]
async fn pods_are_deleted_side_by_side_and_one_that_can_t_be_keeps_none_of_the_others() {
    let met = Arc::new(tokio::sync::Barrier::new(3));
    let deleted = Arc::new(Mutex::new(BTreeSet::new()));
    let (meeting, deleting) = (met.clone(), deleted.clone());
    let access = Access::Function(Carrier::new(move |document| {
        let (met, deleted) = (meeting.clone(), deleting.clone());
        Box::pin(async move {
            let asked: Value = serde_json::from_slice(&document).unwrap();
            let path = asked["path"].as_str().unwrap().trim_end_matches('?').to_owned();
            deleted.lock().unwrap().insert(path.rsplit('/').next().unwrap().to_owned());
            // Nobody is answered before all have asked.
            met.wait().await;
            let failed = || NotCarried::Failed(std::io::Error::other("the way is cut"));
            if path.ends_with("/a") {
                return Err(failed());
            }
            let gone = r#"{"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}"#;
            let body = base64::prelude::BASE64_STANDARD.encode(packed(gone.as_bytes()));
            Ok(serde_json::to_vec(&json!({"format": 1, "status": 404, "body": body})).unwrap())
        })
    }));
    let cluster = KubernetesCluster::new(access, site(), Arc::new(Memory::default()), Settings::default());
    let pods: Vec<AttemptId> = ["a", "b", "c"].map(AttemptId::from).into();
    let why = cluster.remove_pods(&run("ns", "run-1"), &pods).await.unwrap_err();
    assert!(format!("{why:?}").contains("the way is cut"), "{why:?}");
    assert_eq!(*deleted.lock().unwrap(), ["a", "b", "c"].map(str::to_owned).into());
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut packing = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packing.write_all(body).unwrap();
    packing.finish().unwrap()
}

#[tokio::test]
async fn a_pod_of_another_run_is_not_taken_for_ours() {
    let Some(rig) = Rig::new("another", Settings::default()).await else { return };
    let attempt = rig.attempt("wf-main-1", unwrapped());
    rig.cluster.start(&rig.run("run-0"), attempt.clone()).await.unwrap();
    let Some(Event::AttemptFinished { verdict }) =
        rig.cluster.start(&rig.run("run-1"), attempt).await.unwrap()
    else {
        panic!("it is refused")
    };
    let words =
        format!("there is a pod wf-main-1 in the namespace {} that is not of this run", rig.namespace);
    assert!(verdict.message.starts_with(&words), "{}", verdict.message);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Error, Reason::Configuration));
    rig.done().await;
}

#[tokio::test]
async fn what_the_cluster_refuses_for_good_ends_the_attempt_with_its_words() {
    let Some(rig) = Rig::new("refused", Settings::default()).await else { return };
    let run = rig.run("run-1");
    let privileged =
        json!({"image": "busybox:1", "command": ["true"], "securityContext": {"privileged": true}});
    let attempt = rig.attempt("wf-main-1", privileged);
    let Some(Event::AttemptFinished { verdict }) = rig.cluster.start(&run, attempt).await.unwrap() else {
        panic!("it is refused")
    };
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Error, Reason::Configuration));
    assert!(verdict.message.contains("violates PodSecurity \"baseline:latest\""), "{}", verdict.message);
    rig.done().await;
}

#[tokio::test]
async fn a_quota_is_waited_for() {
    let Some(rig) = Rig::new("quota", Settings::default()).await else { return };
    let quota = json!({"metadata": {"name": "one"}, "spec": {"hard": {"pods": "1"}}});
    let quotas: Api<k8s_openapi::api::core::v1::ResourceQuota> = rig.api();
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    let (run, attempt) = (rig.run("run-1"), rig.attempt("wf-main-1", unwrapped()));
    // The first one lies there without an end: only pods that run or wait count.
    let first = rig.attempt("wf-main-0", json!({"image": "127.0.0.1:1/nothing:1", "command": ["true"]}));
    assert_eq!(rig.cluster.start(&run, first).await.unwrap(), None);
    let why = rig
        .eventually("quota", || async {
            let event = rig.cluster.start(&run, attempt.clone()).await.unwrap();
            if event.is_none() {
                // The quota is not counted yet.
                rig.cluster.remove_pods(&run, std::slice::from_ref(&attempt.id)).await.unwrap();
            }
            match event {
                Some(Event::AttemptWaiting { why, .. }) => Some(why),
                _ => None,
            }
        })
        .await;
    assert!(why.contains("exceeded quota"), "{why}");
    rig.done().await;
}

#[tokio::test]
async fn a_pod_that_is_gone_is_made_again_unless_it_was_claimed() {
    let Some(rig) = Rig::new("gone", Settings::default()).await else { return };
    let attempt = rig.attempt("wf-main-1", unwrapped());
    assert_eq!(rig.look(&attempt).await, None, "never claimed: who performs the start again makes it");
    rig.store.claim("", &attempt.id, "of a pod").await.unwrap();
    assert_eq!(rig.ended(&attempt).await, (Outcome::Lost, Reason::Vanished, "pod deleted".to_owned()));
    rig.done().await;
}

#[tokio::test]
async fn what_ended_before_is_told_and_what_is_left_of_it_deleted() {
    let Some(rig) = Rig::new("left", Settings::default()).await else { return };
    let run = rig.run("run-1");
    let [known, forgotten, unborn] =
        ["wf-a-1", "wf-b-1", "wf-c-1"].map(|name| rig.attempt(name, unwrapped()));
    for attempt in [&known, &forgotten] {
        rig.cluster.start(&run, attempt.clone()).await.unwrap();
        let end = (Outcome::Succeeded, Reason::Exited);
        let verdict = Verdict::without_outputs(attempt.id.clone(), end.0, end.1, "", Timestamp::UNIX_EPOCH);
        rig.store.put_verdict("", &verdict).await.unwrap();
    }
    let events = rig.cluster.observe(&run, &[known.clone(), unborn]).await.unwrap().events;
    let [Event::AttemptFinished { verdict }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&verdict.attempt, verdict.outcome), (&known.id, Outcome::Succeeded));
    let pod = |name: &'static str| async { rig.api::<Pod>().get_opt(name).await.unwrap() };
    let gone = |pod: Option<Pod>| pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
    assert!(gone(pod("wf-b-1").await), "its end was on record before");
    assert!(!gone(pod("wf-a-1").await), "its end is being put on record");
    rig.done().await;
}

#[tokio::test]
async fn a_stopped_attempt_has_its_verdict_before_its_pod_is_gone() {
    let Some(rig) = Rig::new("stop", Settings::default()).await else { return };
    let (run, attempt) = (rig.run("run-1"), rig.attempt("wf-main-1", unwrapped()));
    rig.cluster.start(&run, attempt.clone()).await.unwrap();
    rig.cluster.stop(&run, &attempt.id, "workflow shutdown with strategy:  Stop").await.unwrap();
    let wanted = (Outcome::Failed, Reason::Stopped, "workflow shutdown with strategy:  Stop".to_owned());
    assert_eq!(rig.ended(&attempt).await, wanted);
    let unborn = rig.attempt("wf-main-2", unwrapped());
    rig.cluster.stop(&run, &unborn.id, "early").await.unwrap();
    assert_eq!(rig.ended(&unborn).await.1, Reason::Stopped, "also one that never was");
    rig.done().await;
}

#[tokio::test]
async fn an_image_that_is_not_there_is_told_at_once_and_given_up() {
    let mut settings = Settings::default();
    // A kubelet may tell of the first try ten seconds after it.
    settings.patience.image = Duration::from_secs(25);
    let Some(rig) = Rig::new("image", settings).await else { return };
    let attempt = rig.attempt("wf-main-1", json!({"image": "127.0.0.1:1/nothing:1", "command": ["true"]}));
    rig.cluster.start(&rig.run("run-1"), attempt.clone()).await.unwrap();
    let why = rig
        .eventually("reason", || async {
            match rig.look(&attempt).await {
                Some(Event::AttemptWaiting { why, .. }) if why.contains("Pull") => Some(why),
                _ => None,
            }
        })
        .await;
    assert!(why.starts_with("ErrImagePull: ") || why.starts_with("ImagePullBackOff: "), "{why}");
    let (outcome, _, message) = rig.ended(&attempt).await;
    // A registry that does not answer is infrastructure.
    assert_eq!(outcome, Outcome::Lost, "{message}");
    assert!(message.starts_with("Pod failed before main container starts due to "), "{message}");
    rig.done().await;
}

#[tokio::test]
async fn a_volume_of_a_secret_that_is_not_there_is_named_and_given_up() {
    let mut settings = Settings::default();
    settings.patience.configuration = Duration::from_secs(3);
    let Some(rig) = Rig::new("volume", settings).await else { return };
    let mounts = json!([{"name": "keys", "mountPath": "/k"}]);
    let container = json!({"image": "busybox:1", "command": ["true"], "volumeMounts": mounts});
    let mut attempt = (*rig.attempt("wf-main-1", container)).clone();
    let volumes = vec![json!({"name": "keys", "secret": {"secretName": "keys"}})];
    attempt.work = Arc::new(Work { volumes, ..(*attempt.work).clone() });
    let attempt = Arc::new(attempt);
    rig.cluster.start(&rig.run("run-1"), attempt.clone()).await.unwrap();
    let (outcome, reason, message) = rig.ended(&attempt).await;
    assert_eq!((outcome, reason), (Outcome::Error, Reason::Configuration), "{message}");
    assert!(message.contains("FailedMount: ") && message.contains("secret \"keys\" not found"), "{message}");
    rig.done().await;
}

#[tokio::test]
async fn a_step_that_no_node_can_take_says_what_is_missing() {
    let Some(rig) = Rig::new("gpu", Settings::default()).await else { return };
    let container =
        json!({"image": "busybox:1", "command": ["true"], "resources": {"limits": {"example.com/gpu": "1"}}});
    let attempt = rig.attempt("wf-main-1", container);
    rig.cluster.start(&rig.run("run-1"), attempt.clone()).await.unwrap();
    let why = rig
        .eventually("reason", || async {
            match rig.look(&attempt).await {
                Some(Event::AttemptWaiting { why, .. }) if why.starts_with("Unschedulable") => Some(why),
                _ => None,
            }
        })
        .await;
    assert!(why.contains(" nodes have example.com/gpu free ("), "{why}");
    let pods = rig.cluster.pods(std::slice::from_ref(&rig.namespace)).await.unwrap().pods;
    assert_eq!(pods[0].state, Glance::Stuck);
    rig.done().await;
}

#[tokio::test]
async fn a_runs_volume_claims_are_made_once_and_go_with_it() {
    let Some(rig) = Rig::new("claims", Settings::default()).await else { return };
    let mut run = rig.run("run-1");
    run.spec.volume_claim_templates = vec![json!({
        "metadata": {"name": "work"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    })];
    let started = |name: &str| mounting(&rig.namespace, name);
    for name in ["wf-main-1", "wf-main-2"] {
        assert_eq!(rig.cluster.start(&run, started(name)).await.unwrap(), None);
    }
    let claims: Api<PersistentVolumeClaim> = rig.api();
    assert_eq!(claims.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let other = RunSpec { uid: "run-2".into(), ..run.clone() };
    let fresh = KubernetesCluster::new(
        Access::Kubeconfig(kubeconfig().unwrap()),
        Site {
            executor_image: "busybox:1".to_owned(),
            stores: Stores::default(),
            queue_url: String::new(),
            token: Arc::new(|_, _| String::new()),
            defaults: PodDefaults::default(),
        },
        rig.store.clone(),
        Settings::default(),
    );
    let Some(Event::AttemptFinished { verdict }) = fresh.start(&other, started("wf-main-3")).await.unwrap()
    else {
        panic!("the claim is another run's")
    };
    assert!(verdict.message.starts_with("there is a volume claim wf-work that is not of this run"));
    let ids = ["wf-main-1".into(), "wf-main-2".into()];
    rig.cluster.remove_pods(&run, &ids).await.unwrap();
    rig.cluster.remove_volumes(&run).await.unwrap();
    rig.eventually("end of the claim", || async {
        claims.list(&ListParams::default()).await.unwrap().items.is_empty().then_some(())
    })
    .await;
    rig.cluster.remove_volumes(&run).await.unwrap();
    rig.done().await;
}

#[tokio::test]
async fn a_config_map_gives_parameters_by_its_label_and_limits_without() {
    let Some(rig) = Rig::new("maps", Settings::default()).await else { return };
    let maps: Api<ConfigMap> = rig.api();
    let label = "workflows.argoproj.io/configmap-type";
    for (name, labels) in
        [("plain", json!({})), ("labelled", json!({label: "Parameter"})), ("other", json!({label: "Cache"}))]
    {
        let map = json!({"metadata": {"name": name, "labels": labels}, "data": {"k": "v"}});
        maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    }
    let key = |name: &str, key: &str| ConfigKey {
        namespace: rig.namespace.clone(),
        name: name.to_owned(),
        key: key.to_owned(),
    };
    let value = Some(ConfigFound::Value { value: "v".to_owned() });
    assert_eq!(rig.cluster.config(&key("labelled", "k")).await.unwrap(), value);
    assert_eq!(rig.cluster.limit(&key("plain", "k")).await.unwrap(), value);
    assert_eq!(rig.cluster.config(&key("other", "k")).await.unwrap(), Some(ConfigFound::NotParameters));
    let place = format!("the namespace {}", rig.namespace);
    let no_map = |expected: String| Some(ConfigFound::NoMap { expected });
    assert_eq!(
        rig.cluster.config(&key("plain", "k")).await.unwrap(),
        no_map(format!("{place}, with that label"))
    );
    assert_eq!(rig.cluster.config(&key("none", "k")).await.unwrap(), no_map(place.clone()));
    assert_eq!(
        rig.cluster.limit(&key("plain", "x")).await.unwrap(),
        Some(ConfigFound::NoKey { expected: place })
    );
    rig.done().await;
}

/// A server that gives these answers to pods being made, one after the other, each on a connection of its own, and keeps
/// what it was asked; its address.
fn server(answers: Vec<&'static str>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let keep = asked.clone();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let from = head.len();
                reader.read_line(&mut head).unwrap();
                let line = head[from..].to_lowercase();
                length =
                    line.strip_prefix("content-length: ").map_or(length, |text| text.trim().parse().unwrap());
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            keep.lock().unwrap().push(head);
            let (status, body) = answer.split_once('|').unwrap();
            let close = "content-type: application/json\r\nconnection: close";
            write!(stream, "HTTP/1.1 {status}\r\n{close}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                .unwrap();
        }
    });
    (address, asked)
}

fn outside(access: Access) -> KubernetesCluster<Memory> {
    KubernetesCluster::new(access, outside_site(), Arc::new(Memory::default()), Settings::default())
}

fn outside_site() -> Site {
    Site {
        executor_image: "x".to_owned(),
        stores: Stores::default(),
        queue_url: String::new(),
        token: Arc::new(|_, _| String::new()),
        defaults: PodDefaults::default(),
    }
}

/// A kubeconfig without credentials, in a folder that goes with the test.
fn anonymous(server: &str) -> (Access, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    let text = json!({
        "current-context": "x", "users": [{"name": "x", "user": {}}],
        "clusters": [{"name": "x", "cluster": {"server": server}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    (Access::Kubeconfig(kubeconfig), folder)
}

#[tokio::test]
async fn a_cluster_with_too_much_to_do_is_asked_again_when_it_says() {
    let busy = "429 Too Many Requests\r\nretry-after: 1|{}";
    let (address, asked) = server(vec![busy, "201 Created|{}"]);
    let (access, _folder) = anonymous(&address);
    let (run, attempt) = (run("n", "run-1"), attempt("n", "wf-main-1", unwrapped()));
    let from = std::time::Instant::now();
    assert_eq!(outside(access).start(&run, attempt).await.unwrap(), None);
    assert!(from.elapsed() >= Duration::from_secs(1), "asked again after {:?}", from.elapsed());
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_broken_answer_gives_nothing_up() {
    let broken = "500 Internal Server Error|{\"kind\":\"Status\",\"message\":\"etcd is away\",\"code\":500}";
    let (address, _) = server(vec![broken]);
    let (access, _folder) = anonymous(&address);
    let (run, attempt) = (run("n", "run-1"), attempt("n", "wf-main-1", unwrapped()));
    let error = outside(access).start(&run, attempt).await.unwrap_err();
    let why = dropforge_driver::owner::chain(&error);
    assert!(why.starts_with("reach the Kubernetes API: ") && why.contains("etcd is away"), "{why}");
}

#[tokio::test]
async fn eks_is_called_with_a_token_signed_here() {
    let (endpoint, asked) = server(vec!["201 Created|{}"]);
    let authority = include_bytes!("tokens/authority.pem");
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    let access = Access::Eks(Eks {
        cluster: "production".to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint,
        certificate_authority: base64::prelude::BASE64_STANDARD.encode(authority),
        credentials: SharedCredentialsProvider::new(credentials),
    });
    let (run, attempt) = (run("n", "run-1"), attempt("n", "wf-main-1", unwrapped()));
    assert_eq!(outside(access).start(&run, attempt).await.unwrap(), None);
    let asked = asked.lock().unwrap();
    let line = asked[0].lines().find(|line| line.to_lowercase().starts_with("authorization: ")).unwrap();
    assert!(line.contains("Bearer k8s-aws-v1."), "{line}");
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_unreachable_and_nothing_is_given_up() {
    let (access, _folder) = anonymous("http://127.0.0.1:1");
    let config = ConfigKey { namespace: "n".to_owned(), name: "m".to_owned(), key: "k".to_owned() };
    let cluster = outside(access);
    let error = cluster.config(&config).await.unwrap_err();
    assert_eq!(error.to_string(), "reach the Kubernetes API");
}

#[tokio::test]
async fn a_namespace_of_another_deployment_is_asked_nothing() {
    let (address, asked) = server(vec!["201 Created|{}"]);
    let (access, _folder) = anonymous(&address);
    let settings = Settings::default().within(vec!["a".to_owned()]);
    let cluster = KubernetesCluster::new(access, outside_site(), Arc::new(Memory::default()), settings);
    let step = |namespace| attempt(namespace, "wf-main-1", unwrapped());
    let (foreign, id) = (run("b", "run-1"), AttemptId::from("wf-main-1"));
    let ended = cluster.start(&foreign, step("b")).await.unwrap();
    let Some(Event::AttemptFinished { verdict }) = ended else { panic!("{ended:?}") };
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Error, Reason::Configuration));
    assert!(verdict.message.contains("is none of this deployment's (a)"), "{}", verdict.message);
    cluster.stop(&foreign, &id, "stopped").await.unwrap();
    cluster.tidy(&foreign, &[id]).await.unwrap();
    cluster.observe(&foreign, &[step("b")]).await.unwrap();
    assert_eq!(cluster.secret("b", "pull").await.unwrap(), None);
    let config = ConfigKey { namespace: "b".to_owned(), name: "m".to_owned(), key: "k".to_owned() };
    let nowhere = ConfigFound::NoMap { expected: "the namespace b".to_owned() };
    assert_eq!(cluster.config(&config).await.unwrap(), Some(nowhere));
    assert!(asked.lock().unwrap().is_empty(), "the API was asked");
    assert_eq!(cluster.start(&run("a", "run-1"), step("a")).await.unwrap(), None);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_can_be_no_name_is_nobody_s_and_asked_nowhere() {
    let (access, _folder) = anonymous("http://127.0.0.1:1");
    let cluster = outside(access);
    for name in ["a b", "", "..", "../../kube-system/secrets/a", "a?watch=1"] {
        assert_eq!(cluster.secret("n", name).await.unwrap(), None, "{name}");
        let config = ConfigKey { namespace: "n".to_owned(), name: name.to_owned(), key: "k".to_owned() };
        let nowhere = ConfigFound::NoMap { expected: "the namespace n".to_owned() };
        assert_eq!(cluster.limit(&config).await.unwrap(), Some(nowhere), "{name}");
    }
    cluster.secret("n", "a.b-1").await.unwrap_err();
}

#[tokio::test]
async fn a_registry_that_does_not_say_it_is_asked_once_for_starts_side_by_side() {
    let (registry, asked) = server(vec!["500 Internal Server Error|{}", "500 Internal Server Error|{}"]);
    let (cluster, _) = played(|_, _| refusal(404, "NotFound"));
    let image = format!("{}/app:1", registry.trim_start_matches("http://"));
    let start = |name: &str| {
        let attempt = attempt("n", name, json!({"image": image}));
        let (cluster, run) = (&cluster, run("n", "run-1"));
        async move { cluster.start(&run, attempt).await.unwrap() }
    };
    let (one, other) = tokio::join!(start("wf-main-1"), start("wf-main-2"));
    assert!(one.is_some() && other.is_some());
    assert_eq!(asked.lock().unwrap().len(), 1);
}

/// The words with which an attempt is refused whose image says no command, by a registry that wants a login.
async fn refused_by_registry(cluster: &KubernetesCluster<Memory>) -> String {
    let (registry, _) = server(vec!["401 Unauthorized|{}"]);
    let image = format!("{}/app:1", registry.trim_start_matches("http://"));
    let started =
        cluster.start(&run("ml", "run-1"), attempt("ml", "wf-main-1", json!({"image": image}))).await;
    let Some(Event::AttemptFinished { verdict }) = started.unwrap() else { panic!("it is refused") };
    verdict.message.clone()
}

#[tokio::test]
async fn a_pull_secret_that_may_not_be_read_is_told_with_what_to_do() {
    let (cluster, _) = played(|_, path| match path.trim_end_matches('?') {
        "/api/v1/namespaces/ml/serviceaccounts/default" => {
            let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"},
                "imagePullSecrets": [{"name": "regcred"}]});
            (200, account)
        }
        "/api/v1/namespaces/ml/secrets/regcred" => refusal(403, "Forbidden"),
        other => panic!("{other} is asked"),
    });
    let why = refused_by_registry(&cluster).await;
    let words =
        "the functions may not read the pull secret regcred of the namespace ml: name it in `pull_secrets`";
    assert!(why.contains("it may not be read without a login") && why.contains(words), "{why}");
}
