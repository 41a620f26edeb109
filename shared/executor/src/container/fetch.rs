//! The files that a container leaves, from the engine's archives.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bollard::errors::Error as ApiError;
use bollard::query_parameters::DownloadFromContainerOptions;
use futures_core::Stream;

use super::client::{Client, is_absent};
use crate::step::places::{LINKS_MAX, Places};

/// Why an output can't be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The engine does not give it.
    #[error("fetch {} from the container", path.display())]
    Refused {
        /// Its path in the step.
        path: PathBuf,
        /// Why.
        #[source]
        source: ApiError,
    },
    /// It can't be put on this machine.
    #[error("put {} of the container on this machine", path.display())]
    Unpack {
        /// Its path in the step.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Brings what the container has at `path`, and where a link there leads to, below the step's own root. What is not
/// there is left out, and so is what lies on this machine anyway.
///
/// # Errors
/// When it is there and can't be had.
pub fn fetch(client: &Client, container: &str, path: &Path, places: &Places) -> Result<(), FetchError> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        if places.holds(&path) {
            return Ok(());
        }
        fetch_one(client, container, &path, places)?;
        match places.link(&path) {
            Some(target) => path = target,
            None => return Ok(()),
        }
    }
    Ok(())
}

fn fetch_one(client: &Client, container: &str, path: &Path, places: &Places) -> Result<(), FetchError> {
    let options = DownloadFromContainerOptions { path: path.to_string_lossy().into_owned() };
    let mut chunks = Box::pin(client.docker.download_from_container(container, Some(options)));
    let first = match client.next(&mut chunks) {
        None => return Ok(()),
        Some(Err(error)) if is_absent(&error) => return Ok(()),
        Some(first) => first.map_err(|source| FetchError::Refused { path: path.to_path_buf(), source })?,
    };
    let archive = Chunks { client, chunks, current: first, at: 0 };
    unpack(archive, path, places).map_err(|source| FetchError::Unpack { path: path.to_path_buf(), source })
}

/// The archive holds the last part of the path, and all below it.
fn unpack(archive: impl Read, path: &Path, places: &Places) -> io::Result<()> {
    let above = path.parent().unwrap_or(Path::new("/"));
    let folder = places.root.join(above.strip_prefix("/").unwrap_or(above));
    fs::create_dir_all(&folder)?;
    // A link that an output left here must not lead out.
    if !folder.canonicalize()?.starts_with(places.root.canonicalize()?) {
        return Err(io::Error::other("a link on its way leads elsewhere"));
    }
    let mut archive = tar::Archive::new(archive);
    archive.set_overwrite(true);
    archive.set_preserve_permissions(true);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !places.holds(&above.join(entry.path()?)) {
            entry.unpack_in(&folder)?;
        }
    }
    Ok(())
}

/// An answer as something to read.
struct Chunks<'a, S> {
    client: &'a Client,
    chunks: Pin<Box<S>>,
    current: bytes::Bytes,
    at: usize,
}

impl<S: Stream<Item = Result<bytes::Bytes, ApiError>>> Read for Chunks<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() {
            match self.client.next(&mut self.chunks) {
                None => return Ok(0),
                Some(next) => (self.current, self.at) = (next.map_err(io::Error::other)?, 0),
            }
        }
        let length = buffer.len().min(self.current.len() - self.at);
        buffer[..length].copy_from_slice(&self.current[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
