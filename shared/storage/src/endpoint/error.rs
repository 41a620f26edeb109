//! What failed, as an S3 error that says why.

use std::error::Error;
use std::fmt::Write;
use std::io::ErrorKind;

use dropforge_driver::store::StoreError;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

/// The store's error as S3 would answer it.
pub(super) fn from_store(error: StoreError) -> S3Error {
    let text = explain(&error);
    let code = match &error {
        StoreError::NotFound { .. } => S3ErrorCode::NoSuchKey,
        StoreError::BadName { what: "key", name, .. } if name.len() > 1024 => S3ErrorCode::KeyTooLongError,
        StoreError::BadName { what: "bucket", .. } => S3ErrorCode::InvalidBucketName,
        StoreError::BadName { .. } => S3ErrorCode::InvalidArgument,
        StoreError::Io { source, .. } => return from_io(source.kind(), text),
        StoreError::Damaged { .. } | StoreError::NewerFormat { .. } | StoreError::Owned { .. } => {
            S3ErrorCode::InternalError
        }
    };
    S3Error::with_message(code, text)
}

fn from_io(kind: ErrorKind, text: String) -> S3Error {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            let mut error = S3Error::with_message(S3ErrorCode::InternalError, text);
            // Not one of the statuses that clients try again: room does not come by asking.
            error.set_status_code(s3s_status(507));
            error
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            S3Error::with_message(S3ErrorCode::AccessDenied, text)
        }
        // A name that the file system can't hold, though S3 could.
        ErrorKind::InvalidFilename => S3Error::with_message(S3ErrorCode::KeyTooLongError, text),
        _ => S3Error::with_message(S3ErrorCode::InternalError, text),
    }
}

fn s3s_status(code: u16) -> http::StatusCode {
    http::StatusCode::from_u16(code).expect("it is between 100 and 999")
}

fn explain(error: &StoreError) -> String {
    let mut text = format!("failed to {error}");
    let mut source = error.source();
    while let Some(why) = source {
        let _ = write!(text, ": {why}");
        source = why.source();
    }
    text
}

/// Runs what reads and writes files where it may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> S3Result<T> + Send + 'static,
) -> S3Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => Err(s3_error!(InternalError, "The request could not be carried out: {error}")),
    }
}
