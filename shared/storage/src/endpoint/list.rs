//! Listings of objects, in both versions of the request.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dropforge_driver::store::StoreError;
use s3s::dto::{
    CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object, ObjectStorageClass,
};
use s3s::{S3Result, s3_error};

use super::condition::strong;
use super::error::from_store;
use super::headers::time;
use super::page::{Question, page, url_encoded};
use super::put::need_bucket;
use crate::objects::{Objects, Stat};

/// S3's limit, and its default.
pub(super) const KEYS_MAX: i32 = 1000;

/// What both versions of the request ask.
#[derive(Debug)]
struct Asked {
    bucket: String,
    prefix: Option<String>,
    delimiter: Option<String>,
    encoding: Option<EncodingType>,
    after: Option<String>,
    max: i32,
}

/// What both versions answer; names are encoded as asked.
#[derive(Debug)]
struct Listed {
    contents: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
    /// The last name, not encoded, where there is more.
    next: Option<String>,
}

/// Lists objects by a marker.
pub(super) fn by_marker(objects: &Objects, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
    let asked = Asked {
        bucket: input.bucket,
        prefix: input.prefix,
        delimiter: input.delimiter,
        encoding: input.encoding_type,
        after: input.marker,
        max: limit(input.max_keys)?,
    };
    let listed = list(objects, &asked)?;
    Ok(ListObjectsOutput {
        is_truncated: Some(listed.next.is_some()),
        next_marker: listed.next.map(|next| asked.encode(&next)),
        marker: asked.after.as_deref().map(|marker| asked.encode(marker)),
        prefix: Some(asked.encode(asked.prefix.as_deref().unwrap_or_default())),
        delimiter: asked.delimiter.as_deref().map(|delimiter| asked.encode(delimiter)),
        contents: Some(listed.contents),
        common_prefixes: Some(listed.prefixes),
        max_keys: Some(asked.max),
        encoding_type: asked.encoding,
        name: Some(asked.bucket),
        request_charged: None,
    })
}

/// Lists objects by a continuation token.
pub(super) fn by_token(objects: &Objects, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let after = match &input.continuation_token {
        Some(token) => Some(read_token(token)?),
        None => input.start_after.clone(),
    };
    let asked = Asked {
        bucket: input.bucket,
        prefix: input.prefix,
        delimiter: input.delimiter,
        encoding: input.encoding_type,
        after,
        max: limit(input.max_keys)?,
    };
    let listed = list(objects, &asked)?;
    let count = listed.contents.len() + listed.prefixes.len();
    Ok(ListObjectsV2Output {
        key_count: Some(i32::try_from(count).expect("a page has at most 1,000 names")),
        is_truncated: Some(listed.next.is_some()),
        next_continuation_token: listed.next.map(|next| URL_SAFE_NO_PAD.encode(next)),
        continuation_token: input.continuation_token,
        start_after: input.start_after.as_deref().map(|after| asked.encode(after)),
        prefix: Some(asked.encode(asked.prefix.as_deref().unwrap_or_default())),
        delimiter: asked.delimiter.as_deref().map(|delimiter| asked.encode(delimiter)),
        contents: Some(listed.contents),
        common_prefixes: Some(listed.prefixes),
        max_keys: Some(asked.max),
        encoding_type: asked.encoding,
        name: Some(asked.bucket),
        request_charged: None,
    })
}

/// How many names are asked for.
pub(super) fn limit(asked: Option<i32>) -> S3Result<i32> {
    match asked.unwrap_or(KEYS_MAX) {
        negative if negative < 0 => Err(s3_error!(InvalidArgument, "A limit can't be negative.")),
        limit => Ok(limit.min(KEYS_MAX)),
    }
}

fn read_token(token: &str) -> S3Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token is not one of this endpoint's."))
}

impl Asked {
    fn encode(&self, text: &str) -> String {
        match &self.encoding {
            Some(encoding) if encoding.as_str() == EncodingType::URL => url_encoded(text),
            _ => text.to_owned(),
        }
    }
}

fn list(objects: &Objects, asked: &Asked) -> S3Result<Listed> {
    need_bucket(objects, &asked.bucket)?;
    let prefix = asked.prefix.as_deref().unwrap_or_default();
    let found = objects.list(&asked.bucket, prefix).map_err(from_store)?.objects;
    let keys: Vec<&str> = found.iter().map(|stat| stat.key.as_str()).collect();
    let question = Question {
        prefix,
        delimiter: asked.delimiter.as_deref(),
        after: asked.after.as_deref(),
        max: usize::try_from(asked.max).unwrap_or_default(),
    };
    let page = page(&keys, question);
    let contents = page.keys.iter().map(|at| object(objects, asked, &found[*at]));
    let prefixes = page.prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(asked.encode(prefix)) });
    Ok(Listed {
        contents: contents.collect::<Result<_, _>>().map_err(from_store)?,
        prefixes: prefixes.collect(),
        next: page.next.map(str::to_owned),
    })
}

fn object(objects: &Objects, asked: &Asked, stat: &Stat) -> Result<Object, StoreError> {
    let facts = objects.facts(stat)?;
    Ok(Object {
        key: Some(asked.encode(&stat.key)),
        e_tag: Some(strong(&facts.etag)),
        last_modified: Some(time(stat.modified)),
        size: i64::try_from(stat.size).ok(),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Object::default()
    })
}
