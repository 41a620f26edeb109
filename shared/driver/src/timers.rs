//! Rings at a later time.

use std::future::Future;

use dropforge_engine::effect::TimerId;
use dropforge_engine::ids::RunUid;
use jiff::Timestamp;

use crate::store::StoreError;

/// Keeps timers. Setting one twice is harmless; a timer may fire late, early or twice, and the engine knows.
pub trait Timers: Send + Sync {
    /// Sees to it that the run hears of the timer at `due`.
    ///
    /// # Errors
    /// When it is unknown whether it is set; it stays in the outbox and is set again.
    fn set(
        &self,
        run: &RunUid,
        timer: &TimerId,
        due: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Sees to it that whoever advances the run looks at everything soon. Where nobody but the caller does, it does so
    /// itself, and this does nothing.
    ///
    /// # Errors
    /// When it is unknown whether anybody hears of it.
    fn rouse(&self, run: &RunUid) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = run;
        std::future::ready(Ok(()))
    }
}
