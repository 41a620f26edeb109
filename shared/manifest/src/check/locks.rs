//! `synchronization`: each lock has a name, and none stands twice in a block.

use crate::codes::Code;
use crate::types::Synchronization;

use super::SpecCheck;

/// One block, of a workflow or a template.
pub(super) fn check(check: &SpecCheck<'_>, block: &Synchronization, path: &str) {
    for (index, semaphore) in block.semaphores.iter().enumerate() {
        let path = format!("{path}.semaphores[{index}]");
        let reference = semaphore.config_map_key_ref.as_ref();
        let named = reference.is_some_and(|r| !r.name.is_empty() && !r.key.is_empty());
        if !named && semaphore.database.is_none() {
            let message = format!("{path}: configMapKeyRef with `name` and `key` is required");
            let remedy = "name the key of a config map that says how many may hold it: `configMapKeyRef: {name: limits, key: gpu}`";
            check.report(Code::E108, &path, message, remedy);
        }
        if block.semaphores[..index].contains(semaphore) {
            twice(check, &path);
        }
    }
    for (index, mutex) in block.mutexes.iter().enumerate() {
        let path = format!("{path}.mutexes[{index}]");
        if mutex.name.is_empty() {
            let message = format!("{path}.name is required");
            check.report(Code::E108, &path, message, "add the lock's `name`");
        } else if block.mutexes[..index].contains(mutex) {
            twice(check, &path);
        }
    }
}

fn twice(check: &SpecCheck<'_>, path: &str) {
    let message = format!("{path}: duplicate synchronization item found");
    check.report(Code::E102, path, message, "remove one of the two");
}
