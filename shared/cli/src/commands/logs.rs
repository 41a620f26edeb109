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
use crate::{bell, lookup, output};

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
    print(global, &store, &entry.uid, &entry.name, args).await
}

/// Prints a run's logs, also until it ends.
///
/// # Errors
/// When there is no such node, or the logs can't be read.
pub async fn print(
    global: &Global,
    store: &Home,
    uid: &RunUid,
    name: &str,
    args: &LogsArgs,
) -> Result<Exit, CliError> {
    let mut follower = Follower::new(global.namespace.clone(), args);
    loop {
        // Asked before the journal is read: what an owner wrote before it left is seen.
        let answered = store.is_answered();
        let (view, _) = lookup::view(store, uid).await?;
        follower.print(store, &view, args, name).await?;
        if view.state.phase.completed() || !args.follow {
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
    offsets: BTreeMap<(AttemptId, String), u64>,
    prefix: bool,
}

impl Follower {
    fn new(namespace: String, args: &LogsArgs) -> Follower {
        Follower { namespace, offsets: BTreeMap::new(), prefix: !args.no_prefix && args.node.is_none() }
    }

    async fn print(&mut self, store: &Home, view: &View, args: &LogsArgs, run: &str) -> Result<(), CliError> {
        let wanted: Vec<&ViewNode> = match &args.node {
            Some(node) => {
                let found = view.find(node);
                vec![found.ok_or_else(|| CliError::NoNode { run: run.to_owned(), node: node.clone() })?]
            }
            None => view.nodes.values().collect(),
        };
        for (node, only) in below(view, &wanted).into_iter().filter_map(|node| logged(view, node)) {
            let name = view.display_name(node);
            for attempt in &node.attempts {
                let (id, template) = (&attempt.attempt.id, &attempt.attempt.work.template);
                for container in containers(template, only.or(args.container.as_deref())) {
                    let several = template.mains().len() > 1 || container != MAIN;
                    let name = if several { format!("{name}.{container}") } else { name.clone() };
                    self.print_container(store, &name, id, container, args.tail).await?;
                }
            }
        }
        Ok(())
    }

    async fn print_container(
        &mut self,
        store: &Home,
        name: &str,
        attempt: &AttemptId,
        container: &str,
        tail: Option<usize>,
    ) -> Result<(), CliError> {
        let log = (attempt.clone(), container.to_owned());
        let first = !self.offsets.contains_key(&log);
        let offset = self.offsets.entry(log).or_insert(0);
        let mut text = Vec::new();
        loop {
            let bytes = store.read_log(&self.namespace, attempt, container, *offset, CHUNK).await?;
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
