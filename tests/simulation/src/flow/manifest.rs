//! A made-up workflow as a manifest.

use dropforge_manifest::parse::{AnyObject, parse};
use dropforge_manifest::types::Workflow;
use serde_json::{Value, json};

use super::{After, Body, Call, DAEMON, Flow, GIVES, IMAGE, Lock, Takes, Task, Template, Test};

/// The workflow as the product reads it.
pub fn workflow(flow: &Flow) -> Workflow {
    let text = text(flow).to_string();
    let parsed = parse("made-up.yaml", &text);
    match parsed.documents.into_iter().next().map(|document| document.object) {
        Some(AnyObject::Workflow(workflow)) => *workflow,
        _ => panic!("a made-up workflow can't be read: {text}"),
    }
}

fn text(flow: &Flow) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": "flow-"},
        "spec": spec(flow),
    })
}

/// The workflow's spec, as triggers and schedules hold it.
pub fn spec(flow: &Flow) -> Value {
    let mut templates: Vec<Value> =
        flow.templates.iter().enumerate().flat_map(|(at, template)| of_template(at, template)).collect();
    templates.reverse();
    if flow.fail_fast {
        templates[0]["failFast"] = json!(true);
    }
    if is_taken(flow) {
        // What it prints is read by who takes it.
        let leaf = templates.last_mut().expect("there is one");
        if let Some(args) = leaf["container"]["args"].as_array_mut() {
            args.push(json!(GIVES));
        }
    }
    let mut spec = json!({
        "entrypoint": name(flow.templates.len() - 1),
        "arguments": {"parameters": [{"name": "i", "value": "-"}]},
        "templates": templates,
    });
    if let Some(on_exit) = flow.on_exit {
        spec["onExit"] = json!(name(on_exit));
    }
    if let Some(parallelism) = flow.parallelism {
        spec["parallelism"] = json!(parallelism);
    }
    if let Some(lock) = &flow.lock {
        spec["synchronization"] = of_lock(lock);
    }
    if flow.volume {
        let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        spec["volumeClaimTemplates"] = json!([{"metadata": {"name": "work"}, "spec": claim}]);
    }
    spec
}

/// Whether anything takes what a loop over the first template gave.
fn is_taken(flow: &Flow) -> bool {
    let takes = |template: &Template| match &template.body {
        Body::Steps(groups) => groups.iter().flatten().any(|call| call.takes.is_some()),
        _ => false,
    };
    flow.templates.iter().any(takes)
}

fn name(template: usize) -> String {
    format!("t{template}")
}

fn of_lock(lock: &Lock) -> Value {
    match lock.limit {
        1 => json!({"mutexes": [{"name": lock.name}]}),
        _ => json!({"semaphores": [{"configMapKeyRef": {"name": lock.name, "key": "limit"}}]}),
    }
}

fn of_template(at: usize, template: &Template) -> Vec<Value> {
    let mut value = json!({"name": name(at), "inputs": {"parameters": [{"name": "i", "default": "-"}]}});
    let mut all = Vec::new();
    match &template.body {
        Body::Pod { rule, bad } => {
            let bad = bad.map_or("none".to_owned(), |bad| bad.to_string());
            let retried = if template.retries.is_some() { "retried" } else { "once" };
            let lock =
                template.lock.as_ref().map_or(String::new(), |lock| format!("{}:{}", lock.name, lock.limit));
            let args = json!([rule, bad, "{{inputs.parameters.i}}", retried, lock]);
            value["container"] = json!({"image": IMAGE, "command": ["sh"], "args": args});
        }
        Body::Daemon => {
            let args = json!([DAEMON, "none", "{{inputs.parameters.i}}", "once", ""]);
            value["daemon"] = json!(true);
            value["container"] = json!({"image": IMAGE, "command": ["sh"], "args": args});
        }
        Body::Nap(seconds) => value["suspend"] = json!({"duration": seconds.to_string()}),
        Body::Steps(groups) => {
            let group = |(g, group): (usize, &Vec<Call>)| -> Value {
                group
                    .iter()
                    .enumerate()
                    .map(|(c, call)| of_call("steps", &format!("s{g}-{c}"), call))
                    .collect()
            };
            value["steps"] = groups.iter().enumerate().map(group).collect();
        }
        Body::Dag(tasks) => {
            let tasks: Vec<Value> = tasks.iter().enumerate().map(of_task).collect();
            value["dag"] = json!({"failFast": false, "tasks": tasks});
        }
        Body::Again(template, times) => {
            let looping = format!("{}-again", name(at));
            let left = json!({"parameters": [{"name": "left", "value": times.to_string()}]});
            value["steps"] = json!([[{"name": "first", "template": looping, "arguments": left}]]);
            all.push(again(&looping, *template));
        }
    }
    if let Some(limit) = template.retries {
        value["retryStrategy"] = json!({"limit": limit});
    }
    if template.memo {
        // The cache is the run's own, so that what it holds when a step is called depends on the run alone.
        let cache = json!({"configMap": {"name": format!("{{{{workflow.uid}}}}-{}", name(at))}});
        value["memoize"] = json!({"key": "k{{inputs.parameters.i}}", "cache": cache});
    }
    if let Some(lock) = &template.lock {
        value["synchronization"] = of_lock(lock);
    }
    all.push(value);
    all
}

/// A template that calls itself as long as something is left.
fn again(own: &str, template: usize) -> Value {
    let next = json!({"parameters": [{"name": "left", "value": "{{=asInt(inputs.parameters.left) - 1}}"}]});
    json!({
        "name": own,
        "inputs": {"parameters": [{"name": "left"}]},
        "steps": [
            [{"name": "work", "template": name(template), "arguments": {"parameters": [{"name": "i", "value": "-"}]}}],
            [{"name": "next", "template": own, "arguments": next, "when": "{{inputs.parameters.left}} > 1"}],
        ],
    })
}

fn of_task((at, task): (usize, &Task)) -> Value {
    let mut value = of_call("tasks", &format!("d{at}"), &task.call);
    match &task.after {
        _ if task.after.named().is_empty() => {}
        After::All(tasks) => {
            value["dependencies"] = tasks.iter().map(|on| json!(format!("d{on}"))).collect();
        }
        After::Expression { any, tests } => {
            let tests: Vec<String> = tests.iter().map(|(on, test)| of_test(*on, *test)).collect();
            value["depends"] = json!(tests.join(if *any { " || " } else { " && " }));
        }
    }
    value
}

fn of_test(on: usize, test: Test) -> String {
    match test {
        Test::Bare => format!("d{on}"),
        Test::Succeeded => format!("d{on}.Succeeded"),
        Test::Failed => format!("d{on}.Failed"),
        Test::Ended => format!("(d{on}.Succeeded || d{on}.Failed)"),
        Test::NotSucceeded => format!("!d{on}.Succeeded"),
    }
}

fn of_call(all: &str, own: &str, call: &Call) -> Value {
    let gave = "{{steps.s0-0.outputs.result}}";
    let item = match call.takes {
        Some(Takes::Whole) => gave,
        _ if call.count.is_some() || call.takes == Some(Takes::Each) => "{{item}}",
        _ => "{{inputs.parameters.i}}",
    };
    let mut value = json!({
        "name": own,
        "template": name(call.template),
        "arguments": {"parameters": [{"name": "i", "value": item}]},
    });
    if let Some(count) = call.count {
        value["withSequence"] = json!({"count": count});
    }
    if call.takes == Some(Takes::Each) {
        value["withParam"] = json!(gave);
    }
    if let Some(when) = call.when {
        value["when"] = json!(if when { "1 == 1" } else { "1 == 2" });
    }
    if call.continues {
        value["continueOn"] = json!({"failed": true});
    }
    if let Some(on_exit) = call.on_exit {
        value["hooks"]["exit"] = json!({"template": name(on_exit)});
    }
    if let Some(hook) = &call.hook {
        let phase = if hook.failed { "Failed" } else { "Succeeded" };
        let expression = format!("{all}[\"{own}\"].status == \"{phase}\"");
        value["hooks"]["follows"] = json!({"template": name(hook.template), "expression": expression});
    }
    value
}
