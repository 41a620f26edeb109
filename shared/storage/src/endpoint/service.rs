//! The S3 operations: each decodes its input, calls functions on files, and encodes what they answer.

use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::announce::{Announcer, create_bucket};
use super::body::{Claims, receive};
use super::condition::{ReadCondition, of_put, strong};
use super::error::{blocking, from_store};
use super::get::{self, Answer};
use super::headers::{Described, add_checksum, read_time, time};
use super::list::{by_marker, by_token, limit};
use super::multipart::{Part as KeptPart, Uploads};
use super::put::{self, Source};
use super::{Credentials, Options};
use crate::objects::{Objects, Stat};

/// The endpoint behind the protocol.
pub(super) struct Service {
    objects: Objects,
    uploads: Uploads,
    credentials: Credentials,
    auto_create: bool,
    announcer: Announcer,
}

type Answered<T> = S3Result<S3Response<T>>;

fn answer<T>(output: T) -> Answered<T> {
    Ok(S3Response::new(output))
}

impl Service {
    pub(super) fn new(objects: Objects, options: Options, announcer: Announcer) -> Service {
        let uploads = Uploads::new(objects.clone());
        uploads.sweep();
        let Options { credentials, auto_create } = options;
        Service { objects, uploads, credentials, auto_create, announcer }
    }

    /// Runs a function on the objects where it may wait for the disk.
    async fn on_objects<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Objects) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let objects = self.objects.clone();
        blocking(move || work(&objects)).await
    }

    async fn on_uploads<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Uploads) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let uploads = self.uploads.clone();
        blocking(move || work(&uploads)).await
    }

    /// The bucket of something that is put.
    async fn target(&self, bucket: &str) -> S3Result<()> {
        let bucket = bucket.to_owned();
        let auto_create = self.auto_create;
        self.on_objects(move |objects| {
            if auto_create {
                create_bucket(objects, &bucket).map_err(from_store)?;
            }
            put::need_bucket(objects, &bucket)
        })
        .await
    }

    /// Tells of an object that was put.
    async fn announce(&self, stat: Stat, etag: String) -> S3Result<()> {
        let announcer = self.announcer.clone();
        blocking(move || {
            announcer.created(&stat, Some(&etag));
            Ok(())
        })
        .await
    }

    async fn remove(&self, bucket: String, key: String) -> S3Result<()> {
        let announcer = self.announcer.clone();
        self.on_objects(move |objects| {
            if put::delete(objects, &bucket, &key)? {
                announcer.removed(&bucket, &key);
            }
            Ok(())
        })
        .await
    }
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> Answered<ListBucketsOutput> {
        let buckets = self
            .on_objects(|objects| {
                let names = objects.bucket_names().map_err(from_store)?;
                let made = |name: &str| objects.bucket(name).ok()?.metadata().ok()?.modified().ok();
                let bucket = |name: String| Bucket {
                    creation_date: made(&name).map(Into::into),
                    name: Some(name),
                    ..Bucket::default()
                };
                Ok(names.into_iter().map(bucket).collect())
            })
            .await?;
        let owner = Owner { id: Some(self.credentials.access_key.clone()), ..Owner::default() };
        answer(ListBucketsOutput {
            buckets: Some(buckets),
            owner: Some(owner),
            ..ListBucketsOutput::default()
        })
    }

    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> Answered<CreateBucketOutput> {
        let bucket = request.input.bucket;
        let location = format!("/{bucket}");
        self.on_objects(move |objects| match create_bucket(objects, &bucket).map_err(from_store)? {
            true => Ok(()),
            false => Err(s3_error!(BucketAlreadyOwnedByYou, "The bucket {bucket:?} exists.")),
        })
        .await?;
        answer(CreateBucketOutput { location: Some(location) })
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> Answered<HeadBucketOutput> {
        let bucket = request.input.bucket;
        self.on_objects(move |objects| put::need_bucket(objects, &bucket)).await?;
        let bucket_region = Some(self.credentials.region.clone());
        answer(HeadBucketOutput { bucket_region, ..HeadBucketOutput::default() })
    }

    async fn delete_bucket(&self, request: S3Request<DeleteBucketInput>) -> Answered<DeleteBucketOutput> {
        let bucket = request.input.bucket;
        self.on_objects(move |objects| put::delete_bucket(objects, &bucket)).await?;
        answer(DeleteBucketOutput::default())
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> Answered<GetBucketLocationOutput> {
        let bucket = request.input.bucket;
        self.on_objects(move |objects| put::need_bucket(objects, &bucket)).await?;
        // S3 leaves it empty for its first region.
        let region = Some(self.credentials.region.clone()).filter(|region| region != "us-east-1");
        answer(GetBucketLocationOutput { location_constraint: region.map(BucketLocationConstraint::from) })
    }

    async fn list_objects(&self, request: S3Request<ListObjectsInput>) -> Answered<ListObjectsOutput> {
        answer(self.on_objects(|objects| by_marker(objects, request.input)).await?)
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> Answered<ListObjectsV2Output> {
        answer(self.on_objects(|objects| by_token(objects, request.input)).await?)
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Answered<PutObjectOutput> {
        let trailer = header(&request.headers, "x-amz-trailer");
        let trailing = request.trailing_headers;
        let mut input = request.input;
        self.target(&input.bucket).await?;
        let condition = of_put(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let described = Described::of_put(&mut input);
        let claims = Claims {
            length: input.content_length,
            content_md5: input.content_md5,
            checksum: Checksum {
                checksum_crc32: input.checksum_crc32,
                checksum_crc32c: input.checksum_crc32c,
                checksum_crc64nvme: input.checksum_crc64nvme,
                checksum_sha1: input.checksum_sha1,
                checksum_sha256: input.checksum_sha256,
                checksum_type: None,
            },
            algorithm: input.checksum_algorithm,
            trailer,
            trailing,
        };
        let received = receive(&self.objects, input.body, claims).await?;
        let checksum = received.checksum.clone();
        let mut metadata = described.into_metadata();
        add_checksum(&mut metadata, &received.checksum);
        let (bucket, key) = (input.bucket, input.key);
        let (stat, etag) = self
            .on_objects(move |objects| {
                let etag = crate::objects::hex(&received.upload.md5());
                let name = (bucket.as_str(), key.as_str());
                Ok((put::finish(objects, received.upload, name, metadata, &condition)?, etag))
            })
            .await?;
        self.announce(stat, etag.clone()).await?;
        answer(PutObjectOutput {
            e_tag: Some(strong(&etag)),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..PutObjectOutput::default()
        })
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answered<GetObjectOutput> {
        let input = request.input;
        refuse_part_number(input.part_number)?;
        let condition = ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since.as_ref().and_then(read_time),
            if_unmodified_since: input.if_unmodified_since.as_ref().and_then(read_time),
        };
        let (bucket, key, range) = (input.bucket, input.key, input.range);
        let (file, found) = self
            .on_objects(move |objects| {
                let (file, found) = get::open(objects, &bucket, &key)?;
                Ok((file, Answer::new(found, &condition, range)?))
            })
            .await?;
        let wants_checksum = input.checksum_mode.is_some();
        let checksum = if wants_checksum { found.checksum() } else { Checksum::default() };
        let described = Described::remembered(&found.facts.metadata);
        let output = GetObjectOutput {
            body: Some(get::stream(file, &found.bytes)?),
            content_length: Some(found.length()),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(strong(&found.facts.etag)),
            last_modified: Some(time(found.stat.modified)),
            content_type: input.response_content_type.or(described.content_type),
            content_encoding: input.response_content_encoding.or(described.content_encoding),
            content_disposition: input.response_content_disposition.or(described.content_disposition),
            content_language: input.response_content_language.or(described.content_language),
            cache_control: input.response_cache_control.or(described.cache_control),
            metadata: described.user,
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            content_range: found.content_range,
            ..GetObjectOutput::default()
        };
        answer(output)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answered<HeadObjectOutput> {
        let input = request.input;
        refuse_part_number(input.part_number)?;
        let condition = ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since.as_ref().and_then(read_time),
            if_unmodified_since: input.if_unmodified_since.as_ref().and_then(read_time),
        };
        let (bucket, key, range) = (input.bucket, input.key, input.range);
        let found = self
            .on_objects(move |objects| Answer::new(put::look_up(objects, &bucket, &key)?, &condition, range))
            .await?;
        let wants_checksum = input.checksum_mode.is_some();
        let checksum = if wants_checksum { found.checksum() } else { Checksum::default() };
        let described = Described::remembered(&found.facts.metadata);
        answer(HeadObjectOutput {
            content_length: Some(found.length()),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(strong(&found.facts.etag)),
            last_modified: Some(time(found.stat.modified)),
            content_type: described.content_type,
            content_encoding: described.content_encoding,
            content_disposition: described.content_disposition,
            content_language: described.content_language,
            cache_control: described.cache_control,
            metadata: described.user,
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            content_range: found.content_range,
            ..HeadObjectOutput::default()
        })
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> Answered<DeleteObjectOutput> {
        self.remove(request.input.bucket, request.input.key).await?;
        answer(DeleteObjectOutput::default())
    }

    async fn delete_objects(&self, request: S3Request<DeleteObjectsInput>) -> Answered<DeleteObjectsOutput> {
        let DeleteObjectsInput { bucket, delete, .. } = request.input;
        let wanted = bucket.clone();
        self.on_objects(move |objects| put::need_bucket(objects, &wanted)).await?;
        let quiet = delete.quiet.unwrap_or_default();
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in delete.objects {
            let key = Some(object.key.clone());
            match self.remove(bucket.clone(), object.key).await {
                Ok(()) if quiet => {}
                Ok(()) => deleted.push(DeletedObject { key, ..DeletedObject::default() }),
                Err(error) => errors.push(Error {
                    key,
                    code: Some(error.code().as_str().to_owned()),
                    message: error.message().map(str::to_owned),
                    version_id: None,
                }),
            }
        }
        answer(DeleteObjectsOutput {
            deleted: Some(deleted),
            errors: Some(errors),
            ..DeleteObjectsOutput::default()
        })
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answered<CopyObjectOutput> {
        let input = request.input;
        self.target(&input.bucket).await?;
        let condition = ReadCondition {
            if_match: input.copy_source_if_match,
            if_none_match: input.copy_source_if_none_match,
            if_modified_since: input.copy_source_if_modified_since.as_ref().and_then(read_time),
            if_unmodified_since: input.copy_source_if_unmodified_since.as_ref().and_then(read_time),
        };
        let source = source(input.copy_source, condition)?;
        let replaces = input
            .metadata_directive
            .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
        let described = Described {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            content_disposition: input.content_disposition,
            content_language: input.content_language,
            cache_control: input.cache_control,
            user: input.metadata,
        };
        let metadata = replaces.then(|| described.into_metadata());
        let (bucket, key) = (input.bucket, input.key);
        let (stat, facts) =
            self.on_objects(move |objects| put::copy(objects, &source, (&bucket, &key), metadata)).await?;
        let result = CopyObjectResult {
            e_tag: Some(strong(&facts.etag)),
            last_modified: Some(time(stat.modified)),
            ..CopyObjectResult::default()
        };
        self.announce(stat, facts.etag).await?;
        answer(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() })
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answered<CreateMultipartUploadOutput> {
        let mut input = request.input;
        self.target(&input.bucket).await?;
        let metadata = Described::of_upload(&mut input).into_metadata();
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let id = self.on_uploads(move |uploads| uploads.create(&bucket, &key, metadata)).await?;
        answer(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            ..CreateMultipartUploadOutput::default()
        })
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answered<UploadPartOutput> {
        let trailer = header(&request.headers, "x-amz-trailer");
        let trailing = request.trailing_headers;
        let input = request.input;
        let (id, bucket, key) = (input.upload_id.clone(), input.bucket, input.key);
        self.on_uploads(move |uploads| uploads.find(&id, &bucket, &key)).await?;
        let claims = Claims {
            length: input.content_length,
            content_md5: input.content_md5,
            checksum: Checksum {
                checksum_crc32: input.checksum_crc32,
                checksum_crc32c: input.checksum_crc32c,
                checksum_crc64nvme: input.checksum_crc64nvme,
                checksum_sha1: input.checksum_sha1,
                checksum_sha256: input.checksum_sha256,
                checksum_type: None,
            },
            algorithm: input.checksum_algorithm,
            trailer,
            trailing,
        };
        let received = receive(self.uploads.parts(), input.body, claims).await?;
        let checksum = received.checksum.clone();
        let (id, number) = (input.upload_id, input.part_number);
        let part = self.on_uploads(move |uploads| uploads.keep(&id, number, received)).await?;
        answer(UploadPartOutput {
            e_tag: Some(strong(&part.etag)),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..UploadPartOutput::default()
        })
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> Answered<UploadPartCopyOutput> {
        let input = request.input;
        let condition = ReadCondition {
            if_match: input.copy_source_if_match,
            if_none_match: input.copy_source_if_none_match,
            if_modified_since: input.copy_source_if_modified_since.as_ref().and_then(read_time),
            if_unmodified_since: input.copy_source_if_unmodified_since.as_ref().and_then(read_time),
        };
        let source = source(input.copy_source, condition)?;
        let (id, bucket, key) = (input.upload_id, input.bucket, input.key);
        let (number, range) = (input.part_number, input.copy_source_range);
        let part = self
            .on_uploads(move |uploads| {
                uploads.find(&id, &bucket, &key)?;
                uploads.keep_copy(&id, number, &source, range.as_deref())
            })
            .await?;
        let result = CopyPartResult {
            e_tag: Some(strong(&part.etag)),
            last_modified: Some(time(part.stat.modified)),
            ..CopyPartResult::default()
        };
        answer(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() })
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answered<CompleteMultipartUploadOutput> {
        let input = request.input;
        let condition = of_put(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let claimed = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            checksum_type: None,
        };
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let (id, bucket, key) = (input.upload_id, input.bucket, input.key);
        let (stat, etag) = self
            .on_uploads(move |uploads| {
                let description = uploads.find(&id, &bucket, &key)?;
                let done = uploads.complete(&id, description, &named, &claimed, &condition)?;
                // The object is there: what can't be removed only takes room.
                if let Err(error) = uploads.forget(&id) {
                    tracing::warn!(%error, upload = id, "the parts of a completed upload stay");
                }
                Ok(done)
            })
            .await?;
        let output = CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", stat.bucket, stat.key)),
            bucket: Some(stat.bucket.clone()),
            key: Some(stat.key.clone()),
            e_tag: Some(strong(&etag)),
            ..CompleteMultipartUploadOutput::default()
        };
        self.announce(stat, etag).await?;
        answer(output)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answered<AbortMultipartUploadOutput> {
        let AbortMultipartUploadInput { bucket, key, upload_id, .. } = request.input;
        self.on_uploads(move |uploads| {
            uploads.find(&upload_id, &bucket, &key)?;
            uploads.forget(&upload_id)
        })
        .await?;
        answer(AbortMultipartUploadOutput::default())
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> Answered<ListPartsOutput> {
        let input = request.input;
        let max = limit(input.max_parts)?;
        let after = input.part_number_marker.unwrap_or_default();
        let (id, bucket, key) = (input.upload_id.clone(), input.bucket.clone(), input.key.clone());
        let mut parts = self
            .on_uploads(move |uploads| {
                uploads.find(&id, &bucket, &key)?;
                uploads.list(&id)
            })
            .await?;
        parts.retain(|part| part.number > after);
        let is_truncated = parts.len() > usize::try_from(max).unwrap_or_default();
        parts.truncate(usize::try_from(max).unwrap_or_default());
        answer(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            part_number_marker: Some(after),
            next_part_number_marker: parts.last().map(|part| part.number),
            max_parts: Some(max),
            is_truncated: Some(is_truncated),
            parts: Some(parts.into_iter().map(listed_part).collect()),
            ..ListPartsOutput::default()
        })
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> Answered<ListMultipartUploadsOutput> {
        let input = request.input;
        if input.delimiter.is_some() {
            return Err(s3_error!(NotImplemented, "Uploads are listed without a delimiter."));
        }
        let max = limit(input.max_uploads)?;
        let bucket = input.bucket.clone();
        let prefix = input.prefix.clone().unwrap_or_default();
        let marker = (input.key_marker.unwrap_or_default(), input.upload_id_marker.unwrap_or_default());
        let mut found = self.on_uploads(move |uploads| uploads.of_bucket(&bucket)).await?;
        found.retain(|(key, id, _)| {
            // Without an id the marker stands for all uploads of its key.
            let after = *key > marker.0 || (*key == marker.0 && !marker.1.is_empty() && *id > marker.1);
            key.starts_with(&prefix) && (after || marker.0.is_empty())
        });
        let is_truncated = found.len() > usize::try_from(max).unwrap_or_default();
        found.truncate(usize::try_from(max).unwrap_or_default());
        let next = found.last().filter(|_| is_truncated).cloned();
        let uploads = found.into_iter().map(|(key, id, initiated)| MultipartUpload {
            key: Some(key),
            upload_id: Some(id),
            initiated: Some(time(initiated)),
            ..MultipartUpload::default()
        });
        answer(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix,
            max_uploads: Some(max),
            is_truncated: Some(is_truncated),
            next_key_marker: next.as_ref().map(|(key, _, _)| key.clone()),
            next_upload_id_marker: next.map(|(_, id, _)| id),
            uploads: Some(uploads.collect()),
            ..ListMultipartUploadsOutput::default()
        })
    }
}

fn listed_part(part: KeptPart) -> Part {
    Part {
        part_number: Some(part.number),
        e_tag: Some(strong(&part.etag)),
        size: i64::try_from(part.stat.size).ok(),
        last_modified: Some(time(part.stat.modified)),
        ..Part::default()
    }
}

fn source(source: CopySource, condition: ReadCondition) -> S3Result<Source> {
    match source {
        CopySource::Bucket { bucket, key, .. } => {
            Ok(Source { bucket: bucket.into(), key: key.into(), condition })
        }
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => {
            Err(s3_error!(NotImplemented, "An object is copied from a bucket, named bucket/key."))
        }
    }
}

/// An object is read as one piece here, however it was put.
fn refuse_part_number(number: Option<i32>) -> S3Result<()> {
    match number {
        None | Some(1) => Ok(()),
        Some(_) => Err(s3_error!(NotImplemented, "Objects are not read by part number; ask for a range.")),
    }
}

fn header(headers: &http::HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
