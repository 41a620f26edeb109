//! The kinds of templates.

use std::fmt;

use serde_json::Value;

use super::json::Read;

/// What a template does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Container,
    ContainerSet,
    Steps,
    Dag,
    Script,
    Resource,
    Data,
    Suspend,
    Http,
    Plugin,
    /// Of which nothing was left when values were put in: an empty list of steps.
    Unknown,
}

/// In the order in which Argo takes the first that is set.
const FIELDS: [(&str, Kind); 10] = [
    ("container", Kind::Container),
    ("containerSet", Kind::ContainerSet),
    ("steps", Kind::Steps),
    ("dag", Kind::Dag),
    ("script", Kind::Script),
    ("resource", Kind::Resource),
    ("data", Kind::Data),
    ("suspend", Kind::Suspend),
    ("http", Kind::Http),
    ("plugin", Kind::Plugin),
];

impl Kind {
    pub(super) fn of(template: &Value) -> Option<Kind> {
        FIELDS.iter().find(|(field, _)| template.has(field)).map(|(_, kind)| *kind)
    }

    /// How many kinds a template is of.
    pub(super) fn count(template: &Value) -> usize {
        FIELDS.iter().filter(|(field, _)| template.has(field)).count()
    }

    /// Whether a pod of its own runs it.
    pub(super) fn is_pod(self) -> bool {
        use Kind::{Container, ContainerSet, Data, Resource, Script};
        matches!(self, Container | ContainerSet | Script | Resource | Data)
    }

    pub(super) fn is_leaf(self) -> bool {
        self.is_pod() || matches!(self, Kind::Http | Kind::Plugin)
    }

    /// Whether it has an exit code and a result.
    pub(super) fn has_result(self, template: &Value) -> bool {
        match self {
            Kind::ContainerSet => has_main(template.field("containerSet")),
            Kind::Container | Kind::Script | Kind::Data | Kind::Http | Kind::Plugin => true,
            Kind::Steps | Kind::Dag | Kind::Resource | Kind::Suspend | Kind::Unknown => false,
        }
    }
}

/// Whether a container set has the container whose outputs are the template's.
pub(super) fn has_main(set: &Value) -> bool {
    set.list("containers").iter().any(|container| container.text("name") == "main")
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Dag => "DAG",
            Kind::Http => "HTTP",
            other => return write!(f, "{other:?}"),
        })
    }
}
