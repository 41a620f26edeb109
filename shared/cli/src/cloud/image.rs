//! The executor's image: one file, its entrypoint, for each architecture that there is a file for. It is pushed without a
//! container engine.
//!
//! The same files always become the same bytes, so that an image is known by its digest.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub mod registry;

/// Where the executor lies in its image: pods start it by this path.
const PATH: &str = "dropforge-executor";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Bytes that are known by their digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:…`.
    pub digest: String,
    /// What they are.
    pub kind: &'static str,
    /// They themselves.
    pub bytes: Vec<u8>,
}

impl Blob {
    fn new(kind: &'static str, bytes: Vec<u8>) -> Blob {
        Blob { digest: digest(&bytes), kind, bytes }
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.kind, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// The digest of bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// An image, in the order in which a registry takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Layers and configurations.
    pub blobs: Vec<Blob>,
    /// The manifests of architectures, where there are several.
    pub parts: Vec<Blob>,
    /// What the tag names.
    pub top: Blob,
}

/// The image of these executors, one for each architecture.
///
/// # Errors
/// What is wrong with them, in words.
pub fn image(executors: &[Vec<u8>]) -> Result<Image, String> {
    let mut blobs = Vec::new();
    let mut manifests: Vec<(&'static str, Blob)> = Vec::new();
    for executor in executors {
        let architecture = architecture(executor)?;
        if manifests.iter().any(|(other, _)| *other == architecture) {
            return Err(format!("two executors are for {architecture}"));
        }
        let (own, manifest) = part(executor, architecture).map_err(|why| why.to_string())?;
        blobs.extend(own);
        manifests.push((architecture, manifest));
    }
    manifests.sort_by_key(|(architecture, _)| *architecture);
    if manifests.len() == 1 {
        let (_, top) = manifests.remove(0);
        return Ok(Image { blobs, parts: Vec::new(), top });
    }
    let entry = |(architecture, manifest): &(&str, Blob)| {
        let mut entry = manifest.descriptor();
        entry["platform"] = json!({"architecture": architecture, "os": "linux"});
        entry
    };
    let entries: Vec<Value> = manifests.iter().map(entry).collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let parts = manifests.into_iter().map(|(_, manifest)| manifest).collect();
    Ok(Image { blobs, parts, top: Blob::new(INDEX, index.to_string().into_bytes()) })
}

/// The architecture of a program, as images name it.
fn architecture(program: &[u8]) -> Result<&'static str, String> {
    if needs_loader(program) {
        return Err(
            "it is not static, and its image holds no library: shared/executor/build makes one".to_owned()
        );
    }
    match (program.starts_with(b"\x7fELF\x02\x01"), short(program, 18)) {
        (true, Some(62)) => Ok("amd64"),
        (true, Some(183)) => Ok("arm64"),
        _ => Err("it is no Linux program for x86-64 or arm64".to_owned()),
    }
}

/// Whether a program begins with the system's loader of libraries (a header `PT_INTERP`).
fn needs_loader(program: &[u8]) -> bool {
    let table = program
        .get(32..40)
        .map(|bytes| bytes.iter().rev().fold(0, |all, byte| (all << 8) | u64::from(*byte)));
    let (Some(table), Some(size), Some(count)) = (table, short(program, 54), short(program, 56)) else {
        return false;
    };
    let at = |index: u16| usize::try_from(table).ok()?.checked_add(usize::from(index) * usize::from(size));
    (0..count).any(|index| {
        at(index).and_then(|at| program.get(at..)).is_some_and(|header| header.starts_with(&[3, 0, 0, 0]))
    })
}

/// The number of two bytes at a place.
fn short(program: &[u8], at: usize) -> Option<u16> {
    program.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// One architecture's layer, configuration and manifest.
fn part(executor: &[u8], architecture: &str) -> std::io::Result<([Blob; 2], Blob)> {
    let files = tar(executor)?;
    let layer = Blob::new(LAYER, packed(&files)?);
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Entrypoint": [format!("/{PATH}")]},
        "rootfs": {"type": "layers", "diff_ids": [digest(&files)]},
    });
    let config = Blob::new(CONFIG, config.to_string().into_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": config.descriptor(), "layers": [layer.descriptor()],
    });
    Ok(([layer, config], Blob::new(MANIFEST, manifest.to_string().into_bytes())))
}

fn tar(executor: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(executor.len() as u64);
    header.set_mode(0o755);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, PATH, executor)?;
    archive.into_inner()
}

/// Without a name or a time in it.
fn packed(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes)?;
    packer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a program, as far as it is looked at.
    pub fn program(machine: u8) -> Vec<u8> {
        let mut head = b"\x7fELF\x02\x01".to_vec();
        head.resize(18, 0);
        head.extend([machine, 0, 1, 2, 3]);
        head
    }

    #[test]
    fn one_file_becomes_a_manifest_and_two_an_index() {
        let one = image(&[program(62)]).unwrap();
        let manifest: Value = serde_json::from_slice(&one.top.bytes).unwrap();
        assert_eq!((one.top.kind, one.parts.len(), one.blobs.len()), (MANIFEST, 0, 2));
        assert_eq!(manifest["layers"][0]["digest"], one.blobs[0].digest);
        let config: Value = serde_json::from_slice(&one.blobs[1].bytes).unwrap();
        assert_eq!(config["config"]["Entrypoint"], json!(["/dropforge-executor"]));
        assert_eq!(config["architecture"], "amd64");
        let both = image(&[program(62), program(183)]).unwrap();
        assert_eq!(both, Image { blobs: both.blobs.clone(), ..image(&[program(183), program(62)]).unwrap() });
        let index: Value = serde_json::from_slice(&both.top.bytes).unwrap();
        let platform = |at: usize| index["manifests"][at]["platform"]["architecture"].clone();
        assert_eq!([platform(0), platform(1)], ["amd64", "arm64"]);
        assert_eq!(index["manifests"][0]["digest"], one.top.digest);
    }

    #[test]
    fn the_layer_holds_the_executor_as_a_program() {
        let image = image(&[program(183)]).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&image.blobs[0].bytes[..]));
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some(PATH));
        assert_eq!((entry.header().mode().unwrap(), entry.header().mtime().unwrap()), (0o755, 0));
        assert_eq!(content, program(183));
        assert!(entries.next().is_none());
    }

    #[test]
    fn what_is_no_program_of_an_architecture_is_refused() {
        assert!(image(&[b"#!/bin/sh".to_vec()]).unwrap_err().contains("no Linux program"));
        assert!(image(&[program(40)]).unwrap_err().contains("no Linux program"));
        let mut dynamic = program(62);
        dynamic.resize(64, 0);
        (dynamic[32], dynamic[54], dynamic[56]) = (64, 56, 1);
        dynamic.extend([3, 0, 0, 0]);
        assert!(image(std::slice::from_ref(&dynamic)).unwrap_err().contains("not static"));
        dynamic[64] = 1;
        assert!(image(&[dynamic]).is_ok());
        assert_eq!(image(&[program(62), program(62)]).unwrap_err(), "two executors are for amd64");
    }
}
