//! The supervisor's socket, wherever the store lies: the path of a Unix socket may have 107 bytes only, so that
//! a longer one is reached through its folder's descriptor.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

const PATH_BYTES_MAX: usize = 107;

/// Listens; a socket that a dead supervisor left is replaced, which the caller's lock makes safe.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (short, _folder) = short(path)?;
    let listener = UnixListener::bind(short)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects, as owners do.
#[cfg(test)]
pub fn connect(path: &Path) -> io::Result<std::os::unix::net::UnixStream> {
    let (short, _folder) = short(path)?;
    std::os::unix::net::UnixStream::connect(short)
}

fn short(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok((path.to_path_buf(), None));
    }
    let folder = File::open(path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok((short, Some(folder)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_no_hindrance_and_a_stale_socket_is_replaced() {
        let at = tempfile::tempdir().unwrap();
        let folder = at.path().join("x".repeat(120));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("socket");
        for _ in 0..2 {
            let listener = listen(&path).unwrap();
            let _client = connect(&path).unwrap();
            listener.accept().unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(connect(&path).is_err(), "nobody listens any more");
    }
}
