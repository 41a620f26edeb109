//! Removing what runs leave: their artifacts, and, when their time is over, the runs themselves.

use std::sync::Arc;

use dropforge_engine::garbage::{Fate, artifacts};
use dropforge_engine::ids::RunUid;
use dropforge_engine::program::Program;
use dropforge_engine::view::View;
use jiff::Timestamp;

use crate::store::{Artifacts, IndexEntry, Place, Runs, StoreError};

/// Removes the artifacts of a run that go at this moment; gives how many.
///
/// # Errors
/// When the run can't be read or an artifact not be removed; removing again is right.
pub async fn remove_artifacts<S: Runs + Artifacts>(
    store: &S,
    run: &RunUid,
    fate: Fate,
) -> Result<usize, StoreError> {
    let loaded = store.load_run(run).await?;
    let namespace = loaded.spec.namespace().to_owned();
    // A spec that this version can't compile ran nothing here.
    let Ok(program) = Program::compile(loaded.spec) else { return Ok(0) };
    let view = View::fold(Arc::new(program), &loaded.records);
    let gone = artifacts(&view, fate);
    for artifact in &gone {
        if let Some(s3) = &artifact.s3 {
            store.remove_object(&namespace, &Place::of(s3)).await?;
        }
    }
    Ok(gone.len())
}

/// The runs whose time is over, and when the next one's is.
pub fn expired(entries: &[IndexEntry], now: Timestamp) -> (Vec<&IndexEntry>, Option<Timestamp>) {
    let over = |entry: &&IndexEntry| entry.expires_at.is_some_and(|at| at <= now);
    let next = entries.iter().filter(|entry| !over(entry)).filter_map(|entry| entry.expires_at).min();
    (entries.iter().filter(over).collect(), next)
}
