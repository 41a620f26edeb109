//! The removal of folders that steps wrote: a step may have taken its own permissions from them.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Removes a folder with all it holds; one that is not there is removed.
///
/// # Errors
/// When something in it belongs to somebody else, or the disk fails.
pub fn remove_folder(folder: &Path) -> io::Result<()> {
    let removed = match fs::remove_dir_all(folder) {
        Err(why) if why.kind() == ErrorKind::PermissionDenied => {
            take_back(folder);
            fs::remove_dir_all(folder)
        }
        removed => removed,
    };
    match removed {
        Err(why) if why.kind() != ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

fn take_back(folder: &Path) {
    // What can't be changed can't be removed either, and that is told.
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // Links are not followed: they may lead out.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            take_back(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_without_permissions_are_removed_and_what_links_lead_to_stays() {
        let place = tempfile::tempdir().unwrap();
        let (outside, folder) = (place.path().join("outside"), place.path().join("volume"));
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(folder.join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
        for closed in [&folder.join("a/b"), &folder.join("a"), &folder, &outside] {
            fs::set_permissions(closed, Permissions::from_mode(0o500)).unwrap();
        }
        remove_folder(&folder).unwrap();
        assert!(!folder.exists());
        assert_eq!(fs::metadata(&outside).unwrap().permissions().mode() & 0o777, 0o500);
        remove_folder(&folder).unwrap();
    }
}
