//! From a message's text to what it says.

use dropforge_driver::ingest::{Announced, Notice};
use dropforge_queue::reminder::{REMINDER_FORMAT, Reminder};
use serde::Deserialize;

/// The largest message that is looked into; S3's have at most 64 KB.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// S3's limit for keys.
const KEY_BYTES_MAX: usize = 1024;

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// Something to do.
    Notice(Notice),
    /// Nothing: S3 tries a new notification, or tells of something else than a written object.
    Nothing,
    /// A newer version of ours sent it.
    Newer(u32),
    /// It is none of ours nor of S3's.
    Garbage(String),
}

/// Reads a message; anybody may have sent it.
pub fn read(body: &str) -> Message {
    if body.len() > BODY_BYTES_MAX {
        return Message::Garbage(format!("it has {} bytes, the most is {BODY_BYTES_MAX}", body.len()));
    }
    let announcement: Announcement = match serde_json::from_str(body) {
        Ok(announcement) => announcement,
        Err(why) => return Message::Garbage(why.to_string()),
    };
    match announcement {
        Announcement { records: Some(records), .. } => of_records(records),
        Announcement { detail: Some(detail), detail_type: Some(kind), .. } => of_detail(&kind, detail),
        Announcement { event: Some(event), .. } if event == "s3:TestEvent" => Message::Nothing,
        Announcement { remind: Some(_), format: Some(format), .. } => of_reminder(body, format),
        _ => Message::Garbage("it is neither an event of S3 nor a reminder".to_owned()),
    }
}

/// The forms that a message may have, told apart by their fields.
#[derive(Deserialize)]
struct Announcement {
    /// S3 to SQS.
    #[serde(rename = "Records")]
    records: Option<Vec<Record>>,
    /// S3 to SQS, when a notification is configured.
    #[serde(rename = "Event")]
    event: Option<String>,
    /// S3 to EventBridge to SQS.
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    detail: Option<Detail>,
    /// Ours.
    format: Option<u32>,
    remind: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_name: String,
    s3: Option<Stored>,
}

#[derive(Deserialize)]
struct Stored {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    #[serde(rename = "versionId", alias = "version-id")]
    version_id: Option<String>,
    #[serde(default)]
    sequencer: String,
}

#[derive(Deserialize)]
struct Detail {
    bucket: Option<Bucket>,
    object: Option<Object>,
}

fn of_records(records: Vec<Record>) -> Message {
    let mut objects = Vec::new();
    for record in records {
        let name = record.event_name.strip_prefix("s3:").unwrap_or(&record.event_name);
        let Some(stored) = record.s3.filter(|_| name.starts_with("ObjectCreated:")) else { continue };
        // Here keys are encoded as forms are; in EventBridge's events they are as they are.
        let Some(key) = form_decoded(&stored.object.key) else {
            return Message::Garbage(format!("its key {:?} is no text", stored.object.key));
        };
        match announced(stored.bucket, Object { key, ..stored.object }) {
            Ok(object) => objects.push(object),
            Err(why) => return Message::Garbage(why),
        }
    }
    told(objects)
}

fn of_detail(kind: &str, detail: Detail) -> Message {
    match (kind, detail.bucket, detail.object) {
        ("Object Created", Some(bucket), Some(object)) => match announced(bucket, object) {
            Ok(object) => told(vec![object]),
            Err(why) => Message::Garbage(why),
        },
        ("Object Created", ..) => Message::Garbage("its detail names no object".to_owned()),
        _ => Message::Nothing,
    }
}

fn told(objects: Vec<Announced>) -> Message {
    if objects.is_empty() { Message::Nothing } else { Message::Notice(Notice::Objects(objects)) }
}

fn announced(bucket: Bucket, object: Object) -> Result<Announced, String> {
    if object.key.is_empty() || object.key.len() > KEY_BYTES_MAX {
        return Err(format!("its key has {} bytes: S3 takes 1 to {KEY_BYTES_MAX}", object.key.len()));
    }
    // `null` is what S3 calls the version of an object from before its bucket kept versions.
    let version_id = object.version_id.filter(|version| !version.is_empty() && version != "null");
    Ok(Announced { bucket: bucket.name, key: object.key, version_id, sequencer: object.sequencer })
}

fn of_reminder(body: &str, format: u32) -> Message {
    if format > REMINDER_FORMAT {
        return Message::Newer(format);
    }
    match serde_json::from_str::<Reminder>(body) {
        Ok(reminder) => Message::Notice(Notice::Remind(reminder.remind)),
        Err(why) => Message::Garbage(why.to_string()),
    }
}

/// Undoes a form's encoding; none where what comes out is no UTF-8.
fn form_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escaped = digits.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
