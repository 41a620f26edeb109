//! Argo's verdict, rule by rule: `argo/RULE.accepted.yaml` and `argo/RULE.refused.yaml`, the words of the refusals in
//! `argo/refusals.txt` (DROPFORGE_WRITE_GOLDEN=1 writes it again).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use dropforge_manifest::argo::{File, Verdict, lint};
use dropforge_manifest::diagnostic::Diagnostic;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/argo")
}

/// The manifests in order, without their ending.
fn rules() -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut rules: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    rules.sort();
    rules
}

fn verdict(name: &str, bytes: &[u8]) -> Verdict {
    lint(&[File { name, bytes }])
}

#[test]
fn every_rule_accepts_and_refuses_what_argo_does() {
    let rules = rules();
    assert!(rules.len() > 300, "only {} manifests", rules.len());
    let wrong: Vec<String> = rules
        .iter()
        .map(|(name, bytes)| (name, verdict(name, bytes)))
        .filter(|(name, verdict)| verdict.accepts() != name.ends_with(".accepted"))
        .map(|(name, verdict)| format!("{name}: {:?}", verdict.findings))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn refusals_are_said_in_argos_words_and_at_their_place() {
    let mut said = String::new();
    for (name, bytes) in rules().iter().filter(|(name, _)| name.ends_with(".refused")) {
        let findings: Vec<String> = verdict(name, bytes).findings.iter().map(Diagnostic::to_string).collect();
        let text =
            if findings.is_empty() { format!("{name}: found nothing to lint") } else { findings.join("\n") };
        writeln!(said, "{text}").unwrap();
    }
    let golden = folder().join("refusals.txt");
    if std::env::var_os("DROPFORGE_WRITE_GOLDEN").is_some() {
        std::fs::write(&golden, &said).unwrap();
    }
    assert_eq!(said, std::fs::read_to_string(&golden).unwrap());
}

#[test]
fn files_of_one_call_know_each_other() {
    let library = b"kind: WorkflowTemplate\nmetadata: {name: lib}\nspec: {templates: [{name: t, container: {image: a}}]}";
    let workflow = b"kind: Workflow\nspec: {entrypoint: m, templates: [{name: m, steps: [[{name: s, templateRef: {name: lib, template: t}}]]}]}";
    let file = |name, bytes| File { name, bytes };
    assert!(lint(&[file("w.yaml", workflow.as_slice()), file("l.yaml", library)]).accepts());
    let alone = lint(&[file("w.yaml", workflow)]);
    assert_eq!(alone.findings.len(), 1);
    assert!(alone.findings[0].message.contains("couldn't find workflow template \"lib\""), "{alone:?}");
}

/// Templates of which each calls the next, the last one with an unknown variable.
fn chain(length: usize) -> String {
    let mut text = "kind: Workflow\nspec:\n  entrypoint: t0\n  templates:\n".to_owned();
    for number in 0..length {
        let next = number + 1;
        writeln!(text, "  - {{name: t{number}, steps: [[{{name: s, template: t{next}}}]]}}").unwrap();
    }
    writeln!(text, "  - {{name: t{length}, container: {{image: a, args: ['{{{{inputs.parameters.q}}}}']}}}}")
        .unwrap();
    text
}

#[test]
fn a_long_chain_of_templates_is_looked_at_to_its_end() {
    let verdict = verdict("chain.yaml", chain(3000).as_bytes());
    assert_eq!(verdict.findings.len(), 1, "{verdict:?}");
    assert!(verdict.findings[0].message.contains("failed to resolve {{inputs.parameters.q}}"), "{verdict:?}");
}

#[test]
fn hostile_texts_get_an_answer() {
    let nested =
        |open: &str, close: &str, levels: usize| format!("{}{}", open.repeat(levels), close.repeat(levels));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        writeln!(bomb, "a{level}: &a{level} [{}]", [alias.as_str(); 10].join(", ")).unwrap();
    }
    let texts = [
        nested("[", "]", 100_000),
        nested("{a: ", "}", 50_000),
        format!("kind: Workflow\nspec: {}", nested("{templates: [", "]}", 10_000)),
        bomb,
        format!("kind: Workflow\nspec: {{entrypoint: '{}'}}", "{{".repeat(200_000)),
        format!(
            "kind: Workflow\nspec: {{entrypoint: m, templates: [{{name: m, container: {{image: '{}'}}}}]}}",
            "{{=".repeat(20_000)
        ),
        format!("kind: Workflow\nspec:\n  entrypoint: m\n{}", "  parallelism: 1\n".repeat(100_000)),
        "---\n".repeat(100_000),
        "kind: Workflow\n---\n".repeat(20_000),
        "\u{0}\u{1}".to_owned(),
    ];
    for text in texts {
        let verdict = verdict("hostile.yaml", text.as_bytes());
        assert!(!verdict.accepts(), "{}", &text[..text.len().min(80)]);
    }
    assert!(!verdict("bytes.yaml", &[0xff, 0xfe, 0x00]).accepts());
}
