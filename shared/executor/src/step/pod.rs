//! An attempt with several containers, or one that others need ready: who starts when, and who ends whom.
//!
//! Each container has a thread that waits for what it depends on, runs its command and says how it ended; the
//! attempt's own thread hands on what the attempt is asked. As in Kubernetes the containers share volumes and the
//! network, and each has files of its own beside.

use std::collections::BTreeMap;
use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_manifest::go;
use dropforge_manifest::types::MAIN;
use rustix::event::{PollFd, PollFlags, poll};

use super::control::{Ask, Control};
use super::counted;
use super::execution::Execution;
use super::preparation::{Prepared, PreparedPod, Runs};
use super::probe::becomes_ready;
use super::{Refused, Step, StepStore, Told};
use crate::outputs::Collected;

mod board;
pub mod end;
pub mod ends;

use board::Board;
use end::{Ended, How};
use ends::Ends;

/// The containers of one attempt under way.
pub struct Pod<'a, S> {
    step: &'a Step<'a, S>,
    prepared: &'a PreparedPod,
    pub board: Board,
}

/// The ways to the containers that run side by side.
type Controls<'a> = BTreeMap<&'a str, Control>;

impl<'a, S: StepStore> Pod<'a, S> {
    pub fn new(step: &'a Step<'a, S>, prepared: &'a PreparedPod) -> Self {
        let side_by_side = prepared.beside.iter().chain(&prepared.mains);
        let probed = side_by_side.filter(|container| container.probe.is_some());
        Pod { step, prepared, board: Board::new(probed.map(|container| container.name.clone())) }
    }

    /// The containers on which others depend.
    pub fn dependencies(&self) -> impl Iterator<Item = &String> {
        self.prepared.mains.iter().flat_map(|container| &container.dependencies)
    }

    /// Runs the containers to their end.
    pub fn run(&self) -> Verdict {
        let mut ends = Vec::new();
        for container in &self.prepared.before {
            let ended = self.attend(container, self.step.control, false);
            let well = ended.code() == 0;
            ends.push(ended);
            if !well {
                return self.verdict(ends);
            }
        }
        match self.side_by_side() {
            Ok(others) => ends.extend(others),
            Err(error) => {
                let why = format!("this machine has no thread or pipe for a container: {error}");
                return self.step.verdict(Outcome::Error, Reason::Environment, why);
            }
        }
        self.verdict(ends)
    }

    /// Sidecars first, so that they are on their way when the others begin.
    fn side_by_side(&self) -> io::Result<Vec<Ended>> {
        let containers = || self.prepared.beside.iter().chain(&self.prepared.mains);
        let controls: Controls<'_> =
            containers().map(|c| Ok((c.name.as_str(), Control::new()?))).collect::<io::Result<_>>()?;
        let (hear, alive) = io::pipe()?;
        thread::scope(|scope| {
            let start = |container: &'a Prepared| {
                let (controls, alive) = (&controls, alive.try_clone()?);
                if container.probe.is_some() {
                    let probe = thread::Builder::new().name("probe".to_owned());
                    probe.spawn_scoped(scope, move || self.ask(container))?;
                }
                let thread = thread::Builder::new().name("container".to_owned());
                thread.spawn_scoped(scope, move || {
                    let _alive = alive;
                    self.one(container, controls)
                })
            };
            let started: io::Result<Vec<_>> = containers().map(start).collect();
            let threads = started.inspect_err(|_| self.end_all(&controls, &Ask::Over))?;
            drop(alive);
            self.hand_on(&hear, &controls);
            let ends: Result<Vec<Ended>, _> = threads.into_iter().map(|thread| thread.join()).collect();
            ends.map_err(|_| io::Error::other("a container's thread panicked"))
        })
    }

    /// Hands on what the attempt is asked, until all its containers have ended.
    fn hand_on(&self, hear: &PipeReader, controls: &Controls<'_>) {
        let mut handed = false;
        loop {
            let mut polled = vec![PollFd::from_borrowed_fd(hear.as_fd(), PollFlags::IN)];
            if !handed {
                polled.push(PollFd::from_borrowed_fd(self.step.control.woken.as_fd(), PollFlags::IN));
            }
            // An interrupted wait is a short one.
            let _ = poll(&mut polled, None);
            if !polled[0].revents().is_empty() {
                return;
            }
            if let Some(ask) = self.step.control.asked().filter(|_| !handed) {
                self.end_all(controls, &ask);
                handed = true;
            }
        }
    }

    fn end_all(&self, controls: &Controls<'_>, ask: &Ask) {
        controls.values().for_each(|control| control.ask(ask.clone()));
        self.board.close();
    }

    /// Asks a container whether it is ready until it is, or has ended.
    pub fn ask(&self, container: &Prepared) {
        let Some(probe) = &container.probe else { return };
        let pause = |limit: Duration| self.board.pause(&container.name, limit);
        if becomes_ready(probe, container, &self.step.launch.attempt, &pause) {
            self.board.is_ready(&container.name, || self.tell_ready());
        }
    }

    fn tell_ready(&self) {
        if self.step.launch.attempt.work.template.is_daemon() {
            (self.step.tell)(Told::Ready { at: SystemClock.now() });
        }
    }

    /// A container that runs beside others, in its turn.
    fn one(&self, container: &Prepared, controls: &Controls<'_>) -> Ended {
        let main = self.prepared.mains.iter().any(|main| main.name == container.name);
        let ended = match controls.get(container.name.as_str()) {
            Some(control) => self.in_turn(container, control, main),
            None => Ended::now(container, How::Unneeded),
        };
        self.board.post(&container.name, ended.code_for_others());
        let fails = if main { ended.code() != 0 } else { matches!(ended.how, How::NotStarted(_)) };
        let mains = || self.prepared.mains.iter().map(|main| main.name.as_str());
        // Argo ends all when one that counts has failed (rule PS-7); a helper that can't be had would be waited for
        // in vain.
        if fails || mains().all(|name| self.board.has_ended(name)) {
            controls.values().for_each(|control| control.ask(Ask::Over));
        }
        ended
    }

    pub fn in_turn(&self, container: &Prepared, control: &Control, main: bool) -> Ended {
        for dependency in &container.dependencies {
            match self.board.code_of(dependency) {
                None => return Ended::now(container, How::Unneeded),
                Some(0) => {}
                Some(code) => {
                    let dependency = dependency.clone();
                    return Ended::now(container, How::Forsaken { dependency, code });
                }
            }
        }
        let (mut runs, pause) = if main { self.retries() } else { (1, Duration::ZERO) };
        let mut first = None;
        loop {
            if control.asked().is_some() {
                return Ended::now(container, How::Unneeded);
            }
            let mut ended = self.attend(container, control, main);
            ended.started = *first.get_or_insert(ended.started);
            runs -= 1;
            if runs == 0 || !ended.failed_by_itself() {
                return ended;
            }
            control.pause(pause);
            if control.asked().is_some() {
                return ended;
            }
        }
    }

    /// `retryStrategy` of a set: how often a container runs at most, and the pause between (rule RT-14).
    fn retries(&self) -> (u32, Duration) {
        let set = self.step.launch.attempt.work.template.container_set.as_ref();
        let Some(retry) = set.and_then(|set| set.retry_strategy.as_ref()) else { return (1, Duration::ZERO) };
        let runs = retry.retries.as_ref().and_then(|retries| retries.as_str().parse().ok()).unwrap_or(1);
        let pause = retry.duration.as_deref().and_then(|text| go::parse_duration_or_seconds(text).ok());
        // Argo runs nothing at all with 0, and takes that for success.
        (runs.max(1), pause.unwrap_or_default())
    }

    /// Runs a container's command once.
    fn attend(&self, container: &Prepared, control: &Control, main: bool) -> Ended {
        let running = match Execution::start(container, &self.step.launch.attempt) {
            Ok(running) => running,
            Err(why) => return Ended::now(container, How::NotStarted(self.explained(container, why))),
        };
        let at = SystemClock.now();
        if main {
            let tell = || {
                self.step.tell_process(&running);
                (self.step.tell)(Told::Running { at });
            };
            self.board.is_running(tell, || self.tell_ready());
        }
        let finished = self.step.finish(container, running, control, &mut || {});
        Ended { started: Some(at), ..Ended::now(container, How::Ran(finished)) }
    }

    /// A server that its image brings is not there without the image: says what can be done.
    fn explained(&self, container: &Prepared, mut why: Refused) -> Refused {
        let plain = container.name == MAIN && !self.step.launch.attempt.work.template.is_daemon();
        let brings_none = matches!(container.runs, Runs::Process(_));
        if why.reason == Reason::NotStarted && !plain && brings_none {
            why.message.push_str(&format!(
                "; on this machine image {:?} brings no programs: name its environment in dropforge.toml \
                 (`images`), install the program, or run it with a container executor (docker or podman)",
                container.image
            ));
        }
        why
    }

    fn verdict(&self, ends: Vec<Ended>) -> Verdict {
        let lost = ends.iter().any(Ended::is_lost);
        let collected = if lost { Collected::default() } else { self.collect(&ends) };
        let mut ends = ends;
        let mut of = |list: &[Prepared]| {
            let among = |end: &mut Ended| list.iter().any(|container| container.name == end.name);
            ends.extract_if(.., among).collect()
        };
        let (before, mains) = (of(&self.prepared.before), of(&self.prepared.mains));
        let asked = self.step.control.asked();
        let ends = Ends { before, mains, beside: ends, asked };
        let progress = self.prepared.main().and_then(|main| counted::read(&main.progress));
        ends.verdict(self.step, collected, self.prepared.provenance.clone(), progress)
    }

    /// Outputs from where `main` left them, and the logs of those that count and began.
    fn collect(&self, ends: &[Ended]) -> Collected {
        let began =
            |container: &&Prepared| ends.iter().any(|e| e.name == container.name && e.started.is_some());
        let mains = &self.prepared.mains;
        let logs: Vec<(&str, &Path)> =
            mains.iter().filter(began).map(|c| (c.name.as_str(), c.log.as_path())).collect();
        // A set without a `main` declares no files.
        match self.prepared.main().or(mains.first()) {
            Some(main) => self.step.collect(self.prepared, main, &logs),
            None => Collected::default(),
        }
    }
}
