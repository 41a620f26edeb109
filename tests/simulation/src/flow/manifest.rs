//! A made-up workflow as a manifest.

use dropforge_manifest::parse::{AnyObject, parse};
use dropforge_manifest::types::Workflow;
use serde_json::{Value, json};

use super::{Body, Call, Flow, Lock, Template};

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
    let mut templates: Vec<Value> =
        flow.templates.iter().enumerate().flat_map(|(at, template)| of_template(at, template)).collect();
    templates.reverse();
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
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": "flow-"},
        "spec": spec,
    })
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
            value["container"] = json!({"image": "busybox", "command": ["sh"], "args": args});
        }
        Body::Nap(seconds) => value["suspend"] = json!({"duration": seconds.to_string()}),
        Body::Steps(groups) => {
            let group = |(g, group): (usize, &Vec<Call>)| -> Value {
                group.iter().enumerate().map(|(c, call)| of_call(&format!("s{g}-{c}"), call)).collect()
            };
            value["steps"] = groups.iter().enumerate().map(group).collect();
        }
        Body::Dag(tasks) => {
            let task = |(at, (call, dependencies)): (usize, &(Call, Vec<usize>))| {
                let mut task = of_call(&format!("d{at}"), call);
                let dependencies: Vec<String> = dependencies.iter().map(|on| format!("d{on}")).collect();
                if !dependencies.is_empty() {
                    task["dependencies"] = json!(dependencies);
                }
                task
            };
            let tasks: Vec<Value> = tasks.iter().enumerate().map(task).collect();
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

fn of_call(own: &str, call: &Call) -> Value {
    let item = if call.count.is_some() { "{{item}}" } else { "{{inputs.parameters.i}}" };
    let mut value = json!({
        "name": own,
        "template": name(call.template),
        "arguments": {"parameters": [{"name": "i", "value": item}]},
    });
    if let Some(count) = call.count {
        value["withSequence"] = json!({"count": count});
    }
    if let Some(when) = call.when {
        value["when"] = json!(if when { "1 == 1" } else { "1 == 2" });
    }
    if call.continues {
        value["continueOn"] = json!({"failed": true});
    }
    if let Some(on_exit) = call.on_exit {
        value["hooks"] = json!({"exit": {"template": name(on_exit)}});
    }
    value
}
