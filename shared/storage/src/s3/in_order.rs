//! Futures side by side, with their values in order.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The values of all futures, of which `width` go on at a time.
pub(super) async fn in_order<F: Future>(width: usize, futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting = futures.fuse();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    let mut values: Vec<Option<F::Output>> = Vec::new();
    poll_fn(|context| {
        loop {
            for future in waiting.by_ref().take(width - running.len()) {
                running.push((values.len(), Box::pin(future)));
                values.push(None);
            }
            if running.is_empty() {
                return Poll::Ready(());
            }
            let before = running.len();
            running.retain_mut(|(at, future)| !keeps(future, context, &mut values[*at]));
            // Where one has ended, another begins at once.
            if running.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    values.into_iter().flatten().collect()
}

/// Whether a future has ended, and its value is kept.
fn keeps<F: Future>(
    future: &mut Pin<Box<F>>,
    context: &mut Context<'_>,
    value: &mut Option<F::Output>,
) -> bool {
    match future.as_mut().poll(context) {
        Poll::Ready(given) => value.replace(given).is_none(),
        Poll::Pending => false,
    }
}
