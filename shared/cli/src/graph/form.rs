//! Graphs as text for other programs: Mermaid, which Markdown viewers draw, and Graphviz' DOT.

use super::Graph;

/// Colours of phases; what is not named has none.
const COLOURS: [(&str, &str); 8] = [
    ("Succeeded", "#c8e6c9"),
    ("Failed", "#ffcdd2"),
    ("Error", "#ffcdd2"),
    ("Running", "#bbdefb"),
    ("Pending", "#fff9c4"),
    ("Skipped", "#eeeeee"),
    ("Omitted", "#eeeeee"),
    ("Daemoned", "#bbdefb"),
];

/// A Mermaid flowchart.
pub fn mermaid(graph: &Graph) -> String {
    let mut out = "flowchart TD\n".to_owned();
    mermaid_boxes(graph, None, 1, &mut out);
    for arrow in &graph.arrows {
        let label = if arrow.label.is_empty() {
            String::new()
        } else {
            format!("|\"{}\"|", mermaid_text(&arrow.label))
        };
        out.push_str(&format!("  n{} -->{label} n{}\n", arrow.from, arrow.to));
    }
    for (phase, colour) in COLOURS.iter().filter(|(phase, _)| graph.boxes.iter().any(|b| b.phase == *phase)) {
        out.push_str(&format!("  classDef {phase} fill:{colour}\n"));
    }
    out
}

fn mermaid_boxes(graph: &Graph, within: Option<usize>, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    for (at, own) in graph.boxes.iter().enumerate().filter(|(_, own)| own.within == within) {
        let label = mermaid_text(&own.label);
        if own.group {
            out.push_str(&format!("{pad}subgraph n{at} [\"{label}\"]\n"));
            mermaid_boxes(graph, Some(at), depth + 1, out);
            out.push_str(&format!("{pad}end\n"));
        } else {
            let class = if coloured(&own.phase) { format!(":::{}", own.phase) } else { String::new() };
            out.push_str(&format!("{pad}n{at}[\"{label}\"]{class}\n"));
        }
    }
}

fn coloured(phase: &str) -> bool {
    COLOURS.iter().any(|(name, _)| *name == phase)
}

/// Mermaid writes characters that mean something to it as `#…;`.
fn mermaid_text(text: &str) -> String {
    let escaped = |c: char| match c {
        '#' => "#35;".to_owned(),
        '"' => "#quot;".to_owned(),
        '<' => "#lt;".to_owned(),
        '>' => "#gt;".to_owned(),
        '&' => "#amp;".to_owned(),
        '`' => "#96;".to_owned(),
        '\n' => "<br/>".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

/// A Graphviz digraph.
pub fn dot(graph: &Graph) -> String {
    let mut out = "digraph workflow {\n  compound=true\n  node [shape=box, style=\"rounded,filled\", fillcolor=white]\n".to_owned();
    dot_boxes(graph, None, 1, &mut out);
    for arrow in &graph.arrows {
        let mut settings = Vec::new();
        if !arrow.label.is_empty() {
            settings.push(format!("label=\"{}\"", dot_text(&arrow.label)));
        }
        // An arrow joins boxes; that it means the group around is said beside.
        let (from, to) = (last_in(graph, arrow.from), first_in(graph, arrow.to));
        settings.extend(graph.boxes[arrow.from].group.then(|| format!("ltail=cluster_n{}", arrow.from)));
        settings.extend(graph.boxes[arrow.to].group.then(|| format!("lhead=cluster_n{}", arrow.to)));
        let settings =
            if settings.is_empty() { String::new() } else { format!(" [{}]", settings.join(", ")) };
        out.push_str(&format!("  n{from} -> n{to}{settings}\n"));
    }
    out.push_str("}\n");
    out
}

fn dot_boxes(graph: &Graph, within: Option<usize>, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    for (at, own) in graph.boxes.iter().enumerate().filter(|(_, own)| own.within == within) {
        let label = dot_text(&own.label);
        if own.group {
            out.push_str(&format!("{pad}subgraph cluster_n{at} {{\n{pad}  label=\"{label}\"\n"));
            dot_boxes(graph, Some(at), depth + 1, out);
            if !graph.boxes.iter().any(|other| other.within == Some(at)) {
                out.push_str(&format!("{pad}  n{at} [style=invis]\n"));
            }
            out.push_str(&format!("{pad}}}\n"));
        } else {
            let colour = COLOURS.iter().find(|(phase, _)| *phase == own.phase);
            let fill = colour.map(|(_, colour)| format!(", fillcolor=\"{colour}\"")).unwrap_or_default();
            out.push_str(&format!("{pad}n{at} [label=\"{label}\"{fill}]\n"));
        }
    }
}

/// The first box in a group that is none itself; the box where it is no group.
fn first_in(graph: &Graph, at: usize) -> usize {
    let inner = graph.boxes.iter().position(|own| own.within == Some(at));
    inner.map_or(at, |inner| first_in(graph, inner))
}

fn last_in(graph: &Graph, at: usize) -> usize {
    let inner = graph.boxes.iter().rposition(|own| own.within == Some(at));
    inner.map_or(at, |inner| last_in(graph, inner))
}

fn dot_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::{Arrow, Shape};
    use super::*;

    fn graph() -> Graph {
        let own = |label: &str, within, group, phase: &str| Shape {
            label: label.to_owned(),
            within,
            group,
            phase: phase.to_owned(),
        };
        Graph {
            boxes: vec![
                own("main", None, true, ""),
                own("a\nwhen \"x\" < 2", Some(0), false, "Succeeded"),
                own("b", Some(0), false, ""),
                own("bye", None, false, ""),
            ],
            arrows: vec![
                Arrow { from: 1, to: 2, label: String::new() },
                Arrow { from: 0, to: 3, label: "exit".to_owned() },
            ],
        }
    }

    #[test]
    fn mermaid_draws_groups_as_subgraphs_and_escapes_labels() {
        let expected = "flowchart TD\n  subgraph n0 [\"main\"]\n    n1[\"a<br/>when #quot;x#quot; #lt; 2\"]:::Succeeded\n    n2[\"b\"]\n  end\n  n3[\"bye\"]\n  n1 --> n2\n  n0 -->|\"exit\"| n3\n  classDef Succeeded fill:#c8e6c9\n";
        assert_eq!(mermaid(&graph()), expected);
    }

    #[test]
    fn dot_draws_groups_as_clusters_and_escapes_labels() {
        let expected = "digraph workflow {\n  compound=true\n  node [shape=box, style=\"rounded,filled\", fillcolor=white]\n  subgraph cluster_n0 {\n    label=\"main\"\n    n1 [label=\"a\\nwhen \\\"x\\\" < 2\", fillcolor=\"#c8e6c9\"]\n    n2 [label=\"b\"]\n  }\n  n3 [label=\"bye\"]\n  n1 -> n2\n  n2 -> n3 [label=\"exit\", ltail=cluster_n0]\n}\n";
        assert_eq!(dot(&graph()), expected);
    }
}
