//! A trigger whose runs write where it looks would start runs for ever. Nobody can know which process wrote an
//! object, so this looks at when objects come.
//!
//! The rule: runs are counted that start one after another without any sign that their objects come from outside.
//! Such a sign is an object written while no run of the trigger was active, or a run during which (and shortly after
//! which) no object came. After 20 runs without a sign nothing more is started; the active runs end, and for a while
//! the trigger listens. A sign that comes then lets the trigger go on, and it counts twice as far the next time. When
//! nothing comes although objects came all the time while runs were active, the runs make them: the trigger is
//! suspended and keeps its queue, until a person has looked.

use dropforge_engine::spec::DroppedObject;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::ActiveRun;

/// Runs without a sign before the trigger listens: few enough to be cheap when it is a loop.
const RUNS_MAX: u32 = 20;

/// A stream that has shown often that it is none listens at most once in this many runs.
const RUNS_LIMIT: u32 = 20 * 32;

/// How long an object of a run that has ended may take to be told of.
const ECHO: SignedDuration = SignedDuration::from_secs(2);

/// The least time to listen: longer than an object takes to be told of.
const LISTEN: SignedDuration = SignedDuration::from_secs(5);

/// Whether runs of a trigger seem to start each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Chain {
    /// Runs started without a sign.
    runs: u32,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// How often a stream from outside was taken for a loop.
    doubled: u32,
    /// When the last object came.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_arrival: Option<Timestamp>,
    /// When the last run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_end: Option<Timestamp>,
    /// The end of the first run during which no object came.
    #[serde(skip_serializing_if = "Option::is_none")]
    barren: Option<Timestamp>,
    /// Until when the trigger listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    listens_until: Option<Timestamp>,
    /// Why nothing is started any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended: Option<String>,
}

impl Chain {
    /// Why nothing is started any more.
    pub fn suspended(&self) -> Option<&str> {
        self.suspended.as_deref()
    }

    /// Notes an object.
    pub(super) fn arrived(&mut self, object: &DroppedObject, active: &[ActiveRun], now: Timestamp) {
        let alone = active.is_empty() && self.last_end.is_none_or(|end| object.time > end);
        if alone {
            self.doubled += u32::from(self.listens_until.is_some());
            self.clear();
        }
        self.last_arrival = Some(now);
        // It may be that run's.
        self.barren = self.barren.filter(|end| object.time > *end);
    }

    /// Notes the end of a run.
    pub(super) fn ended(&mut self, run: &ActiveRun, now: Timestamp) {
        self.last_end = Some(now);
        if self.last_arrival.is_none_or(|arrival| arrival <= run.started) {
            // The first counts: later ones would put off what follows from it.
            self.barren.get_or_insert(now);
        }
    }

    /// Notes the start of a run.
    pub(super) fn started(&mut self, now: Timestamp) {
        self.since.get_or_insert(now);
        self.runs += 1;
    }

    fn clear(&mut self) {
        *self = Chain {
            doubled: self.doubled,
            last_arrival: self.last_arrival,
            last_end: self.last_end,
            suspended: self.suspended.take(),
            ..Chain::default()
        };
    }

    fn runs_max(&self) -> u32 {
        RUNS_MAX.saturating_mul(1 << self.doubled.min(8)).min(RUNS_LIMIT)
    }

    /// Whether a run may be started as far as loops are concerned.
    pub(super) fn may_start(&self) -> bool {
        self.suspended.is_none() && self.listens_until.is_none() && self.runs < self.runs_max()
    }

    /// Whether the next run may start; goes on listening, ends it, or suspends the trigger.
    pub(super) fn lets_start(&mut self, active: &[ActiveRun], now: Timestamp) -> bool {
        if self.suspended.is_some() {
            return false;
        }
        if self.barren.is_some_and(|end| end.duration_until(now) >= ECHO) {
            self.doubled += u32::from(self.runs >= self.runs_max());
            self.clear();
        }
        if self.runs < self.runs_max() {
            return true;
        }
        if !active.is_empty() {
            return false;
        }
        let until = *self.listens_until.get_or_insert(super::later(now, self.listening(now)));
        if now >= until {
            self.suspended = Some(format!(
                "{} runs of this trigger followed each other, objects came only while they were active, and none \
                 comes while none is: its runs seem to write where it looks. Let them write to another prefix, narrow \
                 `prefix` and `suffix`, and save the definition; what has come meanwhile waits",
                self.runs
            ));
        }
        false
    }

    /// Three times as long as one run took, so that a stream of objects that kept the runs going shows itself.
    fn listening(&self, now: Timestamp) -> SignedDuration {
        let lasted = self.since.map_or(SignedDuration::ZERO, |since| since.duration_until(now));
        (lasted * 3 / i32::try_from(self.runs.max(1)).unwrap_or(i32::MAX)).max(LISTEN)
    }

    /// When there is something to decide without anything happening.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        if self.suspended.is_some() || self.runs < self.runs_max() {
            return None;
        }
        let barren = self.barren.map(|end| super::later(end, ECHO));
        [barren, self.listens_until].into_iter().flatten().min()
    }
}
