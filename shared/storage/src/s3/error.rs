//! What S3's answers mean.

use std::io::{self, ErrorKind};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::requests::Failure;

impl Failure {
    pub(super) fn of<E>(error: SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.code().unwrap_or_default().to_owned();
        // Credentials that can't be had are an error of the connector of no kind.
        let never_sent = match &error {
            SdkError::ConstructionFailure(_) => true,
            SdkError::DispatchFailure(failure) => {
                failure.as_connector_error().is_some_and(|e| e.is_other() && e.as_other().is_none())
            }
            _ => false,
        };
        let why = |kind| io::Error::new(kind, text(&error, &code));
        match status {
            Some(412) => Failure::Refused,
            Some(404) => Failure::Missing,
            Some(409) => Failure::Conflict(why(ErrorKind::ResourceBusy)),
            Some(401 | 403) => Failure::Final(why(ErrorKind::PermissionDenied)),
            Some(400) if code == "RequestTimeout" => Failure::Unknown(why(ErrorKind::TimedOut)),
            Some(429 | 500..) => Failure::Unknown(why(ErrorKind::ResourceBusy)),
            Some(300..) => Failure::Final(why(ErrorKind::InvalidInput)),
            None if never_sent => Failure::Final(why(ErrorKind::Other)),
            _ => Failure::Unknown(why(ErrorKind::TimedOut)),
        }
    }
}

/// The service's own code and words, or all that the SDK says on one line.
fn text<E>(error: &SdkError<E, HttpResponse>, code: &str) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.message() {
        Some(message) if !code.is_empty() => format!("{code}: {message}"),
        _ if !code.is_empty() => code.to_owned(),
        _ => dropforge_driver::owner::chain(error),
    }
}
