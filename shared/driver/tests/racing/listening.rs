//! Doorbells answered batch by batch.

use std::sync::Arc;

use dropforge_driver::doorbells::{Doorbells, Ring, Why};
use dropforge_driver::heard::{Answer, HOPS_MAX, Heard, Listener};
use dropforge_driver::store::StoreError;
use dropforge_engine::attempt::Outcome;
use dropforge_engine::ids::RunUid;
use jiff::SignedDuration;

use super::faulty::FaultyStore;
use super::{Handle, ONE, WIDE, now};

impl Doorbells for Handle {
    async fn ring(&self, rings: &[Ring]) -> Result<(), StoreError> {
        self.0.inner().rung.extend(rings.iter().cloned());
        Ok(())
    }
}

type TestListener = Listener<FaultyStore, Handle, Handle, Handle, Handle, Handle>;

fn listener(world: &Handle) -> TestListener {
    let maker = world.clone();
    Listener::new(Box::new(move || maker.function()), Arc::new(world.clone()))
}

fn heard(run: &RunUid, why: Why, hops: u32) -> Heard {
    Heard { run: run.clone(), why, hops, again: false }
}

#[test]
fn the_doorbells_of_a_batch_are_answered_run_by_run() {
    let world = Handle::default();
    let mut listener = listener(&world);
    let runs = [world.born(ONE, "a"), world.born(WIDE, "b"), "nobody".into()];
    let batch = runs.each_ref().map(|run| heard(run, Why::Submitted, 0));
    let answers = now(listener.hear(&batch));
    let answers = runs.each_ref().map(|run| &answers[run]);
    assert!(matches!(answers, [Answer::Done, Answer::Done, Answer::Unknown]), "{answers:?}");
    let batch: Vec<Heard> = world
        .pods()
        .into_iter()
        .map(|pod| {
            world.0.run_pod(&pod, Outcome::Succeeded);
            let run = if pod.as_str().starts_with("wf-a") { &runs[0] } else { &runs[1] };
            heard(run, Why::Attempt(pod), 0)
        })
        .collect();
    assert_eq!(batch.len(), 5);
    let before = world.0.store.counted();
    now(listener.hear(&batch));
    let after = world.0.store.counted();
    assert_eq!(
        (after.loads, after.commits - before.commits),
        (before.loads, 3),
        "the end of `a` is told too"
    );
}

#[test]
fn who_is_contended_rings_once_later_for_all_and_each_time_waits_longer() {
    let world = Handle::default();
    let run = world.born(ONE, "u");
    let mut listener = listener(&world);
    world.0.store.lose(u32::MAX);
    let batch = [heard(&run, Why::Submitted, 3), heard(&run, Why::Sweep, 2)];
    let answers = now(listener.hear(&batch));
    assert!(matches!(answers[&run], Answer::Later), "{answers:?}");
    let ring = |hops, after| Ring {
        run: run.clone(),
        why: Why::Sweep,
        hops,
        after: SignedDuration::from_secs(after),
    };
    assert_eq!(world.0.inner().rung, [ring(3, 4)]);
    let answers = now(listener.hear(&[heard(&run, Why::Sweep, HOPS_MAX)]));
    assert!(matches!(answers[&run], Answer::Done), "the sweep goes on: {answers:?}");
    assert_eq!(world.0.inner().rung.len(), 1);
}

#[test]
fn a_store_that_fails_fails_its_runs_doorbells_only() {
    let world = Handle::default();
    let (bad, good) = (world.born(ONE, "a"), world.born(ONE, "b"));
    world.0.store.damage(&bad);
    let batch = [heard(&bad, Why::Submitted, 0), heard(&good, Why::Submitted, 0)];
    let answers = now(listener(&world).hear(&batch));
    assert!(matches!(answers[&bad], Answer::Failed(_)), "{answers:?}");
    assert!(matches!(answers[&good], Answer::Done), "{answers:?}");
}
