use super::{Options, check};
use crate::parse::parse;

mod control;
mod language;
mod lints;
mod metrics;
mod objects;
mod pods;
mod requests;
mod values;

/// Every finding as `CODE line: message`.
fn findings_with(text: &str, options: &Options) -> Vec<String> {
    let parsed = parse("f.yaml", text);
    let mut findings = parsed.diagnostics;
    findings.extend(check(&parsed.documents, options));
    findings.iter().map(|f| format!("{} {}: {}", f.code.name(), f.line, f.message)).collect()
}

fn findings(text: &str) -> Vec<String> {
    findings_with(text, &Options::default())
}

/// A workflow of these templates, which begin on line 5; its entrypoint is `main`.
fn workflow(templates: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  {{entrypoint: main, templates: [\n{templates}\n  ]}}\n"
    )
}

/// Asserts the findings of a workflow of these templates.
fn expect(templates: &str, expected: &[&str]) {
    assert_eq!(findings(&workflow(templates)), expected, "{templates}");
}

/// The remedies of a workflow of these templates.
fn remedies(text: &str) -> Vec<String> {
    let parsed = parse("f.yaml", text);
    check(&parsed.documents, &Options::default()).into_iter().map(|finding| finding.remedy).collect()
}

const ECHO: &str = "{name: echo, inputs: {parameters: [{name: m}]}, container: {image: 'busybox:1', args: ['{{inputs.parameters.m}}']}}";
const LEAF: &str = "{name: leaf, outputs: {parameters: [{name: o, valueFrom: {path: /tmp/o}}], artifacts: [{name: a, path: /tmp/a}]}, container: {image: 'busybox:1'}}";
