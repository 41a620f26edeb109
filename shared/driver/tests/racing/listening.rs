//! Doorbells answered batch by batch.

use std::sync::Arc;

use dropforge_driver::doorbells::{Doorbells, Ring, Why};
use dropforge_driver::heard::{Answer, HOPS_MAX, Heard, Listener};
use dropforge_driver::store::{Runs, StoreError};
use dropforge_driver::sweeping::plan;
use dropforge_engine::attempt::Outcome;
use dropforge_engine::ids::RunUid;
use jiff::SignedDuration;

use super::faulty::FaultyStore;
use super::{Handle, KINDS, ONE, WIDE, now};

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
    // Whoever was about to create it died after the marker.
    now(world.0.store.mark_live(&runs[2])).unwrap();
    let batch = runs.each_ref().map(|run| heard(run, Why::Submitted, 0));
    let answers = now(listener.hear(&batch));
    let answers = runs.each_ref().map(|run| &answers[run]);
    assert!(matches!(answers, [Answer::Done, Answer::Done, Answer::Unknown]), "{answers:?}");
    assert_eq!(now(world.0.store.live_runs()).unwrap(), runs[..2], "nobody is not live");
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
fn what_breaks_over_one_run_is_kept_from_the_others() {
    let world = Handle::default();
    let mut listener = listener(&world);
    let runs = [world.born(ONE, "a"), world.born(ONE, "b")];
    now(listener.hear(&[heard(&runs[0], Why::Submitted, 0)]));
    let breaks = heard(&runs[0], Why::Command("breaks".into()), 0);
    let answers = now(listener.hear(&[breaks, heard(&runs[1], Why::Submitted, 0)]));
    let Answer::Failed(why) = &answers[&runs[0]] else { panic!("{answers:?}") };
    assert_eq!(why.to_string(), "look at run a: the program broke (broken on purpose); please report it");
    assert!(matches!(answers[&runs[1]], Answer::Done), "{answers:?}");
    // Nothing of what broke is believed: the next doorbell loads the run anew.
    let loads = world.0.store.counted().loads;
    let answers = now(listener.hear(&[heard(&runs[0], Why::Sweep, 0)]));
    assert!(matches!(answers[&runs[0]], Answer::Done), "{answers:?}");
    assert_eq!(world.0.store.counted().loads, loads + 1);
}

#[test]
fn a_command_that_a_newer_program_left_holds_up_no_other_doorbell_of_its_batch() {
    let world = Handle::default();
    let run = world.born(ONE, "u");
    let mut listener = listener(&world);
    now(listener.hear(&[heard(&run, Why::Submitted, 0)]));
    let pod = world.pods()[0].clone();
    world.0.run_pod(&pod, Outcome::Succeeded);
    let newer = heard(&run, Why::Command("newer".into()), 0);
    let answers = now(listener.hear(&[newer, heard(&run, Why::Attempt(pod), 0)]));
    assert!(matches!(answers[&run], Answer::Done), "{answers:?}");
    assert!(world.state(&run).phase.completed());
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

/// Doorbells and when they ring, in seconds.
struct Bells {
    world: Handle,
    run: RunUid,
    ringing: Vec<(i64, Heard)>,
}

impl Bells {
    /// A run that finds no room, and has just been born.
    fn new() -> Bells {
        let world = Handle::default();
        let run = world.born(KINDS, "u");
        world.0.inner().full = ["large".to_owned(), "small".to_owned()].into();
        let born = heard(&run, Why::Submitted, 0);
        Bells { world, run, ringing: vec![(0, born)] }
    }

    /// One minute: the sweep rings, and a listener hears what rings. Gives how often it looked at everything.
    fn minute(&mut self, mut listener: impl FnMut() -> TestListener) -> u32 {
        let before = self.world.0.store.counted().inboxes;
        let began = self.world.0.inner().seconds;
        let swept = plan(&[self.run.clone()].into(), &[], 0..=0).rings();
        self.ring(began, swept);
        for second in began..began + 60 {
            self.world.0.inner().seconds = second;
            let (due, later) = self.ringing.drain(..).partition(|(at, _)| *at <= second);
            self.ringing = later;
            for (_, heard) in due {
                now(listener().hear(&[heard]));
                let rung = std::mem::take(&mut self.world.0.inner().rung);
                self.ring(second, rung);
            }
        }
        self.world.0.inner().seconds = began + 60;
        self.world.0.store.counted().inboxes - before
    }

    fn ring(&mut self, now: i64, rings: Vec<Ring>) {
        let ring = |ring: Ring| (now + ring.after.as_secs(), heard(&ring.run, ring.why, ring.hops));
        self.ringing.extend(rings.into_iter().map(ring));
    }
}

#[test]
fn a_run_that_waits_for_room_for_hours_is_looked_at_three_times_a_minute() {
    let mut bells = Bells::new();
    let world = bells.world.clone();
    // Each doorbell is heard by another function.
    let looks: Vec<u32> = (0..90).map(|_| bells.minute(|| listener(&world))).collect();
    assert_eq!(looks[0], 1 + 5 + 3, "its birth, and the sweep");
    assert_eq!(looks[1..4], [1 + 3, 3, 3]);
    assert!(looks[4..].iter().all(|looks| *looks == 3), "{looks:?}");
    assert_eq!(world.0.inner().asked, 2 * looks.iter().sum::<u32>(), "one attempt of each kind a look");
    world.0.inner().full.clear();
    bells.minute(|| listener(&world));
    assert_eq!(world.pods().len(), 52);
}

#[test]
fn a_run_is_stuck_that_waits_for_an_hour_while_nothing_of_it_runs() {
    let world = Handle::default();
    world.0.inner().full.insert("main".to_owned());
    let run = world.born(ONE, "u");
    let mut listener = listener(&world);
    now(listener.hear(&[heard(&run, Why::Submitted, 0)]));
    let mut answer = |after: i64| {
        world.0.inner().seconds += after;
        now(listener.hear(&[heard(&run, Why::Sweep, 0)])).remove(&run)
    };
    assert!(matches!(answer(3000), Some(Answer::Later)));
    assert!(matches!(answer(700), Some(Answer::Stuck)));
    world.0.inner().full.clear();
    assert!(matches!(answer(60), Some(Answer::Done)), "its pod is made");
}

#[test]
fn a_run_is_not_stuck_while_one_of_its_steps_runs() {
    let world = Handle::default();
    let run = world.born(WIDE, "u");
    let mut listener = listener(&world);
    now(listener.hear(&[heard(&run, Why::Submitted, 0)]));
    let pods = world.pods();
    world.0.inner().full.insert("step".to_owned());
    world.0.run_pod(&pods[0], Outcome::Failed);
    world.0.inner().seconds += 10;
    now(listener.hear(&[heard(&run, Why::Attempt(pods[0].clone()), 0), heard(&run, Why::Sweep, 0)]));
    world.0.inner().seconds += 5000;
    let answers = now(listener.hear(&[heard(&run, Why::Sweep, 0)]));
    assert!(matches!(answers[&run], Answer::Later), "{answers:?}");
}

#[test]
fn of_many_ends_of_attempts_that_find_no_room_for_the_next_a_function_rings_once() {
    let world = Handle::default();
    let run = world.born(WIDE, "u");
    let mut listener = listener(&world);
    now(listener.hear(&[heard(&run, Why::Submitted, 0)]));
    world.0.inner().full.insert("step".to_owned());
    for pod in world.pods() {
        world.0.run_pod(&pod, Outcome::Failed);
        let answers = now(listener.hear(&[heard(&run, Why::Attempt(pod), 0)]));
        assert!(matches!(answers[&run], Answer::Later), "{answers:?}");
    }
    let rung = std::mem::take(&mut world.0.inner().rung);
    let ring = Ring { run: run.clone(), why: Why::Sweep, hops: 1, after: SignedDuration::from_secs(1) };
    assert_eq!(rung, [ring]);
    world.0.inner().seconds += 1;
    now(listener.hear(&[heard(&run, Why::Sweep, 1)]));
    assert_eq!(world.0.inner().rung.len(), 1, "it has rung, and there is no room yet");
}

#[test]
fn where_there_is_no_room_what_has_ended_makes_room_first() {
    let world = Handle::default();
    let run = world.born(WIDE, "u");
    let mut listener = listener(&world);
    now(listener.hear(&[heard(&run, Why::Submitted, 0)]));
    let pods = world.pods();
    world.0.inner().full.insert("step".to_owned());
    world.0.inner().room_by_tidying = true;
    world.0.run_pod(&pods[0], Outcome::Failed);
    let before = world.0.store.counted().commits;
    let answers = now(listener.hear(&[heard(&run, Why::Attempt(pods[0].clone()), 0)]));
    assert!(matches!(answers[&run], Answer::Done), "{answers:?}");
    assert_eq!(world.pods().len(), pods.len(), "the next one is there");
    assert_eq!(world.0.store.counted().commits - before, 1, "and nothing is on record of it that waited");
}

#[test]
fn who_was_overtaken_looks_before_its_next_commit() {
    let world = Handle::default();
    let run = world.born(WIDE, "u");
    let mut listeners = [listener(&world), listener(&world)];
    now(listeners[0].hear(&[heard(&run, Why::Submitted, 0)]));
    let pods = world.pods();
    let mut turns = Vec::new();
    for (at, who) in [1, 0, 1, 0].into_iter().enumerate() {
        let listener = &mut listeners[who];
        world.0.run_pod(&pods[at], Outcome::Succeeded);
        let answers = now(listener.hear(&[heard(&run, Why::Attempt(pods[at].clone()), 0)]));
        assert!(matches!(answers[&run], Answer::Done), "{answers:?}");
        turns.push((world.0.store.conflicts(), listener.is_contended([&run].into_iter())));
    }
    assert_eq!(turns, [(0, false), (1, true), (2, true), (2, false)], "each learns it once");
}

#[test]
fn a_doorbell_with_words_that_name_nothing_silences_no_other() {
    let world = Handle::default();
    let run = world.born(ONE, "u");
    let batch = [heard(&run, Why::Command("".into()), 0), heard(&run, Why::Submitted, 0)];
    let answers = now(listener(&world).hear(&batch));
    assert!(matches!(answers[&run], Answer::Done), "{answers:?}");
    assert_eq!(world.pods().len(), 1);
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

#[test]
fn a_run_of_a_newer_version_is_left_as_it_is_and_its_doorbell_comes_again() {
    let world = Handle::default();
    let (newer, good) = (world.born(ONE, "a"), world.born(ONE, "b"));
    world.0.store.newer(&newer, true);
    let batch = [heard(&newer, Why::Submitted, 0), heard(&good, Why::Submitted, 0)];
    let answers = now(listener(&world).hear(&batch));
    assert!(matches!(answers[&newer], Answer::Later), "{answers:?}");
    assert!(matches!(answers[&good], Answer::Done), "{answers:?}");
    let ring = Ring { run: newer.clone(), why: Why::Sweep, hops: 1, after: SignedDuration::from_mins(10) };
    assert_eq!(world.0.inner().rung, [ring], "a function of the newer version may take it then");
    assert_eq!(world.0.store.counted().commits, 1, "only the other run was written");
    // The newer version is there: nothing was lost.
    world.0.store.newer(&newer, false);
    let answers = now(listener(&world).hear(&[heard(&newer, Why::Sweep, 1)]));
    assert!(matches!(answers[&newer], Answer::Done), "{answers:?}");
    assert_eq!(world.pods().len(), 2);
}
