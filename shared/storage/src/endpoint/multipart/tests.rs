use std::fs::OpenOptions;
use std::io::Write;

use s3s::S3ErrorCode;
use tempfile::TempDir;

use super::*;
use crate::endpoint::condition::strong;
use crate::endpoint::create_bucket;

fn uploads() -> (TempDir, Uploads) {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::at(folder.path().to_owned());
    create_bucket(&objects, "uploads").unwrap();
    (folder, Uploads::new(objects))
}

fn keep(uploads: &Uploads, id: &str, number: i32, bytes: &[u8]) -> Part {
    let mut upload = uploads.parts().upload(0).unwrap();
    upload.write_all(bytes).unwrap();
    uploads.keep(id, number, Received { upload, checksum: Checksum::default() }).unwrap()
}

fn complete(uploads: &Uploads, id: &str, parts: &[&Part]) -> S3Result<(Stat, String)> {
    let named = |part: &&Part| CompletedPart {
        part_number: Some(part.number),
        e_tag: Some(strong(&part.etag)),
        ..CompletedPart::default()
    };
    let named: Vec<_> = parts.iter().map(named).collect();
    let description = uploads.find(id, "uploads", "a").unwrap();
    uploads.complete(id, description, &named, &Checksum::default(), &Condition::Always)
}

fn content(uploads: &Uploads) -> Option<Vec<u8>> {
    let stat = uploads.objects.stat("uploads", "a").unwrap()?;
    Some(fs::read(stat.path).unwrap())
}

#[test]
fn parts_are_joined_in_order_and_none_is_seen_before() {
    let (_folder, uploads) = uploads();
    let id = uploads.create("uploads", "a", Metadata::new()).unwrap();
    let second = keep(&uploads, &id, 2, b"end");
    let first = keep(&uploads, &id, 1, &vec![7; PART_BYTES_MIN as usize]);
    assert_eq!(content(&uploads), None);
    // Uploads survive a restart.
    let uploads = Uploads::new(uploads.objects.clone());
    uploads.sweep();
    let (stat, etag) = complete(&uploads, &id, &[&first, &second]).unwrap();
    let mut expected = vec![7; PART_BYTES_MIN as usize];
    expected.extend(b"end");
    assert_eq!(content(&uploads), Some(expected));
    // As `md5sum` computes it of the two MD5s.
    assert_eq!(etag, combined_etag(&[first, second]));
    assert!(etag.ends_with("-2"));
    assert_eq!(uploads.objects.facts(&stat).unwrap().etag, etag);
    uploads.forget(&id).unwrap();
    assert!(uploads.find(&id, "uploads", "a").is_err());
    assert_eq!(uploads.of_bucket("uploads").unwrap(), []);
}

#[test]
fn the_combined_tag_is_the_md5_of_the_parts_md5s() {
    let (_folder, uploads) = uploads();
    let id = uploads.create("uploads", "a", Metadata::new()).unwrap();
    let part = keep(&uploads, &id, 1, b"abc");
    assert_eq!(part.etag, "900150983cd24fb0d6963f7d28e17f72");
    // printf abc | md5sum | xxd -r -p | md5sum
    assert_eq!(combined_etag(&[part]), "af5da9f45af7a300e3aded972f8ff687-1");
}

#[test]
fn without_room_for_the_whole_nothing_is_written_and_the_parts_stay() {
    let (folder, uploads) = uploads();
    let id = uploads.create("uploads", "a", Metadata::new()).unwrap();
    let first = keep(&uploads, &id, 1, b"abc");
    // A file of 10 TiB that takes no room stands for a part that would.
    OpenOptions::new().write(true).open(&first.stat.path).unwrap().set_len(10 << 40).unwrap();
    let parts = uploads.list(&id).unwrap();
    let error = complete(&uploads, &id, &[&parts[0]]).unwrap_err();
    assert_eq!(error.status_code().map(|status| status.as_u16()), Some(507));
    assert!(error.message().unwrap().contains("the disk has"), "{error}");
    assert_eq!(content(&uploads), None);
    assert_eq!(uploads.list(&id).unwrap().len(), 1);
    assert_eq!(fs::read_dir(folder.path().join(".uploads/.tmp")).unwrap().count(), 0);
}

#[test]
fn a_claimed_checksum_of_the_whole_is_checked() {
    let (_folder, uploads) = uploads();
    let id = uploads.create("uploads", "a", Metadata::new()).unwrap();
    let part = keep(&uploads, &id, 1, b"abc");
    let named =
        [CompletedPart { part_number: Some(1), e_tag: Some(strong(&part.etag)), ..Default::default() }];
    let complete = |crc32: &str| {
        let description = uploads.find(&id, "uploads", "a").unwrap();
        let claimed = Checksum { checksum_crc32: Some(crc32.to_owned()), ..Checksum::default() };
        uploads.complete(&id, description, &named, &claimed, &Condition::Always)
    };
    assert_eq!(complete("AAAAAA==").unwrap_err().code(), &S3ErrorCode::BadDigest);
    assert_eq!(content(&uploads), None);
    complete("NSRBwg==").unwrap();
    assert_eq!(content(&uploads).as_deref(), Some(b"abc".as_slice()));
}

#[test]
fn numbers_outside_of_the_limits_are_refused() {
    assert_eq!(part_key(1).unwrap(), "parts/00001");
    assert_eq!(part_key(10_000).unwrap(), "parts/10000");
    assert_eq!(part_key(0).unwrap_err().code(), &S3ErrorCode::InvalidArgument);
    assert_eq!(part_key(10_001).unwrap_err().code(), &S3ErrorCode::InvalidArgument);
}
