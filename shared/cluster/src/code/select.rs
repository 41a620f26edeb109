//! Which files the globs name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use walkdir::{DirEntry, WalkDir};

use super::Error;
use crate::settings::CodeFiles;

/// Never packed: what git, Dropforge and Python keep beside a person's files.
const NEVER: [&str; 3] = ["**/.git", "**/.dropforge", "**/__pycache__"];

/// A selected file.
pub(super) struct Source {
    /// The path to read.
    pub file: PathBuf,
    /// The same, relative to the root.
    pub relative: PathBuf,
}

/// The selected files by the path at which they are placed.
pub(super) fn select(root: &Path, files: &CodeFiles) -> Result<BTreeMap<String, Source>, Error> {
    let search = Search {
        root,
        real_root: fs::canonicalize(root).map_err(|source| Error::Read { path: root.to_owned(), source })?,
        excluded: excluded(&files.exclude)?,
    };
    let mut selected = BTreeMap::new();
    for glob in &files.include {
        for (path, source) in search.matches(glob)? {
            selected.insert(path, source);
        }
    }
    for glob in &files.replace {
        for (path, source) in search.matches(glob)? {
            let placed = path.split_once('/').map_or(path.as_str(), |(_, rest)| rest).to_owned();
            selected.insert(placed, source);
        }
    }
    Ok(selected)
}

/// What is wrong with a glob of the settings, as a fragment that follows its name.
pub(crate) fn check_glob(glob: &str) -> Result<(), String> {
    let stays =
        Path::new(glob).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if glob.is_empty() || !stays {
        return Err("does not stay in the folder of dropforge.toml".to_owned());
    }
    compile(glob).map(|_| ()).map_err(|error| format!("is not a glob: {}", error.kind()))
}

fn compile(glob: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(glob).literal_separator(true).build()
}

fn excluded(globs: &[String]) -> Result<GlobSet, Error> {
    let mut set = GlobSetBuilder::new();
    for glob in NEVER.into_iter().chain(globs.iter().map(|glob| plain(glob))) {
        let wrong = |error: globset::Error| Error::Glob { glob: glob.to_owned(), reason: error.to_string() };
        set.add(compile(glob).map_err(wrong)?);
        // `data/**` leaves out the folder itself: it then need not be walked.
        if let Some(folder) = glob.strip_suffix("/**") {
            set.add(compile(folder).map_err(wrong)?);
        }
    }
    set.build().map_err(|error| Error::Glob { glob: globs.join(" "), reason: error.to_string() })
}

fn plain(glob: &str) -> &str {
    glob.trim_start_matches("./").trim_end_matches('/')
}

struct Search<'a> {
    root: &'a Path,
    real_root: PathBuf,
    excluded: GlobSet,
}

impl Search<'_> {
    fn matches(&self, glob: &str) -> Result<Vec<(String, Source)>, Error> {
        check_glob(glob).map_err(|reason| Error::Glob { glob: glob.to_owned(), reason })?;
        let matcher = compile(plain(glob))
            .map_err(|error| Error::Glob { glob: glob.to_owned(), reason: error.to_string() })?
            .compile_matcher();
        let literal = literal_part(plain(glob));
        // A name without patterns means the file, or the folder and all that is in it.
        let is_named = literal == Path::new(plain(glob));
        let start = self.root.join(literal);
        let found = if start.exists() { self.walk(&start, &matcher, is_named)? } else { Vec::new() };
        if found.is_empty() {
            return Err(Error::Missing { glob: glob.to_owned(), root: self.root.to_owned() });
        }
        Ok(found)
    }

    fn walk(
        &self,
        start: &Path,
        matcher: &GlobMatcher,
        is_named: bool,
    ) -> Result<Vec<(String, Source)>, Error> {
        let is_kept = |entry: &DirEntry| !self.is_excluded(self.relative(entry.path()));
        let mut found = Vec::new();
        for entry in WalkDir::new(start).follow_links(true).into_iter().filter_entry(is_kept) {
            let entry = entry.map_err(|error| Error::Read {
                path: error.path().unwrap_or(start).to_owned(),
                source: error.into(),
            })?;
            let relative = self.relative(entry.path());
            if !entry.file_type().is_dir() && (is_named || matcher.is_match(relative)) {
                found.push(self.accept(&entry, relative)?);
            }
        }
        Ok(found)
    }

    fn accept(&self, entry: &DirEntry, relative: &Path) -> Result<(String, Source), Error> {
        let file = entry.path().to_owned();
        if !entry.file_type().is_file() {
            return Err(Error::NotAFile { path: file });
        }
        let target = fs::canonicalize(&file).map_err(|source| Error::Read { path: file.clone(), source })?;
        if !target.starts_with(&self.real_root) {
            return Err(Error::Escapes { path: file, target });
        }
        let Some(path) = relative.to_str() else { return Err(Error::NotUnicode { path: file }) };
        Ok((path.to_owned(), Source { relative: relative.to_owned(), file }))
    }

    fn relative<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(self.root).unwrap_or(path)
    }

    fn is_excluded(&self, relative: &Path) -> bool {
        relative.ancestors().any(|path| self.excluded.is_match(path))
    }
}

/// The folders at the start of a glob that are no patterns, so that only what lies below them is walked.
fn literal_part(glob: &str) -> PathBuf {
    Path::new(glob)
        .components()
        .take_while(|part| !part.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[]{}\\".contains(byte)))
        .collect()
}
