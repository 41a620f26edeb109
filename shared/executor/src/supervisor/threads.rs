//! Threads that attend to one step after another: to start one takes a good part of what a short step takes.

use std::io;
use std::sync::mpsc::{SendError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

type Work = Box<dyn FnOnce() + Send>;

/// All of them; as many as there were steps at once.
#[derive(Default)]
pub struct Threads {
    /// The ways to those that wait for work.
    idle: Mutex<Vec<Sender<Work>>>,
}

impl Threads {
    fn idle(&self) -> MutexGuard<'_, Vec<Sender<Work>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does this on a thread of its own.
    ///
    /// # Errors
    /// When the system has none.
    pub fn run(self: &Arc<Self>, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut work: Work = Box::new(work);
        loop {
            let Some(idle) = self.idle().pop() else { break };
            match idle.send(work) {
                Ok(()) => return Ok(()),
                Err(SendError(back)) => work = back,
            }
        }
        let threads = Arc::clone(self);
        let name = thread::Builder::new().name("step".to_owned());
        name.spawn(move || threads.serve(work)).map(drop)
    }

    fn serve(&self, first: Work) {
        let mut work = first;
        loop {
            work();
            let (tell, told) = channel();
            self.idle().push(tell);
            let Ok(next) = told.recv() else { return };
            work = next;
        }
    }

    /// Lets those go that have nothing to do.
    pub fn dismiss(&self) {
        self.idle().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_done_takes_the_next_work() {
        let threads = Arc::new(Threads::default());
        let (tell, told) = channel();
        let mut ran = Vec::new();
        for _ in 0..3 {
            let tell = tell.clone();
            threads.run(move || tell.send(thread::current().id()).unwrap()).unwrap();
            ran.push(told.recv().unwrap());
            while threads.idle().is_empty() {
                thread::yield_now();
            }
        }
        assert_eq!(ran, [ran[0]; 3]);
        threads.dismiss();
    }
}
