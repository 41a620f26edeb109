//! Memoized templates: their entry is asked for before they start, and kept when they have succeeded.

use dropforge_manifest::go;
use dropforge_manifest::types::{Inputs, Memoize};

use super::{Decider, NodePhase, Record, Rejected};
use crate::effect::EffectKey;
use crate::ids::NodeId;
use crate::memo::{Memo, MemoEntry, MemoKey};
use crate::program::Compiled;
use crate::record::Block;
use crate::resolve::{self, Why};
use crate::scope::Locals;

impl Decider {
    /// The entry that a call of a template looks at, if it is memoized (Argo's rules M-1, M-4).
    pub(super) fn memo_of(
        &self,
        near: NodeId,
        compiled: &Compiled,
        inputs: &Inputs,
    ) -> Result<Option<Memo>, Why> {
        if compiled.template.memoize.is_none() {
            return Ok(None);
        }
        let none = Locals::default();
        let template = resolve::template(&self.state, self.now, near, compiled, inputs, &none, &none)?;
        let Some(memoize) = template.memoize.clone() else { return Ok(None) };
        if !Memoize::is_key(&memoize.key) {
            return Err(format!("invalid cache key: {}", memoize.key));
        }
        let max_age = match memoize.max_age.as_deref().filter(|age| !age.is_empty()) {
            Some(text) => Some(go::parse_duration(text).map_err(|why| format!("invalid maxAge: {why}"))?),
            None => None,
        };
        let entry = MemoKey { cache: memoize.cache.config_map.name, key: memoize.key };
        Ok(Some(Memo { entry, max_age_nanos: max_age, hit: None }))
    }

    /// A cache was looked at.
    pub(super) fn memo_read(&mut self, id: NodeId, found: Option<&MemoEntry>) -> Result<(), Rejected> {
        let effect = EffectKey::ReadMemo(id);
        let node = self.state.node(id).filter(|_| self.state.outbox.contains_key(&effect));
        let Some(memo) = node.and_then(|n| n.memo.clone()) else {
            return Err(Rejected::Answered { effect });
        };
        let entry = found.filter(|entry| memo.accepts(entry, self.now));
        let from = found.map(|entry| entry.node_id.clone());
        let written = found.map(|entry| entry.created_at);
        self.emit(Record::MemoRead { node: id, hit: entry.is_some(), from, written });
        match entry {
            Some(entry) => self.finish(id, NodePhase::Succeeded, "", entry.outputs.clone()),
            // It was let through before the suspension came.
            None if self.state.suspended => self.hold(id, Block::Suspended),
            None => self.begin_missed(id),
        }
        Ok(())
    }

    /// Begins a node whose cache gave nothing.
    pub(super) fn begin_missed(&mut self, id: NodeId) {
        self.release(id);
        self.hooks_read(id);
        let Some(node) = self.state.node(id) else { return };
        match self.state.template_of(node).cloned() {
            Some(compiled) => self.enter_body(id, &compiled, &Locals::default()),
            None => self.hand_back(id, "the template is gone"),
        }
    }
}
