//! Values of config maps: asked for once in a run, the first time something needs them.

use dropforge_manifest::types::{Arguments, KeySelector, Template};

use super::{Decider, Record, Rejected, Work};
use crate::config::{ConfigFound, ConfigKey};
use crate::effect::EffectKey;
use crate::ids::NodeId;
use crate::record::TemplateKey;
use crate::resolve;

impl Decider {
    /// Whether a call can't be made yet because the value of a config map is not known; asks for it.
    pub(super) fn lacks_config(
        &mut self,
        key: &TemplateKey,
        own: Option<&Template>,
        arguments: &Arguments,
    ) -> bool {
        let program = self.state.program.clone();
        let known = || program.template(key).map(|compiled| &*compiled.template);
        let Some(template) = own.or_else(known) else { return false };
        let references = resolve::config_references(template, arguments);
        // A name that can't be resolved is said by the call itself.
        let keys: Vec<ConfigKey> = references
            .into_iter()
            .filter_map(|reference| resolve::config_key(&self.state, reference).ok())
            .collect();
        self.lacks(keys)
    }

    /// Whether the run's own arguments are not all known; asks for them. Their references hold no tags.
    pub(super) fn lacks_arguments(&mut self) -> bool {
        let program = self.state.program.clone();
        let references = program.spec.spec.arguments.parameters.iter().filter(|p| p.value.is_none());
        let keys = references
            .filter_map(|p| p.value_from.as_ref()?.config_map_key_ref.as_ref())
            .map(|reference| self.own_key(reference))
            .collect();
        self.lacks(keys)
    }

    fn own_key(&self, reference: &KeySelector) -> ConfigKey {
        resolve::plain_config_key(&self.state.program.spec, reference)
    }

    fn lacks(&mut self, keys: Vec<ConfigKey>) -> bool {
        let unknown: Vec<ConfigKey> =
            keys.into_iter().filter(|key| !self.state.config.contains_key(key)).collect();
        for config in &unknown {
            if !self.state.outbox.contains_key(&EffectKey::Config(config.clone())) {
                self.emit(Record::ConfigAsked { config: config.clone() });
            }
        }
        !unknown.is_empty()
    }

    /// A config map was looked at: what waited for it goes on.
    pub(super) fn config_read(&mut self, config: &ConfigKey, found: &ConfigFound) -> Result<(), Rejected> {
        let effect = EffectKey::Config(config.clone());
        if !self.state.outbox.contains_key(&effect) {
            return Err(Rejected::Answered { effect });
        }
        let hooks: Vec<NodeId> = self.state.config_hooks.iter().copied().collect();
        self.emit(Record::ConfigRead { config: config.clone(), found: found.clone() });
        self.work.extend(hooks.into_iter().map(Work::Hooks));
        self.work.push_back(Work::WakeRun);
        Ok(())
    }

    /// The first of the run's arguments that its config map does not give, in Argo's words.
    pub(super) fn missing_argument(&self) -> Option<String> {
        let spec = &self.state.program.spec;
        spec.spec.arguments.parameters.iter().find_map(|parameter| {
            let why = self.state.argument(parameter)?.err()?;
            let reference = parameter.value_from.as_ref()?.config_map_key_ref.as_ref()?;
            Some(format!(
                "failed to set global parameters: failed to set global parameter {} from configmap with name {} and \
                 key {}: {why}",
                parameter.name, reference.name, reference.key
            ))
        })
    }
}
