//! From the files a person names to checked objects.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use dropforge_manifest::argo::mistyped;
use dropforge_manifest::check::{Options, check};
use dropforge_manifest::diagnostic::Diagnostic;
use dropforge_manifest::parse::{AnyObject, Document, parse, parse_bytes};
use dropforge_manifest::source;
use serde_json::Value;

use crate::error::CliError;
use crate::global::Global;
use crate::output::{say, yaml};

/// What standard input is called in messages.
pub const STDIN: &str = "<stdin>";

/// A manifest is text that a person wrote: larger than this it is something else.
const MANIFEST_BYTES_MAX: u64 = 32 << 20;

/// Objects of some files, with everything wrong with them.
#[derive(Debug, Default)]
pub struct Sources {
    /// The objects, in the order of the files.
    pub documents: Vec<Document>,
    /// What the parser found.
    pub diagnostics: Vec<Diagnostic>,
}

impl Sources {
    /// Reads files, folders and `-`.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn read(paths: &[PathBuf]) -> Result<Sources, CliError> {
        Ok(Sources::of(&texts(paths)?))
    }

    /// The objects of files that were read.
    pub fn of(texts: &[(String, Vec<u8>)]) -> Sources {
        let mut sources = Sources::default();
        texts.iter().for_each(|(name, bytes)| sources.add(name, bytes));
        sources
    }

    /// Whether one of the objects is a Workflow.
    pub fn has_workflow(&self) -> bool {
        self.documents.iter().any(|document| matches!(document.object, AnyObject::Workflow(_)))
    }

    fn add(&mut self, name: &str, bytes: &[u8]) {
        let parsed = parse_bytes(name, bytes);
        let told: BTreeSet<(u32, u32)> = parsed.diagnostics.iter().map(|d| (d.line, d.column)).collect();
        let mistyped = parsed.documents.iter().flat_map(|d| mistyped(name, d.object.kind(), &d.node));
        let untold = mistyped.filter(|found| !told.contains(&(found.line, found.column)));
        self.diagnostics.extend(parsed.diagnostics.into_iter().chain(untold));
        self.documents.extend(parsed.documents);
    }

    /// Everything wrong with the objects, the parser's findings first.
    pub fn findings(&self, options: &Options) -> Vec<Diagnostic> {
        let mut all = self.diagnostics.clone();
        all.extend(check(&self.documents, options));
        all
    }

    /// Prints what is wrong and goes on only where nothing is an error.
    ///
    /// # Errors
    /// `Findings` when there are errors.
    pub fn require(&self, options: &Options) -> Result<(), CliError> {
        let findings = self.findings(options);
        for finding in findings.iter().filter(|f| f.is_error()) {
            say(&finding.to_string());
        }
        if findings.iter().any(Diagnostic::is_error) { Err(CliError::Findings) } else { Ok(()) }
    }
}

/// A file's name and its bytes.
type Text = (String, Vec<u8>);

/// The names and the bytes of files, of the manifests in folders, and of `-`.
///
/// # Errors
/// When a file can't be read.
pub fn texts(paths: &[PathBuf]) -> Result<Vec<Text>, CliError> {
    let (texts, unread) = readable(paths)?;
    unread.into_iter().next().map_or(Ok(texts), Err)
}

/// As [`texts`], with the files that can't be read beside those that can.
///
/// # Errors
/// When standard input or a folder can't be read.
pub fn readable(paths: &[PathBuf]) -> Result<(Vec<Text>, Vec<CliError>), CliError> {
    let (mut texts, mut unread) = (Vec::new(), Vec::new());
    for path in paths {
        if path.as_os_str() == "-" {
            texts.push((STDIN.to_owned(), stdin()?));
            continue;
        }
        for file in manifests(path)? {
            match contents(&file) {
                Ok(bytes) => texts.push((file.display().to_string(), bytes)),
                Err(why) => unread.push(why),
            }
        }
    }
    Ok((texts, unread))
}

/// What the check may take for granted when these parameters are given on the command line.
pub fn submitting(global: &Global, parameters: &[(String, String)]) -> Options {
    let given: BTreeSet<String> = parameters.iter().map(|(name, _)| name.clone()).collect();
    Options { submit: true, given, ..global.checks_beside_stored() }
}

fn stdin() -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MANIFEST_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|source| CliError::Machine { what: "read standard input".to_owned(), source })?;
    Ok(bytes)
}

fn contents(path: &Path) -> Result<Vec<u8>, CliError> {
    let failed = |source| CliError::File { action: "read", path: path.to_path_buf(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > MANIFEST_BYTES_MAX {
        return Err(CliError::Usage(format!(
            "{} has {length} bytes: a manifest has at most {MANIFEST_BYTES_MAX}",
            path.display()
        )));
    }
    std::fs::read(path).map_err(failed)
}

/// The manifests that a path means: the file itself, or a folder's `.yaml` and `.yml` files at any depth, hidden ones
/// left out. JSON files are data unless they are named.
///
/// # Errors
/// When it can't be read.
pub fn manifests(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let failed = |source| CliError::File { action: "read", path: path.to_path_buf(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    let mut entries: Vec<_> =
        std::fs::read_dir(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let kind = entry.file_type().map_err(failed)?;
        if hidden {
            continue;
        }
        if kind.is_dir() {
            found.extend(manifests(&entry.path())?);
        } else if is_manifest(&entry.path()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn is_manifest(path: &Path) -> bool {
    matches!(path.extension().and_then(|e| e.to_str()), Some("yaml" | "yml"))
}

/// The text of one document: as a person wrote it where it can be told from the others of its file.
///
/// # Errors
/// When its file can't be read any more.
pub fn own_text(document: &Document) -> Result<String, CliError> {
    // Standard input can't be read twice.
    let bytes = if document.file == STDIN { Vec::new() } else { contents(Path::new(&document.file))? };
    let text = source::decode(&bytes).unwrap_or_default();
    let is_it = |part: &&str| {
        let parsed = parse(&document.file, part);
        matches!(parsed.documents.as_slice(), [one] if one.object == document.object)
    };
    let parts = std::iter::once(&*text).chain(text.split("\n---"));
    let written = parts.filter(is_it).map(str::to_owned).next();
    match written {
        Some(text) => Ok(text),
        None => Ok(yaml(&object_value(&document.object)?)),
    }
}

/// A text file, whole.
///
/// # Errors
/// When it can't be read.
pub fn read_text(path: &Path) -> Result<String, CliError> {
    let failed = |source| CliError::File { action: "read", path: path.to_path_buf(), source };
    std::fs::read_to_string(path).map_err(failed)
}

/// An object as JSON, for output.
///
/// # Errors
/// Never for what was parsed.
pub fn object_value(object: &AnyObject) -> Result<Value, CliError> {
    Ok(match object {
        AnyObject::Workflow(o) => serde_json::to_value(o)?,
        AnyObject::WorkflowTemplate(o) | AnyObject::ClusterWorkflowTemplate(o) => serde_json::to_value(o)?,
        AnyObject::CronWorkflow(o) => serde_json::to_value(o)?,
        AnyObject::Trigger(o) => serde_json::to_value(o)?,
    })
}
