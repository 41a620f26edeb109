"""What boto3 and the AWS command line see of the endpoint. Run with the name of a function."""

import base64
import hashlib
import http.client
import io
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError

MIB = 1024 * 1024
ROOT = os.environ["ROOT"]
S3 = boto3.client("s3", config=Config(retries={"max_attempts": 0}))


def fails(code, call, **arguments):
    """Fails unless the call is refused with this code."""
    try:
        call(**arguments)
    except ClientError as error:
        found = error.response["Error"]["Code"]
        assert found == code, f"{found} instead of {code}: {error}"
        return error.response
    raise AssertionError(f"not refused with {code}")


def bucket(name="uploads"):
    S3.create_bucket(Bucket=name)
    return name


def read(key, name="uploads", **arguments):
    return S3.get_object(Bucket=name, Key=key, **arguments)["Body"].read()


def keys(name="uploads", **arguments):
    return [found["Key"] for found in S3.list_objects_v2(Bucket=name, **arguments).get("Contents", [])]


def buckets_are_made_found_and_deleted_when_empty():
    assert S3.list_buckets()["Buckets"] == []
    fails("404", S3.head_bucket, Bucket="uploads")
    fails("NoSuchBucket", S3.put_object, Bucket="uploads", Key="a", Body=b"")
    fails("NoSuchBucket", S3.list_objects_v2, Bucket="uploads")
    fails("NoSuchBucket", S3.delete_bucket, Bucket="uploads")
    bucket()
    fails("BucketAlreadyOwnedByYou", S3.create_bucket, Bucket="uploads")
    S3.head_bucket(Bucket="uploads")
    assert S3.get_bucket_location(Bucket="uploads")["LocationConstraint"] is None
    assert [found["Name"] for found in S3.list_buckets()["Buckets"]] == ["uploads"]
    S3.put_object(Bucket="uploads", Key="a/b/c", Body=b"x")
    fails("BucketNotEmpty", S3.delete_bucket, Bucket="uploads")
    assert read("a/b/c") == b"x"
    S3.delete_object(Bucket="uploads", Key="a/b/c")
    os.makedirs(f"{ROOT}/uploads/an/empty/folder")
    S3.delete_bucket(Bucket="uploads")
    assert S3.list_buckets()["Buckets"] == []


def objects_come_back_with_their_headers_and_metadata():
    bucket()
    put = S3.put_object(
        Bucket="uploads",
        Key="churn/data.csv",
        Body=b"a,b\n1,2\n",
        ContentType="text/csv",
        CacheControl="no-store",
        ContentDisposition="attachment",
        Metadata={"Owner": "ada", "rows": "1"},
    )
    etag = '"' + hashlib.md5(b"a,b\n1,2\n").hexdigest() + '"'
    assert put["ETag"] == etag
    got = S3.get_object(Bucket="uploads", Key="churn/data.csv", ChecksumMode="ENABLED")
    head = S3.head_object(Bucket="uploads", Key="churn/data.csv", VersionId="null")
    assert got["Body"].read() == b"a,b\n1,2\n"
    assert got["ChecksumCRC32"] == put["ChecksumCRC32"]
    for answer in (got, head):
        assert answer["ETag"] == etag
        assert answer["ContentLength"] == 8
        assert answer["ContentType"] == "text/csv"
        assert answer["CacheControl"] == "no-store"
        assert answer["ContentDisposition"] == "attachment"
        assert answer["Metadata"] == {"owner": "ada", "rows": "1"}
        assert "ContentEncoding" not in answer, answer
    S3.put_object(Bucket="uploads", Key="churn/data.csv", Body=b"")
    assert read("churn/data.csv") == b""
    head = S3.head_object(Bucket="uploads", Key="churn/data.csv")
    assert (head["ContentLength"], head["Metadata"]) == (0, {})
    assert head["ContentType"] == "binary/octet-stream"
    fails("NoSuchKey", S3.get_object, Bucket="uploads", Key="churn")
    fails("404", S3.head_object, Bucket="uploads", Key="churn/data.csv/below")
    fails("KeyTooLongError", S3.put_object, Bucket="uploads", Key="k" * 1025, Body=b"")


def ranges_and_conditions_are_answered_as_http_says():
    bucket()
    body = bytes(range(256)) * 4096
    etag = S3.put_object(Bucket="uploads", Key="a", Body=body)["ETag"]
    part = S3.get_object(Bucket="uploads", Key="a", Range="bytes=10-19")
    assert part["Body"].read() == body[10:20]
    assert part["ContentRange"] == f"bytes 10-19/{len(body)}"
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert read("a", Range="bytes=-5") == body[-5:]
    assert read("a", Range=f"bytes={len(body) - 3}-") == body[-3:]
    assert read("a", Range="bytes=5-99999999999") == body[5:]
    fails("InvalidRange", S3.get_object, Bucket="uploads", Key="a", Range=f"bytes={len(body)}-")
    assert read("a", IfMatch=etag) == body
    fails("PreconditionFailed", S3.get_object, Bucket="uploads", Key="a", IfMatch='"other"')
    fails("304", S3.get_object, Bucket="uploads", Key="a", IfNoneMatch=etag)
    modified = S3.head_object(Bucket="uploads", Key="a")["LastModified"]
    fails("304", S3.get_object, Bucket="uploads", Key="a", IfModifiedSince=modified)
    assert read("a", IfUnmodifiedSince=modified) == body


def conditional_puts_admit_one_writer():
    bucket()
    wins = []

    def write(number):
        client = boto3.client("s3", config=Config(retries={"max_attempts": 0}))
        try:
            client.put_object(Bucket="uploads", Key="claim", Body=str(number), IfNoneMatch="*")
            wins.append(number)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed", error

    run_all([lambda number=number: write(number) for number in range(8)])
    assert len(wins) == 1 and read("claim") == str(wins[0]).encode()
    etag = S3.head_object(Bucket="uploads", Key="claim")["ETag"]
    S3.put_object(Bucket="uploads", Key="claim", Body=b"next", IfMatch=etag)
    fails("PreconditionFailed", S3.put_object, Bucket="uploads", Key="claim", Body=b"late", IfMatch=etag)
    fails("NoSuchKey", S3.put_object, Bucket="uploads", Key="none", Body=b"late", IfMatch=etag)
    assert read("claim") == b"next"


def listings_are_paged_and_rolled_up():
    bucket()
    names = sorted(f"{folder}/{number:03}" for folder in ("a", "b", "c d") for number in range(20))
    for name in names:
        S3.put_object(Bucket="uploads", Key=name, Body=b"x")
    S3.put_object(Bucket="uploads", Key="top", Body=b"xy")
    assert keys() == names + ["top"]
    assert keys(Prefix="b/") == [name for name in names if name.startswith("b/")]
    assert keys(Prefix="c d/01") == [f"c d/{number:03}" for number in range(10, 20)]
    assert keys(StartAfter="b/018") == ["b/019"] + [f"c d/{number:03}" for number in range(20)] + ["top"]
    pages = list(S3.get_paginator("list_objects_v2").paginate(Bucket="uploads", PaginationConfig={"PageSize": 7}))
    assert [found["Key"] for page in pages for found in page["Contents"]] == names + ["top"]
    assert [page["KeyCount"] for page in pages] == [7] * 8 + [5]
    for operation in ("list_objects_v2", "list_objects"):
        for size in (1, 2, 1000):
            pages = list(
                S3.get_paginator(operation).paginate(
                    Bucket="uploads", Delimiter="/", PaginationConfig={"PageSize": size}
                )
            )
            prefixes = [found["Prefix"] for page in pages for found in page.get("CommonPrefixes", [])]
            assert prefixes == ["a/", "b/", "c d/"], (operation, size, prefixes)
            assert [found["Key"] for page in pages for found in page.get("Contents", [])] == ["top"]
    listed = S3.list_objects(Bucket="uploads", Prefix="top")["Contents"][0]
    assert (listed["Size"], listed["ETag"]) == (2, '"' + hashlib.md5(b"xy").hexdigest() + '"')
    assert S3.list_objects_v2(Bucket="uploads", MaxKeys=0)["IsTruncated"] is False
    fails("InvalidArgument", S3.list_objects_v2, Bucket="uploads", ContinuationToken="***")


def odd_keys_are_kept_apart():
    bucket()
    odd = [
        "a", "a/b", "a/b/c", "a/", "a//b", "/a", "//", "sp ace", "pl+us", "per%cent", "%20", "%2F", "a%-", "ü/ß",
        "日本/モデル.csv", "..", "../x", "a/../b", ".", ".tmp/x", ".facts", "quo\"te'", "am&p;<>", "semi;colon",
        "que?stion", "ha#sh", "e=q", "b\\s", "tab\tnew", "k" * 300, "😀" * 80, "a*b", "~", "x:y@z,$!()",
    ]
    for number, key in enumerate(odd):
        S3.put_object(Bucket="uploads", Key=key, Body=str(number), Metadata={"number": str(number)})
    for number, key in enumerate(odd):
        got = S3.get_object(Bucket="uploads", Key=key)
        assert got["Body"].read() == str(number).encode(), key
        assert got["Metadata"] == {"number": str(number)}, key
    assert keys() == sorted(odd, key=str.encode), keys()
    S3.copy_object(Bucket="uploads", Key="copied", CopySource={"Bucket": "uploads", "Key": "日本/モデル.csv"})
    assert read("copied") == str(odd.index("日本/モデル.csv")).encode()
    answer = S3.delete_objects(Bucket="uploads", Delete={"Objects": [{"Key": key} for key in odd]})
    assert sorted(found["Key"] for found in answer["Deleted"]) == sorted(odd)
    assert keys() == ["copied"]
    above = [name for name in os.listdir(ROOT) if not name.startswith(".")]
    assert above == ["uploads"], above


def copies_take_or_replace_metadata():
    bucket()
    bucket("models")
    put = S3.put_object(Bucket="uploads", Key="a", Body=b"abc", ContentType="text/csv", Metadata={"n": "1"})
    source = {"Bucket": "uploads", "Key": "a"}
    copied = S3.copy_object(Bucket="models", Key="x/b", CopySource=source)
    assert copied["CopyObjectResult"]["ETag"] == put["ETag"]
    head = S3.head_object(Bucket="models", Key="x/b")
    assert (head["ContentType"], head["Metadata"]) == ("text/csv", {"n": "1"})
    fails("InvalidRequest", S3.copy_object, Bucket="uploads", Key="a", CopySource=source)
    S3.copy_object(
        Bucket="uploads", Key="a", CopySource=source, MetadataDirective="REPLACE", Metadata={"n": "2"}
    )
    assert S3.head_object(Bucket="uploads", Key="a")["Metadata"] == {"n": "2"}
    assert read("a") == b"abc"
    fails("NoSuchKey", S3.copy_object, Bucket="models", Key="c", CopySource={"Bucket": "uploads", "Key": "none"})
    fails(
        "PreconditionFailed", S3.copy_object, Bucket="models", Key="c", CopySource=source,
        CopySourceIfMatch='"other"',
    )
    assert keys("models") == ["x/b"]


def deletes_take_many_keys():
    bucket()
    for key in ("a", "b", "c"):
        S3.put_object(Bucket="uploads", Key=key, Body=b"")
    S3.delete_object(Bucket="uploads", Key="none")
    wanted = {"Objects": [{"Key": "a"}, {"Key": "b"}, {"Key": "none"}], "Quiet": True}
    answer = S3.delete_objects(Bucket="uploads", Delete=wanted)
    assert "Deleted" not in answer and "Errors" not in answer, answer
    assert keys() == ["c"]


def multipart_uploads_are_joined_and_refused_as_s3_does():
    bucket()
    first, second = os.urandom(5 * MIB), os.urandom(1000)
    name = {"Bucket": "uploads", "Key": "big/model.bin"}
    upload = S3.create_multipart_upload(**name, ContentType="application/x-model", Metadata={"n": "1"})
    name["UploadId"] = upload["UploadId"]
    listed = S3.list_multipart_uploads(Bucket="uploads")["Uploads"]
    assert [(found["Key"], found["UploadId"]) for found in listed] == [("big/model.bin", name["UploadId"])]
    assert keys() == []
    S3.upload_part(**name, PartNumber=1, Body=b"replaced")
    one = S3.upload_part(**name, PartNumber=1, Body=first)
    two = S3.upload_part(**name, PartNumber=2, Body=second)
    listed = S3.list_parts(**name)["Parts"]
    assert [(part["PartNumber"], part["Size"], part["ETag"]) for part in listed] == [
        (1, 5 * MIB, one["ETag"]), (2, 1000, two["ETag"]),
    ]
    page = S3.list_parts(**name, MaxParts=1)
    assert page["IsTruncated"] and page["NextPartNumberMarker"] == 1
    assert [part["PartNumber"] for part in S3.list_parts(**name, PartNumberMarker=1)["Parts"]] == [2]

    def complete(*parts):
        named = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        return {**name, "MultipartUpload": {"Parts": named}}

    refused = S3.complete_multipart_upload
    fails("InvalidPart", refused, **complete((1, one["ETag"]), (3, two["ETag"])))
    fails("InvalidPart", refused, **complete((1, two["ETag"])))
    fails("InvalidPartOrder", refused, **complete((2, two["ETag"]), (1, one["ETag"])))
    small = S3.upload_part(**name, PartNumber=3, Body=b"x")
    fails("EntityTooSmall", refused, **complete((1, one["ETag"]), (2, two["ETag"]), (3, small["ETag"])))
    assert keys() == []
    done = S3.complete_multipart_upload(**complete((1, one["ETag"]), (2, two["ETag"])))
    md5s = hashlib.md5(first).digest() + hashlib.md5(second).digest()
    assert done["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-2"', done["ETag"]
    assert read("big/model.bin") == first + second
    head = S3.head_object(Bucket="uploads", Key="big/model.bin")
    assert (head["ContentType"], head["Metadata"], head["ETag"]) == ("application/x-model", {"n": "1"}, done["ETag"])
    fails("NoSuchUpload", S3.upload_part, **name, PartNumber=1, Body=b"late")
    assert "Uploads" not in S3.list_multipart_uploads(Bucket="uploads")

    copy = {"Bucket": "uploads", "Key": "copy"}
    copy["UploadId"] = S3.create_multipart_upload(**copy)["UploadId"]
    source = {"Bucket": "uploads", "Key": "big/model.bin"}
    part = S3.upload_part_copy(**copy, PartNumber=1, CopySource=source, CopySourceRange="bytes=10-5242899")
    named = [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]
    S3.complete_multipart_upload(**copy, MultipartUpload={"Parts": named})
    assert read("copy") == (first + second)[10:5242900]

    gone = {"Bucket": "uploads", "Key": "gone"}
    gone["UploadId"] = S3.create_multipart_upload(**gone)["UploadId"]
    S3.upload_part(**gone, PartNumber=1, Body=b"x")
    S3.abort_multipart_upload(**gone)
    fails("NoSuchUpload", S3.list_parts, **gone)
    assert os.listdir(f"{ROOT}/.uploads/.tmp") == []
    left = [name for name in os.listdir(f"{ROOT}/.uploads") if not name.startswith(".")]
    assert left == [], left


def presigned_urls_work_until_they_expire():
    bucket()
    arguments = {"Params": {"Bucket": "uploads", "Key": "a b+c"}}
    # boto3 presigns by the older signature version unless told otherwise.
    for client in (boto3.client("s3", config=Config(signature_version="s3v4")), S3):
        S3.put_object(Bucket="uploads", Key="a b+c", Body=b"signed")
        url = client.generate_presigned_url("get_object", ExpiresIn=60, **arguments)
        assert urllib.request.urlopen(url).read() == b"signed"
        put = client.generate_presigned_url("put_object", ExpiresIn=60, **arguments)
        urllib.request.urlopen(urllib.request.Request(put, data=b"again", method="PUT", headers={"Content-Type": ""}))
        assert urllib.request.urlopen(url).read() == b"again"
        assert refused(url.replace("b%2Bc", "other")) == (403, "SignatureDoesNotMatch")
        short = client.generate_presigned_url("get_object", ExpiresIn=1, **arguments)
        time.sleep(2.1)
        assert refused(short) == (403, "AccessDenied")


def refused(request):
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode().split("<Code>")[1].split("</Code>")[0]
    raise AssertionError("not refused")


def wrong_signatures_are_refused():
    bucket()
    known = os.environ["AWS_ACCESS_KEY_ID"]
    wrong = boto3.client("s3", aws_access_key_id=known, aws_secret_access_key="wrong")
    fails("SignatureDoesNotMatch", wrong.list_objects_v2, Bucket="uploads")
    fails("SignatureDoesNotMatch", wrong.put_object, Bucket="uploads", Key="a", Body=b"x")
    stranger = boto3.client("s3", aws_access_key_id="stranger", aws_secret_access_key="wrong")
    fails("InvalidAccessKeyId", stranger.list_buckets)
    old = boto3.client("s3", config=Config(signature_version="s3"))
    fails("InvalidRequest", old.get_object, Bucket="uploads", Key="a")
    late = AWSRequest("GET", os.environ["AWS_ENDPOINT_URL"] + "/uploads", headers={"X-Amz-Date": "20200101T000000Z"})
    signer = S3SigV4Auth(boto3.Session().get_credentials(), "s3", "us-east-1")
    late.context["timestamp"] = "20200101T000000Z"
    late.headers["X-Amz-Content-SHA256"] = hashlib.sha256(b"").hexdigest()
    canonical = signer.canonical_request(late)
    signature = signer.signature(signer.string_to_sign(late, canonical), late)
    late.headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(late)}, "
        f"SignedHeaders={signer.signed_headers(signer.headers_to_sign(late))}, Signature={signature}"
    )
    code = refused(urllib.request.Request(late.url, headers=dict(late.headers)))
    assert code == (403, "RequestTimeTooSkewed"), code
    assert keys() == []


def damaged_bodies_are_refused():
    bucket()
    md5 = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    S3.put_object(Bucket="uploads", Key="good", Body=b"x", ContentMD5=md5)
    fails("BadDigest", S3.put_object, Bucket="uploads", Key="a", Body=b"y", ContentMD5=md5)
    fails("InvalidDigest", S3.put_object, Bucket="uploads", Key="a", Body=b"y", ContentMD5="eA==")
    for name, good in (
        ("CRC32", base64.b64encode(zlib.crc32(b"x").to_bytes(4, "big")).decode()),
        ("SHA256", base64.b64encode(hashlib.sha256(b"x").digest()).decode()),
        ("SHA1", base64.b64encode(hashlib.sha1(b"x").digest()).decode()),
    ):
        argument = f"Checksum{name}"
        answer = S3.put_object(Bucket="uploads", Key="good", Body=b"x", **{argument: good})
        assert answer[argument] == good
        fails("BadDigest", S3.put_object, Bucket="uploads", Key="a", Body=b"y", **{argument: good})
    S3.put_object(Bucket="uploads", Key="trailing", Body=io.BytesIO(b"streamed"), ChecksumAlgorithm="SHA256")
    digest = base64.b64encode(hashlib.sha256(b"streamed").digest()).decode()
    assert S3.head_object(Bucket="uploads", Key="trailing", ChecksumMode="ENABLED")["ChecksumSHA256"] == digest
    assert keys() == ["good", "trailing"]


def objects_larger_than_the_disk_are_refused_at_once():
    bucket()
    url = S3.generate_presigned_url("put_object", Params={"Bucket": "uploads", "Key": "huge"}, ExpiresIn=60)
    at = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(at.netloc, timeout=60)
    connection.putrequest("PUT", f"{at.path}?{at.query}")
    connection.putheader("Content-Length", str(1 << 50))
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == 507 and "the disk has" in text, (answer.status, text)
    assert keys() == []


def run_all(calls):
    failed = []

    def run(call):
        try:
            call()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


def concurrent_writers_never_mix():
    bucket()
    bodies = [bytes([65 + number]) * (2 * MIB + number) for number in range(6)]

    def write(body):
        client = boto3.client("s3")
        for _ in range(4):
            client.put_object(Bucket="uploads", Key="a/b", Body=body)

    def look():
        client = boto3.client("s3")
        for _ in range(20):
            try:
                assert client.get_object(Bucket="uploads", Key="a/b")["Body"].read() in bodies
            except client.exceptions.NoSuchKey:
                pass

    run_all([lambda body=body: write(body) for body in bodies] + [look, look])
    assert read("a/b") in bodies


def aws(*arguments, **options):
    return subprocess.run(["aws", *arguments], check=True, capture_output=True, text=True, **options).stdout


def the_command_line_copies_syncs_and_removes():
    aws("s3", "mb", "s3://uploads")
    os.makedirs("data/sub", exist_ok=True)
    for path in ("data/a b.csv", "data/sub/ü+.csv"):
        with open(path, "w") as file:
            file.write(path)
    with open("data/large.bin", "wb") as file:
        file.write(os.urandom(20 * MIB))
    aws("s3", "cp", "data/a b.csv", "s3://uploads/churn/")
    assert read("churn/a b.csv") == b"data/a b.csv"
    assert S3.head_object(Bucket="uploads", Key="churn/a b.csv")["ContentType"] == "text/csv"
    aws("s3", "sync", "data", "s3://uploads/all")
    assert keys(Prefix="all/") == ["all/a b.csv", "all/large.bin", "all/sub/ü+.csv"]
    assert aws("s3", "sync", "data", "s3://uploads/all") == ""
    aws("s3", "cp", "--recursive", "s3://uploads/all", "back")
    assert open("back/large.bin", "rb").read() == open("data/large.bin", "rb").read()
    assert open("back/sub/ü+.csv").read() == "data/sub/ü+.csv"
    aws("s3", "cp", "s3://uploads/all/large.bin", "s3://uploads/copy.bin")
    aws("s3", "mv", "s3://uploads/copy.bin", "s3://uploads/moved.bin")
    assert aws("s3", "ls", "s3://uploads/").split() == ["PRE", "all/", "PRE", "churn/"] + aws(
        "s3", "ls", "s3://uploads/moved.bin"
    ).split()
    aws("s3", "cp", "-", "s3://uploads/piped", input="from a pipe")
    assert aws("s3", "cp", "s3://uploads/piped", "-") == "from a pipe"
    json.loads(aws("s3api", "head-object", "--bucket", "uploads", "--key", "piped"))
    aws("s3", "rm", "--recursive", "s3://uploads/all")
    aws("s3", "rb", "--force", "s3://uploads")
    assert not os.path.exists(f"{ROOT}/uploads")


def files_of_the_folder_are_objects():
    os.makedirs(f"{ROOT}/uploads/churn")
    with open(f"{ROOT}/uploads/churn/by hand.csv", "w") as file:
        file.write("a,b\n")
    with open(os.fsencode(f"{ROOT}/uploads/") + b"bad\xff.csv", "w") as file:
        file.write("not a key\n")
    assert keys() == ["churn/by hand.csv"]
    assert read("churn/by hand.csv") == b"a,b\n"
    first = S3.head_object(Bucket="uploads", Key="churn/by hand.csv")["ETag"]
    assert keys(Prefix="churn/by") == ["churn/by hand.csv"]
    S3.put_object(Bucket="uploads", Key="churn/by hand.csv", Body=b"new", IfMatch=first)
    assert open(f"{ROOT}/uploads/churn/by hand.csv").read() == "new"
    S3.delete_object(Bucket="uploads", Key="churn/by hand.csv")
    assert not os.path.exists(f"{ROOT}/uploads/churn")


def puts_and_deletes_one_object():
    bucket()
    for _ in range(2):
        S3.put_object(Bucket="uploads", Key="churn/data.csv", Body=b"abc")
        # Longer than the watch waits for a file to settle: it must know this one already.
        time.sleep(0.6)
    S3.delete_object(Bucket="uploads", Key="churn/data.csv")
    time.sleep(0.6)


def uploads_200_megabytes():
    bucket()
    with open(f"{os.environ['HOME']}/large.bin", "wb") as file:
        for _ in range(200):
            file.write(os.urandom(MIB))
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=8)
    S3.upload_file(f"{os.environ['HOME']}/large.bin", "uploads", "large.bin", Config=config)
    head = S3.head_object(Bucket="uploads", Key="large.bin")
    assert (head["ContentLength"], head["ETag"][-4:]) == (200 * MIB, '-25"')
    wanted = hashlib.sha256(open(f"{os.environ['HOME']}/large.bin", "rb").read()).digest()
    got = hashlib.sha256()
    for piece in S3.get_object(Bucket="uploads", Key="large.bin")["Body"].iter_chunks(MIB):
        got.update(piece)
    assert got.digest() == wanted


def sends_half_of_an_object():
    bucket()
    name = {"Bucket": "uploads", "Key": "multi"}
    name["UploadId"] = S3.create_multipart_upload(**name)["UploadId"]
    S3.upload_part(**name, PartNumber=1, Body=b"1" * 5 * MIB)
    url = S3.generate_presigned_url("put_object", Params={"Bucket": "uploads", "Key": "half"}, ExpiresIn=60)
    at = urllib.parse.urlsplit(url)
    connection = socket.create_connection((at.hostname, at.port))
    head = f"PUT {at.path}?{at.query} HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Length: {8 * MIB}\r\n\r\n"
    connection.sendall(head.encode() + b"h" * 4 * MIB)
    while not any(file.stat().st_size > MIB for file in pathlib.Path(ROOT, ".tmp").glob("*")):
        time.sleep(0.02)
    print("half is sent", flush=True)
    time.sleep(60)


def finishes_after_the_kill():
    assert keys() == []
    (upload,) = S3.list_multipart_uploads(Bucket="uploads")["Uploads"]
    name = {"Bucket": "uploads", "Key": "multi", "UploadId": upload["UploadId"]}
    S3.upload_part(**name, PartNumber=2, Body=b"2")
    parts = [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in S3.list_parts(**name)["Parts"]]
    S3.complete_multipart_upload(**name, MultipartUpload={"Parts": parts})
    assert read("multi") == b"1" * 5 * MIB + b"2"


os.chdir(os.environ["HOME"])
globals()[sys.argv[1]]()
