//! Which waiting step starts when: what runs never adds up to more than the machine has, of those of one priority the
//! first come is served first, and a large step is not overtaken for ever by small ones.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use dropforge_driver::supervision::Demand;
use dropforge_engine::ids::AttemptId;

#[cfg(test)]
mod tests;

/// What the machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// How many steps run at once.
    pub jobs: usize,
    /// Thousandths of cores.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The GPUs, as `CUDA_VISIBLE_DEVICES` names them.
    pub gpus: Vec<String>,
}

/// A step asks for more than the whole machine has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the step asks for {}, this machine has {}", kind.amount(*asked), kind.amount(*there))]
pub struct TooLarge {
    kind: Kind,
    asked: u64,
    there: u64,
}

/// What a step takes of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Jobs,
    Cpu,
    Memory,
    Gpus,
    Requests,
}

/// How many requests are open at once: as many as Argo's agent has workers.
const REQUESTS_MAX: u64 = 16;

/// How many of the queue are looked at for a change of why they wait: about what a screen shows.
const LOOKED_AT: usize = 64;

const KINDS: [Kind; 5] = [Kind::Jobs, Kind::Cpu, Kind::Memory, Kind::Gpus, Kind::Requests];

impl Kind {
    fn of(self, demand: &Demand) -> u64 {
        match self {
            Kind::Jobs => u64::from(!demand.request),
            Kind::Requests => u64::from(demand.request),
            Kind::Cpu => demand.cpu_millis,
            Kind::Memory => demand.memory_bytes,
            Kind::Gpus => u64::from(demand.gpus),
        }
    }

    fn amount(self, amount: u64) -> String {
        match self {
            Kind::Jobs => format!("{amount} jobs"),
            Kind::Cpu => format!("{} cpu", amount as f64 / 1000.0),
            Kind::Memory => format!("{} of memory", crate::transfer::size(amount)),
            Kind::Gpus => format!("{amount} GPUs"),
            Kind::Requests => format!("{amount} requests"),
        }
    }
}

/// Why a step waits, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    kind: Kind,
    asked: u64,
    free: u64,
    there: u64,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wait { kind, asked, free, there } = self;
        match kind {
            Kind::Jobs => write!(f, "{there} steps run already, as many as --jobs allows"),
            Kind::Requests => write!(f, "{there} requests are open already"),
            Kind::Gpus if asked > &1 => write!(f, "{free} of {there} GPUs free, {asked} needed"),
            Kind::Gpus => write!(f, "{free} of {there} GPUs free"),
            Kind::Cpu | Kind::Memory => {
                write!(f, "needs {}, {} is free", kind.amount(*asked), kind.amount(*free))
            }
        }
    }
}

/// What is left of the machine, one figure for each kind.
type Free = [u64; 5];

/// The queue of waiting steps and what running ones hold.
#[derive(Debug)]
pub struct Admission {
    machine: Machine,
    free: Free,
    free_gpus: Vec<String>,
    /// By priority, then as they came.
    waiting: VecDeque<Waiting>,
    /// How many of them were not told yet why they wait.
    untold: usize,
    /// Requests among those that wait.
    requests: usize,
    running: BTreeMap<AttemptId, Holding>,
}

/// What a running step holds.
#[derive(Debug)]
struct Holding {
    share: Free,
    gpus: Vec<String>,
}

#[derive(Debug)]
struct Waiting {
    attempt: AttemptId,
    demand: Demand,
    priority: i64,
    /// The kinds it has been short of so far. They are kept for it from then on, which is why it can't be
    /// overtaken for ever: the set only grows, and what it holds is freed by steps that end.
    short: [bool; 5],
    told: Option<Kind>,
}

/// A step that may start, with its GPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Which.
    pub attempt: AttemptId,
    /// The GPUs it holds.
    pub gpus: Vec<String>,
}

impl Admission {
    /// An empty machine.
    pub fn new(machine: Machine) -> Self {
        let free = KINDS.map(|kind| Admission::there(&machine, kind));
        let free_gpus = machine.gpus.clone();
        Admission {
            machine,
            free,
            free_gpus,
            waiting: VecDeque::new(),
            untold: 0,
            requests: 0,
            running: BTreeMap::new(),
        }
    }

    fn there(machine: &Machine, kind: Kind) -> u64 {
        match kind {
            Kind::Jobs => machine.jobs.max(1) as u64,
            Kind::Cpu => machine.cpu_millis,
            Kind::Memory => machine.memory_bytes,
            Kind::Gpus => machine.gpus.len() as u64,
            Kind::Requests => REQUESTS_MAX,
        }
    }

    /// Puts a step into the queue: behind all of its own priority, before all of a lower one.
    ///
    /// # Errors
    /// When it asks for what the machine can never give.
    pub fn enqueue(&mut self, attempt: AttemptId, demand: Demand, priority: i64) -> Result<(), TooLarge> {
        for kind in KINDS {
            let (asked, there) = (kind.of(&demand), Admission::there(&self.machine, kind));
            if asked > there {
                return Err(TooLarge { kind, asked, there });
            }
        }
        self.requests += usize::from(demand.request);
        let behind = self.waiting.iter().rev().take_while(|other| other.priority < priority).count();
        let waiting = Waiting { attempt, demand, priority, short: [false; 5], told: None };
        self.waiting.insert(self.waiting.len() - behind, waiting);
        self.untold += 1;
        Ok(())
    }

    /// The steps that may start now, in their order. They hold their share until [`Admission::release`].
    pub fn admit(&mut self) -> Vec<Admitted> {
        let mut admitted = Vec::new();
        let mut passed = Vec::new();
        let mut left = self.free;
        // Everything needs a job or a place among the requests: without one left, the rest of the queue need not be
        // looked at.
        while (left[Kind::Jobs as usize] > 0 || left[Kind::Requests as usize] > 0 && self.requests > 0)
            && let Some(mut waiting) = self.waiting.pop_front()
        {
            let needs = KINDS.map(|kind| kind.of(&waiting.demand));
            let short: Vec<usize> = (0..KINDS.len()).filter(|k| needs[*k] > left[*k]).collect();
            if short.is_empty() {
                (0..KINDS.len()).for_each(|k| left[k] -= needs[k]);
                admitted.push(self.hold(waiting, needs));
                continue;
            }
            short.iter().for_each(|k| waiting.short[*k] = true);
            (0..KINDS.len())
                .filter(|k| waiting.short[*k])
                .for_each(|k| left[k] = left[k].saturating_sub(needs[k]));
            passed.push(waiting);
        }
        passed.into_iter().rev().for_each(|waiting| self.waiting.push_front(waiting));
        admitted
    }

    fn hold(&mut self, waiting: Waiting, needs: Free) -> Admitted {
        self.untold -= usize::from(waiting.told.is_none());
        (0..KINDS.len()).for_each(|k| self.free[k] -= needs[k]);
        self.requests -= usize::from(waiting.demand.request);
        let gpus: Vec<String> = self.free_gpus.drain(..waiting.demand.gpus as usize).collect();
        self.running.insert(waiting.attempt.clone(), Holding { share: needs, gpus: gpus.clone() });
        Admitted { attempt: waiting.attempt, gpus }
    }

    /// Frees what a running step held.
    pub fn release(&mut self, attempt: &AttemptId) {
        let Some(Holding { share, gpus }) = self.running.remove(attempt) else { return };
        (0..KINDS.len()).for_each(|k| self.free[k] += share[k]);
        // Back in the machine's order, so that a lone step gets the first GPU every time.
        self.free_gpus.extend(gpus);
        let order = |gpu: &String| self.machine.gpus.iter().position(|g| g == gpu);
        self.free_gpus.sort_by_key(order);
    }

    /// A daemon serves: the job it held goes to the steps that wait for it, which could never start otherwise.
    pub fn serves(&mut self, attempt: &AttemptId) {
        if let Some(holding) = self.running.get_mut(attempt) {
            self.free[Kind::Jobs as usize] += std::mem::take(&mut holding.share[Kind::Jobs as usize]);
        }
    }

    /// Takes a step out of the queue; false when it does not wait there.
    pub fn withdraw(&mut self, attempt: &AttemptId) -> bool {
        let Some(at) = self.waiting.iter().position(|waiting| waiting.attempt == *attempt) else {
            return false;
        };
        if let Some(gone) = self.waiting.remove(at) {
            self.requests -= usize::from(gone.demand.request);
            self.untold -= usize::from(gone.told.is_none());
        }
        true
    }

    /// Empties the queue.
    pub fn withdraw_all(&mut self) -> Vec<AttemptId> {
        self.requests = 0;
        self.untold = 0;
        self.waiting.drain(..).map(|waiting| waiting.attempt).collect()
    }

    /// Why steps wait, for those that came since the last call, and for the first in the queue where that has
    /// changed in kind. What changes further back is told when it comes to the front, so that an end costs the
    /// same however many wait.
    pub fn news(&mut self) -> Vec<(AttemptId, Wait)> {
        let (free, machine) = (self.free, &self.machine);
        let front = self.waiting.len().min(LOOKED_AT);
        let is_new = |waiting: &Waiting| waiting.told.is_none();
        // Most often they came last: looked for from the back, until all are found.
        let further = self.untold - self.waiting.iter().take(front).filter(|w| is_new(w)).count();
        let back = (front..self.waiting.len()).rev().filter(|index| is_new(&self.waiting[*index]));
        let mut new: Vec<usize> = back.take(further).collect();
        new.reverse();
        self.untold = 0;
        let looked_at = (0..front).chain(new);
        let queue = &mut self.waiting;
        let told = looked_at.filter_map(|index| {
            let waiting = &mut queue[index];
            let lacking = |kind: &Kind| kind.of(&waiting.demand) > free[*kind as usize];
            // The scarcest first: who waits for a GPU is told so even when jobs are scarce too.
            let kind = KINDS.into_iter().rev().find(lacking);
            // Everything it needs is free but kept for those before it.
            let kind = kind.or(waiting.told).unwrap_or(Kind::Jobs);
            if waiting.told.replace(kind) == Some(kind) {
                return None;
            }
            let (asked, free) = (kind.of(&waiting.demand), free[kind as usize]);
            Some((
                waiting.attempt.clone(),
                Wait { kind, asked, free, there: Admission::there(machine, kind) },
            ))
        });
        told.collect()
    }

    /// The attempts that wait.
    pub fn waiting(&self) -> Vec<AttemptId> {
        self.waiting.iter().map(|waiting| waiting.attempt.clone()).collect()
    }

    /// The attempts that run.
    pub fn running(&self) -> Vec<AttemptId> {
        self.running.keys().cloned().collect()
    }
}
