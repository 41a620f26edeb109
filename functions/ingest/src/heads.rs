//! The facts of objects, as S3 tells them now.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{DisplayErrorContext, SdkError};
use aws_sdk_s3::operation::head_object::{HeadObjectError, HeadObjectOutput};
use dropforge_driver::ingest::{Announced, Heads};
use dropforge_driver::store::StoreError;
use dropforge_engine::spec::DroppedObject;
use jiff::Timestamp;

/// Objects in S3.
#[derive(Clone, Debug)]
pub struct S3Heads(Client);

impl S3Heads {
    /// With this client.
    pub fn new(client: Client) -> S3Heads {
        S3Heads(client)
    }
}

impl Heads for S3Heads {
    async fn head(&self, object: &Announced) -> Result<Option<DroppedObject>, StoreError> {
        let Announced { bucket, key, version_id, .. } = object;
        let request = self.0.head_object().bucket(bucket).key(key).set_version_id(version_id.clone());
        match request.send().await {
            Ok(head) => dropped(object, head).map(Some),
            Err(why) if is_gone(&why) => Ok(None),
            Err(why) => Err(failed(object, DisplayErrorContext(&why).to_string())),
        }
    }
}

/// A deleted object is missing, as its bucket may be, and a version that marks a deletion allows no request.
fn is_gone(why: &SdkError<HeadObjectError>) -> bool {
    let status = why.raw_response().map(|response| response.status().as_u16());
    matches!(status, Some(404 | 405))
}

fn dropped(object: &Announced, head: HeadObjectOutput) -> Result<DroppedObject, StoreError> {
    let written = head.last_modified().ok_or_else(|| failed(object, "no time is told".to_owned()))?;
    let time = Timestamp::new(written.secs(), i32::try_from(written.subsec_nanos()).unwrap_or(0));
    Ok(DroppedObject {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        version_id: head.version_id().filter(|version| *version != "null").unwrap_or_default().to_owned(),
        etag: head.e_tag().unwrap_or_default().trim_matches('"').to_owned(),
        size: head.content_length().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
        time: time.map_err(|why| failed(object, why.to_string()))?,
    })
}

fn failed(object: &Announced, why: String) -> StoreError {
    let key = format!("s3://{}/{}", object.bucket, object.key);
    StoreError::Io { action: "look at", key, source: std::io::Error::other(why) }
}
