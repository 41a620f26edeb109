//! What a container writes, on its way to the log.

use std::fs::File;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as ApiError;
use futures_core::Stream;

use super::client::Client;
use crate::logs::Tail;

/// How long the rest of the output is waited for after the end; the engine has it by then.
const DRAIN: Duration = Duration::from_secs(10);

/// What the engine sends of both streams.
pub type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, ApiError>> + Send>>;

/// A thread that copies a container's output to the log and keeps the end of standard output.
pub struct Copying {
    kept: Receiver<io::Result<Vec<u8>>>,
}

impl Copying {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(client: Arc<Client>, output: Output, log: File) -> io::Result<Copying> {
        let (sender, kept) = mpsc::channel();
        let copying = move || {
            // Nobody listens when the container was given up.
            let _ = sender.send(copy(&client, output, log));
        };
        thread::Builder::new().name("log".to_owned()).spawn(copying)?;
        Ok(Copying { kept })
    }

    /// The end of standard output, once the container has ended.
    ///
    /// # Errors
    /// When the log is not complete.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        let late = |_| Err(io::Error::other("the container engine did not send the end of it"));
        self.kept.recv_timeout(DRAIN).unwrap_or_else(late)
    }
}

fn copy(client: &Client, mut output: Output, mut log: File) -> io::Result<Vec<u8>> {
    let mut kept = Tail::default();
    let mut written = Ok(());
    while let Some(next) = client.next(&mut output) {
        let piece = next.map_err(io::Error::other)?;
        if matches!(piece, LogOutput::StdOut { .. }) {
            kept.push(piece.as_ref());
        }
        // A full disk must not stop the command, which would wait for a reader for ever: read on, tell later.
        if written.is_ok() {
            written = log.write_all(piece.as_ref());
        }
    }
    written.map(|()| kept.bytes())
}
