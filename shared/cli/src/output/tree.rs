//! A run as a tree, for people. Its colours are its own: whatever else stands in it is [`shown`].

use std::fmt::Write as _;

use dropforge_engine::phase::{NodePhase, RunPhase};
use dropforge_engine::record::{NodeKind, Role};
use dropforge_engine::view::{View, ViewNode};
use dropforge_engine::waiting::{On, waiting};
use jiff::{SignedDuration, Timestamp};

use super::shown;

/// How a tree is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// With colours.
    pub colour: bool,
    /// With signs beyond ASCII.
    pub unicode: bool,
    /// With what each step used and where.
    pub wide: bool,
    /// Children of one loop shown before the rest is counted only.
    pub loop_children_max: usize,
}

/// The whole tree: a head, one line for each node that ran or was skipped, and why nothing moves.
pub fn draw(view: &View, now: Timestamp, style: Style) -> String {
    let mut out = String::new();
    let state = &view.state;
    let spec = &state.program.spec;
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(out, "{name:<12} {}", shown(value));
        }
    };
    line("Name:", spec.name());
    line("Status:", &state.phase.to_string());
    line("Message:", &state.message);
    line(
        "Duration:",
        &state.started_at.map(|from| span(from, state.finished_at.unwrap_or(now))).unwrap_or_default(),
    );
    line("Progress:", &format!("{}/{}", state.progress.0, state.progress.1));
    line("Metrics:", &metrics(&state.metrics));
    out.push('\n');
    for root in view.roots() {
        branch(view, root, now, style, &mut Vec::new(), &mut out);
    }
    if !state.phase.completed() {
        // A running step's own line says that it runs.
        for held in waiting(state).into_iter().filter(|w| !matches!(w.on, On::Attempt { .. })) {
            let left = match &held.on {
                On::Time { until, .. } => format!(", {} left", span(now, *until)),
                _ => String::new(),
            };
            let _ = writeln!(out, "  … {}{left}", shown(&held.to_string()));
        }
    }
    out
}

/// Numbers as `name=value`, by name.
pub fn metrics(metrics: &std::collections::BTreeMap<String, f64>) -> String {
    let all: Vec<String> = metrics.iter().map(|(name, value)| format!("{name}={}", number(*value))).collect();
    all.join(" ")
}

fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn branch(
    view: &View,
    node: &ViewNode,
    now: Timestamp,
    style: Style,
    last: &mut Vec<bool>,
    out: &mut String,
) {
    let _ = writeln!(out, "{}{}", indent(last, style), describe(view, node, now, style));
    let children = below(view, node);
    let shown = if matches!(node.kind, NodeKind::TaskGroup) { style.loop_children_max } else { usize::MAX };
    let rest = children.len().saturating_sub(shown) + folded(view, node);
    for (i, child) in children.iter().take(shown).enumerate() {
        last.push(i + 1 == children.len() && rest == 0);
        branch(view, child, now, style, last, out);
        last.pop();
    }
    if rest > 0 {
        last.push(true);
        let _ = writeln!(out, "{}… {rest} more", indent(last, style));
        last.pop();
    }
}

/// The children a person sees: step groups and loops over steps are looked through.
fn below<'a>(view: &'a View, node: &ViewNode) -> Vec<&'a ViewNode> {
    let mut found = Vec::new();
    for child in view.below(node) {
        match child.kind {
            NodeKind::StepGroup | NodeKind::Loop => found.extend(below(view, child)),
            _ => found.push(child),
        }
    }
    found
}

/// Children that are over and were not kept.
fn folded(view: &View, node: &ViewNode) -> usize {
    let through = |child: &&ViewNode| matches!(child.kind, NodeKind::StepGroup | NodeKind::Loop);
    node.folded + view.below(node).filter(through).map(|child| folded(view, child)).sum::<usize>()
}

fn indent(last: &[bool], style: Style) -> String {
    let (bar, tee, end, gap) =
        if style.unicode { ("│ ", "├─", "└─", "  ") } else { ("| ", "|-", "`-", "  ") };
    let mut text = String::new();
    for (i, is_last) in last.iter().enumerate() {
        let innermost = i + 1 == last.len();
        text.push_str(match (innermost, is_last) {
            (true, true) => end,
            (true, false) => tee,
            (false, true) => gap,
            (false, false) => bar,
        });
    }
    text
}

fn describe(view: &View, node: &ViewNode, now: Timestamp, style: Style) -> String {
    let sign = sign(node.phase, style);
    let name = match &node.role {
        Role::Root | Role::WorkflowExit => node.name.clone(),
        _ => view.display_name(node),
    };
    let template = node.template.as_ref().map(|t| format!("  {}", t.name)).unwrap_or_default();
    let time = match node.kind {
        NodeKind::Skipped => String::new(),
        _ => format!("  {}", span(node.started_at, node.finished_at.unwrap_or(now))),
    };
    let message =
        if node.message.is_empty() { String::new() } else { format!("  {}", one_line(&node.message)) };
    let used = if style.wide { used(node) } else { String::new() };
    let cached = if node.memo.as_ref().is_some_and(|m| m.hit == Some(true)) { "  (memoized)" } else { "" };
    format!("{sign} {}", shown(&format!("{name}{template}{time}{cached}{used}{message}")))
}

fn used(node: &ViewNode) -> String {
    let Some(verdict) = node.attempts.last().and_then(|a| a.verdict.as_ref()) else { return String::new() };
    let usage = &verdict.usage;
    let gpus = if usage.gpus.is_empty() { String::new() } else { format!(" gpu {}", usage.gpus.join(",")) };
    format!("  [cpu {:.1}s, memory {} MiB{gpus}]", usage.cpu_seconds, usage.memory_bytes_max >> 20)
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn sign(phase: NodePhase, style: Style) -> String {
    let (unicode, ascii, colour) = match phase {
        NodePhase::Succeeded => ("✔", "ok", 32),
        NodePhase::Failed => ("✖", "FAILED", 31),
        NodePhase::Error => ("⚠", "ERROR", 31),
        NodePhase::Running => ("●", "running", 36),
        NodePhase::Pending => ("◷", "pending", 33),
        NodePhase::Skipped | NodePhase::Omitted => ("○", "skipped", 90),
    };
    let text = if style.unicode { unicode } else { ascii };
    if style.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// A time span as people read it: `0.4s`, `12s`, `3m 5s`, `2h 1m`.
pub fn span(from: Timestamp, to: Timestamp) -> String {
    duration(to.duration_since(from))
}

/// A duration as people read it.
pub fn duration(length: SignedDuration) -> String {
    let millis = length.as_millis().max(0);
    let seconds = millis / 1000;
    match seconds {
        0..=9 => format!("{}.{}s", seconds, millis % 1000 / 100),
        10..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The one line that says how a run ended.
pub fn verdict(phase: RunPhase, name: &str, message: &str) -> String {
    if message.is_empty() { format!("{name} {phase}") } else { format!("{name} {phase}: {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_person_says_them() {
        let said = |millis| duration(SignedDuration::from_millis(millis));
        assert_eq!([said(0), said(1234), said(59_000)], ["0.0s", "1.2s", "59s"]);
        assert_eq!([said(185_000), said(7_260_000)], ["3m 5s", "2h 1m"]);
    }

    #[test]
    fn numbers_lose_zeros_that_say_nothing() {
        let given = [("accuracy".to_owned(), 0.95), ("rows".to_owned(), 569.0)].into();
        assert_eq!(metrics(&given), "accuracy=0.95 rows=569");
    }
}
