//! `logs`: what the steps of a run wrote, live and afterwards from the same objects.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::store::Logs;
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::record::Role;
use dropforge_engine::view::{View, ViewNode};
use dropforge_manifest::types::{MAIN, Template};
use jiff::SignedDuration;

use crate::args::LogsArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::home::Home;
use crate::lookup::{self, Sketch};
use crate::{bell, output};

/// A read of a log is at most this long.
const CHUNK: usize = 1 << 20;

/// Prints logs.
///
/// # Errors
/// When there is no such run or node.
#[tokio::main(flavor = "current_thread")]
pub async fn logs(global: &Global, args: &LogsArgs) -> Result<Exit, CliError> {
    let store = lookup::reader(global).await?;
    let entry = lookup::entry(&store, global, &args.run).await?;
    print(&store, &entry.namespace, &entry.uid, &entry.name, args).await
}

/// Prints a run's logs, also until it ends.
///
/// # Errors
/// When there is no such node, or the logs can't be read.
pub async fn print(
    store: &Home,
    namespace: &str,
    uid: &RunUid,
    name: &str,
    args: &LogsArgs,
) -> Result<Exit, CliError> {
    let mut follower = Follower::new(namespace.to_owned(), args);
    let mut sketch = Sketch::blank(store, uid).await?;
    loop {
        // Asked before the journal is read: what an owner wrote before it left is seen.
        let answered = store.is_answered();
        while sketch.next(store, uid).await?.is_some() {
            // Whoever names a node may mean any item of a loop.
            if args.node.is_none() {
                follower.print(store, &sketch.view, name, false).await?;
                sketch.fold();
                follower.forget(&sketch.view);
            }
        }
        let last = sketch.view.state.phase.completed() || !args.follow;
        follower.print(store, &sketch.view, name, last || !answered).await?;
        if last {
            return Ok(Exit::Succeeded);
        }
        if !answered {
            output::say(bell::UNANSWERED);
            return Ok(Exit::Trouble);
        }
        tokio::time::sleep(store.pause(Duration::from_millis(150))).await;
    }
}

/// A container's log is shipped at the latest so long after the verdict of its attempt: two seconds, and a margin.
const LATE: Duration = Duration::from_millis(2500);

/// After so long a verdict is old by every clock: nothing is late any more.
const OLD: SignedDuration = SignedDuration::from_secs(60);

/// An attempt and one of its containers.
type Key = (AttemptId, String);

struct Follower<'a> {
    namespace: String,
    args: &'a LogsArgs,
    logs: BTreeMap<Key, Log>,
}

/// What is known of a log.
#[derive(Default)]
struct Log {
    /// What stands before its lines.
    name: String,
    printed: u64,
    /// When it was looked at for the first time after its attempt had ended.
    ended: Option<Instant>,
    /// Nobody looks again.
    over: bool,
}

/// A log that is wanted.
struct Listed {
    key: Key,
    /// What stands before its lines.
    name: String,
    /// Its attempt is over: all was written, but for what is shipped late.
    ended: bool,
    /// It has been over for long.
    old: bool,
}

impl Follower<'_> {
    fn new(namespace: String, args: &LogsArgs) -> Follower<'_> {
        Follower { namespace, args, logs: BTreeMap::new() }
    }

    /// Prints what is new; `last`: nobody looks again.
    async fn print(&mut self, store: &Home, view: &View, run: &str, last: bool) -> Result<(), CliError> {
        for Listed { key, name, ended, old } in self.listed(view, run)? {
            let ended = last || ended;
            let log = self.logs.entry(key.clone()).or_insert_with(|| Log { name, ..Log::default() });
            // Who does not follow wants each log once, when all of it is there.
            if log.over || log.ended.is_some() || !(ended || self.args.follow) {
                continue;
            }
            self.look(store, &key, ended, last || old || !self.args.follow).await?;
        }
        let is_late = |log: &Log| !log.over && log.ended.is_some_and(|since| last || since.elapsed() >= LATE);
        let late: Vec<Key> =
            self.logs.iter().filter(|(_, log)| is_late(log)).map(|(key, _)| key.clone()).collect();
        for key in late {
            self.look(store, &key, true, true).await?;
        }
        Ok(())
    }

    /// The logs that are wanted, in the order of the nodes.
    fn listed(&self, view: &View, run: &str) -> Result<Vec<Listed>, CliError> {
        let wanted: Vec<&ViewNode> = match &self.args.node {
            Some(node) => {
                let found = view.find(node);
                vec![found.ok_or_else(|| CliError::NoNode { run: run.to_owned(), node: node.clone() })?]
            }
            None => view.nodes.values().collect(),
        };
        let (now, mut listed) = (SystemClock.now(), Vec::new());
        for (node, only) in below(view, &wanted).into_iter().filter_map(|node| logged(view, node)) {
            let name = output::shown(&view.display_name(node)).into_owned();
            for attempt in &node.attempts {
                let (id, template) = (&attempt.attempt.id, &attempt.attempt.work.template);
                let ended = attempt.verdict.is_some() || node.phase.fulfilled();
                let old = attempt.verdict.as_ref().is_some_and(|v| now.duration_since(v.finished_at) > OLD);
                for container in containers(template, only.or(self.args.container.as_deref())) {
                    let several = template.mains().len() > 1 || container != MAIN;
                    let name = if several { format!("{name}.{container}") } else { name.clone() };
                    listed.push(Listed { key: (id.clone(), container.to_owned()), name, ended, old });
                }
            }
        }
        Ok(listed)
    }

    /// Prints what is new of one log.
    async fn look(&mut self, store: &Home, key: &Key, ended: bool, over: bool) -> Result<(), CliError> {
        let Some(log) = self.logs.get(key) else { return Ok(()) };
        let bytes = self.news(store, key, log.printed, ended).await?;
        output::data(&self.lines(&log.name, &bytes, self.args.tail.filter(|_| log.printed == 0)))?;
        if let Some(log) = self.logs.get_mut(key) {
            log.printed += bytes.len() as u64;
            log.ended = ended.then(Instant::now);
            log.over = over;
        }
        Ok(())
    }

    /// Forgets logs that are not in the view any more and over: they have been printed.
    fn forget(&mut self, view: &View) {
        self.logs.retain(|(attempt, _), log| !log.over || view.of_attempt(attempt).is_some());
    }

    /// What a log has from an offset on.
    async fn news(
        &self,
        store: &Home,
        (attempt, container): &Key,
        from: u64,
        ended: bool,
    ) -> Result<Vec<u8>, CliError> {
        let mut bytes = Vec::new();
        loop {
            let at = from + bytes.len() as u64;
            let read = store.read_log(&self.namespace, attempt, container, at, CHUNK).await?;
            let more = read.len() == CHUNK;
            bytes.extend(read);
            if !more {
                break;
            }
        }
        bytes.truncate(whole(&bytes, ended));
        Ok(bytes)
    }

    fn lines(&self, name: &str, bytes: &[u8], tail: Option<usize>) -> String {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.lines().collect();
        let skip = tail.map_or(0, |n| lines.len().saturating_sub(n));
        let wanted = |line: &&&str| self.args.grep.as_ref().is_none_or(|grep| grep.is_match(line));
        lines[skip..].iter().filter(wanted).map(|line| self.line(name, line)).collect()
    }

    fn line(&self, name: &str, line: &str) -> String {
        let prefix = !self.args.no_prefix && self.args.node.is_none();
        if prefix { format!("{name}: {line}\n") } else { format!("{line}\n") }
    }
}

/// How much of what was read can be printed: a line that is still being written, or a character, waits for its end.
fn whole(bytes: &[u8], ended: bool) -> usize {
    let after_newline = || bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if ended { bytes.len() } else { after_newline() }
}

/// The containers whose logs are wanted: the one that is named, else those that count.
fn containers<'t>(template: &'t Template, wanted: Option<&'t str>) -> Vec<&'t str> {
    let all: Vec<&str> = match wanted {
        Some(_) => template.containers().into_iter().map(|(name, _)| name).collect(),
        None => template.mains().into_iter().map(|(name, _)| name).collect(),
    };
    all.into_iter().filter(|name| wanted.is_none_or(|wanted| wanted == *name)).collect()
}

/// The node that has a node's logs: a container's are its pod's. None where the pod itself is printed too.
fn logged<'a>(
    view: &'a View,
    (node, wanted): (&'a ViewNode, bool),
) -> Option<(&'a ViewNode, Option<&'a str>)> {
    match &node.role {
        Role::Container(name) => Some((view.nodes.get(&node.parent?)?, Some(&**name))).filter(|_| wanted),
        _ => Some((node, None)),
    }
}

/// The nodes themselves and everything below them, in the order in which they were created; and whether a node was
/// asked for without the one above it.
fn below<'a>(view: &'a View, nodes: &[&'a ViewNode]) -> Vec<(&'a ViewNode, bool)> {
    let mut found = BTreeMap::new();
    let mut open: Vec<&ViewNode> = nodes.to_vec();
    while let Some(node) = open.pop() {
        if found.insert(node.id, node).is_none() {
            open.extend(view.below(node));
        }
    }
    let above = |node: &ViewNode| node.parent.is_some_and(|parent| found.contains_key(&parent));
    found.values().map(|node| (*node, !above(node))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_printed_when_it_is_whole_and_the_rest_at_the_end() {
        let written = "epoch 1\nverlust 0,5 f\u{fc}r".as_bytes();
        let cut = &written[..written.len() - 2];
        assert_eq!(&cut[..whole(cut, false)], b"epoch 1\n");
        assert_eq!(whole(b"no newline yet", false), 0);
        assert_eq!(whole(written, true), written.len());
    }
}
