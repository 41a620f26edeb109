//! Short questions to other programs, asked with a deadline.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a program may think about a question; an interpreter or driver that hangs must not hang a run.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `command` writes to standard output, or nothing where it cannot be started, fails or does not answer in
/// time.
pub(crate) fn ask(command: &mut Command) -> Option<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut stdout = child.stdout.take()?;
    let (tell, hear) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let read = stdout.read_to_end(&mut text);
        // The asker may have lost patience; then nobody listens, and nothing is lost.
        let _ = tell.send(read.map(|_| text));
    });
    let answer = hear.recv_timeout(PATIENCE);
    if answer.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().ok()?;
    let text = answer.ok()?.ok()?;
    status.success().then(|| String::from_utf8_lossy(&text).into_owned())
}
