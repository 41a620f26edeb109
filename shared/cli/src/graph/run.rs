//! The graph of a run: its nodes with their phases, as Argo hangs them together.

use dropforge_engine::view::View;
use serde_json::Value;

use super::Graph;

/// The graph of what a run did so far.
pub fn of_run(view: &View) -> Graph {
    let object = view.workflow();
    let mut nodes: Vec<(&String, &Value)> =
        object["status"]["nodes"].as_object().into_iter().flatten().collect();
    // Nodes of one moment stand as their names do.
    nodes.sort_by_key(|(_, node)| (text(node, "startedAt"), text(node, "name")));
    let mut graph = Graph::default();
    for (_, node) in &nodes {
        let (name, kind) = (text(node, "displayName"), text(node, "type"));
        let label = if kind == "Pod" { name.to_owned() } else { format!("{name}\n{kind}") };
        let own = graph.add(label, None);
        graph.boxes[own].phase = text(node, "phase").to_owned();
    }
    let place = |id: &Value| nodes.iter().position(|(own, _)| id.as_str() == Some(own.as_str()));
    for (from, (_, node)) in nodes.iter().enumerate() {
        for to in node["children"].as_array().into_iter().flatten().filter_map(place) {
            graph.arrow(from, to, "");
        }
    }
    graph
}

fn text<'n>(node: &'n Value, field: &str) -> &'n str {
    node[field].as_str().unwrap_or_default()
}
