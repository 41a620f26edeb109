//! Memoized templates: what is asked, what a hit gives, what is kept.

use dropforge_manifest::types::Outputs;

use super::*;

const SPEC: &str = "  entrypoint: main
  arguments: {parameters: [{name: k, value: one}]}
  templates:
  - name: main
    steps:
    - - {name: a, template: cached, arguments: {parameters: [{name: n, value: '{{workflow.parameters.k}}'}]}}
    - - {name: b, template: use, arguments: {parameters: [{name: got, value: '{{steps.a.outputs.parameters.o}}'}]}}
  - name: cached
    inputs: {parameters: [{name: n}]}
    memoize: {key: 'key-{{inputs.parameters.n}}', maxAge: 10s, cache: {configMap: {name: c}}}
    container: {image: busybox}
    outputs: {parameters: [{name: o, valueFrom: {path: /tmp/o}}]}
  - name: use
    inputs: {parameters: [{name: got}]}
    container: {image: busybox, args: ['{{inputs.parameters.got}}']}";

fn outputs(value: &str) -> Outputs {
    let parameter = dropforge_manifest::types::Parameter {
        name: "o".into(),
        value: Some(value.into()),
        ..Default::default()
    };
    Outputs { parameters: vec![parameter], ..Outputs::default() }
}

fn entry(written: i64) -> MemoEntry {
    MemoEntry { node_id: "wf-7".into(), outputs: outputs("kept"), created_at: at(written) }
}

fn answer(w: &mut World, found: Option<MemoEntry>) {
    let (node, _) = w.asked.last().cloned().expect("a cache is asked");
    w.event(Event::MemoRead { node, found: found.map(Box::new) });
}

/// `hit`, `key` and `cacheName` of a node of Argo's tree.
fn status(w: &World, name: &str) -> serde_json::Value {
    let workflow = View::fold(w.state.program.clone(), &w.records).workflow();
    let nodes = workflow["status"]["nodes"].as_object().unwrap().clone();
    nodes.values().find(|n| n["name"] == name).unwrap()["memoizationStatus"].clone()
}

#[test]
fn a_miss_runs_the_template_and_keeps_what_it_gave() {
    let mut w = world(SPEC);
    assert_eq!(w.asked[0].1, MemoKey { cache: "c".into(), key: "key-one".into() });
    assert_eq!((w.live(), w.phase_of("[0].a")), (Vec::new(), Some(NodePhase::Pending)));
    let waits = crate::waiting::waiting(&w.state)[0].to_string();
    assert_eq!(waits, "wf[0].a: waits for the entry key-one of the cache c");
    answer(&mut w, None);
    w.finish_with("wf[0].a", |v| v.outputs = outputs("fresh"));
    let (_, key, kept) = w.kept[0].clone();
    assert_eq!((key.key, kept.outputs, kept.created_at), ("key-one".into(), outputs("fresh"), at(w.now)));
    assert_eq!(status(&w, "wf[0].a"), serde_json::json!({"hit": false, "key": "key-one", "cacheName": "c"}));
    let (node, _, _) = w.kept[0];
    w.event(Event::Performed { effect: EffectKey::WriteMemo(node), generation: 0 });
    assert!(!w.state.outbox.contains_key(&EffectKey::WriteMemo(node)));
}

#[test]
fn a_hit_ends_the_node_with_what_was_kept_and_starts_nothing() {
    let mut w = world(SPEC);
    answer(&mut w, Some(entry(1001)));
    assert_eq!(w.phase_of("[0].a"), Some(NodePhase::Succeeded));
    assert_eq!(status(&w, "wf[0].a"), serde_json::json!({"hit": true, "key": "key-one", "cacheName": "c"}));
    assert_eq!(w.live(), ["wf[1].b"]);
    assert_eq!(w.attempt("wf[1].b").work.template.container.clone().unwrap().args, Some(vec!["kept".into()]));
    assert!(w.kept.is_empty());
    let (node, _) = w.asked[0];
    let again = w.try_event(Event::MemoRead { node, found: None });
    assert_eq!(again, Err(Rejected::Answered { effect: EffectKey::ReadMemo(node) }));
}

#[test]
fn an_entry_is_taken_until_its_age_is_over() {
    for (age, phase) in [(10, NodePhase::Succeeded), (11, NodePhase::Pending)] {
        let mut w = world(SPEC);
        let written = w.now + 1 - age;
        answer(&mut w, Some(entry(written)));
        assert_eq!(w.phase_of("[0].a"), Some(phase), "{age} seconds old");
    }
}

#[test]
fn a_failed_step_is_not_kept() {
    let mut w = world(SPEC);
    answer(&mut w, None);
    w.fail("wf[0].a");
    assert!(w.kept.is_empty());
}

#[test]
fn steps_and_dags_are_memoized_as_a_whole_and_a_retry_at_its_wrapper() {
    let memoize = "memoize: {key: k, cache: {configMap: {name: c}}}";
    let spec = format!(
        "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {{name: d, template: d, withItems: [p, q]}}
    - - {{name: r, template: r}}
  - name: d
    {memoize}
    dag: {{tasks: [{{name: x, template: leaf}}]}}
  - name: r
    {memoize}
    retryStrategy: {{limit: 1}}
    container: {{image: busybox}}
  - name: leaf
    container: {{image: busybox}}"
    );
    let mut w = world(&spec);
    let (first, second) = (w.asked[0].0, w.asked[1].0);
    w.event(Event::MemoRead { node: second, found: Some(Box::new(entry(1))) });
    assert_eq!(w.phase_of("[0].d(1:q)"), Some(NodePhase::Succeeded));
    w.event(Event::MemoRead { node: first, found: None });
    assert_eq!(w.phase_of("[0].d(0:p)"), Some(NodePhase::Running));
    w.succeed("wf[0].d(0:p).x");
    assert_eq!(w.kept.len(), 1);
    answer(&mut w, None);
    w.fail("wf[1].r(0)");
    w.succeed("wf[1].r(1)");
    assert_eq!(w.kept.len(), 2, "the wrapper's entry is kept once");
    assert_eq!(status(&w, "wf[1].r(1)")["hit"], false);
    assert_eq!(w.ended().unwrap().0, RunPhase::Succeeded);
}

#[test]
fn a_bad_key_or_age_ends_the_node_in_argos_words() {
    let bad = |from: &str, to: &str| {
        let w = world(&SPEC.replace(from, to));
        assert!(w.asked.is_empty());
        (w.phase_of("[0].a"), w.message_of("[0].a"))
    };
    let error = Some(NodePhase::Error);
    assert_eq!(bad("value: one", "value: 'a b'"), (error, "invalid cache key: key-a b".to_owned()));
    let (phase, message) = bad("maxAge: 10s", "maxAge: soon");
    assert!(phase == error && message.starts_with("invalid maxAge: "), "{message}");
}

#[test]
fn a_stop_ends_what_waits_for_its_cache() {
    let mut w = world(SPEC);
    w.command("c1", Verb::Stop { message: None });
    assert_eq!(w.ended().unwrap().0, RunPhase::Failed);
    let (node, _) = w.asked[0];
    let late = w.try_event(Event::MemoRead { node, found: None });
    assert_eq!(late, Err(Rejected::Answered { effect: EffectKey::ReadMemo(node) }));
    w.event(Event::Performed { effect: EffectKey::End, generation: 0 });
    assert!(w.state.done());
}

#[test]
fn a_miss_while_the_run_is_suspended_begins_in_the_place_that_it_has_where_there_is_no_other() {
    let mut w = world(&format!("  parallelism: 1\n{SPEC}"));
    w.command("c1", Verb::Suspend);
    answer(&mut w, None);
    w.command("c2", Verb::Resume { selector: None, outputs: Default::default() });
    assert_eq!(w.live(), ["wf[0].a"]);
}

#[test]
fn a_miss_that_comes_while_the_run_is_suspended_begins_when_it_goes_on() {
    for dag in [false, true] {
        let inner = "- name: cached\n    memoize: {key: k, cache: {configMap: {name: c}}}\n    dag: {tasks: [{name: x, template: leaf}]}\n  - name: leaf\n    container: {image: busybox}";
        let spec = "  entrypoint: cached\n  templates:\n  ".to_owned() + inner;
        let mut w = if dag { world(&spec) } else { world(SPEC) };
        w.command("c1", Verb::Suspend);
        answer(&mut w, None);
        assert_eq!(w.live(), Vec::<String>::new());
        let waits = crate::waiting::waiting(&w.state)[0].to_string();
        assert!(waits.ends_with("waits for the run to be resumed"), "{waits}");
        w.command("c2", Verb::Resume { selector: None, outputs: Default::default() });
        assert_eq!(w.live(), [if dag { "wf.x" } else { "wf[0].a" }]);
    }
}
