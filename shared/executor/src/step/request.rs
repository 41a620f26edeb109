//! An attempt that is a request and no process: `http` of a template.
//!
//! It is claimed and has a verdict like every other. A request can't be taken back: when the attempt is stopped, its
//! thread ends at the request's own limit, and what comes back is dropped.

use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_manifest::types::HttpTemplate;
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::control::Ask;
use super::{Refused, Step, StepStore, refused, refused_by, told};
use crate::request::{self, HttpError, RESPONSE_BYTES_MAX, Request, Response};
use crate::variables::LocalObjects;

impl<S: StepStore> Step<'_, S> {
    /// The request with its secrets.
    pub(super) fn request(&self, http: &HttpTemplate) -> Result<Request, Refused> {
        let secrets = LocalObjects::secrets(self.launch.environment.secrets.as_deref());
        let made = request::request(http, |key| secrets.key(key).map_err(|error| told(&error)));
        made.map_err(|why| refused(Outcome::Failed, Reason::Configuration, why))
    }

    /// Makes the request and judges its answer.
    pub(super) fn perform(&self, http: &HttpTemplate, request: Request) -> Verdict {
        let started = SystemClock.now();
        match self.answer(request) {
            Ok(answer) => request::verdict(&self.launch.attempt.id, http, started, answer, &self.site.host),
            Err(refused) => self.verdict(refused.outcome, refused.reason, refused.message),
        }
    }

    /// The answer, or why it is not waited for any longer.
    fn answer(&self, request: Request) -> Result<Result<Response, HttpError>, Refused> {
        let broken = |error: io::Error| {
            refused(
                Outcome::Error,
                Reason::Environment,
                format!("this machine has no thread for it: {error}"),
            )
        };
        let (answered, answering) = io::pipe().map_err(broken)?;
        let (sender, receiver) = mpsc::channel();
        let asking = move || {
            // Nobody listens any more when the attempt was stopped.
            let _ = sender.send(request.send(RESPONSE_BYTES_MAX));
            drop(answering);
        };
        thread::Builder::new().name("request".to_owned()).spawn(asking).map_err(broken)?;
        self.await_answer(&answered, &receiver)
    }

    /// Waits for the answer, a stop, or the run's deadline. A person's Ctrl-C leaves it the usual grace, since a
    /// request whose answer is not known can't be repeated.
    fn await_answer(
        &self,
        answered: &io::PipeReader,
        receiver: &Receiver<Result<Response, HttpError>>,
    ) -> Result<Result<Response, HttpError>, Refused> {
        let mut interrupted = false;
        let mut ends = self
            .deadlines()
            .first()
            .map(|(at, message)| (*at, refused(Outcome::Failed, Reason::DeadlineExceeded, *message)));
        loop {
            let limit = ends.as_ref().map(|(at, _)| left(*at));
            let mut polled = vec![PollFd::from_borrowed_fd(answered.as_fd(), PollFlags::IN)];
            if !interrupted {
                polled.push(PollFd::from_borrowed_fd(self.control.woken.as_fd(), PollFlags::IN));
            }
            // An interrupted wait is a short one; what has come is looked at anyway.
            let _ = poll(&mut polled, limit.as_ref());
            if let Ok(answer) = receiver.try_recv() {
                return Ok(answer);
            }
            match self.control.asked() {
                Some(ask @ (Ask::Interrupt | Ask::Evict)) if !interrupted => {
                    interrupted = true;
                    let at = SystemClock
                        .now()
                        .saturating_add(jiff::SignedDuration::try_from(self.site.grace).unwrap_or_default());
                    ends = at.ok().map(|at| (at, refused_by(ask)));
                }
                Some(ask @ (Ask::Stop(_) | Ask::Over)) => return Err(refused_by(ask)),
                Some(Ask::Interrupt | Ask::Evict) | None => {}
            }
            if let Some((at, _)) = &ends
                && *at <= SystemClock.now()
                && let Some((_, refused)) = ends.take()
            {
                return Err(refused);
            }
        }
    }
}

fn left(until: Timestamp) -> Timespec {
    let left = until.duration_since(SystemClock.now());
    let left = Duration::try_from(left).unwrap_or_default();
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    }
}
