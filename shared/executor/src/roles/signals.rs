//! Signals of this process, which is the first of its container and gets those that are meant for the command.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use crate::step::control::{Ask, Control};

/// Those by which a container's engine ends a container: an image may name another one than TERM.
const ENDING: [SignalKind; 4] =
    [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::hangup()];

/// Those that only the command can understand.
const OTHERS: [(SignalKind, Signal); 3] = [
    (SignalKind::user_defined1(), Signal::USR1),
    (SignalKind::user_defined2(), Signal::USR2),
    (SignalKind::window_change(), Signal::WINCH),
];

/// The running command, as far as signals go.
#[derive(Clone, Default)]
pub struct Command(Arc<AtomicI32>);

impl Command {
    /// The command runs as this process.
    pub fn is(&self, pid: u32) {
        self.0.store(pid.cast_signed(), Ordering::Relaxed);
    }

    fn send(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.0.load(Ordering::Relaxed)) {
            // Who has ended needs no signal.
            let _ = kill_process(pid, signal);
        }
    }
}

/// From here on, being told to end is asking `control` for it, and other signals go to the command.
///
/// # Errors
/// When the system takes no handler.
pub fn listen(runtime: &Handle, control: &Arc<Control>, ask: &Ask, command: &Command) -> io::Result<()> {
    let _inside = runtime.enter();
    for kind in ENDING {
        let mut signals = signal(kind)?;
        let (control, ask) = (Arc::clone(control), ask.clone());
        runtime.spawn(async move {
            while signals.recv().await.is_some() {
                control.ask(ask.clone());
            }
        });
    }
    for (kind, sent) in OTHERS {
        let mut signals = signal(kind)?;
        let command = command.clone();
        runtime.spawn(async move {
            while signals.recv().await.is_some() {
                command.send(sent);
            }
        });
    }
    Ok(())
}
