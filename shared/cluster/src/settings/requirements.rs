//! The packages an image needs, as a person writes them.

use std::path::Path;

use super::{Finding, Place};

/// What a person asks to be installed, in the form in which two ways of writing the same are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirements {
    /// Requirements as pip writes them, without comments, sorted.
    pub packages: Vec<String>,
    /// Lines that say where or how to look, such as `--extra-index-url`, in the person's order.
    pub options: Vec<String>,
}

/// Options of a requirements file that say where and how to look for packages, which both pip and uv know.
const OPTIONS: [&str; 9] = [
    "--index-url",
    "-i",
    "--extra-index-url",
    "--find-links",
    "-f",
    "--no-index",
    "--pre",
    "--only-binary",
    "--no-binary",
];

impl Requirements {
    /// The requirements in `lines`.
    pub fn new(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut all = Self::default();
        for line in lines {
            let line = line.as_ref().split_whitespace().collect::<Vec<_>>().join(" ");
            let kind = if line.starts_with('-') { &mut all.options } else { &mut all.packages };
            if !line.is_empty() && !kind.contains(&line) {
                kind.push(line);
            }
        }
        all.packages.sort_by_key(|line| (line.to_lowercase(), line.clone()));
        all
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }
}

/// What is wrong with one requirement or option, and what to do.
pub(super) fn objection(line: &str) -> Option<(String, &'static str)> {
    let word = line.split([' ', '=']).next().unwrap_or(line);
    if !word.starts_with('-') || OPTIONS.contains(&word) {
        return None;
    }
    Some(match word {
        "-e" | "--editable" => (
            format!("`{word}` cannot be locked, since the folder it names may change"),
            "name a built wheel, or include the folder's files with [code] include",
        ),
        "-c" | "--constraint" => {
            (format!("`{word}` is not supported"), "write the constraints' versions into the requirements")
        }
        _ => (
            format!("`{word}` is not supported in requirements"),
            "write packages, `-r`, or options that say where to look",
        ),
    })
}

/// The lines of a requirements file and of those it names with `-r`.
pub(super) fn read(file: &Path) -> Result<Vec<String>, Vec<Finding>> {
    let mut findings = Vec::new();
    let mut lines = Vec::new();
    let mut open = Vec::new();
    collect(file, &mut open, &mut lines, &mut findings);
    if findings.is_empty() { Ok(lines) } else { Err(findings) }
}

fn collect(
    file: &Path,
    open: &mut Vec<std::path::PathBuf>,
    lines: &mut Vec<String>,
    findings: &mut Vec<Finding>,
) {
    let finding = |line: usize, reason: String, remedy: Option<&str>| Finding {
        file: file.to_owned(),
        place: Place { line, column: 1 },
        reason,
        remedy: remedy.map(str::to_owned),
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            return findings.push(finding(1, format!("the requirements file cannot be read: {error}"), None));
        }
    };
    open.push(file.to_owned());
    for (number, line) in logical_lines(&text) {
        let nested =
            ["-r ", "--requirement ", "--requirement="].iter().find_map(|word| line.strip_prefix(word));
        if let Some(name) = nested {
            let other = file.with_file_name("").join(name.trim());
            if open.contains(&other) {
                findings.push(finding(
                    number,
                    "this file already is being read: it names itself".to_owned(),
                    None,
                ));
            } else {
                collect(&other, open, lines, findings);
            }
        } else if let Some((reason, remedy)) = objection(&line) {
            findings.push(finding(number, reason, Some(remedy)));
        } else {
            lines.push(line);
        }
    }
    open.pop();
}

/// Lines without comments, those that end in a backslash joined with the next, with the number of their first.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut begun: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let (number, mut joined) = begun.take().unwrap_or((index + 1, String::new()));
        let trimmed = without_comment(line).trim_end();
        joined.push_str(trimmed.strip_suffix('\\').unwrap_or(trimmed));
        if trimmed.ends_with('\\') {
            begun = Some((number, joined));
        } else {
            all.push((number, joined));
        }
    }
    all.extend(begun);
    all.into_iter()
        .map(|(number, line)| (number, line.trim().to_owned()))
        .filter(|(_, line)| !line.is_empty())
        .collect()
}

/// A `#` begins a comment at the start of a line or after a blank; elsewhere it is part of a URL.
fn without_comment(line: &str) -> &str {
    let comment =
        line.match_indices('#').find(|(at, _)| line[..*at].chars().last().is_none_or(char::is_whitespace));
    comment.map_or(line, |(at, _)| &line[..at])
}
