//! What a command asked of the file system, call by call, and the disks that a loss of power can leave of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::chance::Chance;

/// The calls that change files, as `strace` names them.
pub const CALLS: &str = "openat,creat,write,pwrite64,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat,\
                         unlink,unlinkat,copy_file_range,sendfile";

/// One call that succeeded.
#[derive(Debug)]
pub struct Call {
    at: f64,
    name: String,
    /// Its text between the name and the result.
    arguments: String,
    /// Quoted arguments, in order.
    quoted: Vec<Vec<u8>>,
    /// The paths of its file descriptors, in order; for `openat` the last is the opened file's.
    files: Vec<PathBuf>,
    result: i64,
}

/// Reads the files that `strace -ff -ttt -y -xx -o PREFIX` wrote, one for each thread, in the order of time.
pub fn calls(folder: &Path) -> Vec<Call> {
    let mut calls = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        calls.extend(text.lines().filter_map(call));
    }
    calls.sort_by(|a, b| a.at.total_cmp(&b.at));
    calls
}

/// `1795869443.397885 write(3<\x2f…>, "\x68…", 7) = 7`; none for signals, ends and what failed.
fn call(line: &str) -> Option<Call> {
    let (at, rest) = line.split_once(' ')?;
    let (name, rest) = rest.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") = ")?;
    let number = result.split(['<', ' ']).next()?;
    let result_file = result.split_once('<').map(|(_, path)| path.trim_end_matches('>'));
    let files = between(arguments, '<', '>').into_iter().chain(result_file);
    Some(Call {
        at: at.parse().ok()?,
        name: name.to_owned(),
        quoted: between(arguments, '"', '"').into_iter().map(bytes).collect(),
        files: files.map(path).collect(),
        arguments: arguments.to_owned(),
        result: number.parse().ok().filter(|result| *result >= 0)?,
    })
}

fn between(text: &str, open: char, close: char) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(open) {
        let Some((inside, after)) = after.split_once(close) else { break };
        found.push(inside);
        rest = after;
    }
    found
}

/// `\x68\x65` as bytes.
fn bytes(hex: &str) -> Vec<u8> {
    hex.split("\\x").skip(1).map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
}

fn path(hex: &str) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(&bytes(hex)).into_owned())
}

impl Call {
    fn number(&self, from_the_end: usize) -> usize {
        let last = self.arguments.rsplit(", ").nth(from_the_end);
        last.and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    /// The descriptor's number.
    fn descriptor(&self) -> usize {
        self.arguments.split('<').next().and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    /// Text that went to this file.
    pub fn said(&self, to: &Path) -> Option<String> {
        let written = ["write", "writev"].contains(&self.name.as_str()) && self.files.first()? == to;
        written.then(|| String::from_utf8_lossy(&self.quoted.concat()).into_owned())
    }
}

/// A file's bytes: those that were written, and those of them that a sync has made last.
#[derive(Clone, Debug, Default)]
struct File {
    written: Vec<u8>,
    lasting: Vec<u8>,
}

type Names = BTreeMap<PathBuf, usize>;

/// Everything below a folder, as the calls so far have left it.
///
/// Names last from the next sync of anything on, as in a file system with a journal; bytes only from a sync of their file on.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    names: Names,
    lasting_names: Names,
    files: Vec<File>,
    positions: BTreeMap<(usize, usize), usize>,
    /// What files had in the end whose bytes no call told, because a step wrote them under another name.
    in_the_end: BTreeMap<PathBuf, Vec<u8>>,
    /// Those of such files that were synced before they got their names.
    synced: BTreeSet<PathBuf>,
}

impl Disk {
    /// An empty one; `root` is as the calls left it.
    pub fn new(root: &Path) -> Disk {
        let mut in_the_end = BTreeMap::new();
        read_all(root, &mut in_the_end);
        let (names, files) = (Names::new(), Vec::new());
        let (positions, synced) = (BTreeMap::new(), BTreeSet::new());
        let root = root.to_path_buf();
        Disk { root, lasting_names: names.clone(), names, files, positions, in_the_end, synced }
    }

    /// Whether the call makes bytes or names last.
    pub fn is_sync(call: &Call) -> bool {
        ["fsync", "fdatasync"].contains(&call.name.as_str())
    }

    /// Takes a call.
    pub fn take(&mut self, call: &Call) {
        match call.name.as_str() {
            "openat" | "creat" => self.open(call),
            "write" | "writev" => self.write(call, None),
            "pwrite64" => self.write(call, Some(call.number(0))),
            "ftruncate" => {
                if let Some(file) = self.file_of(&call.files[0]) {
                    self.files[file].written.resize(call.number(0), 0);
                }
            }
            "copy_file_range" => self.copied(call, 1),
            "sendfile" => self.copied(call, 0),
            "rename" | "renameat" | "renameat2" => self.name_anew(call, true),
            "link" | "linkat" => self.name_anew(call, false),
            "unlink" | "unlinkat" => drop(self.names.remove(&named(call, 0))),
            _ => self.sync(call),
        }
    }

    fn file_of(&self, path: &Path) -> Option<usize> {
        self.names.get(path).copied()
    }

    fn create(&mut self, path: &Path, bytes: Vec<u8>) -> Option<usize> {
        path.starts_with(&self.root).then(|| {
            self.files.push(File { written: bytes, lasting: Vec::new() });
            self.names.insert(path.to_path_buf(), self.files.len() - 1);
            self.files.len() - 1
        })
    }

    fn open(&mut self, call: &Call) {
        let path = call.files.last().unwrap();
        let created = call.arguments.contains("O_CREAT") || call.name == "creat";
        let file = self.file_of(path).or_else(|| created.then(|| self.create(path, Vec::new()))?);
        let Some(file) = file else { return };
        if call.arguments.contains("O_TRUNC") {
            self.files[file].written.clear();
        }
        if !call.arguments.contains("O_APPEND") {
            self.positions.insert((file, usize::try_from(call.result).unwrap()), 0);
        }
    }

    fn write(&mut self, call: &Call, offset: Option<usize>) {
        let Some(file) = call.files.first().and_then(|path| self.file_of(path)) else { return };
        let all = call.quoted.concat();
        let bytes = &all[..usize::try_from(call.result).unwrap()];
        let written = &mut self.files[file].written;
        let position = self.positions.get_mut(&(file, call.descriptor()));
        let begin = offset.unwrap_or_else(|| position.as_deref().copied().unwrap_or(written.len()));
        written.resize(written.len().max(begin + bytes.len()), 0);
        written[begin..begin + bytes.len()].copy_from_slice(bytes);
        if let (Some(position), None) = (position, offset) {
            *position = begin + bytes.len();
        }
    }

    /// The bytes went from file to file without being told.
    fn copied(&mut self, call: &Call, to: usize) {
        let path = &call.files[to];
        if let (Some(file), Some(bytes)) = (self.file_of(path), self.in_the_end.get(path)) {
            self.files[file].written.clone_from(bytes);
        }
    }

    fn name_anew(&mut self, call: &Call, moved: bool) {
        let (from, to) = (named(call, 0), named(call, 1));
        let known = if moved { self.names.remove(&from) } else { self.file_of(&from) };
        match known {
            Some(file) if to.starts_with(&self.root) => drop(self.names.insert(to, file)),
            Some(_) => {}
            None => {
                let bytes = self.in_the_end.get(&to).cloned().unwrap_or_default();
                if let (Some(file), true) = (self.create(&to, bytes), self.synced.remove(&from)) {
                    self.files[file].lasting = self.files[file].written.clone();
                }
            }
        }
    }

    fn sync(&mut self, call: &Call) {
        let Some(path) = call.files.first().filter(|path| path.starts_with(&self.root)) else { return };
        if let Some(file) = self.file_of(path) {
            let file = &mut self.files[file];
            file.lasting.clone_from(&file.written);
        } else {
            self.synced.insert(path.clone());
        }
        self.lasting_names.clone_from(&self.names);
    }

    /// What the loss of power leaves, put into the folder's place: what lasts, and by chance more of what was written.
    pub fn leave(&self, chance: &mut Chance) {
        let _ = fs::remove_dir_all(&self.root);
        let names = if chance.below(2) == 0 { &self.lasting_names } else { &self.names };
        for (path, file) in names {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, self.files[*file].left(chance)).unwrap();
        }
    }
}

impl File {
    fn left(&self, chance: &mut Chance) -> Vec<u8> {
        match chance.below(3) {
            0 => self.written.clone(),
            1 if self.written.starts_with(&self.lasting) => {
                let more = chance.below(self.written.len() - self.lasting.len() + 1);
                self.written[..self.lasting.len() + more].to_vec()
            }
            _ => self.lasting.clone(),
        }
    }
}

/// A path that the call names itself; a relative one lies below the descriptor before it.
fn named(call: &Call, which: usize) -> PathBuf {
    let path = PathBuf::from(String::from_utf8_lossy(&call.quoted[which]).into_owned());
    let below = call.files.get(which).or(call.files.first());
    below.map_or(path.clone(), |folder| folder.join(path))
}

fn read_all(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => read_all(&entry.path(), files),
            kind if kind.is_file() => drop(files.insert(entry.path(), fs::read(entry.path()).unwrap())),
            _ => {}
        }
    }
}
