//! Logs: one growing file a container. Where they are kept as objects there are more, numbered; reading knows both.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use dropforge_driver::store::{Logs, StoreError};
use dropforge_engine::ids::AttemptId;

use super::DirectoryStore;
use crate::files::{self, failed, with_parent};
use crate::keys;

const FIRST_CHUNK: &str = "00000";

impl Logs for DirectoryStore {
    /// Appending nothing makes the file.
    async fn append_log(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        container: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let path = self.at(keys::log(namespace, attempt, container)?).join(FIRST_CHUNK);
        let opened = with_parent(&path, || OpenOptions::new().append(true).create(true).open(&path));
        opened.and_then(|mut file| file.write_all(bytes)).map_err(failed("write", &path))
    }

    async fn read_log(
        &self,
        namespace: &str,
        attempt: &AttemptId,
        container: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let folder = self.at(keys::log(namespace, attempt, container)?);
        let (mut skip, mut log) = (offset, Vec::new());
        for path in files::names(&folder)?.into_iter().map(|name| folder.join(name)) {
            let file = File::open(&path).map_err(failed("read", &path))?;
            let length = file.metadata().map_err(failed("read", &path))?.len();
            let wanted = (limit - log.len()).min(length.saturating_sub(skip) as usize);
            let begin = log.len();
            log.resize(begin + wanted, 0);
            file.read_exact_at(&mut log[begin..], skip).map_err(failed("read", &path))?;
            skip = skip.saturating_sub(length);
        }
        Ok(log)
    }

    fn log_file(&self, namespace: &str, attempt: &AttemptId, container: &str) -> Option<PathBuf> {
        Some(self.at(keys::log(namespace, attempt, container).ok()?).join(FIRST_CHUNK))
    }
}
