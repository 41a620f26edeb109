//! Loops that reach over several of the pieces in which the state keeps what their children gave. At every event the state
//! is kept and read back.

use super::*;

const ITEMS: usize = 20;

/// A loop of [`ITEMS`], and a loop over what its children gave.
fn looped(bounds: &str, retries: &str) -> World {
    world(&format!(
        "  entrypoint: main
  templates:
  - name: main
    {bounds}
    steps:
    - - {{name: a, template: leaf, withSequence: {{count: {ITEMS}}}, arguments: {{parameters: [{{name: p, value: '{{{{item}}}}'}}]}}}}
    - - {{name: b, template: leaf, withParam: '{{{{steps.a.outputs.result}}}}', arguments: {{parameters: [{{name: p, value: '{{{{item}}}}'}}]}}}}
  - name: leaf
    {retries}
    inputs: {{parameters: [{{name: p}}]}}
    script: {{image: busybox, source: x, command: [sh]}}"
    ))
}

fn a(index: usize) -> String {
    format!("wf[0].a({index}:{index})")
}

/// Ends a child of the first loop with a number as its result.
fn gives(w: &mut World, node: &str, result: usize) {
    w.finish_with(node, |v| v.outputs.result = Some(result.to_string()));
}

/// The children of the second loop by their items, which are what the first one gave.
fn second(w: &World) -> Vec<String> {
    let view = w.view();
    let names = view.nodes.values().map(|n| n.name.clone());
    names.filter_map(|name| Some(name.strip_prefix("wf[1].b(")?.strip_suffix(')')?.to_owned())).collect()
}

#[test]
fn children_start_in_order_as_far_as_the_parallelism_allows_and_what_they_give_is_gathered_in_order() {
    let mut w = looped("parallelism: 4", "");
    while let Some(newest) = w.live().last().cloned().filter(|name| name.starts_with("wf[0]")) {
        assert!(w.live().len() <= 4, "{:?}", w.live());
        // The newest first, so that pieces end in another order than they began.
        let index: usize = newest.split([':', ')']).nth(1).unwrap().parse().unwrap();
        gives(&mut w, &newest, 100 + index);
        let started = w.started.iter().map(|s| s.node_name.clone()).filter(|name| name.starts_with("wf[0]"));
        assert!(started.eq((0..w.started.len().min(ITEMS)).map(a)), "in the order of the list");
    }
    while let Some(name) = w.live().first().cloned() {
        w.succeed(&name);
    }
    let expected: Vec<String> = (0..ITEMS).map(|i| format!("{i}:{}", 100 + i)).collect();
    assert_eq!(second(&w), expected);
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn each_child_is_tried_again_by_itself() {
    let mut w = looped("", "retryStrategy: {limit: 1}");
    for index in (0..ITEMS).rev() {
        w.fail(&format!("{}(0)", a(index)));
        gives(&mut w, &format!("{}(1)", a(index)), index);
    }
    assert_eq!(second(&w).len(), 2 * ITEMS, "a Retry node and its attempt each");
    let failed = w.view().nodes.values().filter(|n| n.phase == NodePhase::Failed).count();
    assert_eq!(failed, ITEMS, "the first attempts");
}

#[test]
fn with_fail_fast_nothing_starts_after_a_failure() {
    let mut w = looped("parallelism: 4\n    failFast: true", "");
    (0..9).for_each(|index| gives(&mut w, &a(index), index));
    w.fail(&a(9));
    for index in 10..13 {
        gives(&mut w, &a(index), index);
    }
    assert_eq!((w.live(), w.started.len()), (vec![], 13));
    assert_eq!(w.ended().unwrap().0, RunPhase::Failed);
}

#[test]
fn a_stopped_or_terminated_run_starts_no_more_and_a_retry_runs_what_is_left() {
    for verb in [Verb::Stop { message: None }, Verb::Terminate] {
        let mut w = looped("parallelism: 4", "");
        (0..7).for_each(|index| gives(&mut w, &a(index), 200 + index));
        w.command("c-1", verb.clone());
        for name in w.live() {
            w.fail(&name);
        }
        assert_eq!((w.live(), w.started.len()), (vec![], 11), "{verb:?}");
        assert_eq!(w.ended().unwrap().0, RunPhase::Failed);
        assert_eq!(w.retry(RetryOptions::default()), None);
        let mut again = Vec::new();
        while let Some(name) = w.live().first().cloned().filter(|name| name.starts_with("wf[0]")) {
            let index: usize = name.split([':', ')']).nth(1).unwrap().parse().unwrap();
            again.push(index);
            gives(&mut w, &name, 200 + index);
        }
        again.sort_unstable();
        assert_eq!(again, (7..ITEMS).collect::<Vec<_>>(), "{verb:?}");
        while let Some(name) = w.live().first().cloned() {
            w.succeed(&name);
        }
        let expected: Vec<String> = (0..ITEMS).map(|i| format!("{i}:{}", 200 + i)).collect();
        assert_eq!(second(&w), expected, "{verb:?}");
        assert_eq!(w.ended().unwrap().0, RunPhase::Succeeded);
    }
}

#[test]
fn failed_children_of_every_piece_run_again_and_the_others_keep_what_they_gave() {
    let mut w = looped("", "");
    for index in 0..ITEMS {
        if index % 5 == 4 { w.fail(&a(index)) } else { gives(&mut w, &a(index), index) }
    }
    assert_eq!(w.ended().unwrap().0, RunPhase::Failed);
    assert_eq!(w.retry(RetryOptions::default()), None);
    let live: Vec<String> = [4, 9, 14, 19].map(a).to_vec();
    assert_eq!(w.live(), live);
    for (at, name) in live.iter().enumerate() {
        gives(&mut w, name, 1000 + at);
    }
    let items: Vec<String> = second(&w).iter().map(|s| s.split(':').nth(1).unwrap().to_owned()).collect();
    let expected: Vec<String> =
        (0..ITEMS).map(|i| if i % 5 == 4 { (1000 + i / 5).to_string() } else { i.to_string() }).collect();
    assert_eq!(items, expected);
}

#[test]
fn items_that_are_all_passed_over_take_several_decisions() {
    let mut w = world(
        "  entrypoint: main
  templates:
  - name: main
    steps: [[{name: a, template: leaf, withSequence: {count: 1200}, when: '{{item}} > 5000'}]]
  - {name: leaf, container: {image: busybox}}",
    );
    let mut decisions = 1;
    while w.ended().is_none() {
        w.fire();
        decisions += 1;
    }
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
    assert_eq!((w.view().nodes.len(), decisions), (1200 + 3, 3));
}
