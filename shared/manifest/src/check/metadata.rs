//! `workflowMetadata`: labels and annotations that a run gets when it begins.

use crate::codes::Code;

use super::{SpecCheck, expressions, language, names};

pub(super) fn check(check: &SpecCheck<'_>) {
    let Some(metadata) = &check.spec.workflow_metadata else { return };
    let path = format!("{}.workflowMetadata", check.path);
    for (name, value) in metadata.labels.iter().filter(|(_, value)| !language::has_tag(value)) {
        if let Some(why) = names::label_value(value) {
            let message = format!("invalid label value \"{value}\" for label \"{name}\": {why}");
            let remedy = "choose another value, or make it an annotation";
            check.report(Code::E101, &format!("{path}.labels.{name}"), message, remedy);
        }
    }
    for (name, from) in &metadata.labels_from {
        let what = format!("the expression of label \"{name}\"");
        let path = format!("{path}.labelsFrom.{name}.expression");
        let example = "for example: workflow.parameters.environment";
        expressions::field(check.subject, &path, &from.expression, &what, example);
    }
}
