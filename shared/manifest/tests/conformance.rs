//! Manifests that the real Argo ran: all parse, and those within the language so far check without errors unless
//! Argo found an error as well.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dropforge_manifest::codes::Code;
use dropforge_manifest::diagnostic::Diagnostic;
use dropforge_manifest::{check, parse};

fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("DROPFORGE_CONFORMANCE").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    [named, Some(beside)].into_iter().flatten().find(|path| path.join("workflows").is_dir())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

/// Deliberately wrong, or refused by Argo too.
const WRONG: &[(&str, Code)] = &[
    // `annotations` stands twice; Argo's strict reading refuses it.
    ("k8s-patch-json-workflow", Code::E003),
    // Golden: "invalid spec: templates.main.steps[0].a templates.echo inputs.parameters.m was not supplied".
    ("probe-parameters-missing", Code::E302),
];

#[test]
fn what_argo_ran_has_no_errors_beyond_what_is_not_supported_yet() {
    let Some(folder) = folder() else {
        println!(
            "SKIPPED: conformance manifests (set DROPFORGE_CONFORMANCE to the folder that holds workflows/)"
        );
        return;
    };
    let prerequisites: Vec<_> = files(&folder.join("prerequisites"))
        .iter()
        .flat_map(|path| parse::parse_bytes("prerequisites", &fs::read(path).unwrap()).documents)
        .collect();
    let mut unexpected = Vec::new();
    let (mut clean, mut unsupported) = (0, 0);
    for path in files(&folder.join("workflows")) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let parsed = parse::parse_bytes(&name, &fs::read(&path).unwrap());
        let mut documents = parsed.documents;
        let own: BTreeSet<String> =
            documents.iter().map(|document| document.object.name().to_owned()).collect();
        let others = prerequisites.iter().filter(|other| !own.contains(other.object.name()));
        documents.extend(others.cloned());
        let mut findings = parsed.diagnostics;
        findings.extend(check::check(&documents, &check::Options::default()));
        findings.retain(|finding| finding.is_error() && finding.file == name);
        let refused = findings.iter().any(|finding| finding.code == Code::E601);
        findings.retain(|finding| finding.code != Code::E601);
        let expected = WRONG.iter().find(|(wrong, _)| *wrong == name);
        let as_expected = |finding: &Diagnostic| expected.is_some_and(|(_, code)| *code == finding.code);
        if expected.is_some() && findings.is_empty() {
            unexpected.push(format!("{name}: expected {expected:?}, found nothing"));
        }
        unexpected.extend(findings.iter().filter(|finding| !as_expected(finding)).map(ToString::to_string));
        clean += usize::from(!refused && expected.is_none());
        unsupported += usize::from(refused);
    }
    println!("{clean} manifests check without errors, {unsupported} hold what is not supported yet");
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    assert!(clean > 90, "only {clean}");
}
