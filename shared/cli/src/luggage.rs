//! What runs take along to a cluster: packed beside the manifest, and stored where their pods look.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dropforge_cluster::environments::{self, find_uv};
use dropforge_cluster::packing::{Luggage, Packer};
use dropforge_cluster::parcel::Parcel;
use dropforge_cluster::python;
use dropforge_cluster::settings::{FILE_NAME, Settings};
use dropforge_driver::owner::chain;
use dropforge_driver::store::{Artifacts, Place};
use dropforge_engine::spec::{Packed, RunSpec};
use serde_json::Value;

use crate::commands::run::folder;
use crate::error::CliError;
use crate::home::Home;
use crate::output::say;
use crate::session::{cache, settings};

/// What steps with the images that `object` names take along; nothing on this machine, where steps find it anyway.
///
/// # Errors
/// When packages can't be had or packed, or what was packed can't be stored.
pub async fn taken(home: &Home, namespace: &str, folder: &Path, object: &Value) -> Result<Packed, CliError> {
    let Some(bucket) = home.luggage_bucket() else { return Ok(Packed::default()) };
    let settings = settings(None, folder)?;
    let mut images = BTreeSet::new();
    collect_images(object, &mut images);
    let Luggage { packed, parcels } = packed(settings, images).await?;
    for parcel in &parcels {
        store(home, bucket, namespace, parcel).await?;
    }
    Ok(packed)
}

/// Adds to new runs what their images and the person's files need. What a file beside them says stands over what was
/// noted when a template was applied.
///
/// # Errors
/// See [`taken`].
pub async fn add(home: &Home, files: &[PathBuf], specs: &mut [RunSpec]) -> Result<(), CliError> {
    // A stored definition alone has its note.
    if files.is_empty() || home.luggage_bucket().is_none() {
        return Ok(());
    }
    for spec in specs {
        let object = serde_json::to_value((&spec.spec, &spec.library))?;
        let own = taken(home, spec.namespace(), &folder(files), &object).await?;
        spec.packed.environments.extend(own.environments);
        spec.packed.code = own.code.or(spec.packed.code.take());
    }
    Ok(())
}

/// The folder of the settings that hold for a file: its own where that has any, else that of what was named.
pub fn settings_folder(file: &str, named: &[PathBuf]) -> PathBuf {
    let own = Path::new(file).parent().filter(|folder| folder.join(FILE_NAME).is_file());
    own.map_or_else(|| folder(named), Path::to_path_buf)
}

/// Packing installs packages, which takes long and does not await.
async fn packed(settings: Settings, images: BTreeSet<String>) -> Result<Luggage, CliError> {
    let packer = Packer {
        cache: cache()?,
        packages: environments::Options {
            offline: settings.pip.offline,
            wheels: settings.pip.wheels.clone(),
            uv: find_uv(),
        },
        pythons: python::Places::of_this_machine(),
        settings,
    };
    let work = move || packer.pack(&images, &|news| say(&news.to_string()));
    let done = tokio::task::spawn_blocking(work).await;
    let failed = |why: String| CliError::Below { what: "pack what the steps need", why };
    done.map_err(|why| failed(why.to_string()))?.map_err(|why| failed(chain(&why)))
}

/// Stores a packed file unless it is there: its name is the hash of its content.
async fn store(home: &Home, bucket: &str, namespace: &str, parcel: &Parcel) -> Result<(), CliError> {
    let key = format!("environments/{namespace}/{}", parcel.sha256);
    let place = Place { bucket: Some(bucket.to_owned()), key };
    if home.head(namespace, &place).await?.is_some_and(|there| there.size == parcel.size) {
        return Ok(());
    }
    say(&format!("storing {} ({} MB)", place.key, parcel.size.div_ceil(1_000_000)));
    Artifacts::store(home, namespace, &parcel.file, &place, false, &|_, _| {}).await?;
    Ok(())
}

/// The images that a manifest names, wherever in it.
fn collect_images(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_images(item, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(image) if name == "image" => drop(found.insert(image.to_owned())),
                    _ => collect_images(value, found),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_container_of_a_manifest_names_an_image() {
        let object = json!({"templates": [
            {"container": {"image": "a"}, "sidecars": [{"image": "b"}], "initContainers": [{"image": "c"}]},
            {"script": {"image": "{{inputs.parameters.image}}", "source": "image"}},
            {"containerSet": {"containers": [{"image": "a"}]}}]});
        let mut found = BTreeSet::new();
        collect_images(&object, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b", "c", "{{inputs.parameters.image}}"]);
    }
}
