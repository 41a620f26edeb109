//! The languages inside a manifest, as far as checking needs them: one function for each, over `tags`, `expr`,
//! `when` and `go`.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::expr::{self, depends};
use crate::tags::{self, TagError, TagKind};
use crate::{go, when};

/// A tag of a text.
pub(super) struct Tag {
    /// Byte offset of its `{{`.
    pub(super) offset: usize,
    /// The variables that must exist.
    pub(super) needs: Vec<String>,
    /// What is wrong with its expression.
    pub(super) broken: Option<Broken>,
    /// Whether it is `{{=…}}`.
    pub(super) is_expression: bool,
}

/// What is wrong with an expression.
pub(super) struct Broken {
    /// Byte offset in the text around it.
    pub(super) offset: usize,
    /// Why, in expr-lang's words.
    pub(super) why: String,
    /// Whether it can be read at all.
    pub(super) is_readable: bool,
}

/// A name with something that a name may hold in the place of its tags.
pub(super) fn filled(name: &str) -> String {
    let mut filled = name.to_owned();
    for tag in tags::scan(name).unwrap_or_default().iter().rev() {
        let content: String =
            tag.content.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        filled.replace_range(tag.range.clone(), &format!("x{content}"));
    }
    filled
}

/// Reads an expression and looks for what would go wrong whenever it is computed.
fn read(text: &str) -> (Vec<String>, Option<Broken>) {
    match expr::parse(text) {
        Ok(expression) => {
            let broken = expression.mistake().map(|e| {
                let before = &text[..text.floor_char_boundary(e.offset)];
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
                let why = format!("{} ({line}:{column})", e.message);
                Broken { offset: e.offset, why, is_readable: true }
            });
            (expression.needs(), broken)
        }
        Err(e) => (Vec::new(), Some(Broken { offset: e.offset, why: e.message, is_readable: false })),
    }
}

/// The tags of a text with the variables they need, or what is wrong and where.
pub(super) fn tags(text: &str) -> Result<Vec<Tag>, (usize, String)> {
    let found = tags::scan(text).map_err(|error| match error {
        TagError::Unclosed { offset, .. } => (offset, "`{{` is never closed by `}}`".to_owned()),
        other => (0, other.to_string()),
    })?;
    // The outer one of two nested tags has no name until the inner one is replaced.
    let found = found.into_iter().filter(|tag| !tag.content.contains("{{"));
    Ok(found
        .map(|tag| {
            let is_expression = tag.kind == TagKind::Expression;
            let start = text[tag.range.clone()].find(&tag.content).map_or(0, |at| tag.range.start + at);
            let (needs, mut broken) = match is_expression {
                true => read(&tag.content),
                false => (vec![tag.content], None),
            };
            if let Some(broken) = &mut broken {
                broken.offset += start;
            }
            Tag { offset: tag.range.start, needs, broken, is_expression }
        })
        .collect())
}

/// Every variable a text may read.
pub(super) fn reads(text: &str) -> Vec<String> {
    tags::reads(text)
}

/// Whether a text holds a tag, so that its value is known only when it runs.
pub(super) fn has_tag(text: &str) -> bool {
    text.contains("{{")
}

/// The variables that an expression needs, and what is wrong with it.
pub(super) fn expression(text: &str) -> (Vec<String>, Option<Broken>) {
    // A tag inside an expression becomes part of its text.
    if has_tag(text) {
        return (Vec::new(), None);
    }
    read(text)
}

/// Whether a `when` can be read, its tags standing for a word.
pub(super) fn when(text: &str) -> Result<(), String> {
    let Ok(mut tags) = tags::scan(text) else { return Ok(()) };
    // Only outer tags: an inner one goes with the one around it.
    tags.dedup_by(|inner, outer| {
        inner.range.end <= outer.range.end && inner.range.start >= outer.range.start
    });
    let mut words = text.to_owned();
    for tag in tags.iter().rev() {
        words.replace_range(tag.range.clone(), "x");
    }
    match when::parse(&words) {
        Err(when::WhenError::Invalid { why, .. }) => Err(why),
        _ => Ok(()),
    }
}

/// The tasks that a `depends` names, each with the result asked for, if one is.
pub(super) fn depends(text: &str) -> Result<BTreeSet<(String, Option<String>)>, String> {
    let bare = RefCell::new(BTreeSet::new());
    let note = |task: &str| {
        bare.borrow_mut().insert(task.to_owned());
        depends::ContinueOn::default()
    };
    let condition = depends::parse(text, &note).map_err(|why| why.to_string())?;
    let mut named = BTreeSet::new();
    condition.each(&mut |task, result| {
        let asked = (!bare.borrow().contains(task)).then(|| result.to_string());
        named.insert((task.to_owned(), asked));
    });
    Ok(named)
}

/// A Go duration.
pub(super) fn duration(text: &str) -> Result<(), String> {
    if has_tag(text) { Ok(()) } else { go::parse_duration(text).map(|_| ()) }
}

/// A Go duration or plain seconds.
pub(super) fn duration_or_seconds(text: &str) -> Result<(), String> {
    if has_tag(text) { Ok(()) } else { go::parse_duration_or_seconds(text).map(|_| ()) }
}
