//! The S3 endpoint as its clients meet it: boto3 and the AWS command line against a server process.
#![cfg(feature = "endpoint")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dropforge_storage::endpoint::{Announcer, Credentials, Endpoint, Options, watch};
use dropforge_storage::objects::Objects;

const ACCESS_KEY: &str = "local";
const SECRET_KEY: &str = "a secret of this test";

/// Not a test: the server, in a process of its own, so that it can be killed and its memory looked at. It prints
/// its address, then each event, and ends with its standard input.
#[test]
#[ignore = "run by the other tests"]
fn server_process() {
    let Some(root) = std::env::var_os("ENDPOINT_TEST_ROOT") else { return };
    let objects = Objects::at(PathBuf::from(root));
    let announcer = Announcer::new(objects.clone(), |event| {
        println!("EVENT {:?} {}/{} {} {}", event.kind, event.bucket, event.key, event.etag, event.size);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let _watch = watch(announcer.clone()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let credentials = Credentials {
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            region: "us-east-1".to_owned(),
        };
        let options = Options { credentials, auto_create: false };
        let endpoint = Endpoint::serve(objects, listener, options, announcer).unwrap();
        // The test harness has printed the test's name on this line.
        println!("\nURL {}", endpoint.url());
        let wait = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        wait.await.unwrap().unwrap();
        endpoint.stop().await;
    });
}

struct Server {
    process: Child,
    url: String,
    output: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(root: &Path) -> Server {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server_process", "--ignored", "--nocapture"])
            .env("ENDPOINT_TEST_ROOT", root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let url = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the server ended");
            if let Some(url) = line.strip_prefix("URL ") {
                break url.trim().to_owned();
            }
        };
        Server { process, url, output }
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Kills it as `kill -9` does.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Lets it end, and gives the events that it told of.
    fn stop(mut self) -> Vec<String> {
        drop(self.process.stdin.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        assert!(self.process.wait().unwrap().success());
        text.lines().filter_map(|line| line.strip_prefix("EVENT ")).map(str::to_owned).collect()
    }

    /// The most memory it had resident so far, in bytes.
    fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

/// A Python with boto3 and the AWS command line, installed once; none (and a line that says so) where they can't
/// be had.
fn python() -> Option<PathBuf> {
    // Tests run side by side; one of them installs.
    static INSTALLED: std::sync::OnceLock<Option<PathBuf>> = std::sync::OnceLock::new();
    INSTALLED.get_or_init(install).clone()
}

fn install() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("s3-clients");
    let python = folder.join("bin/python");
    let done = folder.join("done");
    if done.exists() {
        return Some(python);
    }
    let succeeds = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"];
    if succeeds(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
        && succeeds(Command::new(&python).args(pip).args(["boto3", "awscli"]))
    {
        std::fs::write(&done, "").unwrap();
        return Some(python);
    }
    // Not by `println!`, which the test harness hides.
    let mut shown = std::io::stderr();
    writeln!(shown, "SKIPPED: S3 clients, since boto3 and awscli can't be installed here").unwrap();
    None
}

/// Runs one function of `endpoint/clients.py` against the server.
fn client(python: &Path, server: &Server, root: &Path, function: &str) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/endpoint/clients.py");
    let path = format!("{}:{}", python.parent().unwrap().display(), std::env::var("PATH").unwrap());
    Command::new(python)
        .arg(script)
        .arg(function)
        .env_clear()
        .env("PATH", path)
        .env("HOME", root)
        .env("ROOT", root)
        .env("AWS_ENDPOINT_URL", &server.url)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("NO_PROXY", "127.0.0.1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a function to its end on a fresh server; gives the events.
fn passes(function: &str) -> Option<Vec<String>> {
    let python = python()?;
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path());
    assert!(client(&python, &server, root.path(), function).wait().unwrap().success(), "{function}");
    Some(server.stop())
}

macro_rules! client_tests {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            passes(stringify!($name));
        })*
    };
}

client_tests![
    buckets_are_made_found_and_deleted_when_empty,
    objects_come_back_with_their_headers_and_metadata,
    ranges_and_conditions_are_answered_as_http_says,
    conditional_puts_admit_one_writer,
    listings_are_paged_and_rolled_up,
    odd_keys_are_kept_apart,
    copies_take_or_replace_metadata,
    deletes_take_many_keys,
    multipart_uploads_are_joined_and_refused_as_s3_does,
    presigned_urls_work_until_they_expire,
    wrong_signatures_are_refused,
    damaged_bodies_are_refused,
    objects_larger_than_the_disk_are_refused_at_once,
    concurrent_writers_never_mix,
    the_command_line_copies_syncs_and_removes,
    files_of_the_folder_are_objects,
];

/// boto3 keeps the body that it was not asked for and sends its next request on the same connection, the start of
/// which must not be taken for that body.
#[test]
fn a_refusal_before_the_body_is_the_connections_last_answer() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path());
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let head = format!("Host: {}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", server.address());
    stream.write_all(format!("PUT /uploads/a HTTP/1.1\r\n{head}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    server.stop();
}

#[test]
fn unsigned_requests_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path());
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address());
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("<Code>AccessDenied</Code>"), "{answer}");
    server.stop();
}

#[test]
fn each_put_and_delete_is_told_once() {
    let Some(events) = passes("puts_and_deletes_one_object") else { return };
    let expected = [
        "Created uploads/churn/data.csv 900150983cd24fb0d6963f7d28e17f72 3",
        "Created uploads/churn/data.csv 900150983cd24fb0d6963f7d28e17f72 3",
        "Removed uploads/churn/data.csv  0",
    ];
    assert_eq!(events, expected);
}

/// What the server may have resident while 200 MB arrive in parts: its own 20 MB or so, and what is on the way.
const PEAK_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[test]
fn memory_stays_flat_during_a_multipart_upload() {
    let Some(python) = python() else { return };
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path());
    let mut child = client(&python, &server, root.path(), "uploads_200_megabytes");
    assert!(child.wait().unwrap().success());
    let peak = server.peak_memory();
    println!("{peak} bytes resident at most");
    assert!(peak < PEAK_BYTES_MAX, "{peak} bytes resident");
    server.stop();
}

#[test]
fn a_server_killed_in_the_middle_of_uploads_leaves_no_object_and_goes_on() {
    let Some(python) = python() else { return };
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path());
    let mut child = client(&python, &server, root.path(), "sends_half_of_an_object");
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "half is sent\n");
    server.kill();
    child.kill().unwrap();
    child.wait().unwrap();
    let left: Vec<_> = std::fs::read_dir(root.path().join("uploads")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    let server = Server::start(root.path());
    assert!(client(&python, &server, root.path(), "finishes_after_the_kill").wait().unwrap().success());
    server.stop();
    let temporary = root.path().join(".tmp");
    assert_eq!(std::fs::read_dir(temporary).unwrap().count(), 0, "what the killed server wrote is swept");
}
