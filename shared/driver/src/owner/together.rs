//! Futures that go on side by side within one task.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

type Going<'a, T> = (usize, Pin<Box<dyn Future<Output = T> + Send + 'a>>);

/// Drives all futures to their end, at most `bound` of them at once and started in their order; gives what they gave, in
/// that order.
pub async fn at_most<'a, T, F>(bound: usize, futures: Vec<F>) -> Vec<T>
where
    F: Future<Output = T> + Send + 'a,
{
    let mut waiting = futures.into_iter().enumerate();
    let mut going: Vec<Going<'a, T>> = Vec::new();
    let mut done: Vec<(usize, T)> = Vec::new();
    loop {
        while going.len() < bound.max(1)
            && let Some((place, future)) = waiting.next()
        {
            going.push((place, Box::pin(future)));
        }
        if going.is_empty() {
            done.sort_by_key(|(place, _)| *place);
            return done.into_iter().map(|(_, given)| given).collect();
        }
        done.push(first(&mut going).await);
    }
}

/// Waits for the first of them that ends, and takes it out. All are looked at whenever one may go on, which is cheap
/// for the few that a bound allows.
async fn first<T>(going: &mut Vec<Going<'_, T>>) -> (usize, T) {
    poll_fn(|context| {
        for at in 0..going.len() {
            let (place, future) = &mut going[at];
            let place = *place;
            if let Poll::Ready(given) = future.as_mut().poll(context) {
                drop(going.swap_remove(at));
                return Poll::Ready((place, given));
            }
        }
        Poll::Pending
    })
    .await
}

/// What a future gives, or what it said when it panicked: the others of its task go on.
pub async fn contained<T>(future: impl Future<Output = T> + Send) -> Result<T, String> {
    let mut future = Box::pin(future);
    poll_fn(|context| {
        // Whatever it held is dropped with it, and is not looked at again.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(words(&*panic))),
        }
    })
    .await
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn no_more_than_the_bound_go_on_at_once_and_the_order_is_kept() {
        let log = Mutex::new(Vec::new());
        let turn = |n: usize| {
            let log = &log;
            async move {
                log.lock().unwrap().push(format!("{n} begins"));
                let mut polls = 0;
                poll_fn(move |_| {
                    polls += 1;
                    // The first takes longest.
                    if polls > 8 / n { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                log.lock().unwrap().push(format!("{n} ends"));
                n
            }
        };
        let mut all = Box::pin(at_most(2, (1..=3).map(turn).collect()));
        let mut context = Context::from_waker(Waker::noop());
        let given = loop {
            if let Poll::Ready(given) = all.as_mut().poll(&mut context) {
                break given;
            }
        };
        assert_eq!(given, [1, 2, 3]);
        let expected = ["1 begins", "2 begins", "2 ends", "3 begins", "3 ends", "1 ends"];
        assert_eq!(*log.lock().unwrap(), expected);
    }

    #[test]
    fn a_bound_of_nothing_is_one_and_nothing_is_done_at_once() {
        let mut context = Context::from_waker(Waker::noop());
        let mut none = Box::pin(at_most(0, Vec::<std::future::Ready<u8>>::new()));
        assert_eq!(none.as_mut().poll(&mut context), Poll::Ready(vec![]));
        let mut one = Box::pin(at_most(0, vec![std::future::ready(7)]));
        assert_eq!(one.as_mut().poll(&mut context), Poll::Ready(vec![7]));
    }
}
