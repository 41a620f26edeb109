//! What an upgrade leaves of runs under way: they go on, whoever began them.

use dropforge_cloud_tests::bed::{scenario, until};
use dropforge_cloud_tests::older::{Left, RETRIED, TOLD};
use dropforge_cloud_tests::small::{Run, chain};
use dropforge_cloud_tests::upgrade::Alias;
use serde_json::json;

#[test]
fn a_journal_of_the_first_format_is_gone_on_with_by_the_deployed_functions() {
    scenario("an older journal", |bed| {
        // Two attempts are under way: an older executor has ended one, and of the other nobody made the pod.
        let run = Left::put(bed, "retried", RETRIED).with_a_verdict().ring(&json!("sweep"));
        let ended = run.end();
        assert_eq!((ended.phase(), run.executions(), run.claims().len()), ("Succeeded", 1, 2));
        assert_eq!(ended.count("Pod"), 3, "what the older program has ended is there: {}", run.explain());
    });
}

#[test]
fn a_snapshot_and_a_command_of_the_first_format_are_gone_on_with_by_the_deployed_functions() {
    scenario("an older snapshot", |bed| {
        let left = Left::put(bed, "told", TOLD).with_snapshot().with_resume(&json!({"by": "ada"}));
        let run = left.ring(&json!({"command": "c-older"}));
        let ended = run.end();
        // The exit handler alone was left to execute.
        assert_eq!((ended.phase(), run.executions(), run.claims().len()), ("Succeeded", 1, 1));
        assert_eq!(ended.count("Suspend"), 1, "{}", run.explain());
    });
}

#[test]
fn a_run_in_flight_goes_on_with_the_version_that_the_alias_is_moved_to() {
    scenario("an upgrade", |bed| {
        let (alias, older) = Alias::of(bed, "advance");
        let run = Run::submit(bed, &chain("upgraded", "sleep 3"));
        run.running_pod();
        assert!(alias.runs(&older), "the older version began it");
        let newer = alias.upgrade();
        assert_ne!(newer, older);
        until("the newer version at work", 60, || alias.runs(&newer).then_some(()));
        assert_eq!((run.end().phase(), run.executions(), run.claims().len()), ("Succeeded", 3, 3));
    });
}
