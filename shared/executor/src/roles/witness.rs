//! The role that stands beside the others: when a container ends without having said how, it rings until somebody has
//! looked.
//!
//! It writes no verdict: why a container ended, the cluster knows. It stays until it is told to end, since it would be
//! started again.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dropforge_engine::attempt::Verdict;

use super::{Bell, Pod, say, wait};
use crate::step::control::Control;
use crate::step::{StepStore, told};

/// How often it is looked whether a container has begun.
const LOOK: Duration = Duration::from_millis(250);

/// The pauses between rings.
const RING_FIRST: Duration = Duration::from_secs(1);
const RING_LAST: Duration = Duration::from_secs(15);

/// Watches until it is told to end and nothing is left to be said.
///
/// # Errors
/// When the shared folder can't be read.
pub fn run<S: StepStore, B: Bell>(pod: &Pod<S, B>, control: &Control) -> io::Result<i32> {
    let names: Vec<String> =
        pod.launch.attempt.work.template.containers().iter().map(|(name, _)| (*name).to_owned()).collect();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watches: Vec<_> =
            names.iter().map(|name| scope.spawn(|| watch(pod, name, control, &over))).collect();
        let ends: Vec<io::Result<()>> =
            watches.into_iter().map(|watch| watch.join().unwrap_or(Ok(()))).collect();
        ends.into_iter().collect::<io::Result<()>>()
    })?;
    while control.asked().is_none() {
        control.pause(Duration::MAX);
    }
    Ok(0)
}

/// Waits for a container's wrapper to end; what it left unsaid is said here.
fn watch<S: StepStore, B: Bell>(
    pod: &Pod<S, B>,
    name: &str,
    control: &Control,
    over: &AtomicBool,
) -> io::Result<()> {
    while !pod.folder.wait_for_end(name)? {
        if control.asked().is_some() || over.load(Ordering::Relaxed) || pod.folder.told().exists() {
            return Ok(());
        }
        control.pause(LOOK);
    }
    if pod.folder.told().exists() || (pod.folder.ended(name).exists() && !pod.folder.verdict().exists()) {
        return Ok(());
    }
    over.store(true, Ordering::Relaxed);
    ship_the_rest(pod, name);
    report(pod)
}

fn ship_the_rest<S: StepStore, B: Bell>(pod: &Pod<S, B>, name: &str) {
    let rest = || {
        let (ended, ending) = io::pipe()?;
        drop(ending);
        pod.shipped(name, &ended)
    };
    if let Err(error) = rest() {
        say(&format!("the end of the log of {name} could not be shipped: {error}"));
    }
}

/// Stores the verdict that was noted and not told; without one, rings until somebody has stored one.
fn report<S: StepStore, B: Bell>(pod: &Pod<S, B>) -> io::Result<()> {
    let attempt = &pod.launch.attempt;
    let noted: Option<Verdict> = pod.folder.read(&pod.folder.verdict())?;
    if let Some(verdict) = noted {
        pod.tell(&verdict, || ());
        return Ok(());
    }
    let mut pause = RING_FIRST;
    loop {
        pod.ring(1);
        wait(pause);
        match pod.site.wait(pod.site.store.verdict(&attempt.namespace, &attempt.id)) {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => {}
            Err(error) => say(&format!("failed to look for a verdict: {}", told(&error))),
        }
        pause = pause.saturating_mul(2).min(RING_LAST);
    }
}
