//! Lambda's Runtime API, as far as one function needs it: one event at a time, over HTTP/1.1.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// A running function; it is killed when this is dropped.
pub struct Function {
    _process: Child,
    events: Sender<Value>,
    answers: Receiver<Value>,
}

/// A deadline that no test reaches, in milliseconds since 1970.
const FAR: i64 = 4_000_000_000_000;

impl Function {
    pub async fn start(variables: &[(String, String)]) -> Function {
        Function::with_deadline(variables, FAR).await
    }

    /// One whose calls must have ended at a time, in milliseconds since 1970.
    pub async fn with_deadline(variables: &[(String, String)], deadline: i64) -> Function {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = listener.local_addr().unwrap().to_string();
        let (events, to_function) = channel(1);
        let (from_function, answers) = channel(1);
        tokio::spawn(serve(listener, deadline, to_function, from_function));
        let process = Command::new(env!("CARGO_BIN_EXE_advance"))
            .envs(variables.iter().cloned())
            .env("AWS_LAMBDA_RUNTIME_API", api)
            .env("AWS_LAMBDA_FUNCTION_NAME", "advance")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "s")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "g")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Function { _process: process, events, answers }
    }

    /// Hands an event over, and waits for nothing.
    pub fn send(&mut self, event: &Value) {
        self.events.try_send(event.clone()).unwrap();
    }

    /// What the function answers.
    pub async fn call(&mut self, event: &Value) -> Value {
        self.send(event);
        let answer = tokio::time::timeout(std::time::Duration::from_secs(60), self.answers.recv());
        answer.await.expect("it answers within a minute").expect("it lives")
    }
}

async fn serve(listener: TcpListener, deadline: i64, mut events: Receiver<Value>, answers: Sender<Value>) {
    // A function holds one connection at a time, or makes a new one.
    while let Ok((stream, _)) = listener.accept().await {
        let _ = talk(stream, deadline, &mut events, &answers).await;
    }
}

async fn talk(
    stream: TcpStream,
    deadline: i64,
    events: &mut Receiver<Value>,
    answers: &Sender<Value>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_ascii_lowercase());
        }
        let length = head.iter().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await?;
        let reply = if head[0].starts_with("get") {
            let Some(event) = events.recv().await else { return Ok(()) };
            let event = event.to_string();
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nlambda-runtime-aws-request-id: r\r\n\
                 lambda-runtime-deadline-ms: {deadline}\r\n\
                 lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:0:function:advance\r\n\
                 content-length: {}\r\n\r\n{event}",
                event.len()
            )
        } else {
            let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let _ = answers.send(answer).await;
            "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned()
        };
        stream.get_mut().write_all(reply.as_bytes()).await?;
    }
}
