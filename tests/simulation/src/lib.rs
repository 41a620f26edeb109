//! Everything that advances runs, raced and broken in a world that one seed decides.
//!
//! The driver runs here as it runs in the functions; what it sees of the world (store, queue, cluster, clock) is made
//! up, single-threaded and deterministic. A world goes on until its faults are over and nothing is left to do; then it
//! is judged. Start reading at `world`, then `checks`.

mod births;
mod bucket;
pub mod bugs;
mod checks;
mod cluster;
mod flow;
mod functions;
mod inside;
mod outside;
mod people;
pub mod plan;
mod pods;
mod queue;
pub mod random;
mod samples;
mod seen;
pub mod shrink;
mod starting;
mod steps;
mod store;
mod uploads;
pub mod world;

use std::sync::Arc;

use plan::Plan;
use world::World;

/// More turns than any world needs that comes to rest.
const TURNS_MAX: u64 = 400_000;

/// What became of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What should not have happened.
    pub wrong: Vec<String>,
    /// All that happened, as one number.
    pub digest: u64,
    /// How many turns it took.
    pub turns: u64,
    /// What happened, where the plan wants it written down.
    pub story: Vec<String>,
}

/// Lets one world go on to its end. What panics in it fails it.
pub fn simulate(plan: &Plan) -> Report {
    let panicked = |_| Report { wrong: vec!["it panics".to_owned()], digest: 0, turns: 0, story: Vec::new() };
    std::panic::catch_unwind(|| go(plan)).unwrap_or_else(panicked)
}

fn go(plan: &Plan) -> Report {
    let world = Arc::new(World::new(plan.clone()));
    let mut random = random::Random::new(plan.seed, "world");
    let runs = 1 + u32::try_from(random.below(3)).unwrap_or(0);
    let flows: Vec<flow::Flow> = (0..runs).map(|n| flow::made_up(plan, n)).collect();
    let functions = if plan.hasty { 2 + random.below(2) } else { 1 + random.below(3) };
    for n in 0..functions {
        functions::advance(&world, n == 0);
    }
    functions::sweep(&world);
    if plan.wide {
        starters(&world);
    }
    for (n, flow) in (0..).zip(&flows) {
        if plan.verbose {
            world.note(format_args!("{}", serde_json::to_string(&flow::workflow(flow)).unwrap_or_default()));
        }
        world.inner().people += 1;
        world.spawn(Box::pin(people::submits(world.clone(), flow.clone(), n)));
    }
    let sample = samples::of(plan);
    if let Some(sample) = sample {
        world.inner().people += 1;
        world.spawn(Box::pin(people::tries(world.clone(), sample)));
    }
    world.spawn(Box::pin(checks::judge(world.clone(), flows, sample)));
    let turns = world.go(TURNS_MAX);
    let digest = world.digest();
    let mut inner = world.inner();
    Report { wrong: std::mem::take(&mut inner.wrong), digest, turns, story: std::mem::take(&mut inner.story) }
}

/// Triggers and schedules, with who keeps them and the functions that start their runs.
fn starters(world: &world::Handle) {
    let (watching, ticking) = (starting::watching(&world.plan), starting::ticking(&world.plan));
    if watching.is_none() && ticking.is_none() {
        return;
    }
    let functions = 1 + world.inner().random.below(2);
    for n in 0..functions {
        functions::ingest(world, n == 0);
    }
    world.spawn(Box::pin(uploads::scheduler(world.clone())));
    if let Some(watching) = watching {
        world.note(watching.manifest());
        world.inner().births.watching = Some(watching.clone());
        world.inner().people += 1;
        world.spawn(Box::pin(uploads::drops(world.clone(), watching)));
    }
    if let Some(ticking) = ticking {
        world.note(ticking.manifest(false));
        world.inner().births.ticking = Some(ticking.clone());
        world.inner().people += 1;
        world.spawn(Box::pin(uploads::schedules(world.clone(), ticking)));
    }
}
