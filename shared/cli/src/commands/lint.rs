//! `lint`: every finding, offline.

use std::path::PathBuf;

use dropforge_manifest::check::Options;
use dropforge_manifest::diagnostic::{Diagnostic, Severity};
use serde_json::json;

use crate::args::{LintArgs, LintOutput};
use crate::commands::run::folder;
use crate::error::CliError;
use crate::exit::Exit;
use crate::machine;
use crate::output::{self, say};
use crate::project::Sources;
use crate::session::settings;

/// Checks manifests.
///
/// # Errors
/// When a file can't be read.
pub fn lint(args: &LintArgs) -> Result<Exit, CliError> {
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() { &here } else { args.paths.as_slice() };
    let sources = Sources::read(paths)?;
    let findings = sources.findings(&Options::default());
    match args.output {
        LintOutput::Text => output::data(&findings.iter().map(|f| format!("{f}\n")).collect::<String>())?,
        LintOutput::Github => output::data(&findings.iter().map(github).collect::<String>())?,
        LintOutput::Json => {
            let all: Vec<_> = findings.iter().map(as_json).collect();
            output::data(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
        }
    }
    for document in &sources.documents {
        let settings = settings(None, &folder(&[PathBuf::from(&document.file)]))?;
        for note in machine::gpu_notes(document, &settings) {
            say(&note);
        }
    }
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let counted =
        [(sources.documents.len(), "object"), (errors, "error"), (warnings, "warning")].map(counted);
    say(&counted.join(", "));
    Ok(if errors > 0 { Exit::Usage } else { Exit::Succeeded })
}

/// Checks manifests among which there is one of this kind.
///
/// # Errors
/// When there is none, or a file can't be read.
pub fn lint_kind(args: &LintArgs, kind: &str) -> Result<Exit, CliError> {
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() { &here } else { args.paths.as_slice() };
    if paths.iter().all(|path| path.as_os_str() != "-") {
        let sources = Sources::read(paths)?;
        let broken = sources.diagnostics.iter().any(Diagnostic::is_error);
        if !broken && !sources.documents.iter().any(|document| document.object.kind() == kind) {
            return Err(CliError::Usage(format!("there is no {kind} in what was named")));
        }
    }
    lint(args)
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
