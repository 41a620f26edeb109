//! The two directions of a connection, each waited for only when it has to be. Who waits for both at once is woken each
//! time the other side has read what was written: once more for every step.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Receiver;

/// What comes in. Of a pipe only what can be read is waited for, and a socket is read as a pipe is.
pub type Reading = Receiver;

/// The directions of a connection that does not block.
///
/// # Errors
/// When the system has no descriptor, or can't watch one.
pub fn halves(stream: UnixStream) -> io::Result<(Reading, Writing)> {
    let writing = Writing(stream.try_clone()?);
    Ok((Receiver::from_owned_fd_unchecked(stream.into())?, writing))
}

/// What goes out. The other side is told when nothing more does.
pub struct Writing(UnixStream);

impl Writing {
    /// Writes all of it.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            match (&self.0).write(&bytes[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut waiting = tokio::net::UnixStream::from_std(self.0.try_clone()?)?;
                    return waiting.write_all(&bytes[written..]).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // The other side may be gone.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::time::timeout;

    use super::*;

    fn pair() -> ((Reading, Writing), (Reading, Writing)) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        for stream in [&ours, &theirs] {
            stream.set_nonblocking(true).unwrap();
        }
        (halves(ours).unwrap(), halves(theirs).unwrap())
    }

    #[tokio::test]
    async fn more_than_the_kernel_keeps_comes_through_in_its_order() {
        let ((_incoming, mut writing), (mut reading, _outgoing)) = pair();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let all = sent.clone();
        let telling = tokio::spawn(async move { writing.write_all(&all).await });
        let mut read = vec![0; sent.len()];
        reading.read_exact(&mut read).await.unwrap();
        assert!(read == sent);
        telling.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_has_nothing_more_to_say_still_hears_the_other() {
        let ((mut incoming, writing), (mut reading, mut outgoing)) = pair();
        drop(writing);
        let heard = timeout(Duration::from_secs(10), reading.read(&mut [0; 8])).await;
        assert_eq!(heard.expect("nobody said that nothing more comes").unwrap(), 0);
        outgoing.write_all(b"last").await.unwrap();
        let mut heard = [0; 4];
        incoming.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"last");
    }
}
