//! Runs whose steps are requests.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::doorbells::Why;
use dropforge_driver::store::{Index, Runs};
use dropforge_engine::ids::RunUid;
use dropforge_engine::phase::RunPhase;
use dropforge_queue::doorbell::Doorbell;
use serde_json::{Value, json};

use super::lambda::Function;
use super::{Bed, record};

/// Twice the time that a claim is believed after its deadline.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// A server that others than this machine itself could reach.
struct Server {
    url: String,
    asked: Arc<AtomicUsize>,
    /// Whom nobody answers.
    open: Arc<Mutex<Vec<std::net::TcpStream>>>,
}

impl Server {
    /// Answers by what is asked: `/hang` never, `/own` with a redirect to the machine itself, all else with the path.
    fn start() -> Option<Server> {
        let listener = TcpListener::bind((outside()?, 0)).ok()?;
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, open) = (Arc::new(AtomicUsize::new(0)), Arc::<Mutex<Vec<_>>>::default());
        let (times, kept) = (asked.clone(), open.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                times.fetch_add(1, Ordering::SeqCst);
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).unwrap_or_default();
                let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = match path.as_str() {
                    "/hang" => {
                        kept.lock().unwrap().push(stream);
                        continue;
                    }
                    "/own" => "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\
                               connection: close\r\n\r\n"
                        .to_owned(),
                    path => format!(
                        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{path}",
                        path.len()
                    ),
                };
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Some(Server { url, asked, open })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// An address of this machine that is not its own alone; nothing is sent for it.
fn outside() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback())
}

/// A bed and a server, or a line that says why not.
async fn parts(name: &str) -> Option<(Bed, Server)> {
    let why = match (Bed::new(name).await, Server::start()) {
        (Some(bed), Some(server)) => return Some((bed, server)),
        (None, _) => "AWS_ENDPOINT_URL names no emulator",
        (_, None) => "this machine has no address but its own",
    };
    println!("SKIPPED: http templates on S3 and SQS ({why})");
    None
}

fn event(run: &RunUid, why: Why) -> Value {
    json!({"Records": [record("1", &Doorbell::new(run.clone(), why).encode().unwrap(), 1)]})
}

async fn end(bed: &Bed, run: &RunUid, function: &mut Function) -> (RunPhase, String, String) {
    let began = Instant::now();
    while bed.store.live_runs().await.unwrap().contains(run) {
        assert!(began.elapsed() < GIVEN_UP, "the run does not end");
        let next = bed.event().await.unwrap_or_else(|| event(run, Why::Sweep));
        function.call(&next).await;
    }
    let entry = bed.store.entries(None).await.unwrap().remove(0);
    (entry.phase, entry.progress, entry.message)
}

#[tokio::test]
async fn sqs_requests_are_made_once_and_their_answers_go_on() {
    let Some((bed, server)) = parts("asks").await else { return };
    let manifest = format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: asks}}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {{name: first, template: ask, arguments: {{parameters: [{{name: path, value: one}}]}}}}
      - {{name: own, template: ask, continueOn: {{failed: true}}, arguments: {{parameters: [{{name: path, value: own}}]}}}}
    - - {{name: second, template: ask, arguments: {{parameters: [{{name: path, value: '{{{{steps.first.outputs.result}}}}/two'}}]}}}}
  - name: ask
    inputs: {{parameters: [{{name: path}}]}}
    http: {{url: '{}/{{{{inputs.parameters.path}}}}', timeoutSeconds: 10}}
",
        server.url
    );
    let run = bed.born("21111111-2222-3333-4444-555555555555", &manifest).await;
    let mut function = Function::start(&bed.variables()).await;
    // One call is enough, however often it is told.
    assert_eq!(function.call(&event(&run, Why::Submitted)).await, json!({"batchItemFailures": []}));
    assert_eq!(bed.store.live_runs().await.unwrap(), []);
    let (phase, progress, message) = end(&bed, &run, &mut function).await;
    assert_eq!((phase, progress.as_str(), message.as_str()), (RunPhase::Succeeded, "2/3", ""));
    assert_eq!(server.asked(), 3, "each once");
    let records = format!("{:?}", bed.store.load_run(&run).await.unwrap().records);
    assert!(records.contains("\"//one/two\""), "{records}");
    assert!(records.contains("127.0.0.1 is an address that only this machine reaches"), "{records}");
}

#[tokio::test]
async fn sqs_a_request_whose_function_is_killed_is_never_made_again() {
    let Some((bed, server)) = parts("killed").await else { return };
    let manifest = format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: killed}}
spec:
  entrypoint: main
  templates: [{{name: main, http: {{url: '{}/hang'}}}}]
",
        server.url
    );
    let run = bed.born("31111111-2222-3333-4444-555555555555", &manifest).await;
    let deadline = SystemClock.now().as_millisecond() + 20_000;
    let mut killed = Function::with_deadline(&bed.variables(), deadline).await;
    killed.send(&event(&run, Why::Submitted));
    let began = Instant::now();
    while server.open.lock().unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not ask");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(killed);
    let mut function = Function::start(&bed.variables()).await;
    function.call(&event(&run, Why::Sweep)).await;
    assert_eq!(
        bed.store.live_runs().await.unwrap(),
        std::slice::from_ref(&run),
        "whoever claimed it may be at it"
    );
    let (phase, _, message) = end(&bed, &run, &mut function).await;
    let why =
        "the function that made it ended before it was answered: whether the request was made is not known";
    assert_eq!((phase, message.as_str(), server.asked()), (RunPhase::Error, why, 1));
}
