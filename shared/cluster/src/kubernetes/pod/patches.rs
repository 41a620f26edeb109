//! `podSpecPatch`, over the whole pod.
//!
//! The engine has applied what the patches say of the person's containers and volumes to the template already, since a
//! laptop has those too; doing it again changes nothing. What remains is the pod's own fields, the containers of a
//! `containerSet`, and the executor's own containers.

use dropforge_manifest::merge::strategic;
use serde_json::{Map, Value};

use super::{PodError, each_list};

/// Applies the patches, one after the other.
///
/// # Errors
/// When one names a container that there is not.
pub fn apply(spec: &mut Map<String, Value>, patches: &[Value]) -> Result<(), PodError> {
    for patch in patches {
        let Value::Object(mut patch) = patch.clone() else { continue };
        for list in ["containers", "initContainers"] {
            for container in patch.remove(list).iter().filter_map(Value::as_array).flatten() {
                apply_to_container(spec, container)?;
            }
        }
        // A pod's tolerations are replaced, where a workflow's are joined by key.
        if patch.contains_key("tolerations") {
            spec.remove("tolerations");
        }
        if let Value::Object(patched) = strategic(Value::Object(std::mem::take(spec)), Value::Object(patch)) {
            *spec = patched;
        }
    }
    Ok(())
}

/// Argo's `wait` and its sidecars are containers, ours are init containers that are started again: a patch finds them
/// where they are, and moves none.
fn apply_to_container(spec: &mut Map<String, Value>, patch: &Value) -> Result<(), PodError> {
    let name = patch["name"].as_str().unwrap_or_default();
    for list in ["containers", "initContainers"] {
        if let Some(found) = each_list(spec, list).iter_mut().find(|other| other["name"] == name) {
            *found = strategic(found.take(), patch.clone());
            return Ok(());
        }
    }
    Err(PodError::NoContainer { name: name.to_owned() })
}
