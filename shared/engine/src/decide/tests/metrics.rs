//! Metrics, resources and progress.

use super::*;
use crate::attempt::Progress;
use crate::metric::{Metric, MetricKind};

const MEASURED: &str = "  entrypoint: main
  metrics:
    prometheus:
    - {name: runs, help: Runs, labels: [{key: status, value: '{{workflow.status}}'}], counter: {value: 1}}
  templates:
  - name: main
    steps: [[{name: train, template: train, arguments: {parameters: [{name: rate, value: '0.1'}]}}]]
  - name: train
    inputs: {parameters: [{name: rate}]}
    outputs: {parameters: [{name: acc, valueFrom: {path: /acc}}]}
    retryStrategy: {limit: 2}
    metrics:
      prometheus:
      - {name: failed, help: Failures, when: '{{status}} == Failed', labels: [{key: rate, value: '{{inputs.parameters.rate}}'}], counter: {value: 1}}
      - {name: accuracy, help: 'Accuracy of {{workflow.name}}', when: '{{status}} == Succeeded', gauge: {value: '{{outputs.parameters.acc}}'}}
      - {name: cores, help: Cores, histogram: {value: '{{resourcesDuration.cpu}}', buckets: [1, 10]}}
      - {name: live, help: Time, gauge: {realtime: true, value: '{{duration}}'}}
    container: {image: busybox, resources: {requests: {cpu: '2'}}}";

fn measured(w: &World) -> Vec<(String, f64)> {
    let metrics = w.records.iter().filter_map(|r| match r {
        Record::Measured { metric } => Some((metric.name.clone(), metric.value)),
        _ => None,
    });
    metrics.filter(|(name, _)| name != "live").collect()
}

fn run_for(w: &mut World, node: &str, seconds: i64, outcome: Outcome, accuracy: &str) {
    let accuracy = accuracy.to_owned();
    w.now += seconds;
    w.finish_with(node, |v| {
        v.outcome = outcome;
        v.started_at = Some(at(v.finished_at.as_second() - seconds));
        v.outputs.parameters = vec![dropforge_manifest::types::Parameter {
            name: "acc".into(),
            value: Some(accuracy.into()),
            ..Default::default()
        }];
    });
}

#[test]
fn nodes_and_runs_are_measured_when_they_end() {
    let mut w = world(MEASURED);
    let live = w.records.iter().filter(|r| matches!(r, Record::Measured { .. })).count();
    assert_eq!(live, 2, "the Retry node and its attempt exist");
    run_for(&mut w, "wf[0].train(0)", 3, Outcome::Failed, "0.5");
    assert_eq!(measured(&w), [("failed".to_owned(), 1.0), ("cores".to_owned(), 6.0)]);
    run_for(&mut w, "wf[0].train(1)", 5, Outcome::Succeeded, "0.75");
    let expected = [("failed", 1.0), ("cores", 6.0), ("accuracy", 0.75), ("cores", 16.0), ("runs", 1.0)];
    assert_eq!(measured(&w), expected.map(|(name, value)| (name.to_owned(), value)));
    let find = |name: &str| {
        w.records.iter().rev().find_map(|r| match r {
            Record::Measured { metric } if metric.name == name => Some((**metric).clone()),
            _ => None,
        })
    };
    let failed = find("failed").unwrap();
    assert_eq!((failed.labels[0].value.as_str(), failed.kind), ("0.1", MetricKind::Counter));
    let runs: Metric = find("runs").unwrap();
    assert_eq!(runs.labels[0].value, "Succeeded");
    assert_eq!(find("accuracy").unwrap().help, "Accuracy of wf");
    let workflow = View::fold(w.state.program.clone(), &w.records).workflow();
    assert_eq!(workflow["status"]["resourcesDuration"], serde_json::json!({"cpu": 16, "memory": 8}));
}

#[test]
fn a_metric_without_a_number_is_a_condition_of_the_run() {
    let mut w = world(MEASURED);
    run_for(&mut w, "wf[0].train(0)", 1, Outcome::Succeeded, "good");
    let why = "could not construct metric 'accuracy': strconv.ParseFloat: parsing \"good\": invalid syntax";
    assert_eq!(w.state.metrics_error.as_deref(), Some(why));
    assert_eq!(w.ended().map(|(phase, _)| phase), Some(RunPhase::Succeeded), "it fails nothing");
    let workflow = View::fold(w.state.program.clone(), &w.records).workflow();
    let conditions = workflow["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["type"] == "MetricsError" && c["message"] == why), "{conditions:?}");
}

#[test]
fn a_leafs_own_units_count_in_place_of_one() {
    let mut w = world(MEASURED);
    let attempt = w.attempt("wf[0].train(0)").id.clone();
    let said =
        |done, total| Event::AttemptProgress { attempt: attempt.clone(), progress: Progress { done, total } };
    w.event(said(3, 10));
    assert_eq!(w.state.progress, (3, 10));
    assert_eq!(w.try_event(said(3, 10)), Err(Rejected::StaleAttempt { attempt: attempt.clone() }));
    w.event(said(7, 10));
    run_for(&mut w, "wf[0].train(0)", 1, Outcome::Failed, "");
    assert_eq!(w.state.progress, (7, 11));
    run_for(&mut w, "wf[0].train(1)", 1, Outcome::Succeeded, "1");
    assert_eq!(w.state.progress, (8, 11));
    let workflow = View::fold(w.state.program.clone(), &w.records).workflow();
    assert_eq!(workflow["status"]["progress"], "8/11");
    assert_eq!(workflow["status"]["nodes"]["wf"]["progress"], "8/11");
}
