//! From a path such as `spec.templates[2].steps[0][1].when` to its place.

use super::{Node, Position};

impl Node {
    /// The position of a path's key or element, or of the deepest part of it that is there.
    pub fn at(&self, path: &str) -> Position {
        let mut node = self;
        let mut span = self.span;
        for part in parts(path) {
            match part {
                Part::Key(key) => match node.entry(key) {
                    Some(entry) => (node, span) = (&entry.value, entry.key_span),
                    None => return span,
                },
                Part::Index(index) => match node.items().get(index) {
                    Some(item) => (node, span) = (item, item.span),
                    None => return span,
                },
            }
        }
        span
    }

    /// The node at a path.
    pub fn find(&self, path: &str) -> Option<&Node> {
        parts(path).try_fold(self, |node, part| match part {
            Part::Key(key) => node.get(key),
            Part::Index(index) => node.items().get(index),
        })
    }
}

enum Part<'p> {
    Key(&'p str),
    Index(usize),
}

/// Keys are separated by dots and may be quoted as `["nvidia.com/gpu"]`; elements are `[0]`.
fn parts(path: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches('.');
        if rest.is_empty() {
            return None;
        }
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let (key, after) = quoted.split_once("\"]").unwrap_or((quoted, ""));
            rest = after;
            return Some(Part::Key(key));
        }
        if let Some(indexed) = rest.strip_prefix('[') {
            let (index, after) = indexed.split_once(']').unwrap_or((indexed, ""));
            rest = after;
            return Some(index.parse().map_or(Part::Key(index), Part::Index));
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        rest = after;
        Some(Part::Key(key))
    })
}

/// `path` with a key appended, quoted when it holds a dot or a bracket.
pub(crate) fn join(path: &str, key: &str) -> String {
    match (path.is_empty(), key.contains(['.', '['])) {
        (_, true) => format!("{path}[\"{key}\"]"),
        (true, false) => key.to_owned(),
        (false, false) => format!("{path}.{key}"),
    }
}
