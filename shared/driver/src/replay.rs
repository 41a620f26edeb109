//! Stored runs brought back part by part: no more of a journal is in memory than is read at once.

use dropforge_engine::apply::apply;
use dropforge_engine::ids::RunUid;
use dropforge_engine::program::CompileError;
use dropforge_engine::record::Record;
use dropforge_engine::state::RunState;

use crate::store::{Resumed, Runs, StoreError};

/// Why a stored run gives no state.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored spec can't be compiled by this version.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// The state that is stored, and where the next commit goes. Each part of the journal is `told` with the state after it.
///
/// # Errors
/// See [`ReplayError`].
pub async fn replay<S: Runs>(
    store: &S,
    run: &RunUid,
    mut told: impl FnMut(&RunState, &[Record]),
) -> Result<(RunState, u64), ReplayError> {
    let Resumed { spec, snapshot, mut records, mut position, mut more } = store.resume(run).await?;
    let before = Resumed { spec, snapshot, records: Vec::new(), position, more };
    let mut state = before.state()?;
    loop {
        records.iter().for_each(|record| apply(&mut state, record));
        told(&state, &records);
        let next = if more { store.part(run, position).await? } else { None };
        let Some(part) = next else { return Ok((state, position)) };
        (records, position) = (part.records, part.position);
        more = true;
    }
}
