//! The verdicts of many attempts, as many at a time as memory holds.

use std::io::{self, Write};

use dropforge_engine::attempt::Verdict;
use dropforge_engine::ids::AttemptId;

use crate::owner::at_most;
use crate::store::{Attempts, StoreError};

/// Verdicts read at once: as many as answers of a store are waited for side by side.
const READS_AT_ONCE: usize = 16;

/// Once so many bytes of verdicts are read, the others wait for another look. A step's parameters may have a megabyte, and
/// what a pod writes by itself four.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// What one look reads.
#[derive(Default)]
pub struct Verdicts {
    /// What is stored for each attempt that was asked about.
    pub read: Vec<(AttemptId, Result<Option<Verdict>, StoreError>)>,
    /// Those that were not, for another look.
    pub unread: Vec<AttemptId>,
}

/// Reads the verdicts of these attempts, in their order, until those that were read are large together.
pub async fn verdicts<S: Attempts>(store: &S, namespace: &str, attempts: Vec<AttemptId>) -> Verdicts {
    let (mut all, mut bytes, mut open) = (Verdicts::default(), 0, attempts.into_iter());
    while bytes < BYTES_MAX {
        let some: Vec<AttemptId> = open.by_ref().take(READS_AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        let reading = some.iter().map(|attempt| store.verdict(namespace, attempt)).collect();
        let read = at_most(READS_AT_ONCE, reading).await;
        bytes += read.iter().flatten().flatten().map(size).sum::<usize>();
        all.read.extend(some.into_iter().zip(read));
    }
    all.unread = open.collect();
    all
}

/// How many bytes it has as JSON.
fn size(verdict: &Verdict) -> usize {
    struct Counted(usize);
    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    // It was JSON before.
    let _ = serde_json::to_writer(&mut counted, verdict);
    counted.0
}
