//! A workflow as a graph: boxes in boxes, and what comes after what.

mod form;
mod manifest;
mod run;

pub use form::{dot, mermaid};
pub use manifest::of_spec;
pub use run::of_run;

/// A workflow's boxes and arrows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// The boxes; what holds others stands before them.
    pub boxes: Vec<Shape>,
    /// The arrows.
    pub arrows: Vec<Arrow>,
}

/// A step, or a group of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What a person reads; lines.
    pub label: String,
    /// The box that it stands in.
    pub within: Option<usize>,
    /// Whether it holds others.
    pub group: bool,
    /// What became of it; nothing in a manifest.
    pub phase: String,
}

/// `to` comes after `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// A box.
    pub from: usize,
    /// A box.
    pub to: usize,
    /// Under which condition; empty: always.
    pub label: String,
}

impl Graph {
    fn add(&mut self, label: String, within: Option<usize>) -> usize {
        self.boxes.push(Shape { label, within, group: false, phase: String::new() });
        self.boxes.len() - 1
    }

    fn arrow(&mut self, from: usize, to: usize, label: &str) {
        self.arrows.push(Arrow { from, to, label: label.to_owned() });
    }
}
