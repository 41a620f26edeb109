//! The functions as tasks: what calls them, and what becomes of their messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use dropforge_driver::births::{Identity, Site};
use dropforge_driver::crons::keep::trim_history;
use dropforge_driver::heard::{Answer, Heard, Listener};
use dropforge_driver::ingest::{Ingest, Ingested, Notice};
use dropforge_driver::owner::{Others, OwnError, Owner, Told, Watcher};
use dropforge_driver::sweeping::Sweep;
use dropforge_engine::invariants::violations;
use dropforge_engine::record::Record;
use dropforge_engine::state::RunState;

use crate::bugs::Bug;
use crate::checks;
use crate::outside::Outside;
use crate::queue::{Body, Queue};
use crate::starting::NAMESPACE;
use crate::store::Store;
use crate::world::{Handle, TaskId};

type Function = Owner<Store, Outside, Outside, Outside, Outside>;

/// A function that advances runs, for ever; it may be killed anywhere and begins again.
pub fn advance(world: &Handle, old: bool) -> TaskId {
    let own = world.clone();
    world.spawn_function(Box::new(move || Box::pin(advances(own.clone(), old))))
}

async fn advances(world: Handle, old: bool) {
    while old && world.has_old() {
        advances_as(&world, true).await;
    }
    advances_as(&world, false).await;
}

/// Advances runs as long as this version is about.
async fn advances_as(world: &Handle, old: bool) {
    let outside = Arc::new(Outside::new(world, old));
    let made = outside.clone();
    let make = move || function(&made);
    let mut listener = Listener::new(Box::new(make), outside.clone());
    while !old || world.has_old() {
        let batch = bells(world.receive(Queue::Events).await);
        let heard: Vec<Heard> = batch.iter().map(|(_, heard)| heard.clone()).collect();
        world.note(format_args!("hears {heard:?}"));
        let answers = listener.hear(&heard).await;
        world.note(format_args!("answers {answers:?}"));
        if world.is_peaceful() {
            // Others may be faster, and nothing else is in the way.
            let failed = answers.iter().filter(|(_, answer)| matches!(answer, Answer::Failed(_)));
            for (run, answer) in &answers {
                // The product keeps it from the other runs; here it is what is looked for.
                if let Answer::Failed(OwnError::Broke { why, .. }) = answer {
                    panic!("{run}: {why}");
                }
            }
            failed
                .for_each(|failed| world.wrong(format_args!("nothing goes wrong, and it fails: {failed:?}")));
        }
        world.turn().await;
        for (id, heard) in batch {
            if !matches!(answers.get(&heard.run), Some(Answer::Failed(_)) | None) {
                world.delete(Queue::Events, id);
            }
        }
    }
}

fn bells(messages: Vec<(u64, Body, u32)>) -> Vec<(u64, Heard)> {
    let bell = |(id, body, receives): (u64, Body, u32)| match body {
        Body::Bell(heard) => Some((id, Heard { again: receives > 1, ..heard })),
        Body::Notice(_) => None,
    };
    let bells: BTreeMap<u64, Heard> = messages.into_iter().filter_map(bell).collect();
    bells.into_iter().collect()
}

fn function(outside: &Arc<Outside>) -> Function {
    let store = Arc::new(outside.store.clone());
    let own = (**outside).clone();
    let watcher = watcher(&outside.world);
    Owner::new(store, outside.clone(), own.clone(), own.clone(), own, watcher).beside(Others::Many)
}

/// Looks at every state that somebody decided on.
fn watcher(world: &Handle) -> Watcher {
    let world = world.clone();
    Box::new(move |state: &RunState, records: &[Record], told| {
        let found = violations(state);
        if !found.is_empty() {
            world.wrong(format_args!("{}: {}", state.program.spec.uid, found.join("; ")));
        }
        if told == Told::New {
            for record in records {
                world.note(format_args!("record {record:?}"));
            }
            checks::told(&world, state, records);
        }
    })
}

/// The sweep, every minute; it may be killed too.
pub fn sweep(world: &Handle) -> TaskId {
    let own = world.clone();
    world.spawn_function(Box::new(move || Box::pin(sweeps(own.clone()))))
}

async fn sweeps(world: Handle) {
    let mut since = None;
    loop {
        let left = 60_000 - world.inner().now % 60_000;
        world.sleep(left).await;
        let old = world.has_old() && world.inner().random.chance(1, 2);
        let outside = Outside::new(&world, old);
        let sweep = Sweep {
            store: &outside.store,
            pods: &outside,
            doorbells: &outside,
            reminders: &outside,
            since: since.replace(outside.time()),
            now: outside.time(),
        };
        if world.breaks(Bug::SweepMute) {
            continue;
        }
        let swept = sweep.sweep().await;
        world.note(format_args!("swept {swept:?}"));
    }
}

/// A function that takes uploads and reminders, for ever; it may be killed anywhere and begins again.
pub fn ingest(world: &Handle, old: bool) -> TaskId {
    let own = world.clone();
    world.spawn_function(Box::new(move || Box::pin(ingests(own.clone(), old))))
}

async fn ingests(world: Handle, old: bool) {
    let (namespaces, site) = ([NAMESPACE.to_owned()], Site::default());
    let notice = |(id, body, _): (u64, Body, u32)| match body {
        Body::Notice(notice) => Some((id, notice)),
        Body::Bell(_) => None,
    };
    loop {
        let received = world.receive(Queue::Uploads).await.into_iter().filter_map(notice);
        let (ids, notices): (Vec<u64>, Vec<Notice>) = received.unzip();
        let outside = Outside::new(&world, old && world.has_old());
        if world.breaks(Bug::UploadDeletedFirst) {
            ids.iter().for_each(|id| world.delete(Queue::Uploads, *id));
        }
        let (call, mut drawn) = (world.nonce("call"), 0);
        let mut new = || {
            drawn += 1;
            Identity::of_call(&call, drawn)
        };
        let ingest = Ingest {
            store: &outside.store,
            doorbells: &outside,
            alarms: &outside,
            heads: &outside,
            namespaces: &namespaces,
            site: &site,
            now: outside.time(),
        };
        world.note(format_args!("takes {notices:?}"));
        let Ingested { messages, crons } = ingest.handle(&notices, &mut new).await;
        world.note(format_args!("took {messages:?}"));
        let unrung = outside.store.unrung().clone();
        if !unrung.is_empty() && messages.iter().all(Result::is_ok) {
            world.wrong(format_args!("nobody rings for {unrung:?}"));
        }
        for (id, outcome) in ids.iter().zip(messages) {
            if outcome.is_ok() || world.breaks(Bug::FailureSwallowed) {
                world.delete(Queue::Uploads, *id);
            }
        }
        for (namespace, cron) in crons {
            // What fails is done at the next tick.
            let _ = trim_history(&outside.store, &namespace, &cron, outside.time()).await;
        }
    }
}
