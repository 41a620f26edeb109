//! What an image's name says.

use crate::python::Wanted;

/// Whether `image` is `pattern`, in which `*` is any run of characters.
pub(crate) fn matches(pattern: &str, image: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == image };
    let Some(mut left) = image.strip_prefix(first) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return left.ends_with(piece);
        }
        // The leftmost hit leaves the most for the pieces that follow.
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
    }
    true
}

/// What a Docker official `python` image is, such as `python:3.9-slim`, from whichever registry or mirror.
/// `Some(None)`: a Python of no said version. `None`: another image.
pub(super) fn python(image: &str) -> Option<Option<Wanted>> {
    let (name, tag) = split(image);
    let is_python = name == "python" || name.ends_with("library/python");
    is_python.then(|| tag.and_then(version))
}

/// The name and tag of an image; the digest is left out.
fn split(image: &str) -> (&str, Option<&str>) {
    let named = image.split_once('@').map_or(image, |(named, _)| named);
    match named.rsplit_once(':') {
        // A colon before a slash is a registry's port.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (named, None),
    }
}

/// The version that a tag begins with: `3.9-slim` is 3.9, `3.13.0rc1` is 3.13.
fn version(tag: &str) -> Option<Wanted> {
    let digits = tag.split('-').next()?;
    digits.parse().ok().or_else(|| {
        let mut parts = digits.split('.');
        format!("{}.{}", parts.next()?, parts.next()?).parse().ok()
    })
}
