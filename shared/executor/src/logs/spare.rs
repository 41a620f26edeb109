//! A log file beside its room until there is something in it, or somebody may want to follow it. Most steps write
//! nothing and are over soon: the file of one serves the next, and no folder is made for its log.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a command runs before its log is given its place, empty or not.
pub const PLACE_AFTER: Duration = Duration::from_millis(100);

/// The empty log file of a room. Dropping it removes it.
#[derive(Debug)]
pub struct Spare {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl Spare {
    /// None yet: it is made when it is used.
    pub fn at(path: PathBuf) -> Arc<Spare> {
        Arc::new(Spare { path, file: Mutex::default() })
    }

    fn file(&self) -> std::sync::MutexGuard<'_, Option<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it for a command whose log's place is `place`.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn open(self: &Arc<Self>, place: &Path) -> io::Result<Late> {
        let kept = self.file().take();
        let made = || OpenOptions::new().append(true).create(true).open(&self.path);
        let file = kept.map_or_else(made, Ok)?;
        Ok(Late { spare: Arc::clone(self), file, place: place.to_owned(), placed: false })
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // It was never made, or has its place.
        let _ = fs::remove_file(&self.path);
    }
}

/// A log that a command writes.
#[derive(Debug)]
pub struct Late {
    spare: Arc<Spare>,
    file: File,
    place: PathBuf,
    placed: bool,
}

impl Late {
    /// What the command writes to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether it has its place.
    pub fn is_placed(&self) -> bool {
        self.placed
    }

    /// Gives it its place, where people look. The command goes on writing to it.
    ///
    /// # Errors
    /// When it can't be moved there.
    pub fn place(&mut self) -> io::Result<()> {
        if self.placed {
            return Ok(());
        }
        match fs::rename(&self.spare.path, &self.place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(self.place.parent().unwrap_or(Path::new("/")))?;
                fs::rename(&self.spare.path, &self.place)?;
            }
            moved => moved?,
        }
        self.placed = true;
        Ok(())
    }

    /// After the command's end, when nobody writes any more.
    ///
    /// # Errors
    /// When there is something in it and it can't be given its place.
    pub fn settle(mut self) -> io::Result<()> {
        if self.placed {
            return Ok(());
        }
        if self.file.metadata()?.len() > 0 {
            return self.place();
        }
        *self.spare.file() = Some(self.file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn an_empty_log_serves_the_next_command_and_takes_no_place() {
        let at = tempfile::tempdir().unwrap();
        let (spare, place) = (Spare::at(at.path().join("0.log")), at.path().join("logs/a/main/00000"));
        spare.open(&place).unwrap().settle().unwrap();
        assert!(!at.path().join("logs").exists());
        let mut late = spare.open(&place).unwrap();
        late.file.write_all(b"said").unwrap();
        late.settle().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"said");
        let mut next = spare.open(&at.path().join("logs/b/main/00000")).unwrap();
        next.file.write_all(b"next").unwrap();
        next.settle().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"said");
        drop(spare);
        assert!(!at.path().join("0.log").exists());
    }

    #[test]
    fn a_log_that_was_placed_is_written_where_it_is() {
        let at = tempfile::tempdir().unwrap();
        let (spare, place) = (Spare::at(at.path().join("0.log")), at.path().join("logs/a/main/00000"));
        let mut late = spare.open(&place).unwrap();
        late.place().unwrap();
        late.place().unwrap();
        late.file.write_all(b"after").unwrap();
        late.settle().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"after");
    }
}
