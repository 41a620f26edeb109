//! The tables of variables and outputs in the READMEs of modules and examples, from the code. Reads what `terraform fmt`
//! leaves: a block begins at the line's start and ends with `}` at a line's start.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::in_repository;

/// What the written part of a README stands between.
const BEGIN: &str = "<!-- tables: written by `cargo run -p dropforge-infra-tests` -->";
const END: &str = "<!-- /tables -->";

/// A variable or an output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Its name.
    pub name: String,
    /// Its `description`, without quotes.
    pub description: Option<String>,
    /// A variable's `type`, on one line.
    pub kind: Option<String>,
    /// A variable's `default`, on one line.
    pub default: Option<String>,
    /// Whether it is checked.
    pub validated: bool,
}

/// All modules and examples.
pub fn configurations() -> Vec<PathBuf> {
    let folders = ["infra/modules", "infra/examples"]
        .map(|parent| fs::read_dir(in_repository(parent)).expect("it can be read"));
    let mut found: Vec<PathBuf> =
        folders.into_iter().flatten().map(|entry| entry.expect("it can be read").path()).collect();
    found.sort();
    found
}

/// The variables of a configuration.
pub fn variables(folder: &Path) -> Vec<Block> {
    blocks(&read(&folder.join("variables.tf")), "variable")
}

/// The outputs of a configuration.
pub fn outputs(folder: &Path) -> Vec<Block> {
    blocks(&read(&folder.join("outputs.tf")), "output")
}

/// A configuration's README as it is, and as its code says it should be.
pub fn readme(folder: &Path) -> (String, String) {
    let is = read(&folder.join("README.md"));
    let head = is.split_once(BEGIN).map_or(is.as_str(), |(head, _)| head);
    let tail = is.split_once(END).map_or("\n", |(_, tail)| tail);
    let should = format!("{}\n\n{BEGIN}\n\n{}\n{END}{tail}", head.trim_end(), tables(folder));
    (is, should)
}

fn tables(folder: &Path) -> String {
    let mut text = String::from("| Variable | Type | Default | |\n|---|---|---|---|\n");
    for Block { name, description, kind, default, .. } in variables(folder) {
        let (kind, default) = (cell(kind.as_deref()), cell(default.as_deref()));
        let default = if default.is_empty() { "required" } else { &default };
        writeln!(text, "| `{name}` | {kind} | {default} | {} |", prose(description.as_deref()))
            .expect("text grows");
    }
    text.push_str("\n| Output | |\n|---|---|\n");
    for Block { name, description, .. } in outputs(folder) {
        writeln!(text, "| `{name}` | {} |", prose(description.as_deref())).expect("text grows");
    }
    text
}

fn cell(code: Option<&str>) -> String {
    code.map(|code| format!("`{}`", code.replace('|', "\\|"))).unwrap_or_default()
}

fn prose(text: Option<&str>) -> String {
    text.unwrap_or_default().replace("\\\"", "\"").replace('|', "\\|")
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn blocks(text: &str, keyword: &str) -> Vec<Block> {
    let begins = format!("{keyword} \"");
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix(&begins).and_then(|rest| rest.split_once('"')) {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
            blocks.push(block(name.0, &body));
        }
    }
    blocks
}

fn block(name: &str, body: &[&str]) -> Block {
    let value = |field: &str| {
        let at = body.iter().position(|line| assigned(line) == Some(field))?;
        Some(one_line(&body[at..]))
    };
    let text = |value: String| value.trim_matches('"').to_owned();
    Block {
        name: name.to_owned(),
        description: value("description").map(text),
        kind: value("type"),
        default: value("default"),
        validated: body.iter().any(|line| line.trim() == "validation {"),
    }
}

/// The argument that a line of a block itself (and of nothing in it) gives a value to.
fn assigned(line: &str) -> Option<&str> {
    let argument = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
    argument.split_once(" = ").map(|(name, _)| name.trim())
}

/// A value up to where its brackets are closed, on one line.
fn one_line(lines: &[&str]) -> String {
    let mut value = String::new();
    let mut depth = 0_i32;
    for line in lines {
        let part = if value.is_empty() {
            line.split_once(" = ").map_or("", |(_, value)| value)
        } else {
            line.trim()
        };
        let opened = part.matches(['(', '{', '[']).count();
        let closed = part.matches([')', '}', ']']).count();
        depth += i32::try_from(opened).unwrap_or(0) - i32::try_from(closed).unwrap_or(0);
        let field = !value.is_empty() && part.contains(" = ");
        value.push_str(match value.chars().last() {
            Some('(' | '{' | '[') | None => "",
            Some(_) if field => ", ",
            Some(_) => "",
        });
        value.push_str(part);
        if depth <= 0 {
            break;
        }
    }
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_with_what_it_says_of_itself() {
        let text = r#"
variable "retention_days" {
  description = "Days of \"it\"."
  type = object({
    journals = optional(number, 400)
    logs     = optional(number)
  })
  default = {}

  validation {
    condition     = var.retention_days.journals > 1
    error_message = "type = none"
  }
}

variable "plain" {
  type    = string
  default = null
}
"#;
        let kind = "object({journals = optional(number, 400), logs = optional(number)})";
        let wanted = [
            Block {
                name: "retention_days".to_owned(),
                description: Some("Days of \\\"it\\\".".to_owned()),
                kind: Some(kind.to_owned()),
                default: Some("{}".to_owned()),
                validated: true,
            },
            Block {
                name: "plain".to_owned(),
                kind: Some("string".to_owned()),
                default: Some("null".to_owned()),
                ..Block::default()
            },
        ];
        assert_eq!(blocks(text, "variable"), wanted);
    }
}
