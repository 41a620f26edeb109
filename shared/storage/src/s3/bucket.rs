//! The requests to one bucket, made with the SDK.

use std::io;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use dropforge_driver::store::StoreError;

use super::conditional::PAUSES;
use super::patience::patiently;
use super::requests::{Condition, Failure, Found, Head, Listed, Metadata, Requests};

/// Longer bodies have longer to arrive: a slow line still carries this much in a second.
const BYTES_PER_SECOND_MIN: u64 = 1024 * 1024;

/// As many objects S3 lists at a time.
const PAGE: usize = 1_000;

/// One bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) try_timeout: Duration,
    pub(super) patience: Duration,
}

impl Bucket {
    pub(super) fn new(client: Client, name: &str) -> Bucket {
        Bucket {
            client,
            name: name.to_owned(),
            try_timeout: Duration::from_secs(10),
            patience: Duration::ZERO,
        }
    }

    /// The SDK repeats nothing, and waits no longer than one try may take.
    fn once(&self, bytes: u64) -> config::Builder {
        let limit = self.try_timeout + Duration::from_secs(bytes / BYTES_PER_SECOND_MIN);
        let timeouts = TimeoutConfig::builder().operation_timeout(limit).build();
        config::Builder::new().retry_config(RetryConfig::disabled()).timeout_config(timeouts)
    }
}

impl Bucket {
    /// The listing page by page, until there are as many.
    async fn pages(&self, prefix: &str, after: Option<&str>, most: usize) -> Result<Vec<Listed>, Failure> {
        let mut listed = Vec::new();
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
        let page = (most < PAGE).then(|| i32::try_from(most).unwrap_or(i32::MAX));
        let request = request.set_start_after(after.map(str::to_owned)).set_max_keys(page);
        let mut pages = request.into_paginator().send();
        while listed.len() < most
            && let Some(page) = pages.next().await
        {
            for object in page.map_err(Failure::of)?.contents.unwrap_or_default() {
                let size = u64::try_from(object.size.unwrap_or(0)).unwrap_or(0);
                listed.extend(object.key.map(|key| Listed { key, size }));
            }
        }
        listed.truncate(most);
        Ok(listed)
    }
}

impl Requests for Bucket {
    async fn try_put(
        &self,
        key: &str,
        body: &Bytes,
        condition: Condition<'_>,
        metadata: Option<Metadata>,
    ) -> Result<String, Failure> {
        let (if_none_match, if_match) = match condition {
            Condition::Absent => (Some("*".to_owned()), None),
            Condition::Unchanged(etag) => (None, Some(quoted(etag))),
        };
        let put = self.client.put_object().bucket(&self.name).key(key).body(ByteStream::from(body.clone()));
        let put = put.set_if_none_match(if_none_match).set_if_match(if_match).set_metadata(metadata);
        let once = self.once(body.len() as u64);
        let sent = put.customize().config_override(once).send().await.map_err(Failure::of)?;
        Ok(unquoted(sent.e_tag()))
    }

    async fn try_remove(&self, key: &str, etag: &str) -> Result<(), Failure> {
        let remove = self.client.delete_object().bucket(&self.name).key(key).if_match(quoted(etag));
        remove.customize().config_override(self.once(0)).send().await.map(drop).map_err(Failure::of)
    }

    async fn replace(&self, key: &str, body: Vec<u8>) -> Result<(), StoreError> {
        let put = self.client.put_object().bucket(&self.name).key(key).body(ByteStream::from(body));
        put.send().await.map(drop).map_err(|error| Failure::of(error).at("write", key))
    }

    async fn read(
        &self,
        key: &str,
        range: Option<String>,
        bytes_max: u64,
    ) -> Result<Option<Found>, StoreError> {
        let mut last = None;
        for pause in PAUSES {
            let get = self.client.get_object().bucket(&self.name).key(key).set_range(range.clone());
            let answer = match get.send().await.map_err(Failure::of) {
                Ok(answer) => answer,
                Err(Failure::Missing) => return Ok(None),
                Err(failure) => return Err(failure.at("read", key)),
            };
            let size = u64::try_from(answer.content_length().unwrap_or(0)).unwrap_or(0);
            if size > bytes_max {
                let why = format!("it has {size} bytes, at most {bytes_max} are possible");
                return Err(StoreError::Damaged { key: key.to_owned(), offset: 0, why });
            }
            let etag = unquoted(answer.e_tag());
            // The SDK repeats what fails before the first byte, not what breaks off.
            match answer.body.collect().await {
                Ok(body) => return Ok(Some(Found { body: body.into_bytes(), etag })),
                Err(broken) => last = Some(io::Error::other(broken)),
            }
            self.pause(pause).await;
        }
        let source = last.unwrap_or_else(|| io::Error::other("it was not read"));
        Err(StoreError::Io { action: "read", key: key.to_owned(), source })
    }

    async fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        match self.client.head_object().bucket(&self.name).key(key).send().await.map_err(Failure::of) {
            Ok(head) => {
                let size = u64::try_from(head.content_length().unwrap_or(0)).unwrap_or(0);
                let etag = unquoted(head.e_tag());
                Ok(Some(Head { etag, size, metadata: head.metadata.unwrap_or_default() }))
            }
            Err(Failure::Missing) => Ok(None),
            Err(failure) => Err(failure.at("read", key)),
        }
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        match self.client.delete_object().bucket(&self.name).key(key).send().await.map_err(Failure::of) {
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure.at("remove", key)),
        }
    }

    async fn listed(
        &self,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let listed = patiently(self.patience, || self.pages(prefix, after, most)).await;
        listed.map_err(|failure| failure.at("list", prefix))
    }

    async fn folders(&self) -> Result<Vec<String>, StoreError> {
        let mut folders = Vec::new();
        let request = self.client.list_objects_v2().bucket(&self.name).delimiter("/");
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| Failure::of(error).at("list", "")).map(|page| page.common_prefixes);
            let prefixes = page?.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix);
            folders.extend(prefixes.map(|folder| folder.trim_end_matches('/').to_owned()));
        }
        Ok(folders)
    }

    async fn pause(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

/// Entity tags are kept without their quotes.
pub(super) fn unquoted(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

pub(super) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}
