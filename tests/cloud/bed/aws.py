"""The emulator, for programs that measure. It asks for no signature."""
import json, os, time, urllib.request

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
PROXY = os.environ["DROPFORGE_CLOUD_PROXY"]
LOG_SECONDS = 5


def http(method, url, body=None, headers={}):
    with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method)) as answer:
        return answer.read()


def call(target, **fields):
    return json.loads(http("POST", ENDPOINT, json.dumps(fields).encode(), {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0"}))


def invoke(function):
    http("POST", f"{ENDPOINT}/2015-03-31/functions/{function}/invocations", b"{}")


def said(function, began):
    """What a function has said since then. One answer holds 10,000 lines, so that it is asked for some seconds at a time."""
    for second in range(int(began), int(time.time()) + 1, LOG_SECONDS):
        window = {"startTime": second * 1000, "endTime": (second + LOG_SECONDS) * 1000 - 1}
        yield from (event["message"] for event in call("Logs_20140328.FilterLogEvents", logGroupName=f"/aws/lambda/{function}", **window)["events"])


def put(bucket, key, document):
    http("PUT", f"{ENDPOINT}/{bucket}/{key}", json.dumps(document).encode(), {"If-None-Match": "*"})


def listed(bucket, prefix):
    """The text of the first thousand keys."""
    return http("GET", f"{ENDPOINT}/{bucket}?list-type=2&prefix={prefix}").decode()


def counts(reset=False):
    """What functions and pods asked of S3 and SQS through the proxy: {method or SQS: {requests, bytes}}."""
    return json.loads(http("DELETE" if reset else "GET", f"{PROXY}/_counts"))
