//! The objects of a bucket, in S3's order.

use std::fs;
use std::path::{Path, PathBuf};

use dropforge_driver::store::StoreError;

use super::{Objects, Stat, unless_no_object};
use crate::files::{failed, unless_missing};
use crate::keys;

/// What a folder of objects holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The objects, sorted by the bytes of their keys.
    pub objects: Vec<Stat>,
    /// What can't be an object: names that are not UTF-8 or read as an escape, links to folders, devices.
    pub strange: Vec<PathBuf>,
}

impl Objects {
    /// The objects whose keys begin with `prefix`, sorted; none where there is no such bucket.
    ///
    /// # Errors
    /// When they can't be listed.
    pub fn list(&self, bucket: &str, prefix: &str) -> Result<Listing, StoreError> {
        let root = self.bucket(bucket)?;
        let mut listing = Listing::default();
        // Only whole components of the prefix narrow down where to look.
        let folder = match prefix.rsplit_once('/') {
            Some((folder, _)) if !folder.is_empty() => root.join(keys::key_path(folder)?),
            _ => root.clone(),
        };
        walk(bucket, &root, &folder, &mut listing)?;
        listing.objects.retain(|object| object.key.starts_with(prefix));
        // `a` before `a%-`: where a person's `a` and an older `a%-` are both there, `a` counts, as in `stat`.
        listing.objects.sort_by(|a, b| (&a.key, &a.path).cmp(&(&b.key, &b.path)));
        listing.objects.dedup_by(|later, first| later.key == first.key);
        listing.strange.sort_unstable();
        Ok(listing)
    }
}

fn walk(bucket: &str, root: &Path, folder: &Path, listing: &mut Listing) -> Result<(), StoreError> {
    let Some(entries) = unless_no_object(fs::read_dir(folder)).map_err(failed("list", folder))? else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry.map_err(failed("list", folder))?;
        let path = entry.path();
        if entry.file_type().map_err(failed("list", &path))?.is_dir() {
            walk(bucket, root, &path, listing)?;
            continue;
        }
        // None: removed since the folder was read, or a link that leads nowhere.
        let metadata = unless_missing(fs::metadata(&path)).map_err(failed("list", &path))?;
        let below = path.strip_prefix(root).ok();
        match (metadata, below.and_then(keys::key_of)) {
            (Some(metadata), Some(key)) if metadata.is_file() => {
                listing.objects.push(Stat::of(bucket, &key, &path, &metadata));
            }
            (Some(_), _) => listing.strange.push(path),
            (None, _) => {}
        }
    }
    Ok(())
}
