//! `logs`: what the steps of a run wrote, live and afterwards from the same objects.

use std::collections::BTreeMap;
use std::time::Duration;

use dropforge_driver::store::Logs;
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::view::{View, ViewNode};
use dropforge_storage::directory::DirectoryStore;

use crate::args::{Global, LogsArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::{bell, lookup, output};

/// A read of a log is at most this long.
const CHUNK: usize = 1 << 20;

/// The container whose log is kept: Argo calls it `main`.
pub const CONTAINER: &str = "main";

/// Prints logs.
///
/// # Errors
/// When there is no such run or node.
#[tokio::main(flavor = "current_thread")]
pub async fn logs(global: &Global, args: &LogsArgs) -> Result<Exit, CliError> {
    let store = lookup::reader(global)?;
    let entry = lookup::entry(&store, global, &args.run).await?;
    print(global, &store, &entry.uid, &entry.name, args).await
}

/// Prints a run's logs, also until it ends.
///
/// # Errors
/// When there is no such node, or the logs can't be read.
pub async fn print(
    global: &Global,
    store: &DirectoryStore,
    uid: &RunUid,
    name: &str,
    args: &LogsArgs,
) -> Result<Exit, CliError> {
    let mut follower = Follower::new(global.namespace.clone(), args);
    loop {
        // Asked before the journal is read: what an owner wrote before it left is seen.
        let answered = bell::is_answered(store.root());
        let (view, _) = lookup::view(store, uid).await?;
        follower.print(store, &view, args, name).await?;
        if view.state.phase.completed() || !args.follow {
            return Ok(Exit::Succeeded);
        }
        if !answered {
            output::say(bell::UNANSWERED);
            return Ok(Exit::Trouble);
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

struct Follower {
    namespace: String,
    offsets: BTreeMap<AttemptId, u64>,
    prefix: bool,
}

impl Follower {
    fn new(namespace: String, args: &LogsArgs) -> Follower {
        Follower { namespace, offsets: BTreeMap::new(), prefix: !args.no_prefix && args.node.is_none() }
    }

    async fn print(
        &mut self,
        store: &DirectoryStore,
        view: &View,
        args: &LogsArgs,
        run: &str,
    ) -> Result<(), CliError> {
        let wanted: Vec<&ViewNode> = match &args.node {
            Some(node) => {
                let found = view.find(node);
                vec![found.ok_or_else(|| CliError::NoNode { run: run.to_owned(), node: node.clone() })?]
            }
            None => view.nodes.values().collect(),
        };
        for node in below(view, &wanted) {
            for attempt in &node.attempts {
                self.print_attempt(store, &view.display_name(node), &attempt.attempt.id, args.tail).await?;
            }
        }
        Ok(())
    }

    async fn print_attempt(
        &mut self,
        store: &DirectoryStore,
        name: &str,
        attempt: &AttemptId,
        tail: Option<usize>,
    ) -> Result<(), CliError> {
        let first = !self.offsets.contains_key(attempt);
        let offset = self.offsets.entry(attempt.clone()).or_insert(0);
        let mut text = Vec::new();
        loop {
            let bytes = store.read_log(&self.namespace, attempt, CONTAINER, *offset, CHUNK).await?;
            *offset += bytes.len() as u64;
            let more = bytes.len() == CHUNK;
            text.extend(bytes);
            if !more {
                break;
            }
        }
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let skip = tail.filter(|_| first).map_or(0, |n| lines.len().saturating_sub(n));
        let shown: String = lines[skip..].iter().map(|line| self.line(name, line)).collect();
        output::data(&shown)
    }

    fn line(&self, name: &str, line: &str) -> String {
        if self.prefix { format!("{name}: {line}\n") } else { format!("{line}\n") }
    }
}

/// The nodes themselves and everything below them, in the order in which they were created.
fn below<'a>(view: &'a View, nodes: &[&'a ViewNode]) -> Vec<&'a ViewNode> {
    let mut found = BTreeMap::new();
    let mut open: Vec<&ViewNode> = nodes.to_vec();
    while let Some(node) = open.pop() {
        if found.insert(node.id, node).is_none() {
            open.extend(view.below(node));
        }
    }
    found.into_values().collect()
}
