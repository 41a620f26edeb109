//! The owner's bell: other processes ring it over a socket in the store's folder.
//!
//! A ring is only a hint: what it is about lies in the store, and an owner looks there too when it starts.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use dropforge_queue::doorbell::Doorbell;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use crate::error::CliError;

fn path(store: &Path) -> PathBuf {
    store.join("owner.sock")
}

/// Rings the owner; gives whether there is one.
///
/// # Errors
/// When there is one and it can't be told.
pub fn ring(store: &Path, doorbell: &Doorbell) -> Result<bool, CliError> {
    let line =
        doorbell.encode().map_err(|why| CliError::Below { what: "ring the owner", why: why.to_string() })?;
    let mut stream = match UnixStream::connect(path(store)) {
        Ok(stream) => stream,
        // No socket, or one that a dead owner left.
        Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(false);
        }
        Err(source) => {
            return Err(CliError::Machine { what: "ring the owner of the store".to_owned(), source });
        }
    };
    stream
        .write_all(format!("{line}\n").as_bytes())
        .map_err(|source| CliError::Machine { what: "ring the owner of the store".to_owned(), source })?;
    Ok(true)
}

/// Whether a process runs the store's runs now.
pub fn is_answered(store: &Path) -> bool {
    UnixStream::connect(path(store)).is_ok()
}

/// What to say where nobody does.
pub const UNANSWERED: &str =
    "nothing runs this store now: `dropforge run --continue RUN` or `dropforge dev` goes on";

/// Listens for rings. Only the store's owner calls this, so that a socket file that is there is a dead owner's.
///
/// # Errors
/// When the socket can't be made.
pub fn listen(store: &Path) -> Result<mpsc::UnboundedReceiver<Doorbell>, CliError> {
    let path = path(store);
    let failed = |source| CliError::Machine { what: format!("listen on {}", path.display()), source };
    match std::fs::remove_file(&path) {
        Err(why) if why.kind() != ErrorKind::NotFound => return Err(failed(why)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    let (tell, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::new(stream).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    match Doorbell::decode(&line) {
                        Ok(doorbell) => {
                            if tell.send(doorbell).is_err() {
                                return;
                            }
                        }
                        Err(why) => tracing::warn!(%why, "a ring was not understood"),
                    }
                }
            });
        }
    });
    Ok(heard)
}
