//! The list of runs as a world has it.

use dropforge_driver::store::{EntryPage, Index, IndexEntry, StoreError};

use super::Store;
use crate::bugs::Bug;
use crate::steps;

impl Index for Store {
    async fn put_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        let asked = async {
            if self.breaks(Bug::IndexBackwards) {
                self.world.kept.remove_entry(entry).await?;
            }
            self.inside.put_entry(entry).await?;
            if !self.inside.is_objects() {
                let stored = self.world.kept.entries(None).await?;
                let line = stored.iter().find(|line| line.uid == entry.uid);
                line.into_iter().for_each(|line| steps::listed(&self.world, line.uid.to_string(), line));
            }
            Ok(())
        };
        self.write("write", asked).await
    }

    async fn entries(&self, namespace: Option<&str>) -> Result<Vec<IndexEntry>, StoreError> {
        self.read("list", self.inside.entries(namespace)).await
    }

    async fn entries_after(&self, after: Option<&str>, many: usize) -> Result<EntryPage, StoreError> {
        match self.inside.is_objects() {
            true => self.inside.entries_after(after, many).await,
            false => Ok(EntryPage { entries: self.entries(None).await?, end: None }),
        }
    }

    async fn remove_entry(&self, entry: &IndexEntry) -> Result<(), StoreError> {
        let asked = async {
            self.inside.remove_entry(entry).await?;
            self.world.inner().lines.remove(entry.uid.as_str());
            Ok(())
        };
        self.write("remove", asked).await
    }
}
