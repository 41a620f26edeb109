//! What a sweep removes that outlived its run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use dropforge_driver::births::{Identity, Library, Overrides, Site, run_spec};
use dropforge_driver::cluster::ClusterError;
use dropforge_driver::deaths;
use dropforge_driver::doorbells::{Doorbells, Ring};
use dropforge_driver::owner::index_entry;
use dropforge_driver::reminders::{Reminders, Starter};
use dropforge_driver::store::{Documents, Index, IndexEntry, Runs, StoreError};
use dropforge_driver::sweeping::{AllPods, Glimpse, Sweep};
use dropforge_engine::ids::{AttemptId, RunUid};
use dropforge_engine::phase::RunPhase;
use dropforge_engine::program::Program;
use dropforge_engine::record::Record;
use dropforge_engine::spec::{Cause, RunSpec};
use dropforge_engine::state::RunState;
use dropforge_manifest::parse::{AnyObject, parse};
use dropforge_storage::memory::MemoryStore;
use jiff::Timestamp;

/// A moment at the minute of the hour in which what is left over is removed.
fn at_minute(minute: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 / 3600 * 3600 + minute * 60 + 30).unwrap()
}

/// A place where runs have volume claims and nothing else.
#[derive(Default)]
struct Claims(Mutex<BTreeSet<String>>);

impl AllPods for Claims {
    async fn glimpses(&self) -> Result<Vec<Glimpse>, ClusterError> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &str, _: &[AttemptId]) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn volume_owners(&self) -> Result<Vec<(RunUid, String)>, ClusterError> {
        let runs = self.0.lock().unwrap().clone();
        Ok(runs.into_iter().map(|run| (run.into(), "default".to_owned())).collect())
    }

    async fn remove_claims(&self, run: &RunUid, namespace: &str) -> Result<(), ClusterError> {
        assert_eq!(namespace, "default");
        self.0.lock().unwrap().remove(run.as_str());
        Ok(())
    }
}

/// Nobody listens.
struct Silence;

impl Doorbells for Silence {
    async fn ring(&self, _: &[Ring]) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Reminders for Silence {
    async fn remind(&self, _: &Starter, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(given) => given,
        Poll::Pending => panic!("it waits for nothing"),
    }
}

fn spec(uid: &str, collects: &str) -> RunSpec {
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: wf-{uid}}}\nspec:\n  entrypoint: main\n\
         \x20 volumeClaimGC: {{strategy: {collects}}}\n\
         \x20 volumeClaimTemplates: [{{metadata: {{name: work}}, spec: {{accessModes: [ReadWriteOnce], \
         resources: {{requests: {{storage: 1Gi}}}}}}}}]\n\
         \x20 templates: [{{name: main, container: {{image: busybox, command: [a]}}}}]\n"
    );
    let parsed = parse("t", &text).documents.into_iter().next().map(|document| document.object);
    let Some(AnyObject::Workflow(workflow)) = parsed else { panic!("no workflow") };
    let identity = Identity { uid: uid.into(), suffix: uid.to_owned() };
    let (library, site, overrides) = (Library::default(), Site::default(), Overrides::default());
    let cause = Cause::Person { by: "test".to_owned() };
    run_spec(*workflow, &library, &site, &overrides, &identity, cause, at_minute(0)).unwrap()
}

/// A run that has ended like this, and is not live any more.
fn ended(store: &MemoryStore, uid: &str, collects: &str, phase: RunPhase) {
    let spec = spec(uid, collects);
    now(store.create_run(&spec)).unwrap();
    let (message, at) = (String::new(), at_minute(0));
    let end = Record::RunFinished { phase, message, at, delete_volumes: false, delete_artifacts: false };
    now(store.commit(&spec.uid, 0, &[end])).unwrap();
    now(store.unmark_live(&spec.uid, 1)).unwrap();
}

/// A long list of runs, of which the last one's time is over.
fn listed(store: &MemoryStore, many: usize) {
    let program = Program::compile(spec("expired", "OnWorkflowSuccess")).unwrap();
    let entry = index_entry(&RunState::new(Arc::new(program)), 1);
    for n in 0..many {
        let entry = IndexEntry { uid: format!("a-{n:05}").into(), ..entry.clone() };
        now(store.put_entry(&entry)).unwrap();
    }
    now(store.put_entry(&IndexEntry { expires_at: Some(at_minute(0)), ..entry })).unwrap();
}

#[test]
fn runs_whose_time_is_over_are_found_in_a_list_that_one_sweep_can_t_read() {
    let store = MemoryStore::default();
    ended(&store, "expired", "OnWorkflowSuccess", RunPhase::Succeeded);
    listed(&store, 4_500);
    let left_after = |minute| {
        let (store, pods, doorbells, reminders) = (&store, &Claims::default(), &Silence, &Silence);
        let (since, at) = (Some(at_minute(minute - 1)), at_minute(minute));
        now(Sweep { store, pods, doorbells, reminders, since, now: at }.sweep()).unwrap();
        now(store.entries(None)).unwrap().len()
    };
    let left: Vec<usize> = (6..=11).map(left_after).collect();
    assert_eq!(
        left,
        [4_501, 4_501, 4_501, 4_500, 4_500, 4_500],
        "from the seventh minute on, a part in each sweep"
    );
    assert_eq!(now(store.keys("sweeping")).unwrap(), [""; 0], "nothing is left of it");
}

fn delete(store: &MemoryStore, uid: &str) {
    let program = Program::compile(spec(uid, "OnWorkflowSuccess")).unwrap();
    let entry = index_entry(&RunState::new(Arc::new(program)), 1);
    now(store.put_entry(&entry)).unwrap();
    now(deaths::delete(store, &entry, "test", at_minute(0))).unwrap();
}

#[test]
fn a_run_that_no_call_can_delete_is_passed_over() {
    let store = MemoryStore::default();
    for uid in ["a-huge", "b-small"] {
        ended(&store, uid, "OnWorkflowSuccess", RunPhase::Succeeded);
        let program = Program::compile(spec(uid, "OnWorkflowSuccess")).unwrap();
        let entry = index_entry(&RunState::new(Arc::new(program)), 1);
        now(store.put_entry(&IndexEntry { expires_at: Some(at_minute(0)), ..entry })).unwrap();
    }
    let died = r#"{"format":1,"after":null,"deleting":"a-huge"}"#;
    now(store.swap("sweeping/expiry.json", None, died.as_bytes())).unwrap();
    let left_after = |minute| {
        let (store, pods, doorbells, reminders) = (&store, &Claims::default(), &Silence, &Silence);
        let (since, at) = (Some(at_minute(minute - 1)), at_minute(minute));
        now(Sweep { store, pods, doorbells, reminders, since, now: at }.sweep()).unwrap();
        now(store.entries(None)).unwrap().into_iter().map(|entry| entry.uid).collect::<Vec<_>>()
    };
    assert_eq!(left_after(20), ["a-huge".into()]);
    assert_eq!(now(store.keys("sweeping")).unwrap(), [""; 0]);
    assert_eq!(left_after(7), [], "the next reading tries again");
}

#[test]
fn volume_claims_are_looked_at_by_turns_and_all_of_them_within_hours() {
    let store = MemoryStore::default();
    for n in 0..60 {
        ended(&store, &format!("run-{n:02}"), "OnWorkflowCompletion", RunPhase::Failed);
    }
    let claims = Claims(Mutex::new((0..60).map(|n| format!("run-{n:02}")).collect()));
    let left_after = |hour: i64| {
        let (store, pods, doorbells, reminders) = (&store, &claims, &Silence, &Silence);
        let at = at_minute(60 * hour + 7);
        now(Sweep { store, pods, doorbells, reminders, since: Some(at_minute(60 * hour + 6)), now: at }
            .sweep())
        .unwrap();
        claims.0.lock().unwrap().len()
    };
    let left: Vec<usize> = (0..4).map(left_after).collect();
    assert!(left[0] >= 10 && left[0] < 60, "{left:?}");
    assert_eq!(left[3], 0, "{left:?}");
}

#[test]
fn volume_claims_that_outlived_their_run_are_removed_and_those_that_a_retry_needs_are_not() {
    let store = MemoryStore::default();
    ended(&store, "stopped", "OnWorkflowCompletion", RunPhase::Failed);
    ended(&store, "succeeded", "OnWorkflowSuccess", RunPhase::Succeeded);
    ended(&store, "failed", "OnWorkflowSuccess", RunPhase::Failed);
    ended(&store, "deleted", "OnWorkflowSuccess", RunPhase::Failed);
    delete(&store, "deleted");
    now(store.create_run(&spec("live", "OnWorkflowCompletion"))).unwrap();
    let all = ["stopped", "succeeded", "failed", "deleted", "live", "another-deployments"];
    let claims = Claims(Mutex::new(all.map(str::to_owned).into()));
    let left_after = |minute| {
        let (store, pods, doorbells, reminders) = (&store, &claims, &Silence, &Silence);
        let (since, at) = (Some(at_minute(minute - 1)), at_minute(minute));
        now(Sweep { store, pods, doorbells, reminders, since, now: at }.sweep()).unwrap();
        claims.0.lock().unwrap().iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(left_after(6).len(), 6, "once an hour");
    assert_eq!(left_after(7), ["another-deployments", "failed", "live"]);
}
