//! Threads that do one piece of work after another: to start one takes a good part of what a short step takes.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

type Work = Box<dyn FnOnce() + Send>;

/// All of them; as many as there was work at once.
#[derive(Default)]
pub struct Threads {
    /// The ways to those that wait for work.
    idle: Mutex<Vec<Sender<Work>>>,
}

/// A thread that is kept for somebody's work. Dropping it lets it go.
pub struct Kept(Sender<Work>);

impl Kept {
    /// Does this on it.
    pub fn run(self, work: impl FnOnce() + Send + 'static) {
        // It waits as long as this is there.
        let _ = self.0.send(Box::new(work));
    }
}

impl Threads {
    fn idle(&self) -> MutexGuard<'_, Vec<Sender<Work>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread that has nothing else to do.
    ///
    /// # Errors
    /// When the system has none.
    pub fn keep(self: &Arc<Self>) -> io::Result<Kept> {
        let idle = self.idle().pop();
        idle.map_or_else(|| self.make(), Ok).map(Kept)
    }

    fn make(self: &Arc<Self>) -> io::Result<Sender<Work>> {
        let (tell, told) = channel();
        let threads = Arc::clone(self);
        let thread = thread::Builder::new().name("step".to_owned());
        thread.spawn(move || threads.serve(told)).map(|_| tell)
    }

    /// Until nobody can tell it anything any more.
    fn serve(&self, mut told: Receiver<Work>) {
        while let Ok(work) = told.recv() {
            work();
            let (tell, next) = channel();
            self.idle().push(tell);
            told = next;
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
            threads.keep().unwrap().run(move || tell.send(thread::current().id()).unwrap());
            ran.push(told.recv().unwrap());
            while threads.idle().is_empty() {
                thread::yield_now();
            }
        }
        assert_eq!(ran, [ran[0]; 3]);
        threads.dismiss();
    }
}
