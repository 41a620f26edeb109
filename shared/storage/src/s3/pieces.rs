//! What snapshots name in place of repeating it: texts that never change, each one object under the name of its content.

use std::collections::{BTreeMap, BTreeSet};

use dropforge_driver::store::StoreError;
use dropforge_engine::frozen::{Frozen, PieceName};
use dropforge_engine::ids::RunUid;
use dropforge_engine::snapshot::Snapshot;
use dropforge_engine::snapshot::apart::{Apart, Incomplete};

use super::conditional::Conditional;
use super::requests::{Condition, Requests};
use super::{ObjectStore, key};
use crate::keys;

impl<R: Requests> ObjectStore<R> {
    /// Keeps the texts that are not known to be kept. Whoever comes second finds the very same there.
    pub(super) async fn write_pieces(
        &self,
        run: &RunUid,
        texts: &[Frozen],
        known: &BTreeSet<PieceName>,
    ) -> Result<(), StoreError> {
        for text in texts.iter().filter(|text| !known.contains(text.name())) {
            let key = key(keys::piece(run, text.name().as_str())?);
            // They may be large, and one of several functions keeps each.
            if self.control.head(&key).await?.is_none() {
                self.control.put(&key, text.json().as_bytes().to_vec(), Condition::Absent).await?;
            }
        }
        Ok(())
    }

    /// The snapshot with all that it names.
    pub(super) async fn with_pieces(
        &self,
        run: &RunUid,
        snapshot: Snapshot,
        apart: &Apart,
    ) -> Result<Snapshot, StoreError> {
        if apart.is_empty() {
            return Ok(snapshot);
        }
        let names: BTreeSet<&PieceName> = apart.names().collect();
        let keys = names.iter().map(|name| keys::piece(run, name.as_str()).map(key));
        let keys: Vec<String> = keys.collect::<Result<_, _>>()?;
        let mut texts = BTreeMap::new();
        for (name, found) in names.into_iter().zip(self.control.get_all(keys).await?) {
            let text = found.and_then(|found| String::from_utf8(found.body.into()).ok());
            texts.extend(text.map(|text| (name.clone(), text)));
        }
        apart.put_back(snapshot, &texts).map_err(|why| damaged(run, &why))
    }
}

fn damaged(run: &RunUid, why: &Incomplete) -> StoreError {
    let key = keys::snapshot(run).map(key).unwrap_or_default();
    StoreError::Damaged { key, offset: 0, why: why.to_string() }
}
