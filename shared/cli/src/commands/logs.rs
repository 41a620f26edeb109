//! `logs`: what the steps of a run wrote, live and afterwards from the same objects.

use std::collections::BTreeMap;
use std::time::Duration;

use dropforge_driver::store::Logs;
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::record::Role;
use dropforge_engine::view::{View, ViewNode};
use dropforge_manifest::types::{MAIN, Template};

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
                follower.print(store, &sketch.view, args, name, false).await?;
                sketch.fold();
                follower.forget(&sketch.view);
            }
        }
        let last = sketch.view.state.phase.completed() || !args.follow;
        follower.print(store, &sketch.view, args, name, last || !answered).await?;
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

struct Follower {
    namespace: String,
    /// How much of each log has been printed; none: all of it, and no more comes.
    offsets: BTreeMap<(AttemptId, String), Option<u64>>,
    prefix: bool,
}

impl Follower {
    fn new(namespace: String, args: &LogsArgs) -> Follower {
        let prefix = !args.no_prefix && args.node.is_none();
        Follower { namespace, offsets: BTreeMap::new(), prefix }
    }

    /// Prints what is new; `last`: nobody looks again.
    async fn print(
        &mut self,
        store: &Home,
        view: &View,
        args: &LogsArgs,
        run: &str,
        last: bool,
    ) -> Result<(), CliError> {
        let wanted: Vec<&ViewNode> = match &args.node {
            Some(node) => {
                let found = view.find(node);
                vec![found.ok_or_else(|| CliError::NoNode { run: run.to_owned(), node: node.clone() })?]
            }
            None => view.nodes.values().collect(),
        };
        for (node, only) in below(view, &wanted).into_iter().filter_map(|node| logged(view, node)) {
            let name = output::shown(&view.display_name(node)).into_owned();
            for attempt in &node.attempts {
                let (id, template) = (&attempt.attempt.id, &attempt.attempt.work.template);
                let ended = last || attempt.verdict.is_some() || node.phase.fulfilled();
                for container in containers(template, only.or(args.container.as_deref())) {
                    let several = template.mains().len() > 1 || container != MAIN;
                    let name = if several { format!("{name}.{container}") } else { name.clone() };
                    let offset = self.offset(id, container);
                    let Some(from) = offset else { continue };
                    let bytes = self.news(store, id, container, from, ended).await?;
                    output::data(&self.lines(&name, &bytes, args.tail.filter(|_| from == 0)))?;
                    let printed = from + bytes.len() as u64;
                    let offset = attempt.verdict.is_none().then_some(printed);
                    self.offsets.insert((id.clone(), container.to_owned()), offset);
                }
            }
        }
        Ok(())
    }

    /// How much of a log has been printed; none: all of it.
    fn offset(&self, attempt: &AttemptId, container: &str) -> Option<u64> {
        let known = self.offsets.get(&(attempt.clone(), container.to_owned()));
        known.copied().unwrap_or(Some(0))
    }

    /// Forgets logs that are not in the view any more: they have been printed.
    fn forget(&mut self, view: &View) {
        self.offsets.retain(|(attempt, _), _| view.of_attempt(attempt).is_some());
    }

    /// What a log has from an offset on.
    async fn news(
        &self,
        store: &Home,
        attempt: &AttemptId,
        container: &str,
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
        lines[skip..].iter().map(|line| self.line(name, line)).collect()
    }

    fn line(&self, name: &str, line: &str) -> String {
        if self.prefix { format!("{name}: {line}\n") } else { format!("{line}\n") }
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
