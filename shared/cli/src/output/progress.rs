//! What people see while runs go on: a tree that is drawn again on a terminal, plain lines elsewhere. All of it goes
//! to standard error.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::owner::Told;
use dropforge_driver::store::Logs;
use dropforge_engine::ids::{AttemptId, NodeId, RunUid};
use dropforge_engine::lock::HeldBy;
use dropforge_engine::record::{NodeKind, Record, Role};
use dropforge_engine::state::RunState;
use dropforge_engine::view::{View, ViewNode};
use dropforge_storage::directory::DirectoryStore;

use super::terminal;
use super::tree::{self, Style};

/// A terminal's tree is drawn this often at most, and logs are looked at this often.
const DRAW_EVERY: Duration = Duration::from_millis(120);

/// A look at a log takes this much at most; the rest comes with the next look.
const LOG_BYTES_MAX: usize = 256 * 1024;

/// What people see.
pub struct Display {
    store: Arc<DirectoryStore>,
    logs: bool,
    terminal: bool,
    style: Style,
    shared: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    runs: BTreeMap<RunUid, View>,
    /// Runs that have ended here: what they hold is given back.
    over: BTreeSet<RunUid>,
    /// Runs that are shown once they are over, as they were then.
    kept: BTreeMap<RunUid, Option<View>>,
    /// The containers of attempts whose logs are followed: label, namespace, bytes shown, the line not yet ended.
    followed: BTreeMap<(AttemptId, String), Followed>,
    notes: BTreeMap<AttemptId, String>,
    lines_drawn: usize,
}

struct Followed {
    label: String,
    namespace: String,
    offset: u64,
    rest: Vec<u8>,
}

impl Display {
    /// A display on standard error.
    pub fn new(store: Arc<DirectoryStore>, logs: bool) -> Arc<Display> {
        let terminal = std::io::stderr().is_terminal();
        let style = Style { colour: terminal && super::style(false).colour, ..super::style(false) };
        Arc::new(Display { store, logs, terminal, style, shared: Mutex::default() })
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        // What is shown is remade from records; a panicking holder leaves at worst a line undrawn.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what is seen of a run that is about to begin, until it is over and [`Display::last_of`] asks for it.
    pub fn keep(&self, run: &RunUid) {
        self.shown().kept.insert(run.clone(), None);
    }

    /// A run that was to be kept, as it ended here; none where it did not.
    pub fn last_of(&self, run: &RunUid) -> Option<View> {
        self.shown().kept.remove(run).flatten()
    }

    /// New records of a run.
    pub fn records(&self, state: &RunState, records: &[Record], told: Told) {
        let mut shown = self.shown();
        let spec = &state.program.spec;
        let kept = shown.kept.get_mut(&spec.uid).and_then(Option::take);
        let view = shown
            .runs
            .entry(spec.uid.clone())
            .or_insert_with(|| kept.unwrap_or_else(|| View::foldable(state.program.clone())));
        let mut lines = Vec::new();
        let mut begun = Vec::new();
        for record in records {
            view.add(record);
            if told == Told::New {
                lines.extend(line(view, record));
            }
            if let Record::AttemptRunning { attempt, .. } = record {
                begun.extend(logs_of(view, attempt));
            }
        }
        view.fold_ended(self.style.loop_children_max);
        for (log, label) in begun.into_iter().filter(|_| self.logs) {
            let followed =
                Followed { label, namespace: spec.namespace().to_owned(), offset: 0, rest: Vec::new() };
            shown.followed.entry(log).or_insert(followed);
        }
        for record in records {
            if let Record::AttemptEnded { verdict } = record {
                shown.notes.remove(&verdict.attempt);
                let of_attempt = |log: &(AttemptId, String)| log.0 == verdict.attempt;
                let logs: Vec<_> = shown.followed.keys().filter(|log| of_attempt(log)).cloned().collect();
                for log in logs {
                    let followed = shown.followed.remove(&log);
                    // What ended under an owner before this one was shown by it.
                    if let Some(mut followed) = followed.filter(|_| told == Told::New) {
                        self.show_log(&mut shown, &log, &mut followed, true);
                    }
                }
            }
        }
        if !self.terminal {
            lines.iter().for_each(|line| super::say_soon(line));
        }
        if told == Told::New {
            say_what_is_stranded(&mut shown, spec.name(), records);
        }
        if state.phase.completed() {
            let last = shown.runs.remove(&spec.uid);
            shown.kept.entry(spec.uid.clone()).and_modify(|kept| *kept = last);
            shown.over.insert(spec.uid.clone());
        }
    }

    /// A line of progress about an attempt: packages being installed, bytes being copied, resources waited for.
    pub fn progress(&self, run: &RunUid, attempt: &AttemptId, what: &str) {
        let mut shown = self.shown();
        let label = shown.runs.get(run).map(|view| label_of(view, attempt)).unwrap_or_default();
        if shown.notes.get(attempt).is_some_and(|said| said == what) {
            return;
        }
        shown.notes.insert(attempt.clone(), what.to_owned());
        if !self.terminal {
            super::say(&format!("{label}: {what}"));
        }
    }

    /// Comes when something may have to be drawn again.
    pub async fn wants_drawing(&self) {
        let idle = {
            let shown = self.shown();
            shown.followed.is_empty() && !super::is_waiting() && (!self.terminal || shown.runs.is_empty())
        };
        if idle {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(DRAW_EVERY).await;
    }

    /// Shows what the logs have got, and draws the tree again on a terminal.
    pub fn draw(&self) {
        let mut shown = self.shown();
        let mut followed = std::mem::take(&mut shown.followed);
        for (log, one) in &mut followed {
            self.show_log(&mut shown, log, one, false);
        }
        shown.followed = followed;
        super::say_waiting();
        if self.terminal {
            self.draw_tree(&mut shown);
        }
    }

    /// Takes the tree off the terminal, so that what follows stands alone.
    pub fn clear(&self) {
        let mut shown = self.shown();
        erase(&mut shown);
        super::say_waiting();
    }

    fn draw_tree(&self, shown: &mut Shown) {
        let now = SystemClock.now();
        let mut text = String::new();
        for view in shown.runs.values() {
            text.push_str(&tree::draw(view, now, self.style));
        }
        for note in shown.notes.values() {
            text.push_str(&format!("  … {}\n", super::shown(note)));
        }
        let text = terminal::fit(&text, terminal::size());
        erase(shown);
        shown.lines_drawn = text.lines().count();
        let _ = write!(std::io::stderr().lock(), "{text}");
    }

    fn show_log(
        &self,
        shown: &mut Shown,
        (attempt, container): &(AttemptId, String),
        followed: &mut Followed,
        ended: bool,
    ) {
        loop {
            let read =
                self.store.read_log(&followed.namespace, attempt, container, followed.offset, LOG_BYTES_MAX);
            let bytes = now_or_never(read).and_then(Result::ok).unwrap_or_default();
            // What is left of the log of an ended step is shown piece by piece: it may be larger than the memory.
            let more = ended && bytes.len() == LOG_BYTES_MAX;
            followed.offset += bytes.len() as u64;
            followed.rest.extend(bytes);
            let lines = whole_lines(&mut followed.rest, ended && !more);
            if !lines.is_empty() {
                erase(shown);
            }
            for line in String::from_utf8_lossy(&lines).lines() {
                super::say_soon(&format!("{}: {}", followed.label, overwritten(line)));
            }
            if self.terminal {
                // The tree is drawn below it.
                super::say_waiting();
            }
            if !more {
                return;
            }
        }
    }
}

/// Takes the lines that are whole; all when nothing follows, and a line that grows too long as if it were one.
fn whole_lines(text: &mut Vec<u8>, over: bool) -> Vec<u8> {
    let whole = match text.iter().rposition(|byte| *byte == b'\n') {
        _ if over => text.len(),
        Some(newline) => newline + 1,
        None if text.len() >= LOG_BYTES_MAX => text.len(),
        None => 0,
    };
    text.drain(..whole).collect()
}

/// What a terminal would leave of a line that begins again and again, as a progress bar's does.
fn overwritten(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    line.rsplit_once('\r').map_or(line, |(_, last)| last)
}

/// A lock whose holder's run is not among this process's, which owns the store, stays held until a person does something.
fn say_what_is_stranded(shown: &mut Shown, run: &str, records: &[Record]) {
    let waits = records.iter().filter_map(|record| match record {
        Record::LocksWaiting { wait, .. } => Some(&wait.held_by),
        _ => None,
    });
    let stranded: BTreeMap<&RunUid, &HeldBy> = waits
        .flatten()
        .filter(|by| !shown.runs.contains_key(&by.run) && !shown.over.contains(&by.run))
        .map(|by| (&by.run, by))
        .collect();
    for by in stranded.values() {
        erase(shown);
        let holder = by.key.split('/').nth(1).unwrap_or(by.run.as_str());
        super::say(&format!(
            "{run} waits for run {holder}, which holds the lock and which nobody goes on with: `dropforge run --continue \
             {holder}` goes on with it, `dropforge terminate {holder}` gives it up"
        ));
    }
}

/// The directory store answers at once: its futures never wait.
fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

fn erase(shown: &mut Shown) {
    if shown.lines_drawn > 0 {
        let _ = write!(std::io::stderr().lock(), "\u{1b}[{}A\u{1b}[J", shown.lines_drawn);
        shown.lines_drawn = 0;
    }
}

fn label_of(view: &View, attempt: &AttemptId) -> String {
    view.of_attempt(attempt).map_or_else(|| attempt.to_string(), |node| view.display_name(node))
}

/// The logs of an attempt's containers, each with its label.
fn logs_of(view: &View, attempt: &AttemptId) -> Vec<((AttemptId, String), String)> {
    let label = label_of(view, attempt);
    let attempts = view.of_attempt(attempt).map(|node| node.attempts.as_slice()).unwrap_or_default();
    let Some(started) = attempts.iter().find(|a| a.attempt.id == *attempt) else { return Vec::new() };
    let containers = started.attempt.work.template.containers();
    let alone = containers.len() == 1;
    let names = containers.into_iter().map(|(name, _)| name.to_owned());
    names
        .map(|name| {
            let label = if alone { label.clone() } else { format!("{label}.{name}") };
            ((attempt.clone(), name), label)
        })
        .collect()
}

fn name(view: &View, id: NodeId) -> String {
    view.nodes.get(&id).map(|n| view.display_name(n)).unwrap_or_default()
}

/// The plain line that a record is worth, if it is worth one.
fn line(view: &View, record: &Record) -> Option<String> {
    let run = view.state.program.spec.name();
    // The run's own lines say what becomes of its entry node.
    if node_of(view, record).is_some_and(|n| n.role == Role::Root) {
        return None;
    }
    match record {
        Record::RunStarted { .. } => Some(format!("{run} started")),
        Record::AttemptRunning { attempt, .. } => Some(format!("{} started", label_of(view, attempt))),
        Record::AttemptReady { attempt, ip, .. } => {
            Some(format!("{} serves at {ip}", label_of(view, attempt)))
        }
        Record::AttemptWaiting { attempt, why } => Some(format!("{} waits: {why}", label_of(view, attempt))),
        Record::NodeMessage { node, message } if !message.is_empty() => {
            Some(format!("{}: {message}", name(view, *node)))
        }
        Record::LocksWaiting { holder, wait } => {
            let who = holder.map_or_else(|| run.to_owned(), |node| name(view, node));
            let holders: Vec<&str> = wait.held_by.iter().map(|by| by.key.as_str()).collect();
            Some(format!("{who}: {} Held by {}", wait.message(), holders.join(", ")))
        }
        Record::NodeCreated(created) if created.kind == NodeKind::Suspend => {
            Some(format!("{} waits to be resumed: dropforge resume {run}", name(view, created.id)))
        }
        Record::NodeCreated(created) if created.phase.fulfilled() => {
            Some(format!("{} {}: {}", name(view, created.id), created.phase, created.message))
        }
        Record::NodeFinished { node, phase, message, .. } => {
            let kind = view.nodes.get(node)?.kind;
            if !matches!(kind, NodeKind::Pod | NodeKind::Suspend) {
                return None;
            }
            let why = if message.is_empty() { String::new() } else { format!(": {message}") };
            Some(format!("{} {phase}{why}", name(view, *node)))
        }
        Record::CommandRead { command, refused } => {
            let what = refused.as_ref().map_or(String::new(), |why| format!(", refused: {why}"));
            Some(format!("{run}: {} by {}{what}", verb(&command.verb), command.by))
        }
        Record::RunFinished { phase, message, .. } => Some(tree::verdict(*phase, run, message)),
        _ => None,
    }
}

/// The node whose beginning or end a record is.
fn node_of<'a>(view: &'a View, record: &Record) -> Option<&'a ViewNode> {
    match record {
        Record::NodeCreated(created) if created.phase.fulfilled() => view.nodes.get(&created.id),
        Record::NodeFinished { node, .. } => view.nodes.get(node),
        Record::AttemptRunning { attempt, .. } => view.of_attempt(attempt),
        _ => None,
    }
}

fn verb(verb: &dropforge_engine::event::Verb) -> &'static str {
    use dropforge_engine::event::Verb;
    match verb {
        Verb::Stop { .. } => "stop",
        Verb::Terminate => "terminate",
        Verb::Suspend => "suspend",
        Verb::Resume { .. } => "resume",
        Verb::Retry(_) => "retry",
        Verb::Set { .. } => "node set",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_progress_bar_the_last_state_is_shown() {
        assert_eq!([overwritten("10 %\r100 %\r"), overwritten("plain")], ["100 %", "plain"]);
    }

    #[test]
    fn a_line_waits_for_its_end_unless_it_grows_too_long() {
        let mut text = b"one\ntw".to_vec();
        assert_eq!(whole_lines(&mut text, false), b"one\n");
        assert_eq!((whole_lines(&mut text, false), text.as_slice()), (Vec::new(), b"tw".as_slice()));
        assert_eq!(whole_lines(&mut text, true), b"tw");
        let mut endless = vec![b'x'; LOG_BYTES_MAX];
        assert_eq!(whole_lines(&mut endless, false).len(), LOG_BYTES_MAX);
    }
}
