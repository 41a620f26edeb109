//! What must hold while a world goes on, and at its end.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use dropforge_driver::doorbells::Why;
use dropforge_driver::heard::Heard;
use dropforge_driver::locks;
use dropforge_driver::store::{Attempts, Documents, Inbox, Index, Runs};
use dropforge_engine::apply::apply;
use dropforge_engine::attempt::{Attempt, Outcome, Verdict};
use dropforge_engine::event::{Command, Verb};
use dropforge_engine::ids::{AttemptId, CommandId, RunUid};
use dropforge_engine::phase::RunPhase;
use dropforge_engine::program::Program;
use dropforge_engine::record::Record;
use dropforge_engine::snapshot::Snapshot;
use dropforge_engine::spec::RunSpec;
use dropforge_engine::state::RunState;

use crate::births;
use crate::flow::{self, Answer, Flow};
use crate::outside::SKEW_MAX;
use crate::people;
use crate::queue::{Body, Queue};
use crate::samples::Sample;
use crate::store::Store;
use crate::world::{FAULTS, Handle, World};

/// What a run is to come to.
#[derive(Debug)]
pub enum Expected {
    /// What the reference says.
    Flow(Flow),
    /// That all commands of the sample run, and well.
    Sample(&'static Sample),
    /// An end, whichever.
    Ends,
}

/// What a future gives that waits for nothing: those of a store that is not reached over a network.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(given) => given,
        Poll::Pending => unreachable!("it answers at once"),
    }
}

fn fold(spec: RunSpec, records: &[Record]) -> RunState {
    let mut state = RunState::new(Arc::new(Program::compile(spec).expect("it was compiled before")));
    records.iter().for_each(|record| apply(&mut state, record));
    state
}

fn text(state: &RunState) -> String {
    serde_json::to_string(&Snapshot::of(state)).expect("states are JSON")
}

/// Records as they are read again: the order of an item's fields may be another then.
fn as_stored(records: &[Record]) -> Vec<Record> {
    let text = serde_json::to_string(records).expect("records are JSON");
    serde_json::from_str(&text).expect("records are read as they are written")
}

/// Somebody committed records and has this state then: it is looked at now and then, or at once where the plan says so, and
/// the last one of each run at the end.
pub fn told(world: &World, state: &RunState, records: &[Record]) {
    let looks = {
        let mut inner = world.inner();
        let kept = (state.clone(), records.to_vec());
        inner.last.insert(state.program.spec.uid.clone(), kept);
        inner.random.chance(1, 16)
    };
    if looks || world.plan.replays {
        replay(world, state, records);
    }
}

/// What is on record gives the state that somebody decided on.
fn replay(world: &World, state: &RunState, records: &[Record]) {
    // A slow function may hold one that was deleted since: of that the journal stays.
    let spec = state.program.spec.clone();
    let all = now(world.kept.tail(&spec.uid, 0)).expect("it was born").records;
    // Others may have gone on since, and the same may have been committed again after a retry.
    let stored = as_stored(records);
    let is_there = |at: &usize| all[*at..].starts_with(records) || all[*at..].starts_with(&stored);
    let (live, mut differs) = (text(state), None);
    for begin in (0..=all.len().saturating_sub(records.len())).rev().filter(is_there) {
        let replayed = text(&fold(spec.clone(), &all[..begin + records.len()]));
        if replayed == live {
            return;
        }
        differs.get_or_insert(replayed);
    }
    match differs {
        Some(replayed) => world.wrong(format_args!("replay differs from live:\n{replayed}\n{live}")),
        None => world.wrong("records that were committed are not there"),
    }
}

/// Waits until the faults are over and nothing is left to do, sees that nothing more is done, and judges.
pub async fn judge(world: Handle, flows: Vec<Flow>, sample: Option<&'static Sample>) {
    world.sleep(FAULTS + 90_000).await;
    // Long enough for a pod that finds no node for long, tried four times, in steps that follow one another.
    for _ in 0..600 {
        if rests(&world) {
            break;
        }
        resume(&world);
        world.sleep(60_000).await;
    }
    if !rests(&world) {
        world.wrong(format_args!("it does not come to rest: {}", unrest(&world)));
    }
    if world.is_peaceful() {
        locks_left(&world);
    }
    let mut all: Vec<(RunUid, Expected)> =
        flows.into_iter().enumerate().map(|(n, flow)| (uid(n), Expected::Flow(flow))).collect();
    all.extend(sample.map(|sample| (people::SAMPLE.into(), Expected::Sample(sample))));
    all.extend(world.inner().births.flows());
    // Before they are rung: whoever looks at everything writes the line anew.
    all.iter().filter(|(run, _)| !is_deleted(&world, run)).for_each(|(run, _)| listed(&world, run));
    let before = world.inner().done;
    for (run, _) in &all {
        let heard = Heard { run: run.clone(), why: Why::Sweep, hops: 0, again: false };
        world.send(Queue::Events, Body::Bell(heard), 0);
    }
    world.sleep(130_000).await;
    let after = world.inner().done;
    if before != after {
        world.wrong(format_args!("a sweep of what is over does something: {before:?} {after:?}"));
    }
    for (uid, flow) in all.iter().filter(|(run, _)| !is_deleted(&world, run)) {
        run(&world, uid, flow);
    }
    births::judge(&world);
    let last = std::mem::take(&mut world.inner().last);
    last.values().for_each(|(state, records)| replay(&world, state, records));
    // The sweep looks at locks as long as a run is live.
    locks::keep::sweep(&Store::new(&world, false)).await.expect("nothing goes wrong any more");
    locks_left(&world);
    world.inner().over = true;
}

/// Somebody resumes what was left suspended.
fn resume(world: &World) {
    for run in now(world.kept.live_runs()).expect("memory") {
        let Ok(loaded) = now(world.kept.load_run(&run)) else { continue };
        if fold(loaded.spec, &loaded.records).suspended {
            let verb = Verb::Resume { selector: None, outputs: [].into() };
            let id = CommandId::from(world.nonce("last"));
            let command = Command { id: id.clone(), by: "somebody".to_owned(), at: world.now(), verb };
            now(world.kept.put_command(&run, &command)).expect("memory");
            let heard = Heard { run, why: Why::Command(id), hops: 0, again: false };
            world.send(Queue::Events, Body::Bell(heard), 0);
        }
    }
}

fn uid(n: usize) -> RunUid {
    format!("run-{n}").into()
}

fn rests(world: &World) -> bool {
    let quiet = {
        let inner = world.inner();
        inner.people == 0
            && inner.pods.shown.is_empty()
            && inner.pods.running.is_empty()
            && inner.queues.quiet_until(Queue::Events, inner.now + 60_000)
            // A reminder has its document written, whatever is due.
            && inner.queues.quiet_until(Queue::Uploads, inner.now + 150_000)
    };
    quiet && now(world.kept.live_runs()).expect("memory").is_empty() && births::rest(world)
}

fn unrest(world: &World) -> String {
    let live = now(world.kept.live_runs()).expect("memory");
    let (pods, people) = {
        let inner = world.inner();
        (format!("{:?}", inner.pods.shown.keys()), inner.people)
    };
    let mut text = format!("live {live:?}, pods {pods}, people {people}, {}", births::unrest(world));
    for run in live {
        if let Ok(loaded) = now(world.kept.load_run(&run)) {
            let state = fold(loaded.spec, &loaded.records);
            text += &format!(", {run} {:?} waits for {:?}", state.phase, state.outbox);
        }
    }
    text
}

/// One run at its end.
fn run(world: &World, run: &RunUid, expected: &Expected) {
    let Ok(loaded) = now(world.kept.load_run(run)) else {
        return world.wrong(format_args!("{run} is not there"));
    };
    let state = fold(loaded.spec, &loaded.records);
    if !state.done() {
        world.wrong(format_args!("{run} is {:?} and not done", state.phase));
    }
    listed(world, run);
    let started: BTreeMap<AttemptId, Arc<Attempt>> = loaded.records.iter().filter_map(started).collect();
    let ended: BTreeMap<AttemptId, Arc<Verdict>> = loaded.records.iter().filter_map(ended).collect();
    for id in started.keys() {
        let stored = now(world.kept.verdict("default", id)).expect("memory");
        if !ended.get(id).zip(stored.as_ref()).is_some_and(|(record, stored)| is_kept(record, stored)) {
            world.wrong(format_args!("the verdict of {id} is {stored:?} and on record {:?}", ended.get(id)));
        }
    }
    let read = |id: &CommandId| {
        loaded.records.iter().any(|r| matches!(r, Record::CommandRead { command, .. } if command.id == *id))
    };
    let commands = world.inner().commands.clone();
    for (_, command) in commands.iter().filter(|(of, id)| of == run && !read(id)) {
        world.wrong(format_args!("command {command} of {run} was never answered"));
    }
    let course: Vec<&Verb> = loaded.records.iter().filter_map(changes_course).collect();
    let retried = match course[..] {
        [] => false,
        [Verb::Retry(_)] => true,
        _ => return,
    };
    let found = match expected {
        Expected::Ends => return,
        Expected::Flow(flow) => {
            let (found, expected) = (found(state.phase, &started, &ended), flow::answer(flow));
            let agrees = match retried {
                true => found.agrees_retried(&expected, flow),
                false => found.agrees(&expected, flow),
            };
            let once = if retried { "once, and retried" } else { "" };
            (!agrees).then(|| format!("{found:?}\n  and not to {expected:?} {once}"))
        }
        Expected::Sample(sample) => {
            let (found, expected) = (succeeded(&started, &ended), sample.commands());
            let well = state.phase == RunPhase::Succeeded && found == expected;
            (!well).then(|| format!("{} {found:?}\n  and not to {expected:?}", state.phase))
        }
    };
    if let Some(found) = found {
        world.wrong(format_args!("{run} comes to {found}\n  {}", state.message));
    }
}

/// A run is in the list as what it is.
fn listed(world: &World, run: &RunUid) {
    let Some(state) = state(world, run) else { return };
    let entries = now(world.kept.entries(None)).expect("memory");
    let listed = entries.iter().find(|entry| entry.uid == *run).map(|entry| entry.phase);
    if listed != Some(state.phase) {
        world.wrong(format_args!("{run} is {:?} and listed as {listed:?}", state.phase));
    }
}

/// What a command says that has a run come to something else: who suspends it and lets it go on changes nothing, and who
/// was refused neither.
fn changes_course(record: &Record) -> Option<&Verb> {
    let Record::CommandRead { command, refused: None } = record else { return None };
    Some(&command.verb).filter(|verb| !matches!(verb, Verb::Suspend | Verb::Resume { .. }))
}

/// How often the command of each template did well.
fn succeeded(
    started: &BTreeMap<AttemptId, Arc<Attempt>>,
    ended: &BTreeMap<AttemptId, Arc<Verdict>>,
) -> BTreeMap<String, u32> {
    let mut times = BTreeMap::new();
    for (id, _) in ended.iter().filter(|(_, verdict)| verdict.outcome == Outcome::Succeeded) {
        let Some(attempt) = started.get(id) else { continue };
        *times.entry(attempt.work.template.name.clone()).or_default() += 1;
    }
    times
}

fn found(
    phase: RunPhase,
    started: &BTreeMap<AttemptId, Arc<Attempt>>,
    ended: &BTreeMap<AttemptId, Arc<Verdict>>,
) -> Answer {
    let mut answer = Answer { succeeds: phase == RunPhase::Succeeded, ..Answer::default() };
    for (id, verdict) in ended {
        let Some(attempt) = started.get(id).filter(|_| verdict.outcome != Outcome::Lost) else { continue };
        if flow::is_daemon(attempt) {
            continue;
        }
        let arguments = flow::arguments(attempt);
        let [_, _, item, retried, ..] = &arguments[..] else { continue };
        let number = flow::number(&attempt.node_name, retried);
        let good = verdict.outcome == Outcome::Succeeded;
        *answer
            .commands
            .entry((attempt.work.template.name.clone(), item.clone(), number, good))
            .or_default() += 1;
    }
    answer
}

/// The attempt that a record starts.
pub fn started(record: &Record) -> Option<(AttemptId, Arc<Attempt>)> {
    match record {
        Record::AttemptStarted { attempt, .. } => Some((attempt.id.clone(), attempt.clone())),
        _ => None,
    }
}

/// Whether records end their run.
pub fn ends(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(record, Record::RunFinished { .. }))
}

/// A run's state, unless it is not there (any more).
pub fn state(world: &World, run: &RunUid) -> Option<RunState> {
    now(world.kept.load_run(run)).ok().map(|loaded| fold(loaded.spec, &loaded.records))
}

/// Whether a run has ended.
pub fn is_over(world: &World, run: &RunUid) -> bool {
    state(world, run).is_none_or(|state| state.phase.completed())
}

/// Whether nothing is left to do of a run that was deleted: its journal stays.
pub fn was_done(world: &World, spec: RunSpec) -> bool {
    let uid = spec.uid.clone();
    now(world.kept.tail(&uid, 0)).is_ok_and(|journal| fold(spec, &journal.records).done())
}

/// Whether a run was there and was deleted since: its births are on record, and its spec is not.
fn is_deleted(world: &World, run: &RunUid) -> bool {
    let born = world.inner().births.born.iter().any(|spec| spec.uid == *run);
    born && now(world.kept.load_run(run)).is_err()
}

fn ended(record: &Record) -> Option<(AttemptId, Arc<Verdict>)> {
    match record {
        Record::AttemptEnded { verdict } => Some((verdict.attempt.clone(), verdict.clone())),
        _ => None,
    }
}

/// No lock is held or waited for by anybody.
fn locks_left(world: &World) {
    for key in now(world.kept.keys("locks/")).expect("memory") {
        let stored = now(world.kept.get(&key)).expect("memory").expect("it was listed");
        let state: serde_json::Value = serde_json::from_slice(&stored.body).expect("JSON");
        if state["holders"] != serde_json::json!([]) || state["waiters"] != serde_json::json!([]) {
            world.wrong(format_args!("{key} is left as {state}"));
        }
    }
}

/// Whether a record holds the verdict that is stored. Its time is that of who decided where a clock before his told it.
fn is_kept(record: &Verdict, stored: &Verdict) -> bool {
    let ahead = stored.finished_at.duration_since(record.finished_at).as_millis();
    let timed = Verdict { finished_at: record.finished_at, ..stored.clone() };
    (0..=2 * i128::from(SKEW_MAX)).contains(&ahead) && timed == *record
}
