//! Runs a future to its end without a runtime: the stores tested here answer at once.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}
