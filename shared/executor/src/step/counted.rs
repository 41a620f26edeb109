//! How far a step says it is: the last line `N/M` of the file that `ARGO_PROGRESS_FILE` names.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use dropforge_engine::attempt::Progress;

/// How often the file is looked at: Argo's own tick.
pub const LOOK: Duration = Duration::from_secs(3);

/// How often it is told at most, since each time becomes a record.
const TELL: Duration = Duration::from_secs(15);

/// The end of the file that is read; its last line is a few bytes.
const TAIL_BYTES: u64 = 256;

/// The file and what was last told of it.
pub struct Counted<'a> {
    file: &'a Path,
    told: Option<(Instant, Progress)>,
}

impl<'a> Counted<'a> {
    /// Nothing has been said.
    pub fn new(file: &'a Path) -> Self {
        Counted { file, told: None }
    }

    /// What is new, when it is time to tell it.
    pub fn news(&mut self, now: Instant) -> Option<Progress> {
        let early = self.told.is_some_and(|(at, _)| now.duration_since(at) < TELL);
        let new = read(self.file).filter(|new| !early && self.told.is_none_or(|(_, old)| old != *new))?;
        self.told = Some((now, new));
        Some(new)
    }
}

/// What the file says; none where there is none, or its last line says nothing.
pub fn read(file: &Path) -> Option<Progress> {
    let mut file = File::open(file).ok()?;
    let size = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES))).ok()?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
    let text = String::from_utf8_lossy(&tail);
    Progress::parse(text.trim_end().lines().next_back()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_and_is_told_at_most_every_so_often() {
        let at = tempfile::tempdir().unwrap();
        let file = at.path().join("progress");
        let begun = Instant::now();
        let mut counted = Counted::new(&file);
        assert_eq!(counted.news(begun), None);
        std::fs::write(&file, "1/10\n2/10\n").unwrap();
        assert_eq!(counted.news(begun), Some(Progress { done: 2, total: 10 }));
        std::fs::write(&file, "7/10").unwrap();
        assert_eq!(counted.news(begun + LOOK), None, "too early");
        assert_eq!(counted.news(begun + TELL), Some(Progress { done: 7, total: 10 }));
        assert_eq!(counted.news(begun + TELL * 2), None, "nothing new");
        for bad in ["", "half", "3/2", "1/0", "-1/2"] {
            std::fs::write(&file, bad).unwrap();
            assert_eq!(read(&file), None, "{bad}");
        }
    }
}
