//! What is said about a manifest: where, what, why, and what to do.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::codes::Code;
use crate::source::Position;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The manifest does not run.
    Error,
    /// It runs, and probably not as meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Names the kind of finding; has a page.
    #[serde(serialize_with = "code_text")]
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named by who read it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The field, such as `spec.templates[2].steps[0][1].when`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub remedy: String,
}

fn code_text<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.name())
}

/// The most of a message that is shown: it may quote a whole value.
const MESSAGE_BYTES_MAX: usize = 4096;

fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    message
}

impl Diagnostic {
    /// A finding of the code's own severity.
    pub fn new(
        code: Code,
        file: &str,
        at: Position,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Diagnostic {
            code,
            severity: code.severity(),
            file: file.to_owned(),
            line: at.line,
            column: at.column,
            path: path.into(),
            message: shortened(message.into()),
            remedy: String::new(),
        }
    }

    /// The same with a remedy.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// Whether the manifest does not run because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { code, severity, file, line, column, message, remedy, .. } = self;
        write!(f, "{file}:{line}:{column}: {severity}[{}]: {message}", code.name())?;
        if !remedy.is_empty() {
            write!(f, "\n  help: {remedy}")?;
        }
        Ok(())
    }
}
