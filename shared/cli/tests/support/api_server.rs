//! A Kubernetes API server as far as `deploy` asks one.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What `deploy` asks for all of; whatever else it asks for is not there.
const LISTS: [&str; 6] =
    ["csidrivers", "daemonsets", "nodepools", "nodes", "persistentvolumes", "storageclasses"];

/// A cluster with one storage driver and what else it is told of, which keeps what is applied and does nothing with it. What
/// it was told of is somebody else's: who applies it is told of the conflict.
pub struct ApiServer {
    url: String,
    applied: Arc<Mutex<Vec<Value>>>,
}

impl ApiServer {
    /// Starts it; it ends with the test's process.
    pub fn start(driver: &'static str) -> ApiServer {
        ApiServer::holding(driver, Vec::new())
    }

    /// One that has these objects, by the ends of their paths: `roles/NAME`.
    pub fn holding(driver: &'static str, objects: Vec<(&'static str, Value)>) -> ApiServer {
        let objects = Arc::new(objects);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let applied = Arc::new(Mutex::new(Vec::new()));
        let kept = applied.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, objects) = (kept.clone(), objects.clone());
                std::thread::spawn(move || serve(stream.unwrap(), driver, &objects, &kept));
            }
        });
        ApiServer { url, applied }
    }

    /// What leads to it.
    pub fn kubeconfig(&self) -> String {
        json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": self.url}}], "users": [{"name": "u", "user": {}}]})
        .to_string()
    }

    /// What was applied since it was last asked, in that order.
    pub fn applied(&self) -> Vec<Value> {
        std::mem::take(&mut *self.applied.lock().unwrap())
    }
}

fn serve(stream: TcpStream, driver: &str, objects: &[(&str, Value)], applied: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some((method, path, body)) = request(&mut reader) {
        let held = objects.iter().find(|(end, _)| path.ends_with(&format!("/{end}")));
        let (status, answer) = match method.as_str() {
            "PATCH" if held.is_some() => (409, status(409, "Conflict", "Apply failed with 1 conflict")),
            "GET" if held.is_some() => (200, held.unwrap().1.clone()),
            "PATCH" => {
                let object: Value = serde_json::from_slice(&body).unwrap();
                applied.lock().unwrap().push(object.clone());
                (200, object)
            }
            "GET" => found(&path, driver),
            _ => (404, missing()),
        };
        let text = answer.to_string();
        let head = format!("HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n");
        let sent = write!(stream, "{head}Content-Length: {}\r\n\r\n{text}", text.len());
        if sent.is_err() {
            return;
        }
    }
}

/// The next request: method, path, body.
fn request(reader: &mut impl BufRead) -> Option<(String, String, Vec<u8>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) if line.trim().is_empty() => break,
            Ok(_) => lines.push(line.trim().to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let length = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((method, target.split('?').next()?.to_owned(), body))
}

fn found(path: &str, driver: &str) -> (u16, Value) {
    match path.rsplit('/').next().unwrap_or_default() {
        "version" => (200, json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0"})),
        kind if LISTS.contains(&kind) => {
            let items = match kind {
                "csidrivers" => json!([{"metadata": {"name": driver}, "spec": {}}]),
                _ => json!([]),
            };
            (200, json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}))
        }
        _ => (404, missing()),
    }
}

fn missing() -> Value {
    status(404, "NotFound", "it is not there")
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code,
        "message": message, "metadata": {}})
}
