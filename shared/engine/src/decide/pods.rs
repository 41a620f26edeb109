//! Leaves: pods and requests with their attempts, and suspend nodes.

use std::sync::Arc;

use dropforge_manifest::go;
use dropforge_manifest::patch;
use dropforge_manifest::text::AnyString;
use dropforge_manifest::types::{Outputs, Parameter, Template};
use jiff::Timestamp;

use super::calls::End;
use super::retries::later;
use super::{Decider, NodeKind, NodePhase, Record, Rejected, Role};
use crate::attempt::{Attempt, Outcome, PodFields, Progress, Verdict, Work};
use crate::effect::{Effect, EffectKey, TimerId, TimerKind};
use crate::ids::{AttemptId, NodeId, attempt_id};
use crate::program::Compiled;
use crate::record::ShutdownStrategy;
use crate::resolve;
use crate::scope::Locals;
use crate::state::{Body, Node, TIMEOUT};

/// What ends with the workflow's time says so.
pub(super) const LATE: &str = "Step exceeded its deadline";

impl Decider {
    /// Asks for the first attempt of a pod or request, unless nothing may start any more.
    pub(super) fn start_leaf(&mut self, id: NodeId, attempt: &Locals) {
        let Some(node) = self.state.node(id).cloned() else { return };
        if let Some(why) = self.nothing_starts(&node) {
            return self.finish(id, NodePhase::Failed, why, Outputs::default());
        }
        match self.first_attempt(&node, attempt) {
            Ok(attempt) => {
                // What is held elsewhere is copied before it is changed.
                drop(node);
                let template = attempt.work.template.clone();
                self.arm_timeouts(id, &template);
                self.start(attempt);
                self.create_containers(id, &template);
            }
            Err(why) => self.hand_back(id, why),
        }
    }

    fn nothing_starts(&self, node: &Node) -> Option<String> {
        match &self.state.shutdown {
            Some((ShutdownStrategy::Stop, _)) if node.on_exit => None,
            Some((strategy, _)) if node.kind == NodeKind::Http => {
                Some(format!("Stopped with strategy '{strategy:?}'"))
            }
            Some((strategy, _)) => Some(format!("workflow shutdown with strategy: {strategy:?}")),
            None => self.is_late(node).then(|| LATE.to_owned()),
        }
    }

    /// Whether the workflow's time is over, exit handlers apart (rule TM-2).
    fn is_late(&self, node: &Node) -> bool {
        self.state.deadline_passed && !node.on_exit
    }

    fn start(&mut self, attempt: Attempt) {
        self.starts += 1;
        let at = self.now;
        self.emit(Record::AttemptStarted { attempt: Arc::new(attempt), at });
    }

    /// A leaf's first attempt, with the resolved step.
    fn first_attempt(&self, node: &Node, attempt: &Locals) -> Result<Attempt, String> {
        let compiled = self.state.template_of(node).cloned().ok_or("the template is gone")?;
        let spec = &self.state.program.spec;
        let (node_name, number) = (self.state.name(node.id), self.state.first_attempt);
        let id = attempt_id(&spec.uid, spec.name(), &compiled.template.name, &node_name, number);
        let (template, patches) = self.leaf_template(node, &id, &compiled, attempt)?;
        let (volumes, claims) = resolve::volumes(&self.state, self.now, node.id)?;
        let work = Work {
            volumes,
            claims,
            capture_result: node.kind == NodeKind::Http || self.captures_result(node),
            deadline: self.workflow_deadline().filter(|_| !node.on_exit),
            // It is a pod's own limit; a request's is its `timeoutSeconds`.
            active_deadline_seconds: own_deadline(&template)?.filter(|_| node.kind != NodeKind::Http),
            archive_logs: spec.spec.archive_logs.unwrap_or(false),
            priority: spec.spec.priority.unwrap_or(0),
            artifact_prefix: artifact_prefix(spec.name(), &id),
            pod: match node.kind {
                NodeKind::Http => PodFields::default(),
                _ => resolve::pod_fields(&self.state, self.now, node, &template, &patches)?,
            },
            template,
        };
        Ok(Attempt {
            id,
            run: spec.uid.clone(),
            run_name: spec.name().to_owned(),
            namespace: spec.namespace().to_owned(),
            node: node.id,
            node_name,
            number,
            on_exit: node.on_exit,
            work: Arc::new(work),
        })
    }

    /// A leaf's template with every tag replaced, patched, and the patches. With a Retry node above, Argo's `node.name` is the wrapper's
    /// and `pod.name` the attempt's.
    fn leaf_template(
        &self,
        node: &Node,
        id: &AttemptId,
        compiled: &Compiled,
        attempt: &Locals,
    ) -> Result<(Arc<Template>, Vec<String>), String> {
        let workflow = self.state.program.spec.spec.pod_spec_patch.as_ref();
        let patched = workflow.or(compiled.template.pod_spec_patch.as_ref()).is_some();
        if !patched && let Some(template) = resolve::fixed_template(compiled, &node.inputs) {
            return Ok((template, Vec::new()));
        }
        let named = match node.role {
            Role::Attempt(_) => node.parent.unwrap_or(node.id),
            _ => node.id,
        };
        let mut locals = resolve::locals(&self.state, named);
        locals.0.push(("pod.name".to_owned(), id.to_string()));
        let template =
            resolve::template(&self.state, self.now, node.id, compiled, &node.inputs, &locals, attempt)?;
        let patches = resolve::pod_spec_patches(&self.state, self.now, node, &template, &locals)?;
        if patches.is_empty() {
            return Ok((template, patches));
        }
        let patched = patch::apply(&template, &patches).map_err(|why| why.to_string())?;
        Ok((Arc::new(patched), patches))
    }

    /// Standard output is captured when the calling template's text reads it (rule O-1).
    fn captures_result(&self, node: &Node) -> bool {
        let Some((owner, name)) = self.state.caller(node.id) else { return false };
        let enclosing = self.state.node(owner).and_then(|o| self.state.template_of(o));
        enclosing.is_some_and(|t| t.reads_result(&name))
    }

    /// The end of `spec.activeDeadlineSeconds`.
    pub(super) fn workflow_deadline(&self) -> Option<Timestamp> {
        let seconds = self.state.program.spec.spec.active_deadline_seconds?;
        let from = Timestamp::from_second(self.state.started_at?.as_second()).ok()?;
        Some(later(from, std::time::Duration::from_secs(u64::try_from(seconds).ok()?)))
    }

    /// `timeout` and `pendingTimeout` count from the node's start, pending included (rules TM-4, TM-5).
    pub(super) fn arm_timeouts(&mut self, id: NodeId, template: &Template) {
        let Some(from) = self.state.node(id).map(|n| n.started_at) else { return };
        let both =
            [(TimerKind::Timeout, &template.timeout), (TimerKind::PendingTimeout, &template.pending_timeout)];
        for (kind, text) in both {
            let length = text.as_deref().and_then(|t| go::parse_duration_or_seconds(t).ok());
            // A node that waited for locks has its timers already.
            if let Some(length) = length.filter(|l| !l.is_zero() && self.timers_of(id, kind).is_empty()) {
                let timer = TimerId { kind, node: Some(id), generation: self.state.next_timer };
                self.emit(Record::TimerSet { timer, due: later(from, length) });
            }
        }
    }

    pub(super) fn live(&self, attempt: &AttemptId) -> Result<NodeId, Rejected> {
        let stale = || Rejected::StaleAttempt { attempt: attempt.clone() };
        self.state.outbox.node_of(attempt).ok_or_else(stale)
    }

    pub(super) fn attempt_running(
        &mut self,
        attempt: &AttemptId,
        at: Timestamp,
        host: Option<&str>,
    ) -> Result<(), Rejected> {
        let node = self.live(attempt)?;
        // A second report, or one that comes after the node was given up, says nothing new.
        if self.state.node(node).is_none_or(|n| n.phase != NodePhase::Pending) {
            return Err(Rejected::StaleAttempt { attempt: attempt.clone() });
        }
        let at = at.min(self.now);
        self.emit(Record::AttemptRunning { attempt: attempt.clone(), at, host: host.map(str::to_owned) });
        self.end_timers_of(node, &[TimerKind::PendingTimeout]);
        self.hooks_read(node);
        Ok(())
    }

    pub(super) fn attempt_waiting(&mut self, attempt: &AttemptId, why: &str) -> Result<(), Rejected> {
        let node = self.live(attempt)?;
        let said = self.state.node(node).is_some_and(|n| match &n.body {
            Body::Pod { waiting, .. } => waiting.as_deref() == Some(why) || n.phase != NodePhase::Pending,
            _ => true,
        });
        if said {
            return Err(Rejected::StaleAttempt { attempt: attempt.clone() });
        }
        self.emit(Record::AttemptWaiting { attempt: attempt.clone(), why: why.to_owned() });
        Ok(())
    }

    pub(super) fn attempt_progress(&mut self, attempt: &AttemptId, said: Progress) -> Result<(), Rejected> {
        let node = self.live(attempt)?;
        let news = self.state.node(node).is_some_and(|n| match n.body {
            Body::Pod { progress, .. } => progress != said,
            _ => false,
        });
        if !news {
            return Err(Rejected::StaleAttempt { attempt: attempt.clone() });
        }
        self.emit(Record::AttemptProgress { attempt: attempt.clone(), progress: said });
        Ok(())
    }

    pub(super) fn attempt_finished(&mut self, verdict: &Arc<Verdict>) -> Result<(), Rejected> {
        let id = self.live(&verdict.attempt)?;
        let lost = verdict.outcome == Outcome::Lost;
        let start = lost.then(|| EffectKey::Start(verdict.attempt.clone()));
        let started = start.and_then(|start| self.state.outbox.get(&start)).cloned();
        let verdict = &not_ahead(verdict, self.now);
        let kept = self.kept_for(&verdict.attempt);
        self.emit(Record::AttemptEnded { verdict: verdict.clone() });
        self.release_kept(kept);
        let Some(node) = self.state.node(id).cloned() else { return Ok(()) };
        // Given up before (stop, deadline, timeout): its end only clears the outbox.
        if node.phase.fulfilled() {
            return Ok(());
        }
        let phase = match verdict.outcome {
            // A daemon runs until it is ended: one that ends by itself has failed (rule DM-3).
            Outcome::Succeeded if self.is_daemon(&node) => NodePhase::Failed,
            Outcome::Succeeded => NodePhase::Succeeded,
            Outcome::Failed => NodePhase::Failed,
            Outcome::Error => NodePhase::Error,
            Outcome::Lost => {
                self.lost(&node, verdict, started.as_deref());
                return Ok(());
            }
        };
        self.end_containers(&node, verdict);
        drop(node);
        self.finish(id, phase, verdict.message.clone(), verdict.outputs.clone());
        Ok(())
    }

    /// Infrastructure took the attempt: another number of the same node, within a budget of its own.
    fn lost(&mut self, node: &Node, verdict: &Verdict, started: Option<&Effect>) {
        let Body::Pod { next, lost, .. } = node.body else { return };
        let max = self.state.program.spec.settings.infrastructure_retries_max;
        let Some(Effect::StartAttempt(old)) = started else {
            return self.finish(node.id, NodePhase::Error, verdict.message.clone(), Outputs::default());
        };
        if node.kind == NodeKind::Http {
            // It was claimed, so that it may have been made: only the user's own retryStrategy repeats it.
            let message = format!("{}: whether the request was made is not known", verdict.message);
            return self.finish(node.id, NodePhase::Error, message, Outputs::default());
        }
        if lost > max || self.nothing_starts(node).is_some() {
            let message = format!("{} (lost {lost} times; infrastructure retries: {max})", verdict.message);
            return self.finish(node.id, NodePhase::Error, message, Outputs::default());
        }
        match renamed(old, next) {
            Ok(attempt) => {
                self.start(attempt);
                self.hooks_read(node.id);
            }
            Err(why) => self.finish(node.id, NodePhase::Error, why, Outputs::default()),
        }
    }

    pub(super) fn start_suspend(&mut self, id: NodeId, compiled: &Compiled) {
        let Some(node) = self.state.node(id).cloned() else { return };
        if let Some((strategy, _)) = self.state.shutdown.as_ref().filter(|_| !node.on_exit) {
            let why = format!("Stopped with strategy '{strategy:?}'");
            return self.finish(id, NodePhase::Failed, why, Outputs::default());
        }
        if self.is_late(&node) {
            return self.finish(id, NodePhase::Failed, LATE, Outputs::default());
        }
        let locals = resolve::locals(&self.state, id);
        let resolved =
            resolve::template(&self.state, self.now, id, compiled, &node.inputs, &locals, &Locals::default());
        let duration = resolved.and_then(|t| {
            match t.suspend.as_ref().and_then(|s| s.duration.as_ref()).filter(|d| !d.0.is_empty()) {
                Some(text) => go::parse_duration_or_seconds(&text.0).map(Some).map_err(|e| e.to_string()),
                None => Ok(None),
            }
        });
        match duration {
            Ok(Some(length)) => {
                let timer =
                    TimerId { kind: TimerKind::Suspend, node: Some(id), generation: self.state.next_timer };
                self.emit(Record::TimerSet { timer, due: later(self.now, length) });
            }
            Ok(None) => {}
            Err(why) => self.hand_back(id, why),
        }
    }

    /// Ends a suspend node: supplied outputs without a value take their default (rule SU-3).
    pub(super) fn resume_node(
        &mut self,
        id: NodeId,
        message: &str,
        given: &std::collections::BTreeMap<String, String>,
    ) {
        let Some(node) = self.state.node(id).cloned() else { return };
        match self.supplied(&node, given) {
            Ok(outputs) => self.finish(id, NodePhase::Succeeded, message, outputs),
            Err(why) => self.finish(id, NodePhase::Error, why, Outputs::default()),
        }
    }

    /// The outputs of a suspend node, from what a person gave and the declared defaults.
    pub(super) fn supplied(
        &self,
        node: &Node,
        given: &std::collections::BTreeMap<String, String>,
    ) -> Result<Outputs, String> {
        let Some(compiled) = self.state.template_of(node) else { return Ok(Outputs::default()) };
        let mut outputs = Outputs::default();
        for declared in &compiled.template.outputs.parameters {
            let input = node.inputs.parameters.iter().find(|i| i.name == declared.name);
            let default = declared
                .value_from
                .as_ref()
                .and_then(|v| v.default.clone())
                .or_else(|| declared.default.clone())
                .or_else(|| input.and_then(|i| i.default.clone()));
            let set = node.outputs.parameters.iter().find(|p| p.name == declared.name);
            let given = given.get(&declared.name).map(|v| AnyString(v.clone()));
            if let Some(given) = &given {
                allowed(declared, node, given)?;
            }
            let value = given.or_else(|| set.and_then(|p| p.value.clone())).or(default).ok_or_else(|| {
                format!(
                    "raw output parameter '{}' has not been set and does not have a default value",
                    declared.name
                )
            })?;
            let kept = Parameter { value: Some(value), value_from: None, ..declared.clone() };
            outputs.parameters.push(kept);
        }
        Ok(outputs)
    }

    pub(super) fn timer_fired(&mut self, timer: &TimerId) -> Result<(), Rejected> {
        let effect = self.state.outbox.get(&EffectKey::Timer(timer.clone())).cloned();
        let Some(Effect::SetTimer { due, .. }) = effect.as_deref() else {
            return Err(Rejected::StaleTimer { timer: timer.clone() });
        };
        if *due > self.now {
            return Err(Rejected::EarlyTimer { timer: timer.clone(), due: *due });
        }
        self.emit(Record::TimerEnded { timer: timer.clone() });
        match (timer.kind, timer.node) {
            (TimerKind::Suspend, Some(node)) => self.resume_node(node, "", &Default::default()),
            (TimerKind::Backoff, Some(node)) => {
                self.emit(Record::NodeMessage { node, message: String::new() });
                self.start_attempt(node);
            }
            (TimerKind::Timeout | TimerKind::PendingTimeout, Some(node)) => self.timed_out(node),
            (TimerKind::WorkflowDeadline, _) => self.deadline_passed(),
            (TimerKind::Admission, _) => self.work.push_back(super::Work::WakeRun),
            (
                TimerKind::Suspend | TimerKind::Backoff | TimerKind::Timeout | TimerKind::PendingTimeout,
                None,
            ) => {}
        }
        Ok(())
    }

    /// A node still pending past its `timeout` or `pendingTimeout` fails; a started pod is ended by its own deadline.
    fn timed_out(&mut self, id: NodeId) {
        let Some(node) = self.state.node(id).cloned() else { return };
        if node.phase == NodePhase::Pending {
            // A Retry node may try it again; any other caller is handed it as an error.
            let returned = !matches!(node.role, Role::Attempt(_));
            self.end_leaf(&node, TIMEOUT, returned);
        }
    }

    /// Fails a leaf and asks for the end of its attempt.
    pub(super) fn give_up(&mut self, node: &Node, why: &str) {
        self.end_leaf(node, why, false);
    }

    fn end_leaf(&mut self, node: &Node, why: &str, returned: bool) {
        if let Body::Pod { attempt: Some(attempt), .. } = &node.body {
            self.emit(Record::StopAsked { attempt: attempt.clone(), why: why.to_owned() });
        }
        self.end(node.id, End { returned, ..End::seen(NodePhase::Failed, why) });
    }
}

/// A verdict whose times do not lie ahead of the decider's. A pod says them by its node's clock, or as its code likes: an
/// hour ahead, all that the run waits for would wait an hour longer.
fn not_ahead(verdict: &Arc<Verdict>, now: Timestamp) -> Arc<Verdict> {
    let ends = verdict.containers.iter().map(|container| container.finished_at);
    if ends.chain([verdict.finished_at]).all(|at| at <= now) {
        return verdict.clone();
    }
    let mut verdict = (**verdict).clone();
    let ahead = |at: &mut Timestamp| *at = (*at).min(now);
    ahead(&mut verdict.finished_at);
    verdict.started_at.iter_mut().for_each(ahead);
    verdict.containers.iter_mut().for_each(|container| {
        ahead(&mut container.finished_at);
        container.started_at.iter_mut().for_each(ahead);
    });
    Arc::new(verdict)
}

/// Whether a person may give this output this value: where it has an `enum` (or the input of its name has), one of those.
/// Argo looks at it only when a workflow is submitted.
pub(super) fn allowed(declared: &Parameter, node: &Node, value: &AnyString) -> Result<(), String> {
    let input = node.inputs.parameters.iter().find(|i| i.name == declared.name);
    let allowed = declared.enumeration.as_ref().or_else(|| input.and_then(|i| i.enumeration.as_ref()));
    let Some(allowed) = allowed.filter(|allowed| !allowed.contains(value)) else { return Ok(()) };
    let list: Vec<&str> = allowed.iter().map(|v| v.as_str()).collect();
    Err(format!("value '{value}' of output parameter '{}' is not one of {}", declared.name, list.join(", ")))
}

/// The pod's own limit: the smaller of `activeDeadlineSeconds` and `timeout`.
fn own_deadline(template: &Template) -> Result<Option<u64>, String> {
    let active = match template.active_deadline_seconds.as_ref().filter(|t| !t.0.is_empty()) {
        Some(text) => Some(text.0.trim().parse::<u64>().map_err(|_| {
            format!("activeDeadlineSeconds {:?} must be a positive integer > 0 or an argo variable", text.0)
        })?),
        None => None,
    };
    let timeout = match template.timeout.as_deref().filter(|t| !t.is_empty()) {
        Some(text) => Some(go::parse_duration_or_seconds(text).map_err(|e| e.to_string())?.as_secs()),
        None => None,
    };
    Ok([active, timeout].into_iter().flatten().min())
}

/// The work of a lost attempt under the next attempt's name. Ids hold 64 bits of a hash, so that the old one
/// stands in the text only where it was put.
fn renamed(old: &Attempt, number: u32) -> Result<Attempt, String> {
    let id = attempt_id(&old.run, &old.run_name, &old.work.template.name, &old.node_name, number);
    let text = serde_json::to_string(&*old.work).map_err(|e| e.to_string())?;
    let work =
        serde_json::from_str(&text.replace(old.id.as_str(), id.as_str())).map_err(|e| e.to_string())?;
    Ok(Attempt { id, number, work: Arc::new(work), ..old.clone() })
}

fn artifact_prefix(run_name: &str, id: &AttemptId) -> String {
    [run_name, "/", id.as_str()].concat()
}
