//! Whose outputs a template's text reads. One pass over the text, however many steps it has.

use std::collections::HashSet;

/// The steps and tasks whose outputs, and whose `outputs.result`, a text names.
#[derive(Debug, Default)]
pub struct Reads {
    outputs: HashSet<String>,
    results: HashSet<String>,
    hosts: bool,
}

impl Reads {
    /// Scans a template's JSON text.
    pub fn of(text: &str) -> Reads {
        let mut reads = Reads { hosts: text.contains(".hostNodeName"), ..Reads::default() };
        for (at, found) in text.match_indices(".outputs") {
            let Some((name, whole)) = name_before(&text[..at]) else { continue };
            reads.outputs.insert(name.to_owned());
            if whole && text[at + found.len()..].starts_with(".result") {
                reads.results.insert(name.to_owned());
            }
        }
        reads
    }

    /// Whether the text names any output of this step or task.
    pub fn outputs(&self, name: &str) -> bool {
        self.outputs.contains(name)
    }

    /// Whether the text asks where a step or task ran.
    pub fn hosts(&self) -> bool {
        self.hosts
    }

    /// Whether the text refers to `outputs.result` of this step or task (Argo's rule O-1).
    pub fn result(&self, name: &str) -> bool {
        self.results.contains(name)
    }
}

/// The name at a text's end, as `.NAME`, `['NAME']` or `["NAME"]` (whose quotes JSON escapes), and whether what stands
/// before it can only be a list of calls.
fn name_before(text: &str) -> Option<(&str, bool)> {
    for (open, close) in [("['", "']"), ("[\\\"", "\\\"]")] {
        if let Some(rest) = text.strip_suffix(close) {
            return rest.rfind(open).map(|at| (&rest[at + open.len()..], true));
        }
    }
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let start = text.trim_end_matches(part);
    let before = start.strip_suffix('.')?;
    let calls = ["steps", "tasks"].iter().any(|word| before.ends_with(word));
    Some((&text[start.len()..], calls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_an_output_is_found() {
        let text = r#"{"a":"{{steps.one.outputs.result}}","b":"{{=tasks['two-x'].outputs.parameters.p}}",
            "c":"{{=steps[\"three\"].outputs.result}}","d":"{{steps.four.outputs.parameters.result}}",
            "e":"{{inputs.five.outputs.result}}"}"#;
        let reads = Reads::of(text);
        for (name, outputs, result) in [
            ("one", true, true),
            ("two-x", true, false),
            ("three", true, true),
            ("four", true, false),
            ("five", true, false),
            ("six", false, false),
        ] {
            assert_eq!((reads.outputs(name), reads.result(name)), (outputs, result), "{name}");
        }
    }
}
