use std::collections::BTreeMap;
use std::sync::Mutex;

use dropforge_engine::phase::RunPhase;
use dropforge_engine::spec::Cause;
use dropforge_manifest::parse::parse;
use serde_json::{Value, json};

use super::*;
use crate::crons::recurring::Recurring;
use crate::documents::fake::{FakeDocuments, Fault, now as done};
use crate::documents::{change, create, put};
use crate::doorbells::Ring;
use crate::store::{Swap, Versioned};

mod golden;

const NS: &str = "ml";

const TRIGGER: &str = "
apiVersion: dropforge.dev/v1alpha1
kind: Trigger
metadata: {name: churn}
spec:
  s3: {bucket: uploads, prefix: churn/, suffix: .csv}
  workflow:
    entrypoint: main
    templates:
    - name: main
      container: {image: a, command: [\"true\"]}
";

const CRON: &str = "
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: nightly}
spec:
  schedules: [\"30 2 * * *\"]
  timezone: Europe/Berlin
  workflowSpec:
    entrypoint: main
    templates:
    - name: main
      container: {image: a, command: [\"true\"]}
";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// All that is written is a document of one store, so that it can be killed between any two writes.
#[derive(Default)]
struct World {
    documents: FakeDocuments,
    /// Objects by bucket and key; a missing one is gone, none can't be read.
    objects: Mutex<BTreeMap<String, Option<DroppedObject>>>,
    drawn: Mutex<u64>,
    /// What somebody does while schedules are being changed.
    meanwhile: Mutex<Option<Meanwhile>>,
}

type Meanwhile = Box<dyn FnOnce(&World) + Send>;

impl Documents for World {
    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        self.documents.get(key).await
    }

    async fn swap(&self, key: &str, expected: Option<&str>, body: &[u8]) -> Result<Swap, StoreError> {
        self.documents.swap(key, expected, body).await
    }

    async fn remove(&self, key: &str, expected: &str) -> Result<Swap, StoreError> {
        self.documents.remove(key, expected).await
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.documents.keys(prefix).await
    }
}

impl NewRuns for World {
    async fn create(&self, spec: &RunSpec) -> Result<(), StoreError> {
        create(self, &format!("live/{}", spec.uid), &1).await?;
        create(self, &format!("runs/{}", spec.uid), spec).await.map(drop)
    }

    async fn command(&self, run: &RunUid, command: &Command) -> Result<(), StoreError> {
        create(self, &format!("live/{run}"), &1).await?;
        create(self, &format!("inbox/{run}/{}", command.id), &1).await.map(drop)
    }
}

impl World {
    async fn count(&self, key: String) -> Result<(), StoreError> {
        let add = |old: Option<Value>| {
            (json!({"format": 1, "n": old.map_or(0, |old| old["n"].as_u64().unwrap()) + 1}), ())
        };
        change(self, &key, 1, add).await
    }

    fn counted(&self, prefix: &str) -> BTreeMap<String, u64> {
        let keys = done(self.keys(prefix)).unwrap();
        let count = |key: &String| {
            let stored = done(self.get(key)).unwrap().unwrap();
            serde_json::from_slice::<Value>(&stored.body).unwrap()["n"].as_u64().unwrap()
        };
        keys.iter().map(|key| (key[prefix.len()..].to_owned(), count(key))).collect()
    }
}

impl Doorbells for World {
    async fn ring(&self, rings: &[Ring]) -> Result<(), StoreError> {
        for ring in rings {
            self.count(format!("rings/{}", ring.run)).await?;
        }
        Ok(())
    }
}

impl Reminders for World {
    async fn remind(&self, of: &Starter, due: Timestamp) -> Result<(), StoreError> {
        self.count(format!("reminders/{of} {due}")).await
    }
}

impl Schedules for World {
    async fn keep(&self, of: &Starter, wanted: &[Recurring]) -> Result<(), StoreError> {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        meanwhile.into_iter().for_each(|meanwhile| meanwhile(self));
        put(self, &format!("recurring/{of}"), 1, &json!({"format": 1, "wanted": wanted})).await
    }
}

impl Heads for World {
    async fn head(&self, object: &Announced) -> Result<Option<DroppedObject>, StoreError> {
        let version = object.version_id.clone().unwrap_or_default();
        match self.objects.lock().unwrap().get(&format!("{} {version}", object.key)) {
            Some(Some(found)) => Ok(Some(found.clone())),
            Some(None) => Err(StoreError::NotFound { what: "bucket", name: object.bucket.clone() }),
            None => Ok(None),
        }
    }
}

impl World {
    fn with(definition: &str) -> World {
        let world = World::default();
        world.define(NS, definition);
        world
    }

    fn define(&self, namespace: &str, text: &str) {
        for document in parse("test", text).documents {
            done(definitions::put(self, namespace, &document, text)).unwrap();
        }
    }

    /// An object that is there, and its announcement.
    fn object(&self, key: &str, version: &str, written: &str) -> Announced {
        let object = DroppedObject {
            bucket: "uploads".to_owned(),
            key: key.to_owned(),
            version_id: version.to_owned(),
            etag: "e".to_owned(),
            size: 3,
            time: at(written),
        };
        self.objects.lock().unwrap().insert(format!("{key} {version}"), Some(object));
        announced(key, version)
    }

    fn handle(&self, notices: &[Notice], now: &str) -> Vec<Result<(), String>> {
        let namespaces = [NS.to_owned(), "other".to_owned()];
        let ingest = Ingest {
            store: self,
            doorbells: self,
            alarms: self,
            heads: self,
            namespaces: &namespaces,
            site: &Site::default(),
            now: at(now),
        };
        let mut new = || {
            let mut drawn = self.drawn.lock().unwrap();
            *drawn += 1;
            Identity { uid: format!("u{drawn:03}").into(), suffix: "abcde".to_owned() }
        };
        let ingested = done(ingest.handle(notices, &mut new));
        ingested.messages.into_iter().map(|result| result.map_err(|why| why.to_string())).collect()
    }

    /// What the sweep does: reminds of what is marked, until nothing is.
    fn sweep(&self, now: &str) {
        for starter in done(starters::marked(self)).unwrap() {
            assert_eq!(self.handle(&[Notice::Remind(starter)], now), [Ok(())]);
        }
    }

    fn specs(&self) -> Vec<RunSpec> {
        let keys = done(self.keys("runs/")).unwrap();
        let body = |key: &String| done(self.get(key)).unwrap().unwrap().body;
        keys.iter().map(|key| serde_json::from_slice(&body(key)).unwrap()).collect()
    }

    /// The objects of each run, sorted.
    fn runs(&self) -> Vec<Vec<String>> {
        let objects = |spec: RunSpec| match spec.cause {
            Cause::Drop { objects, .. } => {
                objects.into_iter().map(|object| format!("{} {}", object.key, object.version_id)).collect()
            }
            other => panic!("{other:?}"),
        };
        let mut runs: Vec<Vec<String>> = self.specs().into_iter().map(objects).collect();
        runs.sort();
        runs
    }

    fn marked(&self) -> Vec<Starter> {
        done(starters::marked(self)).unwrap()
    }

    fn end(&self, uid: &str, now: &str) {
        let end = (&uid.into(), RunPhase::Succeeded);
        assert!(done(triggers::keep::ended(self, NS, "churn", end, at(now))).unwrap());
    }
}

fn announced(key: &str, version: &str) -> Announced {
    Announced {
        bucket: "uploads".to_owned(),
        key: key.to_owned(),
        version_id: Some(version.to_owned()).filter(|version| !version.is_empty()),
        sequencer: String::new(),
    }
}

fn objects(announced: &[Announced]) -> Notice {
    Notice::Objects(announced.to_vec())
}

fn churn() -> Starter {
    Starter::Trigger { namespace: NS.to_owned(), name: "churn".to_owned() }
}

fn nightly() -> Starter {
    Starter::CronWorkflow { namespace: NS.to_owned(), name: "nightly".to_owned() }
}

const NOW: &str = "2026-05-01T10:00:01Z";
/// Nobody who was at work then still is.
const LATER: &str = "2026-05-01T11:00:01Z";

#[test]
fn an_object_becomes_a_run_that_rings() {
    let world = World::with(TRIGGER);
    let a = world.object("churn/a.csv", "1", "2026-05-01T10:00:00Z");
    assert_eq!(world.handle(&[objects(&[a])], NOW), [Ok(())]);
    assert_eq!(world.runs(), [["churn/a.csv 1"]]);
    let [spec] = &world.specs()[..] else { panic!() };
    assert_eq!((spec.name(), spec.namespace()), ("churn-abcde", NS));
    assert_eq!(world.counted("rings/"), [("u001".to_owned(), 1)].into());
    assert_eq!(world.marked(), []);
}

#[test]
fn what_no_trigger_takes_is_not_even_looked_at() {
    let world = World::with(TRIGGER);
    world.objects.lock().unwrap().insert("churn/a.txt 1".to_owned(), None);
    let strange = announced(&format!("churn/../ü {}", "x".repeat(1000)), "");
    let before = world.documents.writes();
    assert_eq!(world.handle(&[objects(&[announced("churn/a.txt", "1"), strange])], NOW), [Ok(())]);
    assert_eq!(world.documents.writes(), before);
}

#[test]
fn keys_of_any_kind_start_runs() {
    let world = World::with(TRIGGER);
    let long = format!("churn/{}.csv", "x".repeat(1024 - 10));
    let keys = ["churn/../a b+ü%.csv", "churn//.csv", long.as_str()];
    let announced: Vec<Announced> =
        keys.iter().map(|key| world.object(key, "1", "2026-05-01T10:00:00Z")).collect();
    assert_eq!(world.handle(&[objects(&announced)], NOW), [Ok(())]);
    let mut expected: Vec<Vec<String>> = keys.iter().map(|key| vec![format!("{key} 1")]).collect();
    expected.sort();
    assert_eq!(world.runs(), expected);
}

#[test]
fn an_object_that_is_gone_starts_nothing_and_one_that_cannot_be_read_comes_again_alone() {
    let world = World::with(TRIGGER);
    let good = world.object("churn/b.csv", "1", "2026-05-01T10:00:00Z");
    world.objects.lock().unwrap().insert("churn/c.csv ".to_owned(), None);
    let notices = [
        objects(&[announced("churn/gone.csv", "1")]),
        objects(&[good]),
        objects(&[announced("churn/c.csv", "")]),
    ];
    let handled = world.handle(&notices, NOW);
    assert_eq!((&handled[..2], handled[2].is_err()), (&[Ok(()), Ok(())][..], true));
    assert_eq!(world.runs(), [["churn/b.csv 1"]]);
}

#[test]
fn what_is_damaged_of_one_trigger_fails_its_own_messages_only() {
    let world = World::with(TRIGGER);
    world.define("other", &TRIGGER.replace("churn", "sales"));
    done(create(&world, &triggers::keep::key(NS, "churn"), &"x")).unwrap();
    let bad = world.object("churn/a.csv", "1", "2026-05-01T10:00:00Z");
    let good = world.object("sales/a.csv", "1", "2026-05-01T10:00:00Z");
    let handled = world.handle(&[objects(&[bad]), objects(&[good])], NOW);
    assert_eq!((handled[0].is_err(), &handled[1]), (true, &Ok(())));
    assert_eq!(world.runs(), [["sales/a.csv 1"]]);
}

#[test]
fn who_fails_time_after_time_leaves_one_mark_and_no_name_in_it() {
    let world = World::with(TRIGGER);
    done(create(&world, &triggers::keep::key(NS, "churn"), &"x")).unwrap();
    let bad = world.object("churn/a.csv", "1", "2026-05-01T10:00:00Z");
    let mut marks = Vec::new();
    for _ in 0..5 {
        assert!(world.handle(&[objects(std::slice::from_ref(&bad))], NOW)[0].is_err());
        let keys = done(world.keys(starters::MARKS)).unwrap();
        marks.push(done(world.get(&keys[0])).unwrap().unwrap().body.len());
    }
    assert_eq!(world.marked(), [churn()]);
    assert_eq!(marks, [marks[0]; 5]);
}

#[test]
fn one_object_starts_a_run_of_each_trigger_that_takes_it() {
    let world = World::with(TRIGGER);
    world.define("other", TRIGGER);
    let a = world.object("churn/a.csv", "1", "2026-05-01T10:00:00Z");
    world.handle(&[objects(&[a])], NOW);
    let mut namespaces: Vec<String> = world.specs().iter().map(|spec| spec.namespace().to_owned()).collect();
    namespaces.sort();
    assert_eq!(namespaces, [NS, "other"]);
}

/// The function is killed before or after each of its writes; the messages come again, or the sweep finds what it left.
#[test]
fn a_kill_at_any_write_loses_nothing_and_starts_nothing_twice() {
    let mut killed = 0;
    for fault in [Fault::Before, Fault::After] {
        for n in 0.. {
            let world = World::with(TRIGGER);
            let a = world.object("churn/a.csv", "1", "2026-05-01T10:00:00Z");
            let b = world.object("churn/b.csv", "1", "2026-05-01T10:00:00Z");
            let notices = [objects(&[a.clone(), b]), objects(&[a])];
            world.documents.fail_at(n, fault);
            let whole = world.handle(&notices, NOW).iter().all(Result::is_ok);
            world.documents.restart();
            let offered = !done(world.keys("triggers/")).unwrap().is_empty();
            if !offered {
                world.handle(&notices, NOW);
            }
            world.sweep(NOW);
            let context = format!("killed {fault:?} write {n}");
            assert_eq!(world.runs(), [["churn/a.csv 1"], ["churn/b.csv 1"]], "{context}");
            world.handle(&notices, NOW);
            assert_eq!(world.runs().len(), 2, "{context}");
            let rings = world.counted("rings/");
            assert!(world.specs().iter().all(|spec| rings.contains_key(spec.uid.as_str())), "{context}");
            // Who died counts as at work for a while.
            world.sweep(LATER);
            assert_eq!(world.marked(), [], "{context}");
            killed += 1;
            if whole {
                break;
            }
        }
    }
    assert!(killed > 20, "{killed}");
}

#[test]
fn a_batch_is_closed_by_the_reminder_that_was_asked_for_once() {
    let text = TRIGGER.replace(".csv}", ".csv, batch: {window: 1h}}");
    let world = World::with(&text);
    for (n, now) in ["2026-05-01T10:00:00Z", "2026-05-01T10:20:00Z"].iter().enumerate() {
        let object = world.object(&format!("churn/{n}.csv"), "1", now);
        world.handle(&[objects(&[object])], now);
    }
    assert_eq!(world.counted("reminders/"), [("trigger ml/churn 2026-05-01T11:00:00Z".to_owned(), 1)].into());
    assert_eq!(world.marked(), [churn()], "an open batch stays marked");
    world.handle(&[Notice::Remind(churn())], "2026-05-01T10:59:59Z");
    assert_eq!(world.runs().len(), 0, "an early reminder closes nothing");
    world.handle(&[Notice::Remind(churn())], "2026-05-01T11:00:00Z");
    assert_eq!(world.runs(), [["churn/0.csv 1", "churn/1.csv 1"]]);
    assert_eq!(world.marked(), []);
}

#[test]
fn a_lost_reminder_is_made_up_for_by_the_sweep() {
    let world = World::with(&TRIGGER.replace(".csv}", ".csv, debounce: 10s}"));
    let object = world.object("churn/a.csv", "1", NOW);
    world.handle(&[objects(&[object])], NOW);
    world.sweep("2026-05-01T10:02:00Z");
    assert_eq!(world.runs(), [["churn/a.csv 1"]]);
}

#[test]
fn of_a_key_that_was_not_quiet_the_newest_version_counts_in_whatever_order_it_is_told() {
    let world = World::with(&TRIGGER.replace(".csv}", ".csv, debounce: 10s}"));
    let old = world.object("churn/a.csv", "1", "2026-05-01T10:00:00Z");
    let new = world.object("churn/a.csv", "2", "2026-05-01T10:00:01Z");
    world.handle(&[objects(&[new])], NOW);
    world.handle(&[objects(&[old])], NOW);
    world.sweep("2026-05-01T10:02:00Z");
    assert_eq!(world.runs(), [["churn/a.csv 2"]]);

    // In one second, S3's own order of the writes to a key tells them apart.
    let world = World::with(&TRIGGER.replace(".csv}", ".csv, debounce: 10s}"));
    let sequenced = |version, sequencer: &str| Announced {
        sequencer: sequencer.to_owned(),
        ..world.object("churn/a.csv", version, "2026-05-01T10:00:00Z")
    };
    world.handle(&[objects(&[sequenced("2", "0055AED6DCA0"), sequenced("1", "0055AED6DC9")])], NOW);
    world.sweep("2026-05-01T10:02:00Z");
    assert_eq!(world.runs(), [["churn/a.csv 2"]]);
}

#[test]
fn a_run_that_waited_begins_when_the_end_of_another_is_reminded_of() {
    let world = World::with(&TRIGGER.replace("spec:\n  s3", "spec:\n  concurrencyPolicy: Queue\n  s3"));
    let both = [1, 2].map(|n| world.object(&format!("churn/{n}.csv"), "1", "2026-05-01T10:00:00Z"));
    world.handle(&[objects(&both)], NOW);
    assert_eq!((world.runs().len(), world.marked()), (1, vec![churn()]));
    let first = world.specs()[0].uid.clone();
    world.end(first.as_str(), NOW);
    world.handle(&[Notice::Remind(churn())], NOW);
    assert_eq!((world.runs().len(), world.marked()), (2, vec![]));
}

#[test]
fn a_run_that_is_replaced_gets_a_command_and_rings() {
    let world = World::with(&TRIGGER.replace("spec:\n  s3", "spec:\n  concurrencyPolicy: Replace\n  s3"));
    for n in 1..=2 {
        let object = world.object(&format!("churn/{n}.csv"), "1", "2026-05-01T10:00:00Z");
        world.handle(&[objects(&[object])], NOW);
    }
    assert_eq!(done(world.keys("inbox/")).unwrap(), ["inbox/u001/replaced-u001"]);
    assert_eq!(world.counted("rings/"), [("u001".to_owned(), 2), ("u002".to_owned(), 1)].into());
}

#[test]
fn a_run_that_cannot_be_created_is_written_down_and_blocks_nothing() {
    let missing = "  workflowTemplateRef: {name: nowhere}\n";
    let text = format!("{}{missing}", &TRIGGER[..TRIGGER.find("  workflow:").unwrap()]);
    let world = World::with(&text);
    let a = world.object("churn/a.csv", "1", "2026-05-01T10:00:00Z");
    assert_eq!(world.handle(&[objects(&[a])], NOW), [Ok(())]);
    let state = done(triggers::keep::state(&world, NS, "churn")).unwrap().unwrap();
    assert_eq!((state.failed, state.active.len(), world.marked()), (1, 0, vec![]));
    assert!(state.last_note.unwrap().contains("nowhere"));
}

#[test]
fn a_reminder_of_what_is_not_there_does_nothing() {
    let world = World::default();
    let notices = [Notice::Remind(churn()), Notice::Remind(nightly())];
    assert_eq!(world.handle(&notices, NOW), [Ok(()), Ok(())]);
    assert_eq!((world.specs(), world.marked()), (vec![], vec![]));
}

#[test]
fn a_reminder_of_what_cannot_be_here_leaves_no_mark() {
    let world = World::default();
    let trigger = |namespace: &str, name: &str| {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Notice::Remind(Starter::Trigger { namespace, name })
    };
    let long = "x".repeat(254);
    let notices = [trigger("ml", "a//b"), trigger("ml", ""), trigger("ml", &long), trigger("other", "churn")];
    assert_eq!(world.handle(&notices, NOW), [Ok(()), Ok(()), Ok(()), Ok(())]);
    assert_eq!((world.specs(), world.marked()), (vec![], vec![]));
}

fn recurring_of(world: &World) -> Value {
    let stored = done(world.get("recurring/cronworkflow ml/nightly")).unwrap().unwrap();
    serde_json::from_slice::<Value>(&stored.body).unwrap()["wanted"].clone()
}

/// The times of the ticks that became runs.
fn ticks(world: &World) -> Vec<String> {
    let time = |spec: RunSpec| match spec.cause {
        Cause::Schedule { scheduled_time, .. } => scheduled_time.to_string(),
        other => panic!("{other:?}"),
    };
    let mut ticks: Vec<String> = world.specs().into_iter().map(time).collect();
    ticks.sort();
    ticks
}

#[test]
fn a_schedule_is_kept_changed_suspended_and_taken_away_with_its_definition() {
    let world = World::with(CRON);
    let remind = |now| assert_eq!(world.handle(&[Notice::Remind(nightly())], now), [Ok(())]);
    remind(NOW);
    let berlin = json!([{"expression": "cron(30 2 * * ? *)", "timezone": "Europe/Berlin"}]);
    assert_eq!(recurring_of(&world), berlin);
    world.define(NS, &CRON.replace("30 2 * * *", "0 6 * * mon-fri"));
    remind("2026-05-01T10:00:02Z");
    let weekdays = json!([{"expression": "cron(0 6 ? * 2-6 *)", "timezone": "Europe/Berlin"}]);
    assert_eq!(recurring_of(&world), weekdays);
    world.define(NS, &CRON.replace("spec:\n  sch", "spec:\n  suspend: true\n  sch"));
    remind("2026-05-01T10:00:03Z");
    assert_eq!(recurring_of(&world), json!([]));
    world.define(NS, CRON);
    remind("2026-05-03T10:00:00Z");
    assert_eq!((recurring_of(&world), ticks(&world)), (berlin, vec![]), "what was suspended was not missed");
    done(definitions::take_away(&world, NS, "CronWorkflow", "nightly")).unwrap();
    remind("2026-05-03T10:00:01Z");
    assert_eq!(recurring_of(&world), json!([]));
}

#[test]
fn who_is_slow_with_an_older_definition_does_not_take_the_schedules_of_the_newer_away() {
    let suspended = CRON.replace("spec:\n  sch", "spec:\n  suspend: true\n  sch");
    let newer = [CRON, &CRON.replace("30 2 * * *", "30 2,3,5-7 1 * *")];
    for newer in newer.map(str::to_owned) {
        let world = World::with(CRON);
        let remind = |world: &World| assert_eq!(world.handle(&[Notice::Remind(nightly())], NOW), [Ok(())]);
        remind(&world);
        world.define(NS, &suspended);
        let resumed = newer.clone();
        *world.meanwhile.lock().unwrap() = Some(Box::new(move |world| {
            world.define(NS, &resumed);
            remind(world);
        }));
        remind(&world);
        let fresh = World::with(&newer);
        remind(&fresh);
        assert_eq!(recurring_of(&world), recurring_of(&fresh));
        assert_eq!(world.marked(), []);
    }
}

#[test]
fn a_tick_is_one_run_however_often_and_late_it_is_told_of() {
    let world = World::with(CRON);
    for now in
        ["2026-05-01T10:00:00Z", "2026-05-02T00:29:59Z", "2026-05-02T00:30:59Z", "2026-05-02T00:31:05Z"]
    {
        world.handle(&[Notice::Remind(nightly()), Notice::Remind(nightly())], now);
    }
    assert_eq!(ticks(&world), ["2026-05-02T00:30:00Z"]);
    assert_eq!(world.counted("rings/").len(), 1);
}

#[test]
fn what_does_not_recur_is_reminded_of_one_by_one_and_stays_marked() {
    let world = World::with(&CRON.replace("30 2 * * *", "@every 90m"));
    world.handle(&[Notice::Remind(nightly())], "2026-05-01T10:00:00Z");
    assert_eq!(recurring_of_or_none(&world), None);
    world.handle(&[Notice::Remind(nightly())], "2026-05-01T11:30:00Z");
    assert_eq!(ticks(&world), ["2026-05-01T11:30:00Z"]);
    let reminders = ["2026-05-01T11:30:00Z", "2026-05-01T13:00:00Z"];
    let reminders = reminders.map(|due| (format!("cronworkflow ml/nightly {due}"), 1));
    assert_eq!(world.counted("reminders/"), reminders.into());
    assert_eq!(world.marked(), [nightly()]);
}

fn recurring_of_or_none(world: &World) -> Option<Versioned> {
    done(world.get("recurring/cronworkflow ml/nightly")).unwrap()
}

#[test]
fn a_message_that_comes_before_its_tick_by_this_clock_is_asked_for_again() {
    let world = World::with(CRON);
    world.handle(&[Notice::Remind(nightly())], "2026-05-01T10:00:00Z");
    world.handle(&[Notice::Remind(nightly())], "2026-05-02T00:29:57Z");
    let again = "cronworkflow ml/nightly 2026-05-02T00:30:05Z";
    assert_eq!((ticks(&world), world.counted("reminders/").get(again)), (vec![], Some(&1)));
    world.handle(&[Notice::Remind(nightly())], "2026-05-02T00:30:05Z");
    assert_eq!(ticks(&world), ["2026-05-02T00:30:00Z"]);
}

#[test]
fn a_kill_at_any_write_of_a_tick_loses_nothing_and_runs_nothing_twice() {
    let mut killed = 0;
    for fault in [Fault::Before, Fault::After] {
        for n in 0.. {
            let world = World::with(CRON);
            world.handle(&[Notice::Remind(nightly())], "2026-05-01T10:00:00Z");
            world.documents.fail_at(n, fault);
            let tick = "2026-05-02T00:30:10Z";
            let whole = world.handle(&[Notice::Remind(nightly())], tick)[0].is_ok();
            world.documents.restart();
            if !whole {
                world.handle(&[Notice::Remind(nightly())], "2026-05-02T00:31:10Z");
            }
            let context = format!("killed {fault:?} write {n}");
            assert_eq!(ticks(&world), ["2026-05-02T00:30:00Z"], "{context}");
            assert_eq!(world.counted("rings/").len(), 1, "{context}");
            world.sweep("2026-05-02T00:47:00Z");
            assert_eq!(world.marked(), [], "{context}");
            killed += 1;
            if whole {
                break;
            }
        }
    }
    assert!(killed > 12, "{killed}");
}

/// Somebody stored it by hand, or a newer version did.
#[test]
fn a_definition_that_can_not_be_read_is_not_one_that_is_gone() {
    let world = World::with(TRIGGER);
    world.define("other", &TRIGGER.replace("churn", "sales"));
    world.define(NS, CRON);
    let keys = ["Trigger", "CronWorkflow"]
        .map(|kind| definitions::key(NS, kind, if kind == "Trigger" { "churn" } else { "nightly" }));
    let store = |key: &str, text: &str| {
        let version = done(world.get(key)).unwrap().unwrap().version;
        done(world.swap(key, Some(&version), text.as_bytes())).unwrap();
    };
    let tick = Notice::Remind(nightly());
    assert_eq!(world.handle(std::slice::from_ref(&tick), NOW), [Ok(())]);
    let kept = recurring_of(&world);
    assert_ne!(kept, json!([]));
    let broken = ["a: [", "kind: Trigger", &TRIGGER.replace("prefix: churn/", "prefix: [churn/]")];
    for (n, broken) in broken.into_iter().enumerate() {
        store(&keys[0], broken);
        let file = |folder: &str| world.object(&format!("{folder}/{n}.csv"), "1", NOW);
        let notices = [objects(&[file("churn")]), objects(&[file("sales")]), Notice::Remind(churn())];
        // Whether one is meant for the broken trigger, too, nobody knows.
        assert!(world.handle(&notices, NOW).iter().all(Result::is_err), "{broken}");
        assert_eq!(world.marked(), [churn()], "{broken}");
    }
    assert_eq!(world.runs(), [["sales/0.csv 1"], ["sales/1.csv 1"], ["sales/2.csv 1"]]);
    store(&keys[1], &CRON.replace("[\"30 2 * * *\"]", "{}"));
    assert!(world.handle(std::slice::from_ref(&tick), NOW)[0].is_err());
    assert_eq!(recurring_of(&world), kept, "its schedules go on");
    // They are repaired, and the messages come again.
    store(&keys[0], TRIGGER);
    store(&keys[1], CRON);
    let again = world.object("churn/0.csv", "1", NOW);
    assert_eq!(world.handle(&[objects(&[again]), tick], LATER), [Ok(()), Ok(())]);
    assert_eq!(world.runs().len(), 4);
    assert_eq!(world.marked(), []);
}
