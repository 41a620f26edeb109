use dropforge_manifest::types::StopStrategy;

use super::*;
use crate::documents::fake::{FakeDocuments, Fault, now as done};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Fires every hour.
fn cron(change: impl FnOnce(&mut CronWorkflow)) -> CronWorkflow {
    let mut cron = CronWorkflow::default();
    cron.metadata.name = Some("nightly".to_owned());
    cron.spec.schedules = vec!["0 * * * *".to_owned()];
    change(&mut cron);
    cron
}

fn policy(policy: &str) -> CronWorkflow {
    cron(|c| c.spec.concurrency_policy = Some(policy.to_owned()))
}

fn missed_by(word: &str) -> CronWorkflow {
    cron(|c| drop(c.metadata.annotations.insert(MISSED_TICKS.to_owned(), word.to_owned())))
}

fn uids() -> impl FnMut() -> RunUid {
    let mut n = 0;
    move || {
        n += 1;
        RunUid::from(format!("u{n}"))
    }
}

const START: &str = "2026-01-15T10:30:00Z";

/// What becomes of the ticks until `now`, where somebody watches from `since` on.
fn decided(cron: &CronWorkflow, state: &mut CronState, since: &str, now: &str) -> Vec<(String, Admission)> {
    let times = Times::of(&cron.spec).unwrap();
    let ticked = decide(cron, &times, state, Watch::by_process(at(since)), at(now), &mut uids());
    ticked.into_iter().map(|t| (t.time.to_string(), t.admission)).collect()
}

fn ran(ticks: Vec<(String, Admission)>) -> Vec<String> {
    ticks.into_iter().filter(|(_, a)| matches!(a, Admission::Run { .. })).map(|(time, _)| time).collect()
}

fn why(ticks: Vec<(String, Admission)>) -> String {
    match ticks.as_slice() {
        [(_, Admission::Dropped { why })] => why.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tick_becomes_a_run_named_after_its_time() {
    let (cron, mut state) = (cron(|_| {}), CronState::new(&cron(|_| {}).spec, at(START)));
    let got = decided(&cron, &mut state, START, "2026-01-15T11:00:00.020Z");
    let run = CronRun {
        uid: "u1".into(),
        name: "nightly-1768474800".to_owned(),
        scheduled_time: at("2026-01-15T11:00:00Z"),
        born: false,
        replaced: false,
    };
    let admission = Admission::Run { run: run.clone(), replaces: Vec::new() };
    assert_eq!(got, [("2026-01-15T11:00:00Z".to_owned(), admission)]);
    assert_eq!(state.acts(), [CronAct::Create(run)]);
    assert_eq!(decided(&cron, &mut state, START, "2026-01-15T11:00:01Z"), []);
}

#[test]
fn several_schedules_firing_together_are_one_tick() {
    let two = cron(|c| c.spec.schedules.push("*/30 * * * *".to_owned()));
    let mut state = CronState::new(&two.spec, at(START));
    assert_eq!(ran(decided(&two, &mut state, START, "2026-01-15T11:00:00Z")), ["2026-01-15T11:00:00Z"]);
}

#[test]
fn missed_ticks_follow_the_annotation_or_argos_rule() {
    let deadline = |seconds| cron(|c| c.spec.starting_deadline_seconds = Some(seconds));
    let both = |word: &str, seconds| {
        let mut cron = missed_by(word);
        cron.spec.starting_deadline_seconds = Some(seconds);
        cron
    };
    // Down from 10:30 to 13:10: 11, 12 and 13 o'clock were missed.
    let cases = [
        (cron(|_| {}), vec![]),
        (deadline(600), vec![]),
        (deadline(601), vec!["2026-01-15T13:00:00Z"]),
        (deadline(36000), vec!["2026-01-15T13:00:00Z"]),
        (missed_by("none"), vec![]),
        (missed_by("latest"), vec!["2026-01-15T13:00:00Z"]),
        (missed_by("all"), vec!["2026-01-15T11:00:00Z", "2026-01-15T12:00:00Z", "2026-01-15T13:00:00Z"]),
        (both("all", 6000), vec!["2026-01-15T12:00:00Z", "2026-01-15T13:00:00Z"]),
        (both("latest", 60), vec![]),
    ];
    for (cron, expected) in cases {
        let mut state = CronState::new(&cron.spec, at(START));
        let now = "2026-01-15T13:10:00Z";
        assert_eq!(ran(decided(&cron, &mut state, now, now)), expected, "{:?}", cron.metadata.annotations);
        let next = state.next_due(&cron, &Times::of(&cron.spec).unwrap());
        assert_eq!(next, Some(at("2026-01-15T14:00:00Z")), "what was missed is not due again");
    }
}

#[test]
fn ticks_of_a_schedule_that_was_written_differently_are_not_made_up() {
    let old = missed_by("all");
    let mut new = old.clone();
    new.spec.schedules = vec!["30 * * * *".to_owned()];
    let mut state = CronState::new(&old.spec, at(START));
    let now = "2026-01-15T13:10:00Z";
    assert_eq!(decided(&new, &mut state, now, now), []);
    assert_eq!(ran(decided(&new, &mut state, now, "2026-01-15T13:30:00Z")), ["2026-01-15T13:30:00Z"]);
}

#[test]
fn a_machine_that_slept_has_missed_ticks() {
    let (cron, mut state) = (cron(|_| {}), CronState::new(&cron(|_| {}).spec, at(START)));
    assert_eq!(decided(&cron, &mut state, START, "2026-01-15T11:30:00Z"), []);
}

#[test]
fn forbid_drops_the_tick_and_replace_ends_the_active_run() {
    let forbid = policy("Forbid");
    let mut state = CronState::new(&forbid.spec, at(START));
    decided(&forbid, &mut state, START, "2026-01-15T11:00:00Z");
    assert!(why(decided(&forbid, &mut state, START, "2026-01-15T12:00:00Z")).contains("Forbid"));
    assert!(state.ended(Some(&forbid), end("u1", RunPhase::Failed), at("2026-01-15T12:30:00Z")));
    assert!(!state.ended(Some(&forbid), end("u1", RunPhase::Failed), at("2026-01-15T12:30:00Z")));
    assert_eq!((state.succeeded, state.failed), (0, 1));
    assert_eq!(ran(decided(&forbid, &mut state, START, "2026-01-15T13:00:00Z")).len(), 1);

    let replace = policy("Replace");
    let mut state = CronState::new(&replace.spec, at(START));
    decided(&replace, &mut state, START, "2026-01-15T11:00:00Z");
    state.born(&"u1".into());
    let times = Times::of(&replace.spec).unwrap();
    let now = at("2026-01-15T12:00:00Z");
    decide(&replace, &times, &mut state, Watch::by_process(at(START)), now, &mut || "u2".into());
    let acts: Vec<String> = state
        .acts()
        .iter()
        .map(|act| match act {
            CronAct::Create(run) => format!("create {}", run.uid),
            CronAct::Terminate(run) => format!("terminate {}", run.uid),
        })
        .collect();
    assert_eq!(acts, ["create u2", "terminate u1"]);
}

#[test]
fn missed_ticks_run_one_after_another_where_runs_must_not_meet() {
    let mut forbid = missed_by("all");
    forbid.spec.concurrency_policy = Some("Forbid".to_owned());
    let mut state = CronState::new(&forbid.spec, at(START));
    let now = "2026-01-15T12:10:00Z";
    assert_eq!(ran(decided(&forbid, &mut state, now, now)), ["2026-01-15T11:00:00Z"]);
    assert_eq!(decided(&forbid, &mut state, now, now), []);
    state.ended(None, end("u1", RunPhase::Succeeded), at(now));
    assert_eq!(state.next_due(&forbid, &Times::of(&forbid.spec).unwrap()), Some(state.handled));
    assert_eq!(ran(decided(&forbid, &mut state, now, now)), ["2026-01-15T12:00:00Z"]);
}

#[test]
fn suspend_and_when_drop_a_tick_and_a_bad_when_counts_as_failed() {
    let suspended = cron(|c| c.spec.suspend = Some(true));
    let mut state = CronState::new(&suspended.spec, at(START));
    assert!(why(decided(&suspended, &mut state, START, "2026-01-15T11:00:00Z")).contains("suspended"));
    let when = |text: &str| cron(|c| c.spec.when = Some(text.to_owned()));
    for (text, runs) in [
        ("{{cronworkflow.failed}} == 0", true),
        ("{{cronworkflow.failed}} > 0", false),
        ("{{= cronworkflow.lastScheduledTime == nil }}", true),
        ("'{{cronworkflow.name}}' == 'nightly'", true),
    ] {
        let cron = when(text);
        let mut state = CronState::new(&cron.spec, at(START));
        let got = decided(&cron, &mut state, START, "2026-01-15T11:00:00Z");
        assert_eq!(ran(got.clone()).len() == 1, runs, "{text}: {got:?}");
    }
    let bad = when("{{cronworkflow.nothing}} == 1");
    let mut state = CronState::new(&bad.spec, at(START));
    let said = why(decided(&bad, &mut state, START, "2026-01-15T11:00:00Z"));
    assert!(said.starts_with("run policy error: ") && state.failed == 1, "{said}");
}

#[test]
fn a_stop_strategy_stops_for_good() {
    let stop = cron(|c| {
        c.spec.stop_strategy = Some(StopStrategy { expression: "cronworkflow.failed >= 1".to_owned() });
    });
    let mut state = CronState::new(&stop.spec, at(START));
    decided(&stop, &mut state, START, "2026-01-15T11:00:00Z");
    state.ended(Some(&stop), end("u1", RunPhase::Error), at("2026-01-15T11:10:00Z"));
    assert!(state.stopped);
    assert_eq!(ran(decided(&stop, &mut state, START, "2026-01-15T12:00:00Z")), Vec::<String>::new());
}

#[test]
fn a_schedule_taken_away_and_brought_back_begins_anew() {
    let all = missed_by("all");
    let mut state = CronState::new(&all.spec, at(START));
    decided(&all, &mut state, START, "2026-01-15T11:00:00Z");
    state.forget();
    state.begin(&all.spec, at("2026-01-15T15:30:00Z"));
    assert_eq!(state.active.len(), 1);
    assert_eq!(decided(&all, &mut state, START, "2026-01-15T15:31:00Z"), []);
}

#[test]
fn the_workflow_carries_argos_labels_and_annotations() {
    let cron = cron(|c| {
        let mut metadata = ObjectMeta::default();
        metadata.labels.insert("team".to_owned(), "ml".to_owned());
        c.spec.workflow_metadata = Some(metadata);
        c.metadata.labels.insert("workflows.argoproj.io/creator".to_owned(), "ada".to_owned());
    });
    let workflow = workflow_of(&cron, at("2026-01-15T11:00:00Z"));
    let labels: Vec<String> = workflow.metadata.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        labels,
        ["team=ml", "workflows.argoproj.io/creator=ada", "workflows.argoproj.io/cron-workflow=nightly"]
    );
    assert_eq!(workflow.metadata.annotations[SCHEDULED_TIME], "2026-01-15T11:00:00Z");
    assert_eq!(workflow.metadata.name.as_deref(), Some("nightly-1768474800"));
}

fn end(name: &str, phase: RunPhase) -> CronEnd {
    CronEnd { uid: name.into(), name: name.to_owned(), created_at: at(START), phase }
}

#[test]
fn three_succeeded_and_one_failed_run_stay_by_default() {
    use RunPhase::{Error, Failed, Succeeded};
    let phases = [Failed, Succeeded, Error, Succeeded, Succeeded, Succeeded];
    let mut state = CronState::new(&cron(|_| {}).spec, at(START));
    state.ends = phases.iter().enumerate().map(|(i, phase)| end(&i.to_string(), *phase)).collect();
    // Who was created last is the newest, whoever ended last.
    state.ends[5].created_at = at("2026-01-16T11:00:00Z");
    let names = |cron: &CronWorkflow| -> Vec<String> {
        state.beyond_history(cron).into_iter().map(|end| end.name).collect()
    };
    assert_eq!(names(&cron(|_| {})), ["4", "2"]);
    assert_eq!(names(&cron(|c| c.spec.successful_jobs_history_limit = Some(0))), ["5", "1", "3", "4", "2"]);
}

#[test]
fn the_history_holds_runs_that_ended_and_each_once() {
    let mut state = CronState::new(&cron(|_| {}).spec, at(START));
    let run = |uid: &str| CronRun {
        uid: uid.into(),
        name: uid.to_owned(),
        scheduled_time: at(START),
        born: true,
        replaced: false,
    };
    state.active = vec![run("a"), run("b")];
    assert!(state.ended(None, end("a", RunPhase::Failed), at(START)));
    assert!(!state.ended(None, end("a", RunPhase::Succeeded), at(START)), "it was retried");
    assert!(!state.ended(None, end("a-stranger", RunPhase::Failed), at(START)));
    assert_eq!(state.ends, [end("a", RunPhase::Succeeded)]);
    assert_eq!((state.succeeded, state.failed), (0, 1), "the schedule's counts are of first ends");
    state.forget();
    state.begin(&cron(|_| {}).spec, at(START));
    assert_eq!(state.ends.len(), 1, "what a schedule made is its own, also once it is written anew");
}

/// The process is killed before or after each of its writes; whoever comes next creates the tick's one run.
#[test]
fn a_kill_at_any_write_leaves_one_run_for_the_tick() {
    let (cron, tick) = (cron(|_| {}), at("2026-01-15T11:00:00Z"));
    let times = Times::of(&cron.spec).unwrap();
    for n in 0..4 {
        for fault in [Fault::Before, Fault::After] {
            let store = FakeDocuments::default();
            done(keep::begin(&store, "default", &cron, at(START))).unwrap();
            store.fail_at(n, fault);
            let mut created = std::collections::BTreeSet::new();
            let mut new = uids();
            let mut life = |watched_since| -> Result<(), crate::store::StoreError> {
                let when = (Watch::by_process(watched_since), tick);
                let (_, acts) = done(keep::tick(&store, "default", &cron, &times, when, &mut new))?;
                for act in acts {
                    let CronAct::Create(run) = act else { panic!("{act:?}") };
                    created.insert(run.uid.clone());
                    done(keep::born(&store, "default", "nightly", &run.uid))?;
                }
                Ok(())
            };
            let _ = life(at(START));
            store.restart();
            life(at(START)).unwrap();
            assert_eq!(created.len(), 1, "killed {fault:?} write {n}");
            let end = end(created.first().unwrap().as_str(), RunPhase::Succeeded);
            assert!(done(keep::ended(&store, "default", "nightly", &end, tick)).unwrap());
            let state = done(keep::state(&store, "default", "nightly")).unwrap().unwrap();
            assert_eq!((state.acts(), state.active.len(), state.succeeded), (vec![], 0, 1));
        }
    }
}
