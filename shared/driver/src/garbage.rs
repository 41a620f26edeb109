//! Removing what runs leave: their artifacts, and, when their time is over, the runs themselves.

use std::sync::Arc;

use dropforge_engine::garbage::{Fate, artifacts as of_view, removes};
use dropforge_engine::ids::RunUid;
use dropforge_engine::program::Program;
use dropforge_engine::view::View;
use jiff::Timestamp;

use crate::owner::chain;
use crate::store::{Artifacts, ErrorKind, IndexEntry, Place, Runs, StoreError};

/// Where the artifacts of a run stand that go at this moment.
///
/// # Errors
/// When the run can't be read.
pub async fn artifacts<S: Runs>(store: &S, run: &RunUid, fate: Fate) -> Result<Vec<Place>, StoreError> {
    let spec = store.spec(run).await?;
    // A spec that this version can't compile ran nothing here.
    let Ok(program) = Program::compile(spec) else { return Ok(Vec::new()) };
    // A run may have a million nodes, and most manifests say nothing of this.
    if !removes(&program, fate) {
        return Ok(Vec::new());
    }
    let mut view = View::fold(Arc::new(program), &[]);
    let mut position = 0;
    while let Some(part) = store.part(run, position).await? {
        part.records.iter().for_each(|record| view.add(record));
        position = part.position;
    }
    Ok(of_view(&view, fate).iter().filter_map(|artifact| artifact.s3.as_ref().map(Place::of)).collect())
}

/// Removes artifacts of a namespace. Removing them again is right. One that may not be removed stays: asked again it would
/// be denied again, and the run would stay for ever.
///
/// # Errors
/// When one can't be removed now.
pub async fn remove<S: Artifacts>(store: &S, namespace: &str, places: &[Place]) -> Result<(), StoreError> {
    for place in places {
        match store.remove_object(namespace, place).await {
            Err(why) if why.kind() == ErrorKind::Denied => {
                tracing::warn!(namespace, why = %chain(&why), "an artifact stays that artifactGC names");
            }
            other => other?,
        }
    }
    Ok(())
}

/// The runs whose time is over, and when the next one's is.
pub fn expired(entries: &[IndexEntry], now: Timestamp) -> (Vec<&IndexEntry>, Option<Timestamp>) {
    let over = |entry: &&IndexEntry| entry.expires_at.is_some_and(|at| at <= now);
    let next = entries.iter().filter(|entry| !over(entry)).filter_map(|entry| entry.expires_at).min();
    (entries.iter().filter(over).collect(), next)
}
