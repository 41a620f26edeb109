//! Whether a container is ready, asked as the kubelet asks.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use dropforge_engine::attempt::Attempt;
use dropforge_manifest::types::{HttpGetAction, Probe, TcpSocketAction};

use super::execution::command;
use super::preparation::{Prepared, Runs};
use crate::isolation::isolation;
use crate::process::{Exit, Waited, spawn};

/// The pauses between the first questions; the kubelet would wait for a whole period at once, 10 seconds as a rule,
/// in which a server on this machine has long been up.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Where servers of this machine are reached.
pub const LOCAL: &str = "127.0.0.1";

/// Asks until the container has answered often enough. `pause` waits, and says whether the container has ended.
pub fn becomes_ready(
    probe: &Probe,
    prepared: &Prepared,
    attempt: &Attempt,
    pause: &dyn Fn(Duration) -> bool,
) -> bool {
    let seconds = |given: Option<u32>, otherwise| Duration::from_secs(given.unwrap_or(otherwise).into());
    let period = seconds(probe.period_seconds, 10).max(FIRST_PAUSE);
    let timeout = seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1));
    let wanted = probe.success_threshold.unwrap_or(1).max(1);
    let (mut answered, mut next) = (0, FIRST_PAUSE);
    if pause(seconds(probe.initial_delay_seconds, 0)) {
        return false;
    }
    loop {
        answered = if asks(probe, prepared, attempt, timeout) { answered + 1 } else { 0 };
        if answered >= wanted {
            return true;
        }
        if pause(next.min(period)) {
            return false;
        }
        next = next.saturating_mul(2);
    }
}

fn asks(probe: &Probe, prepared: &Prepared, attempt: &Attempt, timeout: Duration) -> bool {
    if let Some(exec) = &probe.exec {
        return runs(&exec.command, prepared, attempt, timeout);
    }
    let answer = match (&probe.http_get, &probe.tcp_socket) {
        (Some(get), _) => answers(get, prepared, timeout),
        (None, Some(socket)) => accepts(socket, prepared, timeout),
        (None, None) => Ok(true),
    };
    // Refused, reset or too slow: not yet.
    answer.unwrap_or(false)
}

/// Whether a command ends well among the container's files.
fn runs(argv: &[String], prepared: &Prepared, attempt: &Attempt, timeout: Duration) -> bool {
    let process = match &prepared.runs {
        Runs::Process(process) => process,
        Runs::Container(container) => return container.runs(argv, timeout),
    };
    let nowhere = || std::fs::OpenOptions::new().write(true).open("/dev/null");
    let (Ok(stdout), Ok(stderr)) = (nowhere(), nowhere()) else { return false };
    let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    let mut asking = command(prepared, process, attempt, argv, (stdout.into(), stderr.into()));
    // Known apart from the container, whose own processes must not end with the question's.
    asking.container = Some(format!("{}+probe", prepared.name));
    let Ok(mut running) = spawn(asking, isolation()) else { return false };
    match running.wait_until(Some(timeout), None) {
        Waited::Ended(ended) => ended.exit == Exit::Code(0),
        Waited::Woken | Waited::Late => {
            running.kill();
            false
        }
    }
}

/// Whether the server answers with 200 to 399.
fn answers(get: &HttpGetAction, prepared: &Prepared, timeout: Duration) -> io::Result<bool> {
    let host = get.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(LOCAL);
    let address = address(host, get.port.as_str(), prepared)?;
    let mut connection = connect(address, timeout)?;
    let path = get.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut request =
        format!("GET {slash}{path} HTTP/1.1\r\nConnection: close\r\nUser-Agent: dropforge-probe\r\n");
    if !get.http_headers.iter().any(|header| header.name.eq_ignore_ascii_case("host")) {
        request.push_str(&format!("Host: {host}:{}\r\n", address.port()));
    }
    for header in &get.http_headers {
        request.push_str(&format!("{}: {}\r\n", header.name, header.value));
    }
    connection.write_all(format!("{request}\r\n").as_bytes())?;
    // `HTTP/1.1 200`: the rest of the answer is nobody's business.
    let mut status = [0; 12];
    connection.read_exact(&mut status)?;
    let text = String::from_utf8_lossy(&status);
    let code: Option<u16> = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..)?.parse().ok());
    Ok(code.is_some_and(|code| (200..400).contains(&code)))
}

fn accepts(socket: &TcpSocketAction, prepared: &Prepared, timeout: Duration) -> io::Result<bool> {
    let host = socket.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(LOCAL);
    connect(address(host, socket.port.as_str(), prepared)?, timeout).map(|_| true)
}

/// A port by its number, or by the name that the container gives it.
fn address(host: &str, port: &str, prepared: &Prepared) -> io::Result<SocketAddr> {
    let number = port.parse().ok().or_else(|| prepared.ports.get(port).copied());
    let number = number.ok_or_else(|| io::Error::other(format!("the container has no port {port}")))?;
    let mut addresses = (host, number).to_socket_addrs()?;
    addresses.next().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let connection = TcpStream::connect_timeout(&address, timeout)?;
    connection.set_read_timeout(Some(timeout))?;
    connection.set_write_timeout(Some(timeout))?;
    Ok(connection)
}
