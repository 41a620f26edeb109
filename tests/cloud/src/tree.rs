//! A run's node tree without what differs from run to run.

use std::collections::BTreeMap;

use serde_json::Value;

/// A line for each node: name, type, template, phase, boundary and children, sorted by name.
pub fn shape(workflow: &Value) -> Vec<String> {
    let run = workflow["metadata"]["name"].as_str().unwrap_or_default();
    let none = serde_json::Map::new();
    let nodes = workflow["status"]["nodes"].as_object().unwrap_or(&none);
    let name = |node: &Value| node["name"].as_str().unwrap_or_default().replacen(run, "RUN", 1);
    let names: BTreeMap<&str, String> = nodes.iter().map(|(id, node)| (id.as_str(), name(node))).collect();
    let mut lines: Vec<String> = nodes.values().map(|node| line(node, &name(node), &names)).collect();
    lines.sort();
    lines
}

fn line(node: &Value, name: &str, names: &BTreeMap<&str, String>) -> String {
    let word = |field: &str| node[field].as_str().unwrap_or("-");
    let named =
        |id: &Value| names.get(id.as_str().unwrap_or_default()).map_or("?", String::as_str).to_owned();
    let boundary = if node["boundaryID"].is_string() { named(&node["boundaryID"]) } else { "-".to_owned() };
    let mut children: Vec<String> = node["children"].as_array().into_iter().flatten().map(named).collect();
    children.sort();
    let (kind, template, phase) = (word("type"), word("templateName"), word("phase"));
    format!("{name}: {kind} {template} {phase} in {boundary}, children [{}]", children.join(", "))
}

/// What stands in one of two trees only; nothing where they are equal.
pub fn differences(laptop: &[String], cloud: &[String]) -> Vec<String> {
    let only = |here: &[String], there: &[String], where_: &str| -> Vec<String> {
        here.iter()
            .filter(|line| !there.contains(line))
            .map(|line| format!("only {where_}: {line}"))
            .collect()
    };
    [only(laptop, cloud, "on the laptop"), only(cloud, laptop, "on the cluster")].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workflow(run: &str, phase: &str) -> Value {
        let (root, step) = (format!("{run}-1"), format!("{run}-2"));
        json!({"metadata": {"name": run}, "status": {"nodes": {
            &root: {"name": run, "type": "Steps", "templateName": "main", "phase": "Succeeded", "children": [&step]},
            &step: {"name": format!("{run}[0].a"), "type": "Pod", "templateName": "a", "phase": phase, "boundaryID": &root},
        }}})
    }

    #[test]
    fn trees_of_two_runs_are_equal_and_a_phase_tells_them_apart() {
        let one = shape(&workflow("wf-x1", "Succeeded"));
        assert_eq!(
            one,
            [
                "RUN: Steps main Succeeded in -, children [RUN[0].a]",
                "RUN[0].a: Pod a Succeeded in RUN, children []"
            ]
        );
        assert_eq!(differences(&one, &shape(&workflow("wf-y2", "Succeeded"))), Vec::<String>::new());
        let failed = shape(&workflow("wf-y2", "Failed"));
        assert_eq!(
            differences(&one, &failed),
            [
                "only on the laptop: RUN[0].a: Pod a Succeeded in RUN, children []",
                "only on the cluster: RUN[0].a: Pod a Failed in RUN, children []"
            ]
        );
    }
}
