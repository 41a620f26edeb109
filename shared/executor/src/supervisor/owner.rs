//! The conversation with the owner: one thread reads, one writes.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use dropforge_driver::supervision::{PROTOCOL, Report, Request};

use super::state::Supervisor;
use crate::step::StepStore;

/// Serves one connection on threads of its own.
pub fn serve<S: StepStore + 'static>(supervisor: &Arc<Supervisor<S>>, connection: UnixStream) {
    let supervisor = Arc::clone(supervisor);
    let thread = thread::Builder::new().name("owner".to_owned());
    if let Err(error) = thread.spawn(move || converse(&supervisor, connection)) {
        tracing::error!(%error, "no thread for a connection");
    }
}

fn converse<S: StepStore + 'static>(supervisor: &Arc<Supervisor<S>>, connection: UnixStream) {
    let Ok(writing) = connection.try_clone() else { return };
    let mut requests = BufReader::new(connection).lines().map_while(Result::ok);
    let hello = requests.next().and_then(|line| serde_json::from_str(&line).ok());
    let Some(Request::Hello { protocol }) = hello else { return };
    let (reports, outgoing) = channel();
    let writer = thread::Builder::new().name("reports".to_owned());
    let Ok(writer) = writer.spawn(move || write(outgoing, writing)) else { return };
    let endpoint = supervisor.endpoint();
    let welcome = Report::Welcome { protocol: PROTOCOL, pid: std::process::id(), endpoint };
    if protocol != PROTOCOL {
        // It says what is spoken here; a writer that is gone needs no answer.
        let _ = reports.send(welcome);
        return;
    }
    let Some(number) = supervisor.take_owner(reports, writer, welcome) else { return };
    for line in requests {
        match serde_json::from_str::<Request>(&line) {
            Ok(request) => supervisor.obey(request),
            Err(error) => {
                tracing::error!(%error, "the owner said what is not understood");
                break;
            }
        }
    }
    supervisor.owner_gone(number);
}

/// How long an owner may not read. A stopped one must not keep the supervisor from leaving.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the word that a step runs waits for the word that it has ended, so that a short step is one message, one
/// event's commit and one line on its way.
const TOGETHER: Duration = Duration::from_millis(10);

/// Writes reports, those that wait together in one go, until nobody sends any more; then closes.
fn write(reports: Receiver<Report>, mut connection: UnixStream) {
    let _ = connection.set_write_timeout(Some(PATIENCE));
    while let Ok(first) = reports.recv() {
        let is_running = matches!(first, Report::Running { .. });
        let second = is_running.then(|| reports.recv_timeout(TOGETHER).ok()).flatten();
        let mut lines = Vec::new();
        for report in std::iter::once(first).chain(second).chain(reports.try_iter()) {
            if let Err(error) = serde_json::to_writer(&mut lines, &report) {
                tracing::error!(%error, "a report could not be written");
                continue;
            }
            lines.push(b'\n');
        }
        if connection.write_all(&lines).is_err() {
            break;
        }
    }
    // It may be closed already, by the other side.
    let _ = connection.shutdown(Shutdown::Both);
}
