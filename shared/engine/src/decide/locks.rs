//! `synchronization`: a block asks for all its locks together, waits without holding any, and gives them back when what
//! it is for has ended.

use std::sync::Arc;

use dropforge_manifest::types::Template;

use super::{Decider, NodeKind, Record, Rejected, RunPhase};
use crate::effect::EffectKey;
use crate::ids::{AttemptId, NodeId};
use crate::lock::{self, Holder, LockName, LockRequest, LockWait};
use crate::program::Compiled;
use crate::resolve;
use crate::scope::Locals;
use crate::state::locks::Stage;

impl Decider {
    /// A new node first takes its template's locks.
    pub(super) fn take_locks(&mut self, node: NodeId, compiled: &Compiled) {
        match self.template_locks(node, compiled) {
            Ok((template, locks)) => {
                if self.state.node(node).is_some_and(|n| matches!(n.kind, NodeKind::Pod | NodeKind::Http)) {
                    self.arm_timeouts(node, &template);
                }
                self.ask_for_locks(Some(node), locks);
            }
            Err(why) => self.no_locks(Some(node), &why, ""),
        }
    }

    fn template_locks(
        &self,
        id: NodeId,
        compiled: &Compiled,
    ) -> Result<(Arc<Template>, Vec<LockName>), String> {
        let node = self.state.node(id).cloned().ok_or("the node is gone")?;
        let locals = resolve::locals(&self.state, id);
        let none = Locals::default();
        let template = resolve::template(&self.state, self.now, id, compiled, &node.inputs, &locals, &none)?;
        let block = template.synchronization.clone().unwrap_or_default();
        let locks = lock::names(&block, self.state.program.spec.namespace())?;
        Ok((template, locks))
    }

    /// Whether the run waits for its own locks or for a place among the runs that go on; asks for them the first time.
    pub(super) fn lacks_locks(&mut self) -> bool {
        if !self.state.locks.blocks.contains_key(&None) {
            match self.run_locks() {
                Ok(locks) if locks.is_empty() => return false,
                Ok(locks) => self.ask_for_locks(None, locks),
                Err(why) => self.no_locks(None, &why, ""),
            }
        }
        !self.state.locks.holds(None)
    }

    fn run_locks(&self) -> Result<Vec<LockName>, String> {
        let spec = &self.state.program.spec;
        let mut locks = match spec.spec.synchronization.as_ref().filter(|block| !block.is_empty()) {
            Some(block) => {
                let block = resolve::synchronization(&self.state, self.now, block)?;
                lock::names(&block, spec.namespace())?
            }
            None => Vec::new(),
        };
        locks.extend(lock::places(spec));
        Ok(locks)
    }

    fn ask_for_locks(&mut self, holder: Holder, locks: Vec<LockName>) {
        let spec = &self.state.program.spec;
        let run = format!("{}/{}", spec.namespace(), spec.name());
        let key = holder.map_or(run.clone(), |node| format!("{run}/{}", self.state.argo_id(node)));
        let behind = self.state.locks.in_the_way(&locks);
        let generation = self.state.generation;
        let request = Arc::new(LockRequest { holder, key, generation, locks });
        self.emit(match behind {
            None => Record::LocksAsked { request },
            Some(behind) => Record::LocksQueued { request, behind },
        });
    }

    /// Lets the next of this run's blocks ask for locks that nobody of it asks for any more.
    fn wake_locks(&mut self, locks: &[LockName]) {
        for lock in locks {
            if let Some(next) = self.state.locks.next_at(lock)
                && let Some(block) = self.state.locks.blocks.get(&Some(next)).cloned()
            {
                self.emit(Record::LocksAsked { request: block.request.clone() });
            }
        }
    }

    /// The locks of a block that has asked in this generation of the run and does not hold them.
    fn asking(&self, holder: Holder, generation: u32) -> Result<Vec<LockName>, Rejected> {
        let stale = || Rejected::Answered { effect: EffectKey::TakeLocks(holder) };
        let block = self.state.locks.blocks.get(&holder);
        let block = block.filter(|block| block.request.generation == generation).ok_or_else(stale)?;
        match block.stage {
            Stage::Asked | Stage::Waiting(_) => Ok(block.request.locks.clone()),
            Stage::Queued { .. } | Stage::Held => Err(stale()),
        }
    }

    pub(super) fn locks_taken(&mut self, holder: Holder, generation: u32) -> Result<(), Rejected> {
        let locks = self.asking(holder, generation)?;
        self.emit(Record::LocksTaken { holder });
        self.wake_locks(&locks);
        match holder {
            Some(node) => self.begin_node(node),
            None if self.state.started_at.is_some() => self.go_on_where_open(false),
            // `settle_run` begins it.
            None => {}
        }
        Ok(())
    }

    pub(super) fn locks_waiting(
        &mut self,
        holder: Holder,
        generation: u32,
        wait: &LockWait,
    ) -> Result<(), Rejected> {
        let locks = self.asking(holder, generation)?;
        let stage = self.state.locks.blocks.get(&holder).map(|block| block.stage.clone());
        if stage == Some(Stage::Waiting(wait.clone())) {
            return Err(Rejected::Answered { effect: EffectKey::TakeLocks(holder) });
        }
        self.emit(Record::LocksWaiting { holder, wait: Box::new(wait.clone()) });
        let others: Vec<LockName> = locks.into_iter().filter(|lock| *lock != wait.lock).collect();
        self.wake_locks(&others);
        Ok(())
    }

    pub(super) fn locks_refused(
        &mut self,
        holder: Holder,
        generation: u32,
        why: &str,
        hint: &str,
    ) -> Result<(), Rejected> {
        let locks = self.asking(holder, generation)?;
        self.no_locks(holder, why, hint);
        self.wake_locks(&locks);
        Ok(())
    }

    /// The locks can't be had at all (rule SY-7).
    fn no_locks(&mut self, holder: Holder, why: &str, hint: &str) {
        self.emit(Record::LocksRefused { holder, hint: hint.to_owned() });
        match holder {
            Some(node) => self.hand_back(node, why),
            None => {
                let why = format!("Failed to acquire the synchronization lock. {why}");
                self.end_run(RunPhase::Failed, why);
            }
        }
    }

    /// Begins what waited for its locks and holds them, unless a limit of the run holds it back.
    pub(super) fn begin_node(&mut self, id: NodeId) {
        let Some(node) = self.state.node(id).filter(|n| n.idle).cloned() else { return };
        if !self.state.locks.holds(Some(id)) {
            return;
        }
        if let Some(block) = self.run_block() {
            return self.hold(id, block);
        }
        self.release(id);
        self.emit(Record::NodeBegun { node: id });
        if self.go_on_below(id) {
            return;
        }
        self.hooks_read(id);
        let Some(compiled) = self.state.template_of(&node).cloned() else { return };
        let near = node.parent.or(node.boundary).unwrap_or(id);
        // The lock comes first, then the cache (Argo's rule SY-11).
        match self.memo_of(near, &compiled, &node.inputs) {
            Ok(Some(memo)) => self.emit(Record::MemoAsked { node: id, memo }),
            Ok(None) => self.enter_body(id, &compiled, &Locals::default()),
            Err(why) => self.hand_back(id, why),
        }
    }

    /// Gives back what a holder has, and takes it out of the queues; not before all below it has ended.
    pub(super) fn release_locks(&mut self, holder: Holder) {
        let Some(block) = self.state.locks.blocks.get(&holder).cloned() else { return };
        if block.stopping == 0 {
            self.emit(Record::LocksReleased { holder });
            self.wake_locks(&block.request.locks);
        }
    }

    /// An attempt has ended: what was kept until then is given back.
    pub(super) fn release_kept(&mut self, kept: Vec<Holder>) {
        for holder in kept {
            let over = match holder {
                Some(node) => self.state.node(node).is_none_or(|n| n.phase.fulfilled()),
                None => self.state.phase.completed(),
            };
            if over {
                self.release_locks(holder);
            }
        }
    }

    /// The holders that keep their locks until this attempt has ended.
    pub(super) fn kept_for(&self, attempt: &AttemptId) -> Vec<Holder> {
        self.state.locks.kept_for(attempt)
    }
}
