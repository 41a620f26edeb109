//! The README's table of what runs, and what is refused.

use std::fmt::Write;
use std::path::Path;

use dropforge_manifest::check::support::{Decision, TABLE};

use super::{differs, features};
use crate::read;

const BEGIN: &str =
    "<!-- support: written by tests/conformance from tests/language and the support table -->\n";
const END: &str = "<!-- support ends -->";

#[test]
fn the_readme_tells_what_is_tested_and_what_is_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = read(&path.to_string_lossy()).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the section's begin");
    let (_, after) = rest.split_once(END).expect("the README has the section's end");
    let difference = differs(&path, &format!("{before}{BEGIN}{}{END}{after}", section()));
    assert_eq!(difference, None, "DROPFORGE_WRITE_GOLDEN=1 rewrites the section");
}

fn section() -> String {
    let mut text = String::from("\n| Feature | Tested as |\n|---|---|\n");
    for feature in features() {
        let name = feature.file_name().unwrap().to_string_lossy().into_owned();
        let manifest = read(&feature.join("workflow.yaml").to_string_lossy()).unwrap();
        let said = manifest.lines().next().and_then(|line| line.strip_prefix("# "));
        let said = said.unwrap_or_else(|| panic!("{name}'s first line says what it shows"));
        writeln!(text, "| [{name}](tests/language/{name}/workflow.yaml) | {} |", said.replace('|', "\\|"))
            .unwrap();
    }
    text.push_str("\n| Refused | Instead |\n|---|---|\n");
    for (object, fields) in TABLE {
        for (field, decision) in *fields {
            let (instead, place) = match decision {
                Decision::Refused(instead) => (instead, ""),
                Decision::Pods(instead) => (instead, " (on one machine)"),
                _ => continue,
            };
            let field = if *field == "*" { "anything else" } else { field };
            writeln!(text, "| {object}: `{field}`{place} | {} |", instead.replace('|', "\\|")).unwrap();
        }
    }
    text.push('\n');
    text
}
