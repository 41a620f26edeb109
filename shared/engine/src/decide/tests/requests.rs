//! `http` templates: attempts that are requests.

use super::*;

const TWO: &str = "  entrypoint: main
  parallelism: 1
  templates:
  - name: main
    steps:
    - - {name: ask, template: ask, arguments: {parameters: [{name: id, value: '7'}]}}
      - {name: pod, template: pod}
    - - {name: use, template: use, arguments: {parameters: [{name: v, value: '{{steps.ask.outputs.result}}'}]}}
  - name: ask
    inputs: {parameters: [{name: id}]}
    http:
      url: http://models/{{inputs.parameters.id}}
      headers: [{name: X-Run, value: '{{workflow.name}}'}]
      successCondition: response.statusCode == 201
  - name: pod
    container: {image: busybox}
  - name: use
    inputs: {parameters: [{name: v}]}
    container: {image: busybox, args: ['{{inputs.parameters.v}}']}";

const RETRIED: &str = "  entrypoint: ask
  templates:
  - name: ask
    timeout: 1h
    retryStrategy: {limit: 1, retryPolicy: Always}
    http: {url: http://models/}";

fn finish_as(w: &mut World, node: &str, outcome: Outcome, message: &str) {
    let message = message.to_owned();
    w.finish_with(node, |v| {
        v.outcome = outcome;
        v.message = message;
    });
}

#[test]
fn a_request_is_an_attempt_that_takes_no_slot_and_gives_its_body() {
    let mut w = world(TWO);
    assert_eq!(w.live(), ["wf[0].ask", "wf[0].pod"], "a request is no pod: parallelism does not count it");
    let asked = w.attempt("wf[0].ask");
    let http = asked.work.template.http.clone().unwrap();
    assert_eq!((http.url.as_str(), http.headers[0].value.as_deref()), ("http://models/7", Some("wf")));
    assert!(asked.work.capture_result);
    w.finish_with("wf[0].ask", |v| v.outputs.result = Some("model".into()));
    w.succeed("wf[0].pod");
    let used = w.attempt("wf[1].use").work.template.container.clone().unwrap();
    assert_eq!(used.args, Some(vec!["model".to_owned()]));
    w.succeed("wf[1].use");
    let workflow = View::fold(w.state.program.clone(), &w.records).workflow();
    let nodes = workflow["status"]["nodes"].as_object().unwrap();
    let node = nodes.values().find(|n| n["displayName"] == "ask").unwrap();
    assert_eq!((node["type"].as_str(), node["progress"].as_str()), (Some("HTTP"), Some("1/1")));
    assert_eq!(workflow["status"]["progress"], "3/3");
}

#[test]
fn a_lost_request_is_an_error_and_never_silently_repeated() {
    let mut w = world(TWO);
    finish_as(&mut w, "wf[0].ask", Outcome::Lost, "the supervisor of the steps died while the step ran");
    assert_eq!(w.live(), ["wf[0].pod"]);
    assert_eq!(w.phase_of("[0].ask"), Some(NodePhase::Error));
    let said = w.message_of("[0].ask");
    assert_eq!(
        said,
        "the supervisor of the steps died while the step ran: whether the request was made is not known"
    );
}

#[test]
fn the_users_own_retry_strategy_repeats_a_request() {
    let mut w = world(RETRIED);
    finish_as(&mut w, "wf(0)", Outcome::Failed, "received non-2xx response code: 503");
    finish_as(&mut w, "wf(1)", Outcome::Lost, "gone");
    assert_eq!(w.ended(), Some((RunPhase::Error, "No more retries left".to_owned())));
}

#[test]
fn a_request_that_is_stopped_or_late_is_told_in_argos_words() {
    let mut w = world(TWO);
    w.command("c1", Verb::Stop { message: None });
    assert_eq!(w.message_of("[0].ask"), "Stopped with strategy 'Stop'");
    assert_eq!(w.message_of("[0].pod"), "workflow shutdown with strategy:  Stop");
    let mut w = world(&RETRIED.replace("    retryStrategy: {limit: 1, retryPolicy: Always}\n", ""));
    assert_eq!(w.attempt("wf").work.active_deadline_seconds, None, "a request has a limit of its own");
    w.fire();
    assert_eq!((w.phase_of(""), w.message_of("")), (Some(NodePhase::Failed), "timeout".to_owned()));
}
