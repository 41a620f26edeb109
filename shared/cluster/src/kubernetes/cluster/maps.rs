//! Values of config maps.

use dropforge_driver::cluster::ClusterError;
use dropforge_driver::pods::is_object_name;
use dropforge_driver::store::{Attempts, Documents};
use dropforge_engine::config::{ConfigFound, ConfigKey, PARAMETER_TYPE, TYPE_LABEL};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;

use super::KubernetesCluster;
use crate::kubernetes::client::{CallError, call};

impl<S: Attempts + Documents + 'static> KubernetesCluster<S> {
    /// A value of a config map that says by its label that it holds parameters.
    pub(super) async fn parameter(&self, config: &ConfigKey) -> Result<ConfigFound, ClusterError> {
        let map = match self.config_map(config).await? {
            Ok(map) => map,
            Err(missing) => return Ok(missing),
        };
        let labels = map.metadata.labels.as_ref();
        Ok(match labels.and_then(|labels| labels.get(TYPE_LABEL)).map(String::as_str) {
            Some(PARAMETER_TYPE) => value(map, config),
            Some(_) => ConfigFound::NotParameters,
            None => ConfigFound::NoMap {
                expected: format!("the namespace {}, with that label", config.namespace),
            },
        })
    }

    /// A value of a config map, whatever its label is.
    pub(super) async fn plain(&self, config: &ConfigKey) -> Result<ConfigFound, ClusterError> {
        Ok(match self.config_map(config).await? {
            Ok(map) => value(map, config),
            Err(missing) => missing,
        })
    }

    async fn config_map(&self, config: &ConfigKey) -> Result<Result<ConfigMap, ConfigFound>, ClusterError> {
        let place = format!("the namespace {}", config.namespace);
        let no_map = |expected: String| Ok(Err(ConfigFound::NoMap { expected }));
        // It may come from a tag.
        if !is_object_name(&config.name) || !self.is_ours(&config.namespace) {
            return no_map(place);
        }
        let api: Api<ConfigMap> = self.api(&config.namespace).await.map_err(CallError::unreachable)?;
        match call(api.get_opt(&config.name)).await {
            Ok(Some(map)) => Ok(Ok(map)),
            Ok(None) => no_map(place),
            Err(error) if error.code() == Some(403) => {
                no_map(format!("{place}, whose config maps this program may not read"))
            }
            Err(error) => Err(error.unreachable()),
        }
    }
}

fn value(map: ConfigMap, config: &ConfigKey) -> ConfigFound {
    match map.data.unwrap_or_default().remove(&config.key) {
        Some(value) => ConfigFound::Value { value },
        None => ConfigFound::NoKey { expected: format!("the namespace {}", config.namespace) },
    }
}
