//! Documents of older programs: `golden/ingest-N.json` holds a store as the N-th generation of formats left it, in the middle
//! of everything. Every later program takes it up and goes on.

use std::ops::ControlFlow::{Break, Continue};
use std::path::{Path, PathBuf};

use dropforge_engine::lock::LockName;
use dropforge_engine::memo::{MemoEntry, MemoKey};

use super::*;
use crate::locks::{self, Claimant};
use crate::memos;

/// The generation of formats that this code writes. A new format of any document begins a new one.
const GENERATION: u32 = 2;

const BATCHES: &str = "
apiVersion: dropforge.dev/v1alpha1
kind: Trigger
metadata: {name: batches}
spec:
  s3: {bucket: uploads, prefix: batches/, batch: {count: 2, window: 10m}}
  concurrencyPolicy: Queue
  workflow:
    entrypoint: main
    templates:
    - name: main
      container: {image: a, command: [\"true\"]}
";

fn template() -> String {
    "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: train}\nspec:\n  entrypoint: main\n  \
     templates:\n  - {name: main, container: {image: a, command: [\"true\"]}}\n"
        .to_owned()
}

fn mutex() -> LockName {
    LockName::Mutex { namespace: NS.to_owned(), name: "gpu".to_owned() }
}

fn claimant(run: &str) -> Claimant {
    let key = format!("{NS}/{run}");
    Claimant { run: run.into(), node: None, key, generation: 0, priority: 0, created_at: at(NOW) }
}

fn memo() -> MemoKey {
    MemoKey { cache: "c".to_owned(), key: "k".to_owned() }
}

/// A batch that is open, runs that wait, runs and a tick that were decided on when their creator died, a lock that is held,
/// a cache entry.
fn left() -> World {
    let unborn = |world: &World| {
        let state = done(triggers::keep::state(world, NS, "batches")).unwrap();
        state.is_some_and(|state| state.active.iter().any(|run| !run.born))
    };
    let dropped = |world: &World| {
        let object = |n| world.object(&format!("batches/{n}"), "1", &format!("2026-05-01T10:00:0{n}Z"));
        let five: Vec<Announced> = (1..=5).map(object).collect();
        drop(world.handle(&[objects(&five)], "2026-05-01T10:00:06Z"));
    };
    let world = (0..100).map(|n| killed(begun(), n, dropped)).find(unborn).expect("it dies in between");
    let admitted = |world: &World| {
        let state = done(crons::keep::state(world, NS, "nightly")).unwrap();
        state.is_some_and(|state| state.active.iter().any(|run| !run.born))
    };
    let ticked = |world: &World| drop(world.handle(&[Notice::Remind(nightly())], "2026-05-02T00:30:01Z"));
    // Each death comes one write later than the one before, and none of them undoes anything.
    let world = (0..100).try_fold(world, |world, n| {
        let world = killed(world, n, ticked);
        if admitted(&world) { Break(world) } else { Continue(world) }
    });
    let world = world.break_value().expect("it dies in between");
    paged(&world);
    let locks = [(mutex(), 1)];
    done(locks::keep::take(&world, &claimant("first"), &locks, &|_| true)).unwrap();
    done(locks::keep::take(&world, &claimant("second"), &locks, &|_| true)).unwrap();
    let gave = MemoEntry { node_id: "n".to_owned(), outputs: Default::default(), created_at: at(NOW) };
    done(memos::write(&world, NS, &memo(), &gave)).unwrap();
    world
}

/// Definitions, and schedules that are watched.
fn begun() -> World {
    let world = World::with(BATCHES);
    world.define(NS, &TRIGGER.replace("name: churn", "name: wide").replace("churn/", "wide/"));
    world.define(NS, &template());
    world.define(NS, CRON);
    assert_eq!(world.handle(&[Notice::Remind(nightly())], NOW), [Ok(())]);
    world
}

/// A world in which a process has died before its write number `n`.
fn killed(world: World, n: usize, go: impl Fn(&World)) -> World {
    world.documents.fail_at(n, Fault::Before);
    go(&world);
    world.documents.restart();
    world
}

/// A page, which otherwise takes hundreds of objects.
fn paged(world: &World) {
    let object = json!({"bucket": "uploads", "key": "wide/a.csv", "versionId": "1", "etag": "e", "size": 3,
        "time": "2026-05-01T10:00:00Z"});
    let birth = json!({"uid": "paged", "suffix": "abcde", "objects": [object]});
    let page = json!({"format": 1, "births": [birth]});
    done(create(world, "triggers/ml/wide/waiting/0123", &page)).unwrap();
    let state = json!({"format": 2, "since": "2026-05-01T09:00:00Z",
        "pages": [{"name": "0123", "births": 1, "objects": 1}]});
    done(create(world, "triggers/ml/wide/state.json", &state)).unwrap();
    let wide = Starter::Trigger { namespace: NS.to_owned(), name: "wide".to_owned() };
    done(starters::mark(world, &wide, at(NOW))).unwrap();
}

fn file(generation: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/ingest/tests/golden/ingest-{generation}.json"))
}

fn documents(world: &World) -> BTreeMap<String, String> {
    let text = |key: &String| String::from_utf8(done(world.get(key)).unwrap().unwrap().body).unwrap();
    done(world.keys("")).unwrap().into_iter().map(|key| (key.clone(), text(&key))).collect()
}

fn kept(generation: u32) -> World {
    let text = std::fs::read_to_string(file(generation)).unwrap();
    let documents: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
    let world = World::default();
    for (key, text) in documents {
        done(world.swap(&key, None, text.as_bytes())).unwrap();
    }
    // Later than any that was drawn.
    *world.drawn.lock().unwrap() = 100;
    world
}

#[test]
fn documents_of_every_generation_are_taken_up_where_they_were_left() {
    for generation in 1..=GENERATION {
        let world = kept(generation);
        world.sweep("2026-05-02T00:31:00Z");
        let causes = |world: &World| {
            let mut causes: Vec<String> = world.specs().iter().map(cause).collect();
            causes.sort();
            causes
        };
        let tick = "nightly 2026-05-02T00:30:00Z";
        assert_eq!(causes(&world), ["batches/1,batches/2", tick, "wide/a.csv"], "{generation}");
        assert_eq!(done(world.keys("triggers/ml/wide/waiting/")).unwrap(), [""; 0]);
        let state = |world: &World| done(triggers::keep::state(world, NS, "batches")).unwrap().unwrap();
        // Its window has closed: the fifth waits behind the pair before it.
        assert_eq!((state(&world).waiting(), state(&world).batch.objects.len()), (2, 0));
        for (uid, now) in [("first", "2026-05-02T01:00:00Z"), ("second", "2026-05-02T02:00:00Z")] {
            let active = state(&world).active[0].birth.uid.clone();
            let end = (&active, RunPhase::Succeeded);
            assert!(done(triggers::keep::ended(&world, NS, "batches", end, at(now))).unwrap(), "{uid}");
            let starter = Starter::Trigger { namespace: NS.to_owned(), name: "batches".to_owned() };
            assert_eq!(world.handle(&[Notice::Remind(starter)], now), [Ok(())]);
        }
        let all = ["batches/1,batches/2", "batches/3,batches/4", "batches/5", tick, "wide/a.csv"];
        assert_eq!(causes(&world), all, "{generation}");
        // What was seen stays seen.
        let again = world.object("batches/1", "1", "2026-05-01T10:00:01Z");
        assert_eq!(world.handle(&[objects(&[again])], "2026-05-02T03:00:00Z"), [Ok(())]);
        assert_eq!(world.specs().len(), all.len());
        let lock = done(locks::keep::state(&world, &mutex())).unwrap().unwrap();
        assert_eq!((lock.holders, lock.waiters), (vec![claimant("first")], vec![claimant("second")]));
        let granted =
            done(locks::keep::leave(&world, &mutex(), &claimant("first").leaving(), &|_| true)).unwrap();
        assert_eq!(granted, [claimant("second")]);
        let found = done(memos::read(&world, NS, &memo(), at(NOW))).unwrap().unwrap();
        assert_eq!(found.node_id, "n");
    }
}

/// The objects or the tick that a run is of.
fn cause(spec: &RunSpec) -> String {
    match &spec.cause {
        Cause::Drop { objects, .. } => {
            objects.iter().map(|object| object.key.clone()).collect::<Vec<_>>().join(",")
        }
        Cause::Schedule { cron, scheduled_time } => format!("{cron} {scheduled_time}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_last_generation_is_still_written() {
    let golden: BTreeMap<String, String> =
        serde_json::from_str(&std::fs::read_to_string(file(GENERATION)).unwrap()).unwrap();
    assert_eq!(documents(&left()), golden);
}

/// Golden files are only ever added: what an older program wrote does not change.
#[test]
#[ignore = "writes the golden file of a new generation"]
fn write_the_golden_file() {
    let file = file(GENERATION);
    assert!(!file.exists(), "a generation that exists does not change");
    std::fs::write(file, serde_json::to_string_pretty(&documents(&left())).unwrap() + "\n").unwrap();
}
