//! Finding tags.

use std::ops::Range;

use super::TagError;
use crate::expr;

/// One tag of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Where it stands, its braces included.
    pub range: Range<usize>,
    /// What is between the braces, without surrounding spaces and without the `=` of an expression.
    pub content: String,
    /// Which kind it is.
    pub kind: TagKind,
}

/// The kinds of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKind {
    /// `{{name}}`.
    Simple,
    /// `{{=expression}}`.
    Expression,
}

/// The next tag at or after `from`: from `{{` to the next `}}`, so a tag inside it is part of its content.
pub(super) fn next(text: &str, from: usize) -> Option<Result<Tag, usize>> {
    let start = from + text[from..].find("{{")?;
    let Some(length) = text[start + 2..].find("}}") else { return Some(Err(start)) };
    let end = start + 2 + length + 2;
    let raw = &text[start + 2..end - 2];
    let (kind, content) = match raw.strip_prefix('=') {
        Some(expression) => (TagKind::Expression, expression),
        None => (TagKind::Simple, raw),
    };
    Some(Ok(Tag { range: start..end, content: content.trim().to_owned(), kind }))
}

/// Every tag of a text, outer ones in order; a tag with another one inside is followed by the inner one.
///
/// # Errors
/// `Unclosed` for a `{{` without `}}`.
pub fn scan(text: &str) -> Result<Vec<Tag>, TagError> {
    let (mut tags, mut at) = (Vec::new(), 0);
    while let Some(found) = next(text, at) {
        let tag = found.map_err(|offset| {
            let rest = text[offset..].chars().take(40).collect();
            TagError::Unclosed { offset, rest }
        })?;
        at = tag.range.end;
        let inner = nested(text, &tag);
        tags.push(tag);
        tags.extend(inner);
    }
    Ok(tags)
}

/// The innermost tag of `{{a.{{b}}}}`, of which only the first `}}` was taken as the outer one's end.
fn nested(text: &str, tag: &Tag) -> Option<Tag> {
    let inside = &text[tag.range.start + 2..tag.range.end];
    let start = tag.range.start + 2 + inside.rfind("{{")?;
    (tag.kind == TagKind::Simple).then(|| Tag {
        range: start..tag.range.end,
        content: text[start + 2..tag.range.end - 2].trim().to_owned(),
        kind: TagKind::Simple,
    })
}

/// The variables a text reads, by simple tags and in its expressions, in order; texts that cannot be parsed read none.
pub fn reads(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for tag in scan(text).unwrap_or_default() {
        match tag.kind {
            TagKind::Simple if tag.content.contains("{{") => {}
            TagKind::Simple => names.push(tag.content),
            TagKind::Expression => {
                names.extend(expr::parse(&tag.content).map(|expr| expr.reads()).unwrap_or_default());
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}
