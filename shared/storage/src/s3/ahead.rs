//! Work done ahead, in order and bounded.

use std::collections::VecDeque;
use std::future::Future;

use tokio::task::JoinHandle;

/// Futures of which at most `width` run at a time; their values come in the order of the futures.
pub(super) struct Ahead<I, T> {
    waiting: I,
    running: VecDeque<Running<T>>,
    width: usize,
}

/// A task that ends with whoever waits for it.
struct Running<T>(JoinHandle<T>);

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<I, F, T> Ahead<I, T>
where
    I: Iterator<Item = F>,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    pub(super) fn new(width: usize, futures: impl IntoIterator<IntoIter = I>) -> Ahead<I, T> {
        Ahead { waiting: futures.into_iter(), running: VecDeque::new(), width }
    }

    /// The next value; none after the last.
    pub(super) async fn next(&mut self) -> Option<T> {
        while self.running.len() < self.width {
            let Some(future) = self.waiting.next() else { break };
            self.running.push_back(Running(tokio::spawn(future)));
        }
        let mut first = self.running.pop_front()?;
        match (&mut first.0).await {
            Ok(value) => Some(value),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }
}
