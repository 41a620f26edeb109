//! What a definition's runs take along to a cluster: an annotation, written by who stores the definition, read when a run
//! is born of it.

use std::collections::BTreeMap;

use dropforge_engine::spec::Packed;
use dropforge_manifest::types::ObjectMeta;

/// Holds what was packed, as JSON.
pub const PACKED_ANNOTATION: &str = "dropforge.dev/packed";

/// Notes on an object what its runs take along.
pub fn note(metadata: &mut ObjectMeta, packed: &Packed) {
    if *packed == Packed::default() {
        metadata.annotations.remove(PACKED_ANNOTATION);
        return;
    }
    let text = serde_json::to_string(packed).expect("names and hashes can be written as JSON");
    metadata.annotations.insert(PACKED_ANNOTATION.to_owned(), text);
}

/// Hands an object's note on to the Workflow that is made of it.
pub fn hand_on(from: &ObjectMeta, to: &mut ObjectMeta) {
    let noted = from.annotations.get_key_value(PACKED_ANNOTATION);
    to.annotations.extend(noted.map(|(name, text)| (name.clone(), text.clone())));
}

/// What a run takes along: its Workflow's own note over those of the stored templates that it is made of, which come in
/// their order. The note is taken out of the Workflow: the run's spec says the same.
///
/// # Errors
/// What is wrong with a note.
pub fn taken<'a>(
    annotations: &mut BTreeMap<String, String>,
    stored: impl Iterator<Item = &'a String>,
) -> Result<Packed, serde_json::Error> {
    let own = annotations.remove(PACKED_ANNOTATION);
    let mut all = Packed::default();
    for text in own.into_iter().chain(stored.cloned()) {
        let Packed { environments, code } = serde_json::from_str(&text)?;
        for (image, environment) in environments {
            all.environments.entry(image).or_insert(environment);
        }
        all.code = all.code.or(code);
    }
    Ok(all)
}
