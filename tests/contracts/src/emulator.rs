//! The emulator of S3, one for each test process, at a port of its own.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The emulator and the pipe that keeps it: it ends with this process, however that ends.
struct Running {
    endpoint: String,
    _keeper: Child,
}

static EMULATOR: LazyLock<Result<Running, String>> = LazyLock::new(start);

/// The address of the emulator; none where it can't be had, which is said.
pub fn endpoint() -> Option<&'static str> {
    match &*EMULATOR {
        Ok(running) => Some(&running.endpoint),
        Err(why) => {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            println!("SKIPPED: {test} on S3 ({why})");
            None
        }
    }
}

fn start() -> Result<Running, String> {
    let program = program()?;
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = free.map_err(|error| error.to_string())?.port();
    let keep = r#"trap 'kill $!' EXIT; "$0" >/dev/null 2>&1 & read _"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", keep]).arg(&program).stdin(Stdio::piped());
    shell.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string()).env("LOG_LEVEL", "WARNING");
    let keeper = shell.spawn().map_err(|error| error.to_string())?;
    let running = Running { endpoint: format!("http://127.0.0.1:{port}"), _keeper: keeper };
    answers(port).then_some(running).ok_or_else(|| format!("{} does not answer", program.display()))
}

/// Installs it where it is not.
fn program() -> Result<PathBuf, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../cloud/bed/ministack");
    let output = Command::new(script).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout).into());
    }
    let why = text(&output.stderr);
    Err(why.lines().last().unwrap_or("the emulator could not be installed").to_owned())
}

fn answers(port: u16) -> bool {
    let limit = Instant::now() + Duration::from_secs(60);
    while Instant::now() < limit {
        if let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) {
            return socket.write_all(b"").is_ok();
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    false
}
