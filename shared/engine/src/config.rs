//! Values of config maps, as a run asks for them and is told of them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names one value of a config map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigKey {
    /// The namespace.
    pub namespace: String,
    /// The config map.
    pub name: String,
    /// The key in it.
    pub key: String,
}

impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.name, self.key)
    }
}

/// What was found where a config map's value was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "found")]
pub enum ConfigFound {
    /// The value.
    Value {
        /// It.
        value: String,
    },
    /// There is no such config map, or it does not say that it holds parameters.
    NoMap {
        /// Where it was looked for, for people.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        expected: String,
    },
    /// The config map has no such key.
    NoKey {
        /// Where it was looked for, for people.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        expected: String,
    },
    /// The config map says that it holds something else than parameters.
    NotParameters,
}

/// The label by which a config map says what it holds.
pub const TYPE_LABEL: &str = "workflows.argoproj.io/configmap-type";

/// The label's value on a config map of parameters.
pub const PARAMETER_TYPE: &str = "Parameter";

impl ConfigFound {
    /// The value, or why there is none, in Argo's words.
    ///
    /// # Errors
    /// When there is no value.
    pub fn value(&self, of: &ConfigKey) -> Result<&str, String> {
        let place = |expected: &str| match expected {
            "" => String::new(),
            expected => format!(" (expected in {expected})"),
        };
        match self {
            ConfigFound::Value { value } => Ok(value),
            ConfigFound::NoMap { expected } => Err(format!(
                "ConfigMap '{}' does not exist. Please make sure it has the label {TYPE_LABEL}: {PARAMETER_TYPE} to be \
                 detectable by the controller{}",
                of.name,
                place(expected)
            )),
            ConfigFound::NoKey { expected } => {
                Err(format!("ConfigMap '{}' does not have the key '{}'{}", of.name, of.key, place(expected)))
            }
            ConfigFound::NotParameters => Err(format!(
                "ConfigMap '{}' needs to have the label {TYPE_LABEL}: {PARAMETER_TYPE} to load parameters",
                of.name
            )),
        }
    }

    /// Whether a declared default stands in for it.
    pub fn is_missing(&self) -> bool {
        matches!(self, ConfigFound::NoMap { .. } | ConfigFound::NoKey { .. })
    }
}
