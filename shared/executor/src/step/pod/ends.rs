//! What the ends of all containers of an attempt mean.

use dropforge_engine::attempt::{Outcome, Progress, Provenance, Reason, Usage, Verdict};
use dropforge_manifest::types::MAIN;
use jiff::Timestamp;

use super::super::control::Ask;
use super::super::ending::{End, judge};
use super::super::execution::Finished;
use super::super::{Step, StepStore, last, refused, refused_by};
use super::end::{Ended, How};
use crate::outputs::{Collected, TEXT_BYTES_MAX, text};

/// How the containers of an attempt ended.
pub struct Ends {
    /// Those that ran before the others.
    pub before: Vec<Ended>,
    /// Those by whose ends the attempt is judged.
    pub mains: Vec<Ended>,
    /// Those beside them, so far as they have ended.
    pub beside: Vec<Ended>,
    /// What the attempt was told meanwhile.
    pub asked: Option<Ask>,
}

impl Ends {
    fn all(&self) -> impl Iterator<Item = &Ended> {
        self.before.iter().chain(&self.beside).chain(&self.mains)
    }

    /// The verdict, given what the containers left.
    pub fn verdict<S: StepStore>(
        &self,
        step: &Step<'_, S>,
        mut collected: Collected,
        provenance: Provenance,
        progress: Option<Progress>,
    ) -> Verdict {
        let main = self.mains.iter().find(|main| main.name == MAIN);
        let kept = main.and_then(|main| main.finished()?.result.clone());
        collected.outputs.result = kept.map(|kept| last(text(kept), TEXT_BYTES_MAX));
        let log_failure = self.all().find_map(|end| end.finished()?.failure.clone());
        let (outcome, reason, message) = self.judged(collected.failure.or(log_failure));
        let exit_code = main.filter(|main| !matches!(main.how, How::Unneeded)).map(Ended::code);
        collected.outputs.exit_code = exit_code.map(|code| code.to_string());
        let plain = step.verdict(outcome, reason, message);
        let started_at = self.mains.iter().filter_map(|end| end.started).min();
        Verdict {
            exit_code,
            started_at,
            outputs: collected.outputs,
            containers: self.all().filter(|end| !end.alone).map(Ended::told).collect(),
            metrics: collected.metrics,
            progress,
            provenance: Provenance { outputs: collected.written, ..provenance },
            usage: self.usage(step, started_at, plain.finished_at),
            ..plain
        }
    }

    fn usage<S>(&self, step: &Step<'_, S>, started: Option<Timestamp>, ended: Timestamp) -> Usage {
        let used = || self.all().filter_map(|end| end.finished()).map(|finished| &finished.usage);
        Usage {
            cpu_seconds: used().map(|usage| usage.cpu_seconds).sum(),
            memory_bytes_max: used().map(|usage| usage.memory_bytes_max).sum(),
            wall_seconds: started.map_or(0.0, |at| ended.duration_since(at).as_secs_f64()),
            gpus: step.gpus.to_vec(),
            host: step.site.host.clone(),
        }
    }

    /// Argo's order: what runs before, what counts, the outputs, what runs beside (rule PS-4).
    fn judged(&self, outputs: Option<String>) -> (Outcome, Reason, String) {
        let missing = self.beside.iter().find_map(|end| match &end.how {
            How::NotStarted(why) => Some((why.outcome, why.reason, why.message.clone())),
            _ => None,
        });
        let failed = self.before.iter().chain(&self.mains).find_map(|end| self.failure(end));
        if let Some(failure) = missing.or(failed) {
            return failure;
        }
        if let Some(why) = outputs {
            let judged = judge(MAIN, &End::Exited(0), Some(why));
            return (judged.outcome, judged.reason, judged.message);
        }
        // The signals by which helpers are ended are no failure of theirs.
        let helper = self.beside.iter().filter(|end| !matches!(end.code(), 0 | 137 | 143));
        helper.into_iter().find_map(|end| self.failure(end)).unwrap_or((
            Outcome::Succeeded,
            Reason::Exited,
            String::new(),
        ))
    }

    fn failure(&self, end: &Ended) -> Option<(Outcome, Reason, String)> {
        let judged = match &end.how {
            How::Ran(Finished { end: how, .. }) => {
                let judged = judge(&end.name, how, None);
                (judged.outcome, judged.reason, judged.message)
            }
            How::NotStarted(why) => (why.outcome, why.reason, why.message.clone()),
            How::Forsaken { .. } => (Outcome::Failed, Reason::Exited, end.message()),
            How::Unneeded => {
                let ask = self.asked.clone();
                let why =
                    ask.map_or_else(|| refused(Outcome::Failed, Reason::Stopped, end.message()), refused_by);
                (why.outcome, why.reason, why.message)
            }
        };
        (judged.0 != Outcome::Succeeded).then_some(judged)
    }
}
