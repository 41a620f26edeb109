//! A proxy before S3 that does to chosen requests what networks and S3 do: no answer, a lost one, 409, 503.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered so and not passed on.
    Answer(u16, &'static str),
    /// It is passed on, and its answer is lost with the connection.
    LoseAnswer,
    /// It is lost with the connection.
    LoseRequest,
    /// It is passed on, and nothing comes back, ever.
    Silence,
}

/// A request as it came: `PUT`, `/bucket/key?query`, headers in lower case.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub target: String,
    head: String,
    body: Vec<u8>,
}

/// Called with a request before it is passed on.
type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Plan {
    faults: Vec<(String, String, Fault)>,
    hooks: Vec<(String, String, Hook)>,
    seen: Vec<Request>,
}

/// The proxy.
pub struct Proxy {
    /// Where it listens.
    pub endpoint: String,
    plan: Arc<Mutex<Plan>>,
}

impl Proxy {
    /// A proxy before this endpoint.
    pub fn before(upstream: &str) -> Proxy {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", socket.local_addr().unwrap());
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let plan = Arc::<Mutex<Plan>>::default();
        let shared = plan.clone();
        std::thread::spawn(move || {
            for client in socket.incoming().flatten() {
                let (upstream, plan) = (upstream.clone(), shared.clone());
                std::thread::spawn(move || serve(client, &upstream, &plan));
            }
        });
        Proxy { endpoint, plan }
    }

    /// The next request of this method whose target holds this text meets this fault; said several times, the next
    /// several.
    pub fn fault(&self, method: &str, target: &str, fault: Fault) {
        self.plan.lock().unwrap().faults.push((method.to_owned(), target.to_owned(), fault));
    }

    /// Before the next such request is passed on, this happens.
    pub fn before_next(&self, method: &str, target: &str, hook: impl FnOnce() + Send + 'static) {
        self.plan.lock().unwrap().hooks.push((method.to_owned(), target.to_owned(), Box::new(hook)));
    }

    /// How many requests of this method came whose target holds this text.
    pub fn count(&self, method: &str, target: &str) -> usize {
        let plan = self.plan.lock().unwrap();
        plan.seen.iter().filter(|seen| seen.method == method && seen.target.contains(target)).count()
    }

    /// The requests so far, which are forgotten.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.plan.lock().unwrap().seen)
    }
}

fn serve(mut client: TcpStream, upstream: &str, plan: &Mutex<Plan>) -> Option<()> {
    let request = read(&client).ok()?;
    let (fault, hook) = {
        let mut plan = plan.lock().unwrap();
        plan.seen.push(request.clone());
        let meant = |method: &str, target: &str| request.method == method && request.target.contains(target);
        let fault = plan.faults.iter().position(|(m, t, _)| meant(m, t)).map(|at| plan.faults.remove(at).2);
        let hook = plan.hooks.iter().position(|(m, t, _)| meant(m, t)).map(|at| plan.hooks.remove(at).2);
        (fault, hook)
    };
    if let Some(hook) = hook {
        hook();
    }
    match fault {
        Some(Fault::LoseRequest) => {}
        Some(Fault::Answer(status, code)) => client.write_all(&answer(status, code)).ok()?,
        Some(Fault::LoseAnswer) => drop(pass_on(&request, upstream)),
        Some(Fault::Silence) => {
            let _answer = pass_on(&request, upstream);
            // Until the client goes away.
            let _ = client.read(&mut [0]);
        }
        None => client.write_all(&pass_on(&request, upstream).ok()?).ok()?,
    }
    Some(())
}

fn read(client: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(client);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if lower.starts_with("expect:") {
            (&mut &*client).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        } else if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = head.split(' ').map(str::to_owned);
    let missing = || io::Error::from(io::ErrorKind::InvalidData);
    let (method, target) = (words.next().ok_or_else(missing)?, words.next().ok_or_else(missing)?);
    Ok(Request { method, target, head, body })
}

/// The answer's bytes, of a connection that serves one request.
fn pass_on(request: &Request, upstream: &str) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(format!("{}connection: close\r\n\r\n", request.head).as_bytes())?;
    server.write_all(&request.body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}

fn answer(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>by the proxy</Message></Error>");
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}
