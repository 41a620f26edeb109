//! Inputs and outputs of nodes to be shared. Most nodes have none, and all of those share one value.

use std::sync::{Arc, LazyLock};

use dropforge_manifest::types::{Inputs, Outputs};

static NO_INPUTS: LazyLock<Arc<Inputs>> = LazyLock::new(Arc::default);
static NO_OUTPUTS: LazyLock<Arc<Outputs>> = LazyLock::new(Arc::default);

pub(crate) fn inputs(inputs: Inputs) -> Arc<Inputs> {
    if inputs.is_empty() { NO_INPUTS.clone() } else { Arc::new(inputs) }
}

pub(crate) fn outputs(outputs: Outputs) -> Arc<Outputs> {
    if outputs.is_empty() { no_outputs() } else { Arc::new(outputs) }
}

pub(crate) fn no_outputs() -> Arc<Outputs> {
    NO_OUTPUTS.clone()
}
