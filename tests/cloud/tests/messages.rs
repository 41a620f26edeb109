//! What befalls messages, objects and programs on their way, and what becomes of the runs.

use dropforge_cloud_tests::bed::{Bed, scenario, until};
use dropforge_cloud_tests::cluster;
use dropforge_cloud_tests::faults::{Hanging, Network, processes, signal};
use dropforge_cloud_tests::small::{Run, chain, step, workflow};
use serde_json::json;

/// A run of three steps that must pass whatever the network does; each executes once.
fn passes_under(bed: &Bed, name: &str, faults: &serde_json::Value) {
    let network = Network::with(faults);
    let run = Run::submit(bed, &chain(name, "true"));
    assert_eq!((run.end().phase(), run.executions(), run.claims().len()), ("Succeeded", 3, 3));
    let acted = network.acted();
    assert!(acted.iter().all(|times| *times > 0), "a fault never happened: {acted:?}");
}

#[test]
fn messages_delivered_twice_do_nothing_twice() {
    scenario("every message twice", |bed| {
        passes_under(
            bed,
            "twice",
            &json!([{"target": "AmazonSQS.SendMessage", "times": 1000, "do": "twice"}]),
        );
    });
}

#[test]
fn what_lost_messages_would_have_said_the_sweep_finds() {
    scenario("messages lost", |bed| {
        let network =
            Network::with(&json!([{"target": "AmazonSQS.SendMessage", "times": 100_000, "do": "swallow"}]));
        // The person's own doorbell does not pass there: the first step runs.
        let run = Run::submit(bed, &chain("lost", "true"));
        until("a result that nobody hears of", 120, || (!run.results().is_empty()).then_some(()));
        // The pod's bell, and that of the sweep which looks every minute.
        let before = network.acted()[0];
        until("more bells to be lost", 150, || (network.acted()[0] >= before + 2).then_some(()));
        assert_eq!((run.executions(), run.claims().len()), (1, 1));
        drop(network);
        let ended = run.end_by_sweeps();
        assert_eq!((ended.phase(), run.executions(), run.claims().len()), ("Succeeded", 3, 3));
    });
}

#[test]
fn conflicts_refusals_and_lost_answers_of_s3_lose_nothing() {
    scenario("S3's 409, 503 and lost answers", |bed| {
        passes_under(
            bed,
            "s3",
            &json!([
                {"method": "PUT", "path": "/journals/", "times": 2, "do": {"answer": 409}},
                {"method": "PUT", "path": "/journals/", "times": 2, "do": "lose"},
                {"method": "PUT", "path": "/claim\\.json", "do": "lose"},
                {"method": "PUT", "path": "/result\\.json", "do": {"answer": 503}},
                {"method": "PUT", "path": "/result\\.json", "do": "lose"},
                {"method": "GET", "path": "/journals/", "do": {"answer": 503}},
            ]),
        );
    });
}

#[test]
fn advances_that_race_execute_nothing_twice() {
    scenario("many advances of one run at once", |bed| {
        let run = Run::submit(bed, &chain("race", "sleep 1"));
        let bell = json!({"format": 1, "run": run.uid, "why": "sweep", "hops": 0}).to_string();
        for _ in 0..60 {
            bed.emulator.send(bed.named("events_queue_url"), &bell);
        }
        assert_eq!((run.end().phase(), run.executions(), run.claims().len()), ("Succeeded", 3, 3));
    });
}

#[test]
fn an_advance_killed_between_commit_and_effect_is_made_good() {
    scenario("an advance killed between commit and effect", |bed| {
        // With an API server that does not answer, an advance has committed the start and can't perform it.
        let hanging = Hanging::new("kube-apiserver", "--secure-port 16443");
        let run = Run::submit(bed, &workflow("killed", &step("main", "true", "")));
        let function = bed.function("advance");
        let advances = until("an advance at work", 30, || {
            let journal = bed.emulator.list(bed.named("control_bucket"), "journals/");
            let found = processes("bootstrap", &format!("AWS_LAMBDA_FUNCTION_NAME={function}"));
            (journal.iter().any(|key| key.contains(&run.uid)) && !found.is_empty()).then_some(found)
        });
        signal("KILL", &advances);
        drop(hanging);
        let ended = run.end_by_sweeps();
        assert_eq!((ended.phase(), run.executions(), run.claims().len()), ("Succeeded", 1, 1));
    });
}

#[test]
fn an_executor_killed_before_its_claim_costs_no_retry() {
    scenario("an executor killed before the claim", |bed| {
        let network = Network::with(&json!([{"method": "PUT", "path": "/claim\\.json", "do": {"hold": 20}}]));
        let run = Run::submit(bed, &workflow("unclaimed", &step("main", "true", "")));
        until("the claim to be on its way", 60, || (network.acted() == [1]).then_some(()));
        kill_executor(&run);
        let ended = run.end_by_sweeps();
        assert_eq!((ended.phase(), run.executions(), ended.count("Retry")), ("Succeeded", 1, 0));
    });
}

#[test]
fn an_executor_killed_between_claim_and_result_costs_no_retry() {
    scenario("an executor killed between claim and result", |bed| {
        let run = Run::submit(bed, &workflow("unfinished", &step("main", "sleep 8", "")));
        run.running_pod();
        kill_executor(&run);
        let ended = run.end_by_sweeps();
        assert_eq!((ended.phase(), run.claims().len(), ended.count("Retry")), ("Succeeded", 2, 0));
    });
}

#[test]
fn an_executor_killed_after_its_result_has_done_its_work() {
    scenario("an executor killed after the result", |bed| {
        let network = Network::with(&json!([]));
        let run = Run::submit(bed, &workflow("silent", &step("main", "sleep 3", "")));
        run.running_pod();
        // Its bell is held until it is killed.
        drop(network);
        let network =
            Network::with(&json!([{"target": "AmazonSQS.SendMessage", "times": 100, "do": {"hold": 10}}]));
        until("the result's bell to be on its way", 60, || (network.acted() >= vec![1]).then_some(()));
        kill_executor(&run);
        drop(network);
        let ended = run.end_by_sweeps();
        assert_eq!((ended.phase(), run.executions(), run.claims().len()), ("Succeeded", 1, 1));
    });
}

fn kill_executor(run: &Run) {
    let pod = run.pod("there", |_| true);
    let uid = format!("DROPFORGE_POD_UID={}", pod["metadata"]["uid"].as_str().unwrap_or_default());
    let wraps = processes("dropforge-executor wrap", &uid);
    assert!(!wraps.is_empty(), "no executor in {}", cluster::name(&pod));
    signal("KILL", &wraps);
}

#[test]
fn what_is_no_doorbell_stops_nobody() {
    scenario("messages that are no doorbells", |bed| {
        let queue = bed.named("events_queue_url");
        let huge = "x".repeat(200_000);
        let newer = json!({"format": 99, "run": "u", "why": "sweep"}).to_string();
        let unknown = json!({"format": 1, "run": "no-such-run", "why": "sweep", "hops": 0}).to_string();
        for body in ["{", "[]", "no bell", &huge, &newer, &unknown] {
            bed.emulator.send(queue, body);
        }
        let run = Run::submit(bed, &workflow("beside", &step("main", "true", "")));
        assert_eq!((run.end().phase(), run.executions()), ("Succeeded", 1));
    });
}

#[test]
fn the_keys_to_aws_are_in_no_object_no_log_and_no_pod() {
    scenario("credentials", |bed| {
        let run = Run::submit(bed, &workflow("secret", &step("main", "sleep 3", "")));
        let pod = run.running_pod().to_string();
        run.end();
        let secret = std::env::var("AWS_SECRET_ACCESS_KEY").expect("tests/cloud/run sets it");
        let bucket = bed.named("control_bucket");
        let objects = bed
            .emulator
            .list(bucket, "")
            .into_iter()
            .filter(|key| key.contains(&run.uid) || key.contains(&run.name));
        let objects: Vec<String> = objects.collect();
        assert!(objects.len() > 3, "the run has left objects: {objects:?}");
        let read = |key: &String| {
            String::from_utf8_lossy(&bed.emulator.get(bucket, key).unwrap_or_default()).into_owned()
        };
        let logs = ["ingest", "advance", "sweep"]
            .map(|function| bed.emulator.log(bed.function(function)).join("\n"));
        let all = objects.iter().map(read).chain([pod]).chain(logs);
        assert!(!all.into_iter().any(|text| text.contains(&secret)));
    });
}
