//! What a writer says of an object beside its bytes, as it is remembered: header names in lower case.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use s3s::dto::{Checksum, CreateMultipartUploadInput, PutObjectInput};

/// Headers by name.
pub(super) type Metadata = BTreeMap<String, String>;

const USER: &str = "x-amz-meta-";
const CHECKSUM: &str = "x-amz-checksum-";

/// What S3 answers where nobody said what the content is.
pub(super) const UNKNOWN_TYPE: &str = "binary/octet-stream";

/// The headers that are kept and given back as they came.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) user: Option<HashMap<String, String>>,
}

impl Described {
    pub(super) fn of_put(input: &mut PutObjectInput) -> Described {
        Described {
            content_type: input.content_type.take(),
            content_encoding: input.content_encoding.take(),
            content_disposition: input.content_disposition.take(),
            content_language: input.content_language.take(),
            cache_control: input.cache_control.take(),
            user: input.metadata.take(),
        }
    }

    pub(super) fn of_upload(input: &mut CreateMultipartUploadInput) -> Described {
        Described {
            content_type: input.content_type.take(),
            content_encoding: input.content_encoding.take(),
            content_disposition: input.content_disposition.take(),
            content_language: input.content_language.take(),
            cache_control: input.cache_control.take(),
            user: input.metadata.take(),
        }
    }

    pub(super) fn into_metadata(self) -> Metadata {
        let encoding = self.content_encoding.as_deref().and_then(without_framing);
        let standard = [
            ("content-type", self.content_type),
            ("content-encoding", encoding),
            ("content-disposition", self.content_disposition),
            ("content-language", self.content_language),
            ("cache-control", self.cache_control),
        ];
        let mut metadata: Metadata = standard
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|value| !value.is_empty())?)))
            .collect();
        for (name, value) in self.user.into_iter().flatten() {
            metadata.insert(format!("{USER}{}", name.to_lowercase()), value);
        }
        metadata
    }

    /// The headers as they were remembered.
    pub(super) fn remembered(metadata: &Metadata) -> Described {
        let get = |name: &str| metadata.get(name).cloned();
        let user = metadata.iter().filter_map(|(name, value)| Some((name.strip_prefix(USER)?, value)));
        let user: HashMap<_, _> = user.map(|(name, value)| (name.to_owned(), value.clone())).collect();
        Described {
            content_type: get("content-type").or_else(|| Some(UNKNOWN_TYPE.to_owned())),
            content_encoding: get("content-encoding"),
            content_disposition: get("content-disposition"),
            content_language: get("content-language"),
            cache_control: get("cache-control"),
            user: Some(user).filter(|user| !user.is_empty()),
        }
    }
}

/// Adds checksums of the whole content.
pub(super) fn add_checksum(metadata: &mut Metadata, checksum: &Checksum) {
    let sums = [
        ("crc32", &checksum.checksum_crc32),
        ("crc32c", &checksum.checksum_crc32c),
        ("crc64nvme", &checksum.checksum_crc64nvme),
        ("sha1", &checksum.checksum_sha1),
        ("sha256", &checksum.checksum_sha256),
    ];
    for (name, sum) in sums {
        metadata.extend(sum.clone().map(|sum| (format!("{CHECKSUM}{name}"), sum)));
    }
}

/// The checksums of the whole content that were remembered.
pub(super) fn checksum(metadata: &Metadata) -> Checksum {
    let get = |name: &str| metadata.get(&format!("{CHECKSUM}{name}")).cloned();
    Checksum {
        checksum_crc32: get("crc32"),
        checksum_crc32c: get("crc32c"),
        checksum_crc64nvme: get("crc64nvme"),
        checksum_sha1: get("sha1"),
        checksum_sha256: get("sha256"),
        checksum_type: None,
    }
}

/// `aws-chunked` names the framing of one request and is no property of the object.
fn without_framing(encoding: &str) -> Option<String> {
    let kept: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty() && *part != "aws-chunked")
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// A time as `s3s` writes it; one before 1970 is the beginning of 1970.
pub(super) fn time(at: Timestamp) -> s3s::dto::Timestamp {
    let since = Duration::from_nanos(u64::try_from(at.as_nanosecond()).unwrap_or_default());
    (SystemTime::UNIX_EPOCH + since).into()
}

/// A time of a request; `s3s` has no way to one of jiff's but text.
pub(super) fn read_time(at: &s3s::dto::Timestamp) -> Option<Timestamp> {
    let mut text = Vec::new();
    at.format(s3s::dto::TimestampFormat::DateTime, &mut text).ok()?;
    std::str::from_utf8(&text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were_put() {
        let described = Described {
            content_type: Some("text/csv".to_owned()),
            content_encoding: Some("gzip,aws-chunked".to_owned()),
            user: Some([("Owner".to_owned(), "ada".to_owned())].into()),
            ..Described::default()
        };
        let metadata = described.into_metadata();
        let back = Described::remembered(&metadata);
        assert_eq!(back.content_type.as_deref(), Some("text/csv"));
        assert_eq!(back.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(back.user, Some([("owner".to_owned(), "ada".to_owned())].into()));
        assert_eq!(back.cache_control, None);
    }

    #[test]
    fn the_framing_alone_is_no_encoding() {
        assert_eq!(without_framing("aws-chunked"), None);
        assert_eq!(without_framing(" gzip, aws-chunked"), Some("gzip".to_owned()));
    }

    #[test]
    fn a_time_survives_the_way_there_and_back() {
        let at: Timestamp = "2026-03-01T12:30:15.25Z".parse().unwrap();
        assert_eq!(read_time(&time(at)), Some(at));
    }
}
