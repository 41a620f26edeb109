//! One refusal of Argo's, and where it stands.

use crate::codes::Code;

/// A part of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the documents; none where the value is in none, as what a run stored.
    pub(super) document: Option<usize>,
    pub(super) path: String,
}

/// Why Argo refuses an object.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    /// In Argo's words.
    pub(super) message: String,
    /// The text that is wrong, somewhere below the place.
    pub(super) text: Option<String>,
    at: At,
}

#[derive(Debug)]
enum At {
    /// A path within the template that is looked at.
    Within(String),
    Exactly(String),
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into(), text: None, at: At::Within(String::new()) }
    }

    /// The path, within the template or the spec that is looked at, unless a deeper one is known.
    pub(super) fn at(mut self, path: impl Into<String>) -> Self {
        if matches!(&self.at, At::Within(known) if known.is_empty()) {
            self.at = At::Within(path.into());
        }
        self
    }

    /// The text that is wrong.
    pub(super) fn about(mut self, text: Option<String>) -> Self {
        self.text = text;
        self
    }

    /// The path is one within the call at `path`.
    pub(super) fn under(mut self, path: &str) -> Self {
        if let At::Within(known) = &mut self.at {
            let inner = std::mem::take(known);
            *known = if inner.is_empty() { path.to_owned() } else { format!("{path}.{inner}") };
        }
        self
    }

    /// Begins the message with Argo's words for the place.
    pub(super) fn after(mut self, prefix: impl AsRef<str>) -> Self {
        self.message.insert_str(0, prefix.as_ref());
        self
    }

    /// The path stands in the template at `place`. In another document than `root` the caller's own place is told,
    /// which is what a person who wrote this one can change.
    pub(super) fn within(mut self, place: &Place, root: usize) -> Self {
        if let At::Within(path) = &self.at {
            self.at = match place.document {
                Some(document) if document == root => At::Exactly(match path.as_str() {
                    "" => place.path.clone(),
                    path => format!("{}.{path}", place.path),
                }),
                _ => At::Within(String::new()),
            };
        }
        self
    }

    /// What no template was found for is the spec's own mistake, at a place that the spec names.
    pub(super) fn of_spec(mut self) -> Self {
        if let At::Within(path) = &mut self.at {
            path.clear();
        }
        self
    }

    /// Where it stands in its document.
    pub(super) fn path(&self) -> &str {
        match &self.at {
            At::Within(path) | At::Exactly(path) => path,
        }
    }
}

pub(super) type Checked<T = ()> = Result<T, Refusal>;

/// Refuses.
pub(super) fn refuse<T>(code: Code, message: impl Into<String>, path: impl Into<String>) -> Checked<T> {
    Err(Refusal::new(code, message).at(path))
}
