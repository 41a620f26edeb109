//! Asking S3 again for as long as it may help.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::requests::Failure;
use crate::nonces::random;

/// The first pause between tries, and the longest.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// Asks until there is an answer that stays, or until `patience` is over. Pauses grow, and differ by chance: a thousand
/// pods that were told to slow down do not come back together.
pub(super) async fn patiently<T, F>(patience: Duration, mut ask: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let begun = Instant::now();
    let mut longest = PAUSE;
    loop {
        let why = match ask().await {
            Err(Failure::Unknown(why)) => why,
            answer => return answer,
        };
        let pause = longest.mul_f64(0.5 + 0.5 * chance());
        if begun.elapsed() + pause >= patience {
            return Err(Failure::Unknown(why));
        }
        tracing::warn!(error = %why, ?pause, "S3 did not answer; it is asked again");
        tokio::time::sleep(pause).await;
        longest = longest.saturating_mul(2).min(PAUSE_MAX);
    }
}

/// A number from 0 to 1.
fn chance() -> f64 {
    f64::from(u32::try_from(random() >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}
