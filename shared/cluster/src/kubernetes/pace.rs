//! How fast pods are made.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// How much of what was not used before may be used at once.
const BURST: Duration = Duration::from_secs(1);

/// Gives turns at a rate.
pub struct Pace {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many turns in a second; nothing bounds a rate of zero.
    pub fn new(per_second: f64) -> Self {
        let interval =
            if per_second > 0.0 { Duration::from_secs_f64(1.0 / per_second) } else { Duration::ZERO };
        Pace { interval, next: Mutex::new(None) }
    }

    /// Waits for the next turn.
    pub async fn turn(&self) {
        let mut next = self.next.lock().await;
        let now = Instant::now();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let at = next.map_or(earliest, |next| next.max(earliest));
        *next = Some(at + self.interval);
        drop(next);
        sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_of_turns_comes_at_once_and_the_rest_at_the_rate() {
        tokio::time::advance(Duration::from_secs(10)).await;
        let pace = Pace::new(10.0);
        let from = Instant::now();
        for _ in 0..11 {
            pace.turn().await;
        }
        assert_eq!(from.elapsed(), Duration::ZERO);
        for _ in 0..5 {
            pace.turn().await;
        }
        assert_eq!(from.elapsed().as_millis() / 10, 50);
    }
}
