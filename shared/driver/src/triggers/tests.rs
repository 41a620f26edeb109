use std::collections::BTreeMap;

use dropforge_manifest::types::{Parameter, TriggerBatch, WorkflowTemplateRef};

use super::*;
use crate::documents::fake::{FakeDocuments, Fault, now as done};
use crate::store::{Documents, StoreError, Swap, Versioned};

const NS: &str = "default";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_768_000_000 + seconds).unwrap()
}

fn object(key: &str, seconds: i64) -> DroppedObject {
    DroppedObject {
        bucket: "uploads".to_owned(),
        key: key.to_owned(),
        version_id: format!("v{seconds}"),
        etag: "e".to_owned(),
        size: 3,
        time: at(seconds),
    }
}

fn trigger(change: impl FnOnce(&mut TriggerSpec)) -> Trigger {
    let mut trigger = Trigger::default();
    trigger.metadata.name = Some("churn".to_owned());
    trigger.spec.s3 = S3Trigger {
        bucket: "uploads".to_owned(),
        prefix: Some("churn/".to_owned()),
        suffix: Some(".csv".to_owned()),
        ..S3Trigger::default()
    };
    trigger.spec.workflow_template_ref =
        Some(WorkflowTemplateRef { name: "train".to_owned(), cluster_scope: false });
    change(&mut trigger.spec);
    trigger
}

fn policy(policy: &str) -> Trigger {
    trigger(|spec| spec.concurrency_policy = Some(policy.to_owned()))
}

/// A process that watches one trigger over a store: what it offered, created and terminated.
struct World {
    store: FakeDocuments,
    trigger: Trigger,
    drawn: u32,
    created: BTreeMap<String, Vec<String>>,
    terminated: Vec<String>,
}

impl World {
    fn new(trigger: Trigger) -> World {
        let store = FakeDocuments::default();
        done(keep::begin(&store, NS, "churn", false, at(0))).unwrap();
        World { store, trigger, drawn: 0, created: BTreeMap::new(), terminated: Vec::new() }
    }

    fn offer(
        &mut self,
        objects: &[DroppedObject],
        replay: Option<&str>,
        now: i64,
    ) -> Result<usize, StoreError> {
        let drawn = &mut self.drawn;
        let mut new = || identities(drawn);
        done(keep::offer(&self.store, NS, &self.trigger, objects, replay, at(now), &mut new))
    }

    fn work(&mut self, now: i64) -> Result<Vec<Told>, StoreError> {
        let drawn = &mut self.drawn;
        let mut new = || identities(drawn);
        let (told, acts, _) = done(keep::due(&self.store, NS, &self.trigger, at(now), &mut new))?;
        let mut born = Vec::new();
        for act in acts {
            match act {
                TriggerAct::Create(birth) => {
                    let keys = birth.objects.iter().map(|o| o.key.clone()).collect();
                    self.created.insert(birth.uid.to_string(), keys);
                    born.push(birth.uid);
                }
                TriggerAct::Terminate(uid) => self.terminated.push(uid.to_string()),
            }
        }
        done(keep::born(&self.store, NS, "churn", &born))?;
        Ok(told)
    }

    fn dropped(&mut self, objects: &[DroppedObject], now: i64) -> Vec<Told> {
        self.offer(objects, None, now).unwrap();
        self.work(now).unwrap()
    }

    fn end(&mut self, uid: &str, now: i64) {
        done(keep::ended(&self.store, NS, "churn", (&uid.into(), RunPhase::Succeeded), at(now))).unwrap();
    }

    fn state(&self) -> TriggerState {
        done(keep::state(&self.store, NS, "churn")).unwrap().unwrap()
    }

    fn runs(&self) -> Vec<Vec<String>> {
        self.created.values().cloned().collect()
    }
}

fn identities(drawn: &mut u32) -> Identity {
    *drawn += 1;
    Identity { uid: RunUid::from(format!("u{drawn:05}")), suffix: "abcde".to_owned() }
}

#[test]
fn a_mismatch_says_why() {
    let trigger = trigger(|_| {});
    assert_eq!(matches(&trigger, "uploads", "churn/a.csv"), Ok(()));
    let why = |bucket, key| matches(&trigger, bucket, key).unwrap_err().to_string();
    assert_eq!(why("other", "churn/a.csv"), "it looks at bucket \"uploads\"");
    assert_eq!(why("uploads", "a.csv"), "the key does not begin with \"churn/\"");
    assert_eq!(why("uploads", "churn/a.txt"), "the key does not end with \".csv\"");
    let off = self::trigger(|spec| spec.suspend = Some(true));
    assert_eq!(matches(&off, "uploads", "churn/a.csv"), Err(Mismatch::Suspended));
}

#[test]
fn a_version_starts_one_run_however_often_it_is_offered() {
    let mut world = World::new(trigger(|_| {}));
    let first = object("churn/a.csv", 1);
    world.dropped(&[first.clone(), first.clone()], 1);
    assert_eq!(world.state().acts(), []);
    world.dropped(std::slice::from_ref(&first), 2);
    world.end("u00001", 3);
    world.dropped(std::slice::from_ref(&first), 4);
    assert_eq!(world.runs(), [["churn/a.csv"]]);
    assert_eq!(world.state().acts(), []);
    world.dropped(&[object("churn/a.csv", 5)], 5);
    assert_eq!(world.runs().len(), 2, "another version is another drop");
    world.offer(std::slice::from_ref(&first), Some("r1"), 6).unwrap();
    world.offer(&[first], Some("r1"), 7).unwrap();
    world.work(7).unwrap();
    assert_eq!(world.runs().len(), 3, "a replay is one more");
}

#[test]
fn a_key_must_be_quiet_and_its_newest_version_counts() {
    let mut world = World::new(trigger(|spec| spec.s3.debounce = Some("10s".to_owned())));
    world.dropped(&[object("churn/a.csv", 1)], 1);
    world.dropped(&[object("churn/a.csv", 8)], 8);
    world.work(12).unwrap();
    assert_eq!((world.runs().len(), world.state().next_due(&world.trigger.spec)), (0, Some(at(18))));
    let mut new = || Identity { uid: "u".into(), suffix: "abcde".to_owned() };
    let (_, acts, _) = done(keep::due(&world.store, NS, &world.trigger, at(18), &mut new)).unwrap();
    let objects = vec![object("churn/a.csv", 8)];
    assert_eq!(acts, [TriggerAct::Create(Birth { uid: "u".into(), suffix: "abcde".to_owned(), objects })]);
}

#[test]
fn of_two_writes_in_one_second_the_later_one_counts_however_they_are_told_of() {
    let mut world = World::new(trigger(|spec| spec.s3.debounce = Some("10s".to_owned())));
    // In a bucket without versions.
    let written = |etag: &str| {
        let (etag, version_id) = (etag.to_owned(), String::new());
        DroppedObject { etag, version_id, ..object("churn/a.csv", 1) }
    };
    let arrival =
        |etag: &str, sequencer: &str| Arrival { object: written(etag), sequencer: sequencer.to_owned() };
    let mut new = || Identity { uid: "u".into(), suffix: "abcde".to_owned() };
    for one in [arrival("second", "01"), arrival("first", "00")] {
        done(keep::offer(&world.store, NS, &world.trigger, &[one], None, at(2), &mut new)).unwrap();
    }
    let waiting: Vec<String> = world.state().quiet.into_iter().map(|quiet| quiet.object.etag).collect();
    assert_eq!(waiting, ["second"]);
    world.dropped(&[written("third")], 3);
    assert_eq!(world.state().quiet[0].object.etag, "third", "without an order the last one counts");
}

#[test]
fn a_batch_closes_by_count_or_window() {
    let batch = TriggerBatch { count: Some(3), window: Some("1m".to_owned()) };
    let mut world = World::new(trigger(|spec| spec.s3.batch = Some(batch)));
    let four: Vec<_> = (1..=4).map(|n| object(&format!("churn/{n}.csv"), n)).collect();
    world.dropped(&four, 5);
    assert_eq!(world.runs(), [["churn/1.csv", "churn/2.csv", "churn/3.csv"]]);
    assert_eq!(world.state().next_due(&world.trigger.spec), Some(at(65)));
    world.work(65).unwrap();
    assert_eq!(world.runs()[1], ["churn/4.csv"]);
}

fn many(count: i64, seconds: i64) -> Vec<DroppedObject> {
    (0..count).map(|n| object(&format!("churn/{n:05}.csv"), seconds)).collect()
}

#[test]
fn ten_runs_are_active_by_default_and_the_rest_waits() {
    let mut world = World::new(trigger(|_| {}));
    world.dropped(&many(2_000, 1), 1);
    assert_eq!((world.runs().len(), world.state().waiting()), (10, 1_990));
    world.end("u00001", 2);
    world.work(2).unwrap();
    assert_eq!((world.runs().len(), world.state().active.len()), (11, 10));
}

#[test]
fn forbid_drops_replace_replaces_and_queue_goes_one_by_one() {
    let mut world = World::new(policy("Forbid"));
    world.dropped(&many(1, 1), 1);
    let told = world.dropped(&[object("churn/late.csv", 2)], 2);
    let why = "concurrencyPolicy Forbid: an earlier run is active".to_owned();
    assert_eq!(told, [Told::Dropped { keys: vec!["churn/late.csv".to_owned()], why }]);
    assert_eq!((world.runs().len(), world.state().dropped), (1, 1));

    let mut world = World::new(policy("Replace"));
    world.dropped(&many(1, 1), 1);
    world.dropped(&many(2, 2), 2);
    assert_eq!(world.runs(), [["churn/00000.csv"], ["churn/00001.csv"]]);
    assert_eq!(world.terminated, ["u00001"]);

    let mut world = World::new(policy("Queue"));
    world.dropped(&many(2, 1), 1);
    assert_eq!(world.runs().len(), 1);
    world.end("u00001", 2);
    world.work(2).unwrap();
    assert_eq!(world.runs(), [["churn/00000.csv"], ["churn/00001.csv"]]);
}

/// The bytes of the trigger's document.
fn size(world: &World) -> usize {
    done(world.store.get(&keep::key(NS, "churn"))).unwrap().unwrap().body.len()
}

fn pages(world: &World) -> usize {
    done(world.store.keys("triggers/default/churn/waiting/")).unwrap().len()
}

/// Runs of so many objects each, one after another.
fn queued(count: u32) -> Trigger {
    trigger(|spec| {
        spec.concurrency_policy = Some("Queue".to_owned());
        spec.s3.batch = Some(TriggerBatch { count: Some(count), window: None });
    })
}

/// Ends the runs in their order, each some time after the one before.
fn ended_in_order(world: &mut World, count: i64, mut also: impl FnMut(&mut World, i64)) {
    for number in 1..=count {
        also(world, 10 * number);
        world.work(10 * number).unwrap();
        world.end(&format!("u{number:05}"), 10 * number + 1);
    }
}

#[test]
fn the_document_stays_small_however_many_files_are_dropped_and_their_order_is_kept() {
    let mut world = World::new(queued(10));
    let dropped = many(5_000, 1);
    for some in dropped.chunks(100) {
        world.dropped(some, 1);
        assert!(size(&world) < 150_000, "{} bytes", size(&world));
    }
    let state = world.state();
    assert_eq!((state.waiting(), state.format, pages(&world)), (499, 2, state.pages.len()));
    assert!(state.pages.len() > 20, "{}", state.pages.len());
    ended_in_order(&mut world, 500, |_, _| {});
    assert_eq!(world.runs().concat(), dropped.iter().map(|o| o.key.clone()).collect::<Vec<_>>());
    let state = world.state();
    assert_eq!((state.waiting(), state.format, pages(&world)), (0, 1, 0));
}

#[test]
fn a_kill_at_any_write_of_a_page_loses_no_run_and_starts_none_twice() {
    for n in 0..8 {
        for fault in [Fault::Before, Fault::After] {
            let mut world = World::new(queued(50));
            world.offer(&many(600, 1), None, 1).unwrap();
            ended_in_order(&mut world, 12, |world, now| {
                world.store.fail_at(n, fault);
                let _ = world.work(now);
                world.store.restart();
            });
            let runs = world.runs();
            assert_eq!((runs.len(), runs.concat().len()), (12, 600), "killed {fault:?} write {n}");
            assert_eq!(world.state().waiting(), 0, "killed {fault:?} write {n}");
        }
    }
}

#[test]
fn what_waits_in_pages_goes_when_the_policy_changes_or_the_trigger_is_taken_away() {
    for change in [None, Some("Forbid"), Some("Replace")] {
        let mut world = World::new(policy("Queue"));
        world.dropped(&many(700, 1), 1);
        assert!(pages(&world) > 0);
        match change {
            None => done(keep::forget(&world.store, NS, "churn")).unwrap(),
            Some(change) => {
                world.trigger = policy(change);
                world.work(2).unwrap();
                // One had begun; with `Replace` the newest follows it.
                assert_eq!(world.state().dropped, if change == "Forbid" { 699 } else { 698 });
            }
        }
        assert_eq!((world.state().waiting(), pages(&world)), (0, 0), "{change:?}");
    }
}

#[test]
fn a_batch_and_the_keys_that_wait_to_be_quiet_are_bounded() {
    let batch = TriggerBatch { count: None, window: Some("1h".to_owned()) };
    let mut world = World::new(trigger(|spec| spec.s3.batch = Some(batch)));
    world.dropped(&many(1_001, 1), 1);
    assert_eq!(world.runs().iter().map(Vec::len).collect::<Vec<_>>(), [1_000]);
    assert_eq!(world.state().batch.objects.len(), 1);
    let mut world = World::new(trigger(|spec| spec.s3.debounce = Some("1h".to_owned())));
    world.dropped(&many(1_001, 1), 1);
    assert_eq!((world.runs(), world.state().quiet.len()), (vec![vec!["churn/00000.csv".to_owned()]], 1_000));
}

/// The process is killed before or after each of its writes; the next one is offered the same objects again.
#[test]
fn a_kill_at_any_write_loses_nothing_and_starts_nothing_twice() {
    for n in 0..12 {
        for fault in [Fault::Before, Fault::After] {
            let mut world = World::new(trigger(|_| {}));
            let objects = [object("churn/a.csv", 1), object("churn/b.csv", 2)];
            world.store.fail_at(n, fault);
            let _ = world.offer(&objects[..1], None, 2).and_then(|_| world.work(2));
            let _ = world.offer(&objects, None, 3).and_then(|_| world.work(3));
            world.store.restart();
            world.offer(&objects, None, 4).unwrap();
            world.work(4).unwrap();
            assert_eq!(world.runs(), [["churn/a.csv"], ["churn/b.csv"]], "killed {fault:?} write {n}");
            for uid in world.created.clone().keys() {
                world.end(uid, 5);
                world.end(uid, 5);
            }
            assert_eq!((world.state().active.len(), world.state().succeeded), (0, 2));
            world.dropped(&objects, 6);
            assert_eq!(world.runs().len(), 2, "killed {fault:?} write {n}");
        }
    }
}

/// A store in which another process offers the same object, from beginning to end, right after this one has found that
/// nobody has seen it.
struct Raced<'a> {
    store: &'a FakeDocuments,
    trigger: &'a Trigger,
    object: &'a DroppedObject,
    raced: std::sync::atomic::AtomicBool,
}

impl Documents for Raced<'_> {
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        let found = self.store.get(key).await;
        if key.contains("/seen/") && !self.raced.swap(true, std::sync::atomic::Ordering::SeqCst) {
            let objects = std::slice::from_ref(self.object);
            let mut new = || Identity { uid: "theirs".into(), suffix: "other".to_owned() };
            done(keep::offer(self.store, NS, self.trigger, objects, None, at(2), &mut new))?;
        }
        found
    }

    async fn swap(&self, key: &str, expected: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
        self.store.swap(key, expected, body).await
    }

    async fn remove(&self, key: &str, expected: &str) -> Result<Swap, StoreError> {
        self.store.remove(key, expected).await
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.store.keys(prefix).await
    }
}

#[test]
fn two_processes_that_offer_a_version_at_once_start_one_run() {
    let mut world = World::new(trigger(|_| {}));
    let object = object("churn/a.csv", 1);
    let (store, trigger) = (&world.store, &world.trigger);
    let raced = Raced { store, trigger, object: &object, raced: false.into() };
    let mut new = || Identity { uid: "ours".into(), suffix: "abcde".to_owned() };
    let objects = std::slice::from_ref(&object);
    let taken = done(keep::offer(&raced, NS, trigger, objects, None, at(2), &mut new)).unwrap();
    world.work(3).unwrap();
    assert_eq!((taken, world.created.into_keys().collect::<Vec<_>>()), (0, vec!["theirs".to_owned()]));
}

#[test]
fn a_trigger_taken_away_waits_for_nothing_and_begins_anew() {
    let mut world = World::new(trigger(|_| {}));
    world.dropped(&many(12, 1), 1);
    done(keep::forget(&world.store, NS, "churn")).unwrap();
    let state = world.state();
    assert_eq!((state.since, state.queue.len(), state.active.len()), (None, 0, 10));
    let state = done(keep::begin(&world.store, NS, "churn", false, at(9))).unwrap();
    assert_eq!(state.since, Some(at(9)));
}

#[test]
fn variables_become_the_objects_facts_or_lists_of_them() {
    let parameter = |name: &str, value: &str| Parameter {
        name: name.to_owned(),
        value: Some(value.into()),
        ..Parameter::default()
    };
    let mut trigger = trigger(|spec| {
        spec.arguments.parameters = vec![
            parameter("data", "s3://{{trigger.bucket}}/{{trigger.key}}"),
            parameter("what", "{{trigger.size}} {{trigger.etag}} {{trigger.versionId}} {{trigger.time}}"),
            parameter("later", "{{workflow.name}}"),
        ];
    });
    let values = |trigger: &Trigger, objects: &[DroppedObject]| -> Vec<String> {
        let arguments = arguments_of(trigger, objects).unwrap();
        arguments.parameters.into_iter().map(|p| p.value.unwrap().0).collect()
    };
    let a = object("churn/a \"b\".csv", 1);
    assert_eq!(
        values(&trigger, std::slice::from_ref(&a)),
        ["s3://uploads/churn/a \"b\".csv", "3 e v1 2026-01-09T23:06:41Z", "{{workflow.name}}"]
    );
    trigger.spec.s3.batch = Some(TriggerBatch { count: Some(2), window: None });
    trigger.spec.arguments.parameters =
        vec![parameter("keys", "{{trigger.key}}"), parameter("sizes", "{{trigger.size}}")];
    assert_eq!(
        values(&trigger, &[a, object("churn/c.csv", 2)]),
        [r#"["churn/a \"b\".csv","churn/c.csv"]"#, "[3,3]"]
    );
    trigger.spec.arguments.parameters = vec![parameter("keys", "{{trigger.kye}}")];
    assert!(arguments_of(&trigger, &[object("churn/c.csv", 2)]).is_err());
}

/// Runs last three seconds; `writes` says what a run writes a second before its end, `from_outside` what comes
/// otherwise; objects are told of `late`. Gives the number of runs and whether the trigger was suspended.
fn simulate(seconds: i64, writes: usize, late: i64, from_outside: impl Fn(i64) -> usize) -> (usize, bool) {
    let mut world = World::new(trigger(|_| {}));
    let mut written: BTreeMap<i64, usize> = BTreeMap::new();
    let mut ends: Vec<(i64, String)> = Vec::new();
    let mut serial = 0;
    for now in 1..seconds {
        let writing = ends.iter().filter(|(end, _)| *end == now + 1).count();
        *written.entry(now).or_default() += from_outside(now) + writing * writes;
        let told = written.get(&(now - late)).copied().unwrap_or(0);
        let new: Vec<_> =
            (0..told).map(|n| object(&format!("churn/{}.csv", serial + n), now - late)).collect();
        serial += told;
        world.dropped(&new, now);
        for (_, uid) in ends.extract_if(.., |(end, _)| *end == now) {
            world.end(&uid, now);
        }
        world.work(now).unwrap();
        for run in world.state().active {
            if !ends.iter().any(|(_, uid)| *uid == run.birth.uid.as_str()) {
                ends.push((now + 3, run.birth.uid.to_string()));
            }
        }
    }
    (world.runs().len(), world.state().chain.suspended().is_some())
}

#[test]
fn runs_that_start_each_other_are_stopped_after_twenty() {
    assert_eq!(simulate(300, 1, 0, |now| usize::from(now == 1)), (20, true));
    assert_eq!(simulate(300, 1, 2, |now| usize::from(now == 1)), (20, true), "told after its run has ended");
    assert_eq!(simulate(300, 3, 0, |now| usize::from(now == 1)), (20, true));
}

#[test]
fn streams_from_outside_are_not_taken_for_loops() {
    assert_eq!(simulate(200, 0, 0, |now| usize::from(now <= 120)), (120, false), "one a second");
    assert_eq!(simulate(90, 0, 0, |now| if now == 1 { 120 } else { 0 }), (120, false), "all at once");
    assert_eq!(simulate(130, 0, 0, |now| if now <= 30 { 8 } else { 0 }), (240, false), "a long copy");
    assert_eq!(
        simulate(200, 0, 0, |now| usize::from(now <= 160 && now % 2 == 0)),
        (80, false),
        "always one active"
    );
}

#[test]
fn saving_the_definition_lets_a_suspended_trigger_go_on() {
    let mut world = World::new(trigger(|_| {}));
    let mut state = world.state();
    for now in 0..20 {
        state.chain.started(at(now));
    }
    let looped = state.chain.clone();
    world.offer(&many(1, 20), None, 20).unwrap();
    done(crate::documents::change(&world.store, &keep::key(NS, "churn"), 1, |old: Option<TriggerState>| {
        (TriggerState { chain: looped.clone(), ..old.unwrap() }, ())
    }))
    .unwrap();
    world.work(21).unwrap();
    let told = world.work(60).unwrap();
    assert!(matches!(told.as_slice(), [Told::Suspended { .. }]), "{told:?}");
    done(keep::begin(&world.store, NS, "churn", true, at(61))).unwrap();
    world.work(61).unwrap();
    assert_eq!(world.runs().len(), 1);
}
