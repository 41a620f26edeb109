//! Argo's `workflowDefaults`: a text with the `metadata` and the `spec` that lie beneath every workflow.

use crate::check;
use crate::codes::Code;
use crate::decode;
use crate::diagnostic::Diagnostic;
use crate::parse::{self, AnyObject, Document};
use crate::source;
use crate::types::{Object, WorkflowDefaults};

/// The defaults in a text, YAML or JSON, and everything wrong with them.
pub fn read(file: &str, text: &str) -> (WorkflowDefaults, Vec<Diagnostic>) {
    let (nodes, errors) = source::read(text);
    let mut findings: Vec<Diagnostic> = errors.iter().map(|error| parse::unreadable(file, error)).collect();
    let mut nodes = nodes.into_iter();
    let Some(node) = nodes.next() else { return (WorkflowDefaults::default(), findings) };
    if let Some(more) = nodes.next() {
        let message = "there are several documents, and defaults are one";
        findings.push(Diagnostic::new(Code::E007, file, more.span, "", message));
    }
    let (defaults, problems) = decode::decode::<WorkflowDefaults>(&node);
    let defaults = defaults.unwrap_or_default();
    findings.extend(problems.iter().map(|problem| parse::misfit(file, problem)));
    let object = Object {
        api_version: parse::ARGO_VERSION.to_owned(),
        kind: "Workflow".to_owned(),
        metadata: defaults.metadata.clone(),
        spec: defaults.spec.clone(),
        status: None,
    };
    let object = AnyObject::Workflow(Box::new(object));
    findings.extend(check::supported(&Document { file: file.to_owned(), object, node, damaged: false }));
    (defaults, findings)
}

#[cfg(test)]
mod tests {
    use super::read;

    fn findings(text: &str) -> Vec<String> {
        read("d.yaml", text)
            .1
            .iter()
            .map(|f| format!("{} {}: {}", f.code.name(), f.line, f.message))
            .collect()
    }

    #[test]
    fn metadata_and_spec_are_read_strictly() {
        let text =
            "metadata: {labels: {a: b}}\nspec:\n  entrypoint: main\n  templateDefaults: {timeout: 30s}\n";
        let (defaults, wrong) = read("d.yaml", text);
        assert_eq!(wrong, []);
        assert_eq!(defaults.metadata.labels["a"], "b");
        assert_eq!(defaults.spec.template_defaults.unwrap().timeout.as_deref(), Some("30s"));
        assert_eq!(
            findings("spec:\n  parallelism: many\n  tmeout: 1\n  executorPlugins: [{}]\n"),
            [
                "E006 2: expected an integer, found a string",
                "E005 3: unknown field \"tmeout\"",
                "E601 4: `executorPlugins` is not supported yet",
            ]
        );
        assert_eq!(findings("a: b\n---\nc: d\n").len(), 2);
    }
}
