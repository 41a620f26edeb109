use serde_json::json;

use super::*;

fn entry(name: &str, from: i64, to: Option<i64>, accuracy: Option<f64>) -> Entry {
    let time = |second| jiff::Timestamp::from_second(second).unwrap();
    Entry {
        uid: format!("uid-{name}"),
        name: name.to_owned(),
        phase: "Succeeded".to_owned(),
        started_at: Some(time(from)),
        finished_at: to.map(time),
        metrics: accuracy.map(|a| ("accuracy".to_owned(), a)).into_iter().collect(),
    }
}

/// A run of one step and one task with all that can be expected.
fn found(expect: Value) -> Vec<String> {
    let expect: Expect = serde_json::from_value(expect).unwrap();
    let sum = format!("{:x}", Sha256::digest("a model"));
    let workflow = json!({"status": {"phase": "Succeeded", "nodes": {
        "r": {"name": "r", "type": "Steps", "phase": "Succeeded", "outputs": {"parameters": [{"name": "best", "value": "b"}]}},
        "r-1": {"name": "r[0].train", "type": "Pod", "phase": "Succeeded", "templateName": "train",
            "outputs": {"parameters": [{"name": "score", "value": "0.5\n"}, {"name": "sum", "value": sum}]}},
        "r-2": {"name": "r.give-up", "type": "Skipped", "phase": "Skipped", "templateName": "give-up"},
    }}});
    let object = |place: &str| (place == "models/r/model").then(|| b"a model".to_vec());
    let log = |node: &str| if node == "r[0].train" { "trained\n\n".to_owned() } else { String::new() };
    let seen = Seen { entry: entry("r", 0, Some(1), Some(0.5)), workflow, object: &object, log: &log };
    differences(&expect, &seen)
}

#[test]
fn a_run_as_expected_has_no_differences() {
    let expect = json!({
        "phase": "Succeeded",
        "nodes": {"": "Succeeded", "[0].train": "Succeeded", "give-up": "Skipped"},
        "executed": {"train": 1, "give-up": 0},
        "outputs": {"": {"best": "b"}, "[0].train": {"score": {"min": 0.5, "max": 0.5}}},
        "artifacts": ["models/{{run}}/model"],
        "absent": ["models/{{run}}/other", "s3://b/models/{{run}}/model"],
        "contains": {"models/{{run}}/model": ["a mod", "del"]},
        "sha256": {"models/{{run}}/model": {"node": "[0].train", "parameter": "sum"}},
        "metrics": {"accuracy": {"min": 0.4}},
        "log_ends": {"[0].train": "trained"},
    });
    assert_eq!(found(expect), Vec::<String>::new());
}

#[test]
fn each_expectation_can_fail() {
    for (expect, differences) in [
        (json!({"phase": "Failed"}), 2),
        (json!({"nodes": {"[0].train": "Failed", "[1].train": "Succeeded"}}), 2),
        (json!({"executed": {"train": 2, "give-up": 1}}), 2),
        (json!({"outputs": {"": {"best": "a"}, "[0].train": {"score": {"max": 0.4}, "none": "x"}}}), 3),
        (json!({"artifacts": ["models/{{run}}/other"]}), 1),
        (json!({"absent": ["models/{{run}}/model"]}), 1),
        (json!({"contains": {"models/{{run}}/model": ["a model", "another"], "none": ["x"]}}), 2),
        (json!({"sha256": {"models/{{run}}/model": {"node": "[0].train", "parameter": "score"}}}), 1),
        (json!({"sha256": {"none": {"node": "", "parameter": "none"}}}), 1),
        (json!({"metrics": {"accuracy": {"min": 0.6}, "none": {}}}), 2),
        (json!({"log_ends": {"[0].train": "failed"}}), 1),
    ] {
        let found = found(expect);
        assert_eq!(found.len(), differences, "{found:#?}");
    }
}

#[test]
fn runs_that_overlap_are_active_together() {
    let after = [entry("a", 0, Some(5), None), entry("b", 5, Some(9), None)];
    assert_eq!(differences_beside(Some(1), &[], &after), Vec::<String>::new());
    let beside = [entry("a", 0, Some(5), None), entry("b", 4, None, None)];
    assert_eq!(
        differences_beside(Some(1), &[], &beside),
        ["2 runs were active at one time, expected 1 at most"]
    );
    assert_eq!(differences_beside(Some(2), &[], &beside), Vec::<String>::new());
}

#[test]
fn metrics_that_shall_differ_differ_and_are_there() {
    let name = ["accuracy".to_owned()];
    let runs = |numbers: [Option<f64>; 3]| numbers.map(|n| entry("a", 0, None, n));
    let count = |numbers| differences_beside(None, &name, &runs(numbers)).len();
    assert_eq!(count([Some(0.1), Some(0.3), Some(0.2)]), 0);
    assert_eq!(count([Some(0.1), Some(0.2), Some(0.1)]), 1);
    assert_eq!(count([Some(0.1), Some(0.2), None]), 1);
}
