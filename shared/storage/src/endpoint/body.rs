//! A request's body on its way into a file: hashed as it passes, checked against what the client says of it.

use std::io::Write;
use std::pin::Pin;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use dropforge_driver::store::StoreError;
use futures_core::Stream;
use s3s::checksum::ChecksumHasher;
use s3s::dto::{Checksum, ChecksumAlgorithm, StreamingBlob};
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders, s3_error};
use tokio::sync::mpsc;

use super::error::{blocking, from_store};
use crate::objects::{Objects, Upload};

/// Pieces of a body between the connection and the disk; a piece is what hyper read at once, at most a few
/// hundred KiB, so memory stays flat whatever the body's size.
const PIECES: usize = 8;

/// What the client says of a body.
#[derive(Debug, Default)]
pub(super) struct Claims {
    pub(super) length: Option<i64>,
    pub(super) content_md5: Option<String>,
    /// Checksums given in headers.
    pub(super) checksum: Checksum,
    /// The algorithm of a checksum that follows the body.
    pub(super) algorithm: Option<ChecksumAlgorithm>,
    /// Names of headers that follow the body.
    pub(super) trailer: Option<String>,
    /// Those headers, once the body has been read.
    pub(super) trailing: Option<TrailingHeaders>,
}

/// A body that is written and is what the client says.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) upload: Upload,
    pub(super) checksum: Checksum,
}

/// Writes a body to a file that is not an object yet.
pub(super) async fn receive(
    objects: &Objects,
    body: Option<StreamingBlob>,
    claims: Claims,
) -> S3Result<Received> {
    let size = claims.length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
    let (pieces, mut arriving) = mpsc::channel::<Bytes>(PIECES);
    let hasher = claims.hasher();
    let objects = objects.clone();
    // When the request is given up, `pieces` goes, the writer ends, and its file goes with it.
    let written = tokio::spawn(blocking(move || {
        let upload = objects.upload(size).map_err(from_store)?;
        write(upload, hasher, || arriving.blocking_recv())
    }));
    if let Some(body) = body {
        hand_over(body, &pieces).await?;
    }
    drop(pieces);
    let received = written.await.map_err(S3Error::internal_error)??;
    claims.check(&received)?;
    Ok(received)
}

/// Reads a body to its end, or until the writer takes no more, whose own error says why.
async fn hand_over(mut body: StreamingBlob, pieces: &mpsc::Sender<Bytes>) -> S3Result<()> {
    let mut body = Pin::new(&mut body);
    loop {
        let piece = tokio::select! {
            piece = std::future::poll_fn(|cx| body.as_mut().poll_next(cx)) => piece,
            () = pieces.closed() => return Ok(()),
        };
        let Some(piece) = piece else { return Ok(()) };
        if pieces.send(piece.map_err(broken)?).await.is_err() {
            return Ok(());
        }
    }
}

fn write(
    mut upload: Upload,
    mut hasher: ChecksumHasher,
    mut next: impl FnMut() -> Option<Bytes>,
) -> S3Result<Received> {
    while let Some(piece) = next() {
        hasher.update(&piece);
        upload.write_all(&piece).map_err(|source| {
            let key = "the request's body".to_owned();
            from_store(StoreError::Io { action: "write", key, source })
        })?;
    }
    Ok(Received { upload, checksum: hasher.finalize() })
}

/// `s3s` keeps its stream errors to itself; their text begins with the type and ends with the case.
fn broken(error: s3s::StdError) -> S3Error {
    let text = error.to_string();
    if text.ends_with("Sha256Mismatch") {
        let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        let mut error = S3Error::with_message(code, "The body's SHA-256 is not the one that was signed.");
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        return error;
    }
    let code = match text.ends_with("SignatureMismatch") {
        true => S3ErrorCode::SignatureDoesNotMatch,
        false => S3ErrorCode::IncompleteBody,
    };
    S3Error::with_message(code, format!("The body could not be read: {text}"))
}

impl Claims {
    /// Computes every checksum that is claimed in a header, or will be after the body.
    fn hasher(&self) -> ChecksumHasher {
        let asked = |name: &str, claimed: &Option<String>| {
            let by_algorithm = self
                .algorithm
                .as_ref()
                .is_some_and(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name));
            let header = format!("x-amz-checksum-{name}");
            let by_trailer = self.trailer.as_ref().is_some_and(|trailer| {
                trailer.split(',').any(|part| part.trim().eq_ignore_ascii_case(&header))
            });
            claimed.is_some() || by_algorithm || by_trailer
        };
        ChecksumHasher {
            crc32: asked("crc32", &self.checksum.checksum_crc32).then(Default::default),
            crc32c: asked("crc32c", &self.checksum.checksum_crc32c).then(Default::default),
            crc64nvme: asked("crc64nvme", &self.checksum.checksum_crc64nvme).then(Default::default),
            sha1: asked("sha1", &self.checksum.checksum_sha1).then(Default::default),
            sha256: asked("sha256", &self.checksum.checksum_sha256).then(Default::default),
        }
    }

    fn check(&self, received: &Received) -> S3Result<()> {
        if self.length.is_some_and(|length| i64::try_from(received.upload.size()) != Ok(length)) {
            return Err(s3_error!(IncompleteBody, "The body is not as long as its Content-Length."));
        }
        if let Some(claimed) = &self.content_md5 {
            let claimed = BASE64.decode(claimed).ok().filter(|md5| md5.len() == 16);
            let claimed = claimed.ok_or_else(|| s3_error!(InvalidDigest, "Content-MD5 is not an MD5."))?;
            if claimed != received.upload.md5() {
                return Err(s3_error!(BadDigest, "Content-MD5 is not the MD5 of the body."));
            }
        }
        same(&self.checksum, &received.checksum)?;
        self.check_trailing(&received.checksum)
    }

    fn check_trailing(&self, computed: &Checksum) -> S3Result<()> {
        let Some(headers) = self.trailing.as_ref().and_then(TrailingHeaders::take) else { return Ok(()) };
        let get = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let claimed = Checksum {
            checksum_crc32: get("x-amz-checksum-crc32"),
            checksum_crc32c: get("x-amz-checksum-crc32c"),
            checksum_crc64nvme: get("x-amz-checksum-crc64nvme"),
            checksum_sha1: get("x-amz-checksum-sha1"),
            checksum_sha256: get("x-amz-checksum-sha256"),
            checksum_type: None,
        };
        same(&claimed, computed)
    }
}

/// Fails when a claimed checksum is not the computed one.
pub(super) fn same(claimed: &Checksum, computed: &Checksum) -> S3Result<()> {
    let pairs = [
        ("CRC32", &claimed.checksum_crc32, &computed.checksum_crc32),
        ("CRC32C", &claimed.checksum_crc32c, &computed.checksum_crc32c),
        ("CRC64NVME", &claimed.checksum_crc64nvme, &computed.checksum_crc64nvme),
        ("SHA1", &claimed.checksum_sha1, &computed.checksum_sha1),
        ("SHA256", &claimed.checksum_sha256, &computed.checksum_sha256),
    ];
    for (name, claimed, computed) in pairs {
        if claimed.is_some() && claimed != computed {
            return Err(s3_error!(BadDigest, "The {name} you specified is not that of the content."));
        }
    }
    Ok(())
}
