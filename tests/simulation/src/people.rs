//! People: they submit, and some stop, suspend, resume and retry, also twice and late.

use dropforge_driver::births::{Identity, Library, Overrides, Site, run_spec};
use dropforge_driver::deaths;
use dropforge_driver::doorbells::Why;
use dropforge_driver::heard::Heard;
use dropforge_driver::store::{Buried, Inbox, Index, Runs};
use dropforge_engine::event::{Command, RetryOptions, Verb};
use dropforge_engine::ids::RunUid;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_manifest::types::Workflow;

use crate::checks;
use crate::flow::{Flow, workflow};
use crate::plan::Fault;
use crate::queue::{Body, Queue};
use crate::samples::Sample;
use crate::store::Store;
use crate::world::{FAULTS, Going, Handle, World, timestamp};

/// The spec of a run.
fn spec(world: &World, (workflow, library): (Workflow, Library), uid: &str) -> RunSpec {
    let identity = Identity { uid: uid.into(), suffix: uid.replace("run-", "r") };
    let (site, overrides) = (Site::default(), Overrides::default());
    let cause = Cause::Person { by: "somebody".to_owned() };
    let now = timestamp(world.inner().now);
    run_spec(workflow, &library, &site, &overrides, &identity, cause, now).expect("a sound workflow")
}

/// The uid of a sample's run.
pub const SAMPLE: &str = "sample";

/// So often a hasty person wants a run again.
const ENDS_MAX: u32 = 2;

/// So often a hasty person tries to delete a run.
const GOES_MAX: u32 = 100;

/// Submits a sample after a while, and says yes where it asks.
pub async fn tries(world: Handle, sample: &'static Sample) {
    let waits = world.inner().random.between(0, FAULTS / 2);
    world.sleep(waits).await;
    let store = Store::new(&world, false);
    let spec = spec(&world, sample.workflow(), SAMPLE);
    while store.create_run(&spec).await.is_err() {
        world.sleep(1_000).await;
    }
    rings(&world, &spec.uid, Why::Submitted);
    let mut asked = 0;
    // It may be asked before the step is there that waits for the answer.
    while sample.asks && !checks::is_over(&world, &spec.uid) {
        world.sleep(90_000).await;
        asked += 1;
        let outputs = [("approve".to_owned(), "yes".to_owned())].into();
        let verb = Verb::Resume { selector: Some("displayName=approve".to_owned()), outputs };
        says(&world, &store, &spec.uid, command(&world, &format!("yes-{asked}"), verb)).await;
    }
    world.inner().people -= 1;
}

/// Submits a run after a while, and goes on with it.
pub async fn submits(world: Handle, flow: Flow, n: u32) {
    let latest = if world.plan.hasty { 50 } else { 60_000 };
    let waits = world.inner().random.between(0, latest);
    world.sleep(waits).await;
    let store = Store::new(&world, false);
    let spec = spec(&world, (workflow(&flow), Library::default()), &format!("run-{n}"));
    while store.create_run(&spec).await.is_err() {
        world.sleep(1_000).await;
    }
    rings(&world, &spec.uid, Why::Submitted);
    if world.has(Fault::Commands) {
        commands(&world, &store, &spec.uid).await;
    }
    world.inner().people -= 1;
}

fn rings(world: &World, run: &RunUid, why: Why) {
    let heard = Heard { run: run.clone(), why, hops: 0, again: false };
    world.send(Queue::Events, Body::Bell(heard), 0);
}

async fn commands(world: &Handle, store: &Store, run: &RunUid) {
    let many = world.inner().random.below(4);
    for n in 0..many {
        let waits = world.inner().random.between(100, FAULTS / 3);
        world.sleep(waits).await;
        let verb = verb(world);
        let suspends = matches!(verb, Verb::Suspend);
        says(world, store, run, command(world, &format!("c-{n}"), verb)).await;
        if suspends {
            let waits = world.inner().random.between(100, 120_000);
            world.sleep(waits).await;
            let verb = Verb::Resume { selector: None, outputs: [].into() };
            says(world, store, run, command(world, &format!("r-{n}"), verb)).await;
        }
    }
}

/// A run has just ended. Somebody hasty wants one of their own once more, as long as it has not ended often, and one of
/// a trigger or schedule gone.
pub fn ended(world: &Handle, run: &RunUid) {
    if !world.plan.hasty {
        return;
    }
    let times = {
        let ended = &mut world.inner().ended;
        let times = ended.entry(run.clone()).or_default();
        *times += 1;
        *times
    };
    let wants: Option<Going> = match run.as_str() {
        SAMPLE => None,
        own if own.starts_with("run-") => {
            (times <= ENDS_MAX).then(|| Box::pin(wants_again(world.clone(), run.clone(), times)) as Going)
        }
        _ => Some(Box::pin(wants_gone(world.clone(), run.clone()))),
    };
    if let Some(wants) = wants {
        world.inner().people += 1;
        world.spawn(wants);
    }
}

async fn wants_again(world: Handle, run: RunUid, times: u32) {
    // So long as functions are at work to see a run off.
    let waits = world.inner().random.between(0, 150);
    world.sleep(waits).await;
    let store = Store::new(&world, false);
    let again = command(&world, &format!("again-{times}"), Verb::Retry(RetryOptions::default()));
    says(&world, &store, &run, again).await;
    world.inner().people -= 1;
}

/// Deletes it as soon as it is no longer live.
async fn wants_gone(world: Handle, run: RunUid) {
    let store = Store::new(&world, false);
    for _ in 0..GOES_MAX {
        let waits = world.inner().random.between(0, 300);
        world.sleep(waits).await;
        let Ok(entries) = store.entries(None).await else { continue };
        let Some(entry) = entries.iter().find(|entry| entry.uid == run) else { continue };
        if deaths::delete(&store, entry, "somebody", world.now())
            .await
            .is_ok_and(|gone| gone == Buried::Hidden)
        {
            world.note(format_args!("{run} is deleted"));
            break;
        }
    }
    world.inner().people -= 1;
}

fn command(world: &World, id: &str, verb: Verb) -> Command {
    Command { id: id.into(), by: "somebody".to_owned(), at: world.now(), verb }
}

fn verb(world: &World) -> Verb {
    match world.inner().random.below(6) {
        0 => Verb::Stop { message: None },
        1 => Verb::Terminate,
        2 => Verb::Suspend,
        3 => Verb::Resume { selector: None, outputs: [].into() },
        _ => Verb::Retry(RetryOptions::default()),
    }
}

/// Says it until it is known to lie in the inbox, and some say it twice.
async fn says(world: &Handle, store: &Store, run: &RunUid, command: Command) {
    let times = if world.inner().random.chance(1, 4) { 2 } else { 1 };
    for _ in 0..times {
        while store.put_command(run, &command).await.is_err() {
            world.sleep(1_000).await;
        }
        world.note(format_args!("command {command:?}"));
        world.inner().commands.push((run.clone(), command.id.clone()));
        rings(world, run, Why::Command(command.id.clone()));
    }
}
