//! `lint`: every finding, offline.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dropforge_manifest::argo::{self, File, Verdict};
use dropforge_manifest::codes::Code;
use dropforge_manifest::diagnostic::{Diagnostic, Severity};
use serde_json::json;

use crate::args::{LintArgs, LintOutput};
use crate::commands::run::folder;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::machine;
use crate::output::{self, say};
use crate::project::{Sources, readable};
use crate::session::settings;

/// Checks manifests.
///
/// # Errors
/// When a file can't be read.
pub fn lint(global: &Global, args: &LintArgs) -> Result<Exit, CliError> {
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() { &here } else { args.paths.as_slice() };
    let (texts, unread) = readable(paths)?;
    let files: Vec<File<'_>> = texts.iter().map(|(name, bytes)| File { name, bytes }).collect();
    let verdict = argo::lint(&files);
    unread.iter().for_each(|why| say(&format!("error: {}", why.text())));
    if args.argo {
        let exit = as_argo(args, &verdict)?;
        return Ok(if unread.is_empty() { exit } else { Exit::Usage });
    }
    let sources = Sources::of(&texts);
    let findings = with_argos(sources.findings(&global.checks()), &verdict);
    print(args.output, &findings)?;
    for document in &sources.documents {
        let settings = settings(None, &folder(&[PathBuf::from(&document.file)]))?;
        for note in machine::gpu_notes(document, &settings) {
            say(&note);
        }
    }
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error) + unread.len(), count(Severity::Warning));
    let counted =
        [(sources.documents.len(), "object"), (errors, "error"), (warnings, "warning")].map(counted);
    say(&counted.join(", "));
    Ok(if errors > 0 { Exit::Usage } else { Exit::Succeeded })
}

/// Checks manifests among which there is one of this kind.
///
/// # Errors
/// When there is none, or a file can't be read.
pub fn lint_kind(global: &Global, args: &LintArgs, kind: &str) -> Result<Exit, CliError> {
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() { &here } else { args.paths.as_slice() };
    if paths.iter().all(|path| path.as_os_str() != "-") {
        let sources = Sources::read(paths)?;
        let broken = sources.diagnostics.iter().any(Diagnostic::is_error);
        if !broken && !sources.documents.iter().any(|document| document.object.kind() == kind) {
            return Err(CliError::Usage(format!("there is no {kind} in what was named")));
        }
    }
    lint(global, args)
}

/// Argo's verdict alone.
fn as_argo(args: &LintArgs, verdict: &Verdict) -> Result<Exit, CliError> {
    print(args.output, &verdict.findings)?;
    let errors = verdict.findings.iter().filter(|finding| finding.is_error()).count();
    say(&match (verdict.objects, errors) {
        (0, 0) => "found nothing to lint: Argo takes that for a failure".to_owned(),
        (_, 0) => "no linting errors found!".to_owned(),
        (_, errors) => counted((errors, "linting error")),
    });
    Ok(if verdict.accepts() { Exit::Succeeded } else { Exit::Usage })
}

/// Our findings with what only Argo refuses. Argo says one thing of an object, which ours often say in more places:
/// its word counts where a file has no error otherwise. A plain `y` in the place of a text is told by a warning.
fn with_argos(mut findings: Vec<Diagnostic>, verdict: &Verdict) -> Vec<Diagnostic> {
    let told: BTreeSet<String> =
        findings.iter().filter(|finding| finding.is_error()).map(|finding| finding.file.clone()).collect();
    let letters: BTreeSet<(String, u32, u32)> = (findings.iter())
        .filter(|finding| finding.code == Code::W710)
        .map(|finding| (finding.file.clone(), finding.line, finding.column))
        .collect();
    let new = verdict.findings.iter().filter(|finding| finding.is_error());
    findings.extend(
        new.filter(|finding| {
            !told.contains(&finding.file)
                && !letters.contains(&(finding.file.clone(), finding.line, finding.column))
        })
        .cloned(),
    );
    findings
}

fn print(output: LintOutput, findings: &[Diagnostic]) -> Result<(), CliError> {
    match output {
        LintOutput::Text => output::text(&findings.iter().map(|f| format!("{f}\n")).collect::<String>()),
        LintOutput::Github => output::text(&findings.iter().map(github).collect::<String>()),
        LintOutput::Simple => {
            let line = |f: &Diagnostic| format!("{}:{}:{}: {}\n", f.file, f.line, f.column, f.message);
            output::text(&findings.iter().map(line).collect::<String>())
        }
        LintOutput::Pretty => output::text(&pretty(findings)),
        LintOutput::Json => {
            let all: Vec<_> = findings.iter().map(as_json).collect();
            output::data(&format!("{}\n", serde_json::to_string_pretty(&all)?))
        }
    }
}

/// Each file's name, and its findings under it.
fn pretty(findings: &[Diagnostic]) -> String {
    let mut text = String::new();
    let mut file = None;
    for finding in findings {
        if file.replace(&finding.file) != Some(&finding.file) {
            text.push_str(&format!("{}:\n", finding.file));
        }
        let mark = if finding.is_error() { '✖' } else { '·' };
        text.push_str(&format!("   {mark} {}:{}: {}\n", finding.line, finding.column, finding.message));
    }
    text
}

fn counted((count, what): (usize, &str)) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn as_json(finding: &Diagnostic) -> serde_json::Value {
    json!({
        "code": finding.code.name(), "severity": finding.severity.to_string(), "file": finding.file, "line": finding.line,
        "column": finding.column, "path": finding.path, "message": finding.message, "remedy": finding.remedy,
    })
}

/// One annotation of GitHub Actions; line ends are escaped as its runner wants them.
fn github(finding: &Diagnostic) -> String {
    let word = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let message = escape(&format!("{}\n{}", finding.message, finding.remedy));
    format!(
        "::{word} file={},line={},col={},title={}::{message}\n",
        escape(&finding.file),
        finding.line,
        finding.column,
        finding.code.name()
    )
}
