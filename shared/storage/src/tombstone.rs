//! What stands in the place of a deleted run's spec.

use dropforge_driver::store::StoreError;
use dropforge_engine::ids::RunUid;
use serde::Deserialize;

/// Both are the document `spec.json`; what neither is shows when it is read as a spec.
pub(crate) fn is_tombstone(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Either {
        deleted_at: Option<String>,
    }
    serde_json::from_slice::<Either>(bytes).is_ok_and(|either| either.deleted_at.is_some())
}

pub(crate) fn no_such_run(run: &RunUid) -> StoreError {
    StoreError::NotFound { what: "run", name: run.to_string() }
}
