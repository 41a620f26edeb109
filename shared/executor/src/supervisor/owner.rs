//! The conversation with the owner: whoever reads what it asks goes and does it, and another reads on.

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use dropforge_driver::supervision::{Greeting, PROTOCOL, Request};

use super::reports::Reports;
use super::state::Supervisor;
use crate::step::StepStore;

type Requests = Lines<BufReader<UnixStream>>;

/// Serves one connection on threads of its own.
pub fn serve<S: StepStore + 'static>(supervisor: &Arc<Supervisor<S>>, connection: UnixStream) {
    match supervisor.thread() {
        Ok(thread) => {
            let supervisor = Arc::clone(supervisor);
            thread.run(move || converse(&supervisor, connection));
        }
        Err(error) => tracing::error!(%error, "no thread for a connection"),
    }
}

fn converse<S: StepStore + 'static>(supervisor: &Arc<Supervisor<S>>, connection: UnixStream) {
    let Ok(writing) = connection.try_clone() else { return };
    let mut requests = BufReader::new(connection).lines();
    let hello = requests.next().and_then(|line| serde_json::from_str(&line.ok()?).ok());
    let Some(Greeting::Hello { protocol, durable }) = hello else { return };
    let Ok(reports) = Reports::to(writing) else { return };
    let endpoint = supervisor.endpoint();
    let durable = supervisor.is_durable(durable);
    let welcome = Greeting::Welcome { protocol: PROTOCOL, pid: std::process::id(), endpoint, durable };
    if protocol != PROTOCOL {
        // It says what is spoken here.
        return reports.tell(&[welcome]);
    }
    if let Some(number) = supervisor.take_owner(reports, welcome) {
        read(supervisor, requests, number);
    }
}

/// Reads what the owner asks. Who has read of an attempt that may start attends to it, and another thread reads on: so
/// an attempt waits for no thread to wake.
fn read<S: StepStore + 'static>(supervisor: &Arc<Supervisor<S>>, mut requests: Requests, number: u64) {
    while let Some(Ok(line)) = requests.next() {
        let task = match serde_json::from_str::<Request>(&line) {
            Ok(request) => supervisor.obey(request),
            Err(error) => {
                tracing::error!(%error, "the owner said what is not understood");
                break;
            }
        };
        let Some(task) = task else { continue };
        match supervisor.thread() {
            Ok(thread) => {
                let reading = Arc::clone(supervisor);
                thread.run(move || read(&reading, requests, number));
                return supervisor.attend(task);
            }
            Err(error) => supervisor.give_up(&task, &error),
        }
    }
    supervisor.owner_gone(number);
}
