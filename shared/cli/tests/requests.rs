//! Requests: `http` templates and artifacts behind a URL, against a server of the test's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bench::Bench;
use serde_json::Value;

/// What a server was asked: the first line, all of the head, and the body.
struct Asked {
    line: String,
    head: String,
    body: Vec<u8>,
}

/// A server that tells what it is asked; gives its address.
fn server() -> (String, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, asked) = channel();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(stream, &tell)));
    (address, asked)
}

fn answer(stream: TcpStream, tell: &Sender<Asked>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
    let lower = head.to_lowercase();
    let length = lower.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let mut body = Vec::new();
    match length {
        Some(length) => {
            body.resize(length, 0);
            reader.read_exact(&mut body).unwrap();
        }
        None if lower.contains("transfer-encoding: chunked") => read_chunks(&mut reader, &mut body),
        None => {}
    }
    let line = head.lines().next().unwrap_or_default().to_owned();
    let mut stream = reader.into_inner();
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    // Whoever stopped listening is no failure of this server.
    let _ = match path.as_str() {
        "/endless" => {
            let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while sent.is_ok() {
                sent = stream.write_all(&[b'x'; 65536]);
            }
            sent
        }
        "/busy" => stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
        "/model" => stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 8\r\n\r\n{\"id\":7}"),
        "/script.sh" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n#!/bin/sh\necho ran\n")
        }
        "/hang" => {
            tell.send(Asked { line, head, body }).unwrap();
            // Until the other side gives up.
            let _ = stream.read(&mut [0]);
            return;
        }
        _ => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    };
    let _ = tell.send(Asked { line, head, body });
}

fn read_chunks(reader: &mut BufReader<TcpStream>, body: &mut Vec<u8>) {
    loop {
        let mut size = String::new();
        reader.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).unwrap();
        body.extend_from_slice(&chunk[..size]);
        if size == 0 {
            return;
        }
    }
}

fn node<'v>(run: &'v Value, name: &str) -> &'v Value {
    let nodes = run["status"]["nodes"].as_object().unwrap();
    nodes
        .values()
        .find(|node| node["displayName"] == name)
        .unwrap_or_else(|| panic!("no node {name}: {run:#}"))
}

#[test]
fn a_pipeline_asks_a_server_and_goes_on_with_its_answer() {
    let (url, asked) = server();
    let bench = Bench::new();
    bench.write("secrets/token/value", "s3cret\n");
    bench.write("dropforge.toml", "[secrets]\nfolder = \"secrets\"\n[claims]\nbox = \"box\"\n");
    let manifest = format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: ask}}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {{name: make, template: make}}
      - {{name: use, template: use, depends: make, arguments: {{parameters: [{{name: id, value: \"{{{{=fromJSON(tasks.make.outputs.result).id}}}}\"}}]}}}}
      - {{name: busy, template: busy}}
      - {{name: endless, template: endless}}
      - {{name: late, template: late}}
  - name: make
    http:
      url: {url}/model
      method: POST
      body: '{{\"run\": \"{{{{workflow.name}}}}\"}}'
      headers:
      - {{name: Authorization, valueFrom: {{secretKeyRef: {{name: token, key: value}}}}}}
      successCondition: response.statusCode == 201 && response.body contains 'id'
  - name: use
    inputs: {{parameters: [{{name: id}}]}}
    script: {{image: busybox, command: [sh], source: 'test {{{{inputs.parameters.id}}}} = 7'}}
  - {{name: busy, http: {{url: {url}/busy}}}}
  - {{name: endless, http: {{url: {url}/endless}}}}
  - {{name: late, http: {{url: {url}/hang, timeoutSeconds: 1}}}}
"
    );
    bench.write("ask.yaml", manifest);
    bench.dropforge(&["run", "ask.yaml"]).exits(1);
    let run = bench.dropforge(&["get", "ask", "-o", "json"]).exits(0).json();
    assert_eq!(
        (&node(&run, "make")["type"], &node(&run, "make")["phase"]),
        (&"HTTP".into(), &"Succeeded".into())
    );
    assert_eq!(node(&run, "use")["phase"], "Succeeded");
    assert_eq!(node(&run, "busy")["message"], "received non-2xx response code: 503");
    let message = node(&run, "endless")["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("the response body has more than 1048576 bytes"), "{message}");
    let message = node(&run, "late")["message"].as_str().unwrap().to_owned();
    assert_eq!(message, format!("Get \"{url}/hang\": context deadline exceeded"));
    let made = asked.into_iter().find(|asked| asked.line.starts_with("POST /model")).unwrap();
    assert_eq!(made.body, b"{\"run\": \"ask\"}");
    assert!(made.head.to_lowercase().contains("authorization: s3cret\r\n"), "{}", made.head);
}

#[test]
fn artifacts_come_from_and_go_to_urls() {
    let (url, asked) = server();
    let bench = Bench::new();
    let manifest = format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: files}}
spec:
  entrypoint: main
  templates:
  - name: main
    inputs:
      artifacts:
      - {{name: tool, path: /tools/run.sh, mode: 0755, http: {{url: '{url}/script.sh', headers: [{{name: X-Of, value: '{{{{workflow.name}}}}'}}]}}}}
    outputs:
      artifacts:
      - {{name: report, path: /tmp/report, archive: {{none: {{}}}}, http: {{url: '{url}/upload'}}}}
      - {{name: packed, path: /tmp/folder, archive: {{zip: {{}}}}}}
    script:
      image: busybox
      command: [sh]
      source: |
        /tools/run.sh > /tmp/report
        mkdir /tmp/folder; echo 1 > /tmp/folder/a
"
    );
    bench.write("files.yaml", manifest);
    bench.dropforge(&["run", "files.yaml"]).exits(0);
    let all: Vec<Asked> = asked.try_iter().collect();
    assert!(all[0].line.starts_with("GET /script.sh") && all[0].head.to_lowercase().contains("x-of: files"));
    assert_eq!((all[1].line.as_str(), all[1].body.as_slice()), ("PUT /upload HTTP/1.1", b"ran\n".as_slice()));
    let run = bench.dropforge(&["get", "files", "-o", "json"]).exits(0).json();
    let outputs = run["status"]["nodes"]["files"]["outputs"]["artifacts"].as_array().unwrap();
    assert_eq!(outputs[0]["http"]["url"], format!("{url}/upload"));
    assert!(outputs[1]["s3"]["key"].as_str().unwrap().ends_with("/packed.zip"), "{outputs:?}");
}

/// Runs git in a folder; false where there is none.
fn git(folder: &std::path::Path, arguments: &[&str]) -> bool {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
    let mut command = std::process::Command::new("git");
    command.arg("-C").arg(folder).args(identity).args(arguments);
    command.output().is_ok_and(|out| out.status.success())
}

#[test]
fn a_step_finds_a_repository_at_its_path_and_the_record_names_the_commit() {
    let bench = Bench::new();
    bench.write("code/train.py", "print('trained')\n");
    let code = bench.path("code");
    let made = [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-qm", "one"], &["tag", "v1"]];
    if !made.iter().all(|arguments| git(&code, arguments)) {
        println!("SKIPPED: a git artifact of a real repository (no git here)");
        return;
    }
    bench.write("code/train.py", "print('changed')\n");
    assert!(git(&code, &["commit", "-qam", "two"]));
    let manifest = format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: code}}
spec:
  entrypoint: main
  arguments: {{parameters: [{{name: revision, value: v1}}]}}
  templates:
  - name: main
    inputs:
      artifacts:
      - {{name: code, path: /src, git: {{repo: 'file://{}', revision: '{{{{workflow.parameters.revision}}}}', depth: 5}}}}
    script:
      image: busybox
      command: [sh]
      source: cat /src/train.py && ls /src/.git/HEAD
",
        code.display()
    );
    bench.write("code.yaml", manifest);
    bench.dropforge(&["run", "code.yaml"]).exits(0);
    let log = bench.dropforge(&["logs", "code"]).exits(0);
    assert!(
        log.stdout.contains("print('trained')") && log.stdout.contains("/src/.git/HEAD"),
        "{}",
        log.stdout
    );
    let told = bench.dropforge(&["explain", "code", "code"]).exits(0);
    assert!(told.stdout.contains("version "), "{}", told.stdout);
    bench.dropforge(&["run", "code.yaml", "-p", "revision=v2", "--name", "other"]).exits(1);
    let run = bench.dropforge(&["get", "other", "-o", "json"]).exits(0).json();
    let message = run["status"]["nodes"]["other"]["message"].as_str().unwrap();
    assert!(message.contains("artifact code failed to load: failed to resolve revision \"v2\""), "{message}");
}
