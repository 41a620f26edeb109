//! Kubernetes' selectors over the list of runs: by labels, and by fields.
//!
//! As in Kubernetes, all requirements of a selector must hold, and `!=` and `notin` hold also where the label is not
//! there at all.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::IndexEntry;

/// The label that holds a run's phase.
pub const PHASE: &str = "workflows.argoproj.io/phase";
/// The label that says whether a run is over.
pub const COMPLETED: &str = "workflows.argoproj.io/completed";

/// The fields of a run that can be asked for.
const FIELDS: [&str; 4] = ["metadata.name", "metadata.namespace", "metadata.uid", "status.phase"];

/// Why a text is no selector.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// A part is no requirement.
    #[error(
        "{part:?} is no requirement: write name=value, name!=value, name in (a,b), name notin (a,b), name or !name"
    )]
    Requirement {
        /// The part.
        part: String,
    },
    /// A part of a field selector is no requirement.
    #[error("{part:?} is no requirement: write field=value or field!=value")]
    FieldRequirement {
        /// The part.
        part: String,
    },
    /// There is no such field.
    #[error("{field:?} is no field of a run: there are {}", FIELDS.join(", "))]
    Field {
        /// The field.
        field: String,
    },
}

/// A label selector: `team=a,tier in (x,y),!old`. The empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<(String, Wanted)>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Present,
    Absent,
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
}

impl Labels {
    /// Reads a selector.
    ///
    /// # Errors
    /// The first part that is no requirement.
    pub fn parse(text: &str) -> Result<Labels, SelectorError> {
        let parts = parts(text).into_iter().map(str::trim).filter(|part| !part.is_empty());
        parts.map(requirement).collect::<Result<_, _>>().map(Labels)
    }

    /// Whether labels are what the selector wants.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(name, wanted)| match (wanted, labels.get(name)) {
            (Wanted::Present, value) => value.is_some(),
            (Wanted::Absent, value) => value.is_none(),
            (Wanted::In(values), value) => value.is_some_and(|value| values.contains(value)),
            (Wanted::NotIn(values), value) => value.is_none_or(|value| !values.contains(value)),
        })
    }
}

/// Parts between commas that stand in no brackets.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth <= 0
    })
    .collect()
}

fn requirement(part: &str) -> Result<(String, Wanted), SelectorError> {
    let wrong = || SelectorError::Requirement { part: part.to_owned() };
    let one = |value: &str| BTreeSet::from([value.trim().to_owned()]);
    let (name, wanted) = if let Some((name, value)) = part.split_once("!=") {
        (name, Wanted::NotIn(one(value)))
    } else if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (name, Wanted::In(one(value)))
    } else if let Some((name, values)) = part.split_once('(') {
        let values = values.strip_suffix(')').ok_or_else(wrong)?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        match name.trim_end().rsplit_once(char::is_whitespace) {
            Some((name, "in")) => (name, Wanted::In(values)),
            Some((name, "notin")) => (name, Wanted::NotIn(values)),
            _ => return Err(wrong()),
        }
    } else if let Some(name) = part.strip_prefix('!') {
        (name, Wanted::Absent)
    } else {
        (part, Wanted::Present)
    };
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if name.is_empty() || !name.chars().all(plain) { Err(wrong()) } else { Ok((name.to_owned(), wanted)) }
}

/// A field selector: `metadata.name=a,status.phase!=Failed`. The empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, bool, String)>);

impl Fields {
    /// Reads a selector.
    ///
    /// # Errors
    /// The first part that is no requirement, or names a field that a run does not have.
    pub fn parse(text: &str) -> Result<Fields, SelectorError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(field_requirement).collect::<Result<_, _>>().map(Fields)
    }

    /// Whether a run is what the selector wants.
    pub fn matches(&self, entry: &IndexEntry) -> bool {
        self.0.iter().all(|(field, equal, value)| (field_of(entry, field) == *value) == *equal)
    }
}

fn field_requirement(part: &str) -> Result<(String, bool, String), SelectorError> {
    let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
        (field, false, value)
    } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (field, true, value)
    } else {
        return Err(SelectorError::FieldRequirement { part: part.to_owned() });
    };
    let field = field.trim();
    if !FIELDS.contains(&field) {
        return Err(SelectorError::Field { field: field.to_owned() });
    }
    Ok((field.to_owned(), equal, value.trim().to_owned()))
}

fn field_of(entry: &IndexEntry, field: &str) -> String {
    match field {
        "metadata.name" => entry.name.clone(),
        "metadata.namespace" => entry.namespace.clone(),
        "metadata.uid" => entry.uid.to_string(),
        // The last of the four that `parse` lets through.
        _ => entry.phase.to_string(),
    }
}

/// The labels that a run has for selectors: its own, its phase, and whether it is over.
pub fn labels_of(entry: &IndexEntry) -> BTreeMap<String, String> {
    let mut labels = entry.labels.clone();
    labels.insert(PHASE.to_owned(), entry.phase.to_string());
    labels.insert(COMPLETED.to_owned(), entry.phase.completed().to_string());
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_form_of_a_label_requirement_selects_what_kubernetes_selects() {
        let own = labels(&[("team", "a"), ("example.com/tier", "x")]);
        let selected = |text: &str| Labels::parse(text).unwrap().matches(&own);
        for holds in [
            "",
            "team=a",
            "team==a",
            "team = a",
            "team!=b",
            "other!=b",
            "team in (b, a)",
            "other notin (a)",
            "team",
            "!other",
            "team=a,example.com/tier in (x,y),!old",
        ] {
            assert!(selected(holds), "{holds}");
        }
        for fails in [
            "team=b",
            "team!=a",
            "other=b",
            "team notin (a,b)",
            "team in (b)",
            "other",
            "!team",
            "team=a,other",
        ] {
            assert!(!selected(fails), "{fails}");
        }
    }

    #[test]
    fn what_is_no_requirement_is_named() {
        for wrong in ["=a", "team in a", "team in (a", "team is (a)", "two words"] {
            let why = Labels::parse(wrong).unwrap_err();
            assert!(why.to_string().contains(wrong), "{why}");
        }
        assert_eq!(
            Fields::parse("colour=red").unwrap_err(),
            SelectorError::Field { field: "colour".to_owned() }
        );
        assert!(Fields::parse("metadata.name").is_err());
    }

    #[test]
    fn fields_are_compared_with_the_line_of_the_list() {
        let entry: IndexEntry = serde_json::from_str(
            r#"{"format":1,"uid":"u","name":"a","namespace":"n","phase":"Failed","createdAt":"2026-01-01T00:00:00Z"}"#,
        )
        .unwrap();
        let selected = |text: &str| Fields::parse(text).unwrap().matches(&entry);
        assert!(selected("metadata.name=a,metadata.namespace==n,metadata.uid=u,status.phase!=Succeeded"));
        assert!(!selected("metadata.name=b") && !selected("status.phase!=Failed"));
        assert!(
            Labels::parse("workflows.argoproj.io/phase=Failed,workflows.argoproj.io/completed=true")
                .unwrap()
                .matches(&labels_of(&entry))
        );
    }
}
