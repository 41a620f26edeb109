//! Paths with slashes; those of the operating system are the same, since steps run on Linux.

use super::Takes::Text;
use super::{Args, Function, Made, function};
use crate::expr::eval::Eval;
use crate::expr::value::Val;

pub(super) const FUNCTIONS: &[Function] = &[
    function("base", &[Text], base),
    function("osBase", &[Text], base),
    function("dir", &[Text], dir),
    function("osDir", &[Text], dir),
    function("clean", &[Text], |_, a| Ok(Val::text(cleaned(a.text(0))))),
    function("osClean", &[Text], |_, a| Ok(Val::text(cleaned(a.text(0))))),
    function("ext", &[Text], ext),
    function("osExt", &[Text], ext),
    function("isAbs", &[Text], |_, a| Ok(Val::Bool(a.text(0).starts_with('/')))),
    function("osIsAbs", &[Text], |_, a| Ok(Val::Bool(a.text(0).starts_with('/')))),
];

fn base(_: &mut Eval<'_>, a: &Args) -> Made {
    let path = a.text(0);
    Ok(Val::text(match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        trimmed => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }))
}

fn dir(_: &mut Eval<'_>, a: &Args) -> Made {
    let path = a.text(0);
    let end = path.rfind('/').map_or(0, |at| at + 1);
    Ok(Val::text(cleaned(&path[..end])))
}

fn ext(_: &mut Eval<'_>, a: &Args) -> Made {
    let base = a.text(0).rsplit('/').next().unwrap_or_default();
    Ok(Val::text(base.rfind('.').map_or("", |at| &base[at..])))
}

/// A path without `.`, `..` and doubled slashes.
fn cleaned(of: &str) -> String {
    let (rooted, mut parts) = (of.starts_with('/'), Vec::new());
    for part in of.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => drop(parts.pop()),
            ("..", None) if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}
