//! `retryStrategy`: a Retry node and its attempts.

use std::sync::Arc;

use dropforge_manifest::types::{Outputs, RetryStrategy};
use dropforge_manifest::{expr, go};
use jiff::{SignedDuration, Timestamp};

use super::calls::Place;
use super::{Decider, NodePhase, Record, Role};
use crate::effect::{TimerId, TimerKind};
use crate::ids::NodeId;
use crate::resolve;
use crate::scope::{Layers, Locals};
use crate::state::{Body, Node};

/// What happens after a failed attempt.
enum Next {
    /// The Retry node takes the attempt's phase, with this message.
    End(String),
    /// The strategy itself is wrong, or it does not cover an error that the attempt hands back: so does the Retry node.
    Broken(String),
    /// Another attempt, at once.
    Now,
    /// Another attempt, later.
    At(Timestamp, String),
}

impl Decider {
    /// Starts the next attempt of a Retry node, or holds it back at a limit.
    pub(super) fn start_attempt(&mut self, retry: NodeId) {
        let boundary = self.state.node(retry).and_then(|n| n.boundary);
        if let Some(block) = self.block(boundary) {
            let block = self.closed_or(boundary, block);
            return self.hold(retry, block);
        }
        self.release(retry);
        self.make_attempt(retry);
    }

    /// Starts the next attempt of a Retry node; whoever made the node has asked the limits for it.
    pub(super) fn make_attempt(&mut self, retry: NodeId) {
        let Some(node) = self.state.node(retry).cloned() else { return };
        let Body::Retry { attempts, .. } = node.body else { return };
        let Some(compiled) = self.state.template_of(&node).cloned() else { return };
        let locals = self.retry_locals(&node, "0");
        let place = Place {
            parent: Some(retry),
            role: Role::Attempt(attempts),
            label: format!("({attempts})").into(),
            boundary: node.boundary,
        };
        self.start_body(place, &compiled, (*node.inputs).clone(), &locals);
    }

    /// Goes on with a Retry node that a limit held back.
    pub(super) fn pump_retry(&mut self, retry: NodeId) {
        let waits = self.state.node(retry).is_some_and(|n| {
            let live = match n.body {
                Body::Retry { last, .. } => {
                    last.and_then(|l| self.state.node(l)).is_some_and(|l| !l.phase.fulfilled())
                }
                _ => true,
            };
            n.blocked.is_some() && !live && !n.phase.fulfilled()
        });
        if waits {
            self.start_attempt(retry);
        }
    }

    /// `retries` and `lastRetry.*` as the next attempt sees them (Argo's catalogue).
    /// A try that has no exit code gives `no_code`: tags and the strategy's expression know it by different ones.
    pub(super) fn retry_locals(&self, retry: &Node, no_code: &str) -> Locals {
        let Body::Retry { attempts, last, .. } = retry.body else { return Locals::default() };
        let last = last.and_then(|id| self.state.node(id)).filter(|n| n.phase.fulfilled());
        let set = |name: &str, value: String| (name.to_owned(), value);
        let duration =
            last.map_or(0, |n| n.finished_at.unwrap_or(self.now).as_second() - n.started_at.as_second());
        let exit_code = match last {
            None => "0".to_owned(),
            Some(n) => n.outputs.exit_code.clone().unwrap_or_else(|| no_code.to_owned()),
        };
        Locals(vec![
            set("retries", attempts.to_string()),
            set("lastRetry.exitCode", exit_code),
            set("lastRetry.status", last.map_or(String::new(), |n| n.phase.to_string())),
            set("lastRetry.duration", duration.to_string()),
            set("lastRetry.message", last.map_or(String::new(), |n| n.message.clone())),
        ])
    }

    /// The newest attempt of a Retry node is settled.
    pub(super) fn attempt_settled(&mut self, retry: NodeId) {
        let Some(node) = self.state.node(retry).cloned() else { return };
        let Body::Retry { attempts, last: Some(last), .. } = node.body else { return };
        let Some(attempt) = self.state.node(last).cloned() else { return };
        if node.phase.fulfilled() || !attempt.phase.fulfilled() {
            return;
        }
        let outputs: Outputs = (*attempt.outputs).clone();
        if !attempt.phase.failed() {
            return self.finish(retry, NodePhase::Succeeded, attempt.message.clone(), outputs);
        }
        match self.after_failure(&node, &attempt, attempts) {
            Next::End(message) => self.finish(retry, attempt.phase, message, outputs),
            Next::Broken(why) => self.hand_back(retry, why),
            Next::Now => {
                self.attempt_metrics(&attempt);
                self.start_attempt(retry);
            }
            Next::At(due, message) => {
                self.attempt_metrics(&attempt);
                self.emit(Record::NodeMessage { node: retry, message });
                let generation = self.state.next_timer;
                let timer = TimerId { kind: TimerKind::Backoff, node: Some(retry), generation };
                self.emit(Record::TimerSet { timer, due });
            }
        }
    }

    fn after_failure(&self, retry: &Node, attempt: &Arc<Node>, attempts: u32) -> Next {
        if let Some((strategy, _)) = &self.state.shutdown
            && !retry.on_exit
        {
            return Next::End(format!("Stopped with strategy '{strategy:?}'"));
        }
        if self.state.deadline_passed && !retry.on_exit {
            return Next::End("retry exceeded workflow deadline".to_owned());
        }
        match self.strategy(retry).and_then(|s| self.judge(retry, attempt, attempts, &s)) {
            Ok(next) => next,
            Err(why) => Next::Broken(why),
        }
    }

    /// The strategy with the tags of its fields replaced.
    fn strategy(&self, retry: &Node) -> Result<RetryStrategy, String> {
        let compiled = self.state.template_of(retry).cloned().ok_or("the template is gone")?;
        let locals = resolve::locals(&self.state, retry.id);
        let template = resolve::template(
            &self.state,
            self.now,
            retry.id,
            &compiled,
            &retry.inputs,
            &locals,
            &Locals::default(),
        )?;
        Ok(template
            .retry_strategy
            .clone()
            .or_else(|| self.state.program.spec.spec.retry_strategy.clone())
            .unwrap_or_default())
    }

    fn judge(
        &self,
        retry: &Node,
        attempt: &Node,
        attempts: u32,
        strategy: &RetryStrategy,
    ) -> Result<Next, String> {
        let limit = strategy.limit.as_ref().map(|l| parse_limit(&l.0)).transpose()?;
        let wait = Wait::of(strategy, attempts, retry.started_at)?;
        if let Some(message) = wait.as_ref().and_then(|w| w.over(self.now, attempt)) {
            return Ok(Next::End(message.to_owned()));
        }
        if !policy_covers(strategy, attempt)? {
            let message = attempt.message.clone();
            return Ok(if attempt.returned_error() { Next::Broken(message) } else { Next::End(message) });
        }
        if limit.is_some_and(|limit| i64::from(attempts) > limit) {
            return Ok(Next::End("No more retries left".to_owned()));
        }
        if !self.expression_allows(retry, strategy)? {
            return Ok(Next::End("retryStrategy.expression evaluated to false".to_owned()));
        }
        // Argo waits only where a limit is set (rule RT-6).
        Ok(match wait.filter(|_| limit.is_some()) {
            Some(wait) if wait.until(attempt) > self.now => {
                Next::At(wait.until(attempt), format!("Backoff for {}", go::humanize(wait.length)))
            }
            _ => Next::Now,
        })
    }

    fn expression_allows(&self, retry: &Node, strategy: &RetryStrategy) -> Result<bool, String> {
        let Some(text) = strategy.expression.as_ref().filter(|e| !e.is_empty()) else { return Ok(true) };
        let mut locals = self.retry_locals(retry, "-1");
        if let Body::Retry { attempts, .. } = retry.body {
            locals.0[0].1 = attempts.saturating_sub(1).to_string();
        }
        let globals = resolve::globals(&self.state, self.now, retry.id);
        let scope = Layers(vec![&locals, &globals]);
        let parsed = expr::parse(text).map_err(|e| e.to_string())?;
        expr::evaluate_bool(&parsed, &expr::Env::of(&scope)).map_err(|e| e.to_string())
    }
}

fn parse_limit(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("retryStrategy.limit {text:?} is no whole number"))
}

/// Argo's policies (rule RT-3).
fn policy_covers(strategy: &RetryStrategy, attempt: &Node) -> Result<bool, String> {
    let default =
        if strategy.expression.as_ref().is_some_and(|e| !e.is_empty()) { "Always" } else { "OnFailure" };
    let policy = strategy.retry_policy.as_deref().filter(|p| !p.is_empty()).unwrap_or(default);
    match policy {
        "Always" => Ok(true),
        "OnFailure" => Ok(attempt.phase == NodePhase::Failed),
        "OnError" => Ok(attempt.phase == NodePhase::Error),
        "OnTransientError" => Ok(is_transient(&attempt.message)),
        other => Err(format!("{other} is not a valid RetryPolicy")),
    }
}

/// Words by which Argo recognises a passing trouble of network or quota (rule R-9).
fn is_transient(message: &str) -> bool {
    const WORDS: [&str; 9] = [
        "exceeded quota",
        "i/o timeout",
        "connection timed out",
        "connection refused",
        "connection reset by peer",
        "TLS handshake timeout",
        "transport is closing",
        "unexpected EOF",
        "Client.Timeout exceeded",
    ];
    WORDS.iter().any(|w| message.contains(w))
}

/// The wait before the next attempt (rules RT-6 to RT-8).
struct Wait {
    length: std::time::Duration,
    ends: Option<Timestamp>,
}

impl Wait {
    fn of(strategy: &RetryStrategy, attempts: u32, first: Timestamp) -> Result<Option<Wait>, String> {
        let Some(backoff) = &strategy.backoff else { return Ok(None) };
        let duration = |text: &str| go::parse_duration_or_seconds(text).map_err(|e| e.to_string());
        let base = backoff.duration.as_ref().map(|d| d.0.as_str()).filter(|d| !d.is_empty());
        let base = duration(base.ok_or("no base duration specified for retryStrategy")?)?;
        let factor = match backoff.factor.as_ref().filter(|f| !f.0.is_empty()) {
            Some(text) => text
                .0
                .trim()
                .parse::<u32>()
                .map_err(|_| format!("backoff.factor {:?} is no whole number", text.0))?,
            None => 0,
        };
        let mut length = match factor {
            0 => base,
            f => base
                .checked_mul(f.saturating_pow(attempts.saturating_sub(1)))
                .unwrap_or(MAX_WAIT)
                .min(MAX_WAIT),
        };
        if let Some(cap) = backoff.cap.as_ref().filter(|c| !c.0.is_empty()) {
            length = length.min(duration(&cap.0)?);
        }
        let ends = match backoff.max_duration.as_ref().filter(|m| !m.0.is_empty()) {
            Some(text) => Some(later(first, duration(&text.0)?)),
            None => None,
        };
        Ok(Some(Wait { length, ends }))
    }

    fn until(&self, attempt: &Node) -> Timestamp {
        later(attempt.finished_at.unwrap_or(attempt.started_at), self.length)
    }

    /// Why no further attempt is made, if the longest time has passed or would.
    fn over(&self, now: Timestamp, attempt: &Node) -> Option<&'static str> {
        let ends = self.ends?;
        if now > ends {
            return Some("Max duration limit exceeded");
        }
        (self.until(attempt) > ends).then_some("Backoff would exceed max duration limit")
    }
}

/// Timers reach 365 days, when a run ends in Error anyway.
const MAX_WAIT: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 3600);

/// A moment `length` after `from`.
pub(super) fn later(from: Timestamp, length: std::time::Duration) -> Timestamp {
    let length = SignedDuration::try_from(length.min(MAX_WAIT)).unwrap_or(SignedDuration::ZERO);
    from.checked_add(length).unwrap_or(Timestamp::MAX)
}
