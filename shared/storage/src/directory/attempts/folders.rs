//! Claims and verdicts of the first format: `<namespace>/<attempt>/{claim,result}.json`. They are read, never written.

use std::path::PathBuf;

use dropforge_driver::store::StoreError;
use dropforge_engine::attempt::{VERDICT_FORMAT, Verdict};
use dropforge_engine::ids::AttemptId;

use crate::files::{self, failed};
use crate::{json, keys};

/// The folders of a store's attempts.
#[derive(Debug)]
pub(super) struct Folders {
    folder: PathBuf,
    /// Whether the store has any; nobody makes them any more.
    any: bool,
}

impl Folders {
    pub(super) fn below(folder: PathBuf) -> Folders {
        let any =
            std::fs::read_dir(&folder).into_iter().flatten().flatten().any(|entry| entry.path().is_dir());
        Folders { folder, any }
    }

    pub(super) fn claimed(&self, namespace: &str, attempt: &AttemptId) -> Result<bool, StoreError> {
        let Some(path) = self.file(namespace, attempt, "claim.json")? else { return Ok(false) };
        // Whose claimer died before it wrote its name is claimed all the same: the file alone says so.
        path.try_exists().map_err(failed("read", &path))
    }

    pub(super) fn verdict(
        &self,
        namespace: &str,
        attempt: &AttemptId,
    ) -> Result<Option<Verdict>, StoreError> {
        let Some(path) = self.file(namespace, attempt, "result.json")? else { return Ok(None) };
        files::read(&path)?.map(|bytes| json::parse(&path, &bytes, VERDICT_FORMAT)).transpose()
    }

    fn file(&self, namespace: &str, attempt: &AttemptId, name: &str) -> Result<Option<PathBuf>, StoreError> {
        let names = [keys::name("namespace", namespace)?, keys::name("attempt", attempt.as_str())?];
        let folder = self.folder.join(names.iter().collect::<PathBuf>());
        Ok(self.any.then(|| folder.join(name)))
    }
}
