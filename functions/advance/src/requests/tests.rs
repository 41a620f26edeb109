use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

use dropforge_engine::attempt::Work;
use dropforge_engine::ids::NodeId;
use dropforge_storage::memory::MemoryStore;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::sources::Secret;
use super::*;

/// A cluster that has one secret, and no pods.
#[derive(Default)]
struct NoPods;

impl Secrets for NoPods {
    async fn secret(&self, _: &str, name: &str) -> Result<Result<Option<Secret>, String>, ClusterError> {
        Ok(match name {
            "token" => Ok(Some([("key".to_owned(), "s3cret\n".to_owned())].into())),
            "forbidden" => Err("secrets \"forbidden\" is forbidden".to_owned()),
            _ => Ok(None),
        })
    }
}

impl Cluster for NoPods {
    async fn start(&self, _: &RunSpec, _: Arc<Attempt>) -> Result<Option<Event>, ClusterError> {
        panic!("a request is no pod")
    }
    async fn stop(&self, _: &RunSpec, _: &AttemptId, _: &str) -> Result<(), ClusterError> {
        Ok(())
    }
    async fn observe(&self, _: &RunSpec, _: &[Arc<Attempt>]) -> Result<Observed, ClusterError> {
        panic!("a request is no pod")
    }
    async fn tidy(&self, _: &RunSpec, _: &[AttemptId]) -> Result<(), ClusterError> {
        panic!("a request is no pod")
    }
    async fn config(&self, _: &ConfigKey) -> Result<Option<ConfigFound>, ClusterError> {
        Ok(None)
    }
}

/// Remembers with which nonce an attempt was claimed.
#[derive(Default)]
struct Store {
    memory: MemoryStore,
    nonces: Mutex<Vec<(AttemptId, String)>>,
}

impl Attempts for Store {
    async fn claim(&self, namespace: &str, attempt: &AttemptId, nonce: &str) -> Result<Created, StoreError> {
        let claimed = self.memory.claim(namespace, attempt, nonce).await?;
        if claimed == Created::New {
            held(&self.nonces).push((attempt.clone(), nonce.to_owned()));
        }
        Ok(claimed)
    }
    async fn claimed(&self, namespace: &str, attempt: &AttemptId) -> Result<bool, StoreError> {
        self.memory.claimed(namespace, attempt).await
    }
    async fn put_verdict(&self, namespace: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        self.memory.put_verdict(namespace, verdict).await
    }
    async fn verdict(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<Verdict>, StoreError> {
        self.memory.verdict(namespace, attempt).await
    }
}

impl Claims for Store {
    async fn claimer(&self, _: &str, attempt: &AttemptId) -> Result<Option<String>, StoreError> {
        let nonces = held(&self.nonces);
        Ok(nonces.iter().find(|(claimed, _)| claimed == attempt).map(|(_, nonce)| nonce.clone()))
    }
}

fn spec() -> RunSpec {
    let spec = json!({"format": 1, "uid": "u", "metadata": {"name": "wf"}, "spec": {},
        "createdAt": "2026-11-28T10:00:00Z", "cause": {"kind": "person", "by": "ada"}});
    serde_json::from_value(spec).unwrap()
}

fn attempt(id: &str, http: Value) -> Arc<Attempt> {
    let template = serde_json::from_value(json!({"name": "ask", "http": http})).unwrap();
    let work = Work { template, ..Work::default() };
    Arc::new(Attempt {
        id: id.into(),
        run: "u".into(),
        run_name: "wf".to_owned(),
        namespace: "ml".to_owned(),
        node: NodeId(1),
        node_name: "wf".to_owned(),
        number: 0,
        on_exit: false,
        work: Arc::new(work),
    })
}

fn in_seconds(seconds: i64) -> Timestamp {
    SystemClock.now().saturating_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// Requests of a call that has a minute, on this machine.
fn requests(store: &Arc<Store>) -> Requests<NoPods, Store> {
    let requests = Requests { guarded: false, ..Requests::new(Arc::new(NoPods), store.clone()) };
    requests.begin(Call::new(SystemClock.now(), in_seconds(60)));
    requests
}

/// A server that answers everybody alike; its address, how often it was asked, and what it was asked last.
fn server(answer: &'static str) -> (String, Arc<AtomicUsize>, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let (asked, last) = (Arc::new(AtomicUsize::new(0)), Arc::<Mutex<String>>::default());
    let (times, heard) = (asked.clone(), last.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            times.fetch_add(1, Ordering::SeqCst);
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).unwrap_or_default();
            *held(&heard) = String::from_utf8_lossy(&buffer[..read]).to_lowercase();
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, asked, last)
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";

async fn looked(
    requests: &Requests<NoPods, Store>,
    attempt: &Arc<Attempt>,
) -> Option<(Outcome, Reason, String)> {
    match requests.observe(&spec(), std::slice::from_ref(attempt)).await.unwrap().events.pop() {
        Some(Event::AttemptFinished { verdict }) => {
            Some((verdict.outcome, verdict.reason, verdict.message.clone()))
        }
        None => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_is_made_once_however_often_it_is_started() {
    let (store, (url, asked, last)) = (Arc::<Store>::default(), server(OK));
    let requests = requests(&store);
    let secret =
        json!({"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "token", "key": "key"}}});
    let attempt = attempt("a", json!({"url": url, "headers": [secret]}));
    assert_eq!(looked(&requests, &attempt).await, None);
    for _ in 0..2 {
        assert_eq!(requests.start(&spec(), attempt.clone()).await.unwrap(), None);
    }
    let another = self::requests(&store);
    assert_eq!(another.start(&spec(), attempt.clone()).await.unwrap(), None);
    assert_eq!(requests.ended().await, [("u".into(), "a".into())]);
    assert_eq!((requests.ended().await, another.ended().await), (vec![], vec![]));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(held(&last).contains("authorization: s3cret\r\n"), "{}", held(&last));
    assert_eq!(looked(&requests, &attempt).await, Some((Outcome::Succeeded, Reason::Exited, String::new())));
    let verdict = store.verdict("ml", &attempt.id).await.unwrap().unwrap();
    assert_eq!(verdict.outputs.result.as_deref(), Some("hi"));
    requests.tidy(&spec(), std::slice::from_ref(&attempt.id)).await.unwrap();
}

#[tokio::test]
async fn a_claimer_that_died_is_given_up_once_it_can_t_be_at_it_any_more() {
    let (store, (url, asked, _)) = (Arc::<Store>::default(), server(OK));
    let (dead, alive) = (attempt("dead", json!({"url": url})), attempt("alive", json!({"url": url})));
    for (attempt, until) in [(&dead, -60), (&alive, 60)] {
        store.claim("ml", &attempt.id, &Claimed::until(in_seconds(until)).nonce()).await.unwrap();
    }
    let requests = requests(&store);
    let why = "the function that made it ended before it was answered".to_owned();
    assert_eq!(looked(&requests, &dead).await, Some((Outcome::Lost, Reason::Vanished, why)));
    assert_eq!(looked(&requests, &alive).await, None);
    for attempt in [&dead, &alive] {
        assert_eq!(requests.start(&spec(), attempt.clone()).await.unwrap(), None);
    }
    assert_eq!((requests.ended().await, asked.load(Ordering::SeqCst)), (vec![], 0), "nobody asks again");
}

#[tokio::test]
async fn what_can_t_be_asked_ends_the_attempt_without_a_request() {
    let (store, (url, asked, _)) = (Arc::<Store>::default(), server(OK));
    let requests = requests(&store);
    let with_secret = |name: &str, key: &str, optional: bool| {
        let from = json!({"secretKeyRef": {"name": name, "key": key, "optional": optional}});
        json!({"url": url, "headers": [{"name": "X", "valueFrom": from}]})
    };
    for (id, http, words) in [
        ("a", with_secret("none", "key", false), "secret \"none\" not found"),
        ("b", with_secret("token", "other", false), "secret \"token\" has no key \"other\""),
        ("c", with_secret("forbidden", "key", false), "secrets \"forbidden\" is forbidden"),
    ] {
        let Some(Event::AttemptFinished { verdict }) =
            requests.start(&spec(), attempt(id, http)).await.unwrap()
        else {
            panic!("{id} is refused")
        };
        let told = (verdict.outcome, verdict.reason, verdict.message.as_str());
        assert_eq!(told, (Outcome::Failed, Reason::Configuration, words));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    requests.start(&spec(), attempt("d", with_secret("none", "key", true))).await.unwrap();
    assert_eq!((requests.ended().await.len(), asked.load(Ordering::SeqCst)), (1, 1), "it may be missing");
}

#[tokio::test]
async fn a_call_without_time_leaves_the_request_to_the_next() {
    let (store, (url, asked, _)) = (Arc::<Store>::default(), server(OK));
    let requests = requests(&store);
    requests.begin(Call::new(in_seconds(-50), in_seconds(10)));
    let attempt = attempt("a", json!({"url": url}));
    let started = requests.start(&spec(), attempt.clone()).await.unwrap();
    assert!(matches!(started, Some(Event::AttemptWaiting { .. })), "{started:?}");
    assert!(!store.claimed("ml", &attempt.id).await.unwrap());
    requests.begin(Call::new(SystemClock.now(), in_seconds(60)));
    assert_eq!(requests.start(&spec(), attempt).await.unwrap(), None);
    assert_eq!((requests.ended().await.len(), asked.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_call_whose_time_is_nearly_over_starts_no_pod_and_says_so() {
    let requests = requests(&Arc::default());
    requests.begin(Call::new(in_seconds(-50), in_seconds(9)));
    let mut pod = (*attempt("a", json!({"url": "x"}))).clone();
    let template = json!({"name": "step", "container": {"image": "x"}});
    pod.work = Arc::new(Work { template: serde_json::from_value(template).unwrap(), ..Work::default() });
    let why = "the next call of the function starts it: this one has no time left".to_owned();
    let waits = Event::AttemptWaiting { attempt: pod.id.clone(), why };
    assert_eq!(requests.start(&spec(), Arc::new(pod)).await.unwrap(), Some(waits));
}

#[tokio::test]
async fn addresses_of_the_function_itself_are_not_asked_nor_is_anything_after_the_deadline() {
    let (store, (url, asked, _)) = (Arc::<Store>::default(), server(OK));
    let guarded = Requests { guarded: true, ..requests(&store) };
    let own = attempt("a", json!({"url": url}));
    guarded.start(&spec(), own.clone()).await.unwrap();
    guarded.ended().await;
    let (outcome, _, message) = looked(&guarded, &own).await.unwrap();
    assert_eq!(outcome, Outcome::Failed);
    assert!(message.contains("127.0.0.1 is an address that only this machine reaches"), "{message}");
    let mut late = (*attempt("b", json!({"url": url}))).clone();
    late.work = Arc::new(Work { deadline: Some(in_seconds(-1)), ..(*late.work).clone() });
    let Some(Event::AttemptFinished { verdict }) = guarded.start(&spec(), Arc::new(late)).await.unwrap()
    else {
        panic!("it is too late")
    };
    assert_eq!((verdict.reason, verdict.message.as_str()), (Reason::DeadlineExceeded, OVERDUE));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}
