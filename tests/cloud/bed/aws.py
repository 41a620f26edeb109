"""The emulator, for programs that measure. It asks for no signature."""
import json, os, urllib.request

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
PROXY = os.environ["DROPFORGE_CLOUD_PROXY"]


def http(method, url, body=None, headers={}):
    with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method)) as answer:
        return answer.read()


def call(target, **fields):
    return json.loads(http("POST", ENDPOINT, json.dumps(fields).encode(), {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0"}))


def put(bucket, key, document):
    http("PUT", f"{ENDPOINT}/{bucket}/{key}", json.dumps(document).encode(), {"If-None-Match": "*"})


def listed(bucket, prefix):
    """The text of the first thousand keys."""
    return http("GET", f"{ENDPOINT}/{bucket}?list-type=2&prefix={prefix}").decode()


def counts(reset=False):
    """What functions and pods asked of S3 through the proxy: {method: {requests, bytes}}."""
    return json.loads(http("DELETE" if reset else "GET", f"{PROXY}/_counts"))
