//! Which commit the packed files stand on, and whether they are exactly that commit's.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// A commit, and whether the packed files differ from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Git {
    /// The commit's full id.
    pub commit: String,
    /// Whether any packed file is changed, untracked or ignored: then the commit alone does not give the files.
    pub dirty: bool,
}

impl std::fmt::Display for Git {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.commit, if self.dirty { "+dirty" } else { "" })
    }
}

/// The state of `files` below `root`; nothing outside a repository, before its first commit or without git.
pub(super) fn state<'a>(root: &Path, files: impl Iterator<Item = &'a Path>) -> Option<Git> {
    let commit = run(root, &["rev-parse", "--verify", "HEAD^{commit}"], String::new())?.trim().to_owned();
    let place = run(root, &["rev-parse", "--show-toplevel", "--show-prefix"], String::new())?;
    let mut lines = place.lines();
    let (top, prefix) = (Path::new(lines.next()?), lines.next().unwrap_or_default());
    // Asked from the top: `hash-object` reads paths from there, wherever it is started.
    let tree = run(top, &["ls-tree", "-r", "-z", "--full-tree", &commit], String::new())?;
    let committed: BTreeMap<&str, &str> = tree.split('\0').filter_map(tree_entry).collect();
    let files: Vec<String> = files.filter_map(Path::to_str).map(|file| format!("{prefix}{file}")).collect();
    // Git reads names line by line; a name with a line break is left to count as changed.
    let input: String =
        files.iter().filter(|name| !name.contains('\n')).map(|name| format!("{name}\n")).collect();
    let hashed = run(top, &["hash-object", "--stdin-paths"], input)?;
    let ids: Vec<&str> = hashed.lines().collect();
    let is_clean = ids.len() == files.len()
        && files.iter().zip(&ids).all(|(name, id)| committed.get(name.as_str()) == Some(id));
    Some(Git { commit, dirty: !is_clean })
}

/// Reads `<mode> blob <id>\t<path>`.
fn tree_entry(entry: &str) -> Option<(&str, &str)> {
    let (about, path) = entry.split_once('\t')?;
    Some((path, about.rsplit(' ').next()?))
}

fn run(root: &Path, arguments: &[&str], input: String) -> Option<String> {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    // Written beside the reading: git answers while it reads, and neither side may wait on a full pipe.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().ok()?;
    let is_written = writer.join().is_ok_and(|written| written.is_ok());
    (output.status.success() && is_written).then(|| String::from_utf8(output.stdout).ok()).flatten()
}
