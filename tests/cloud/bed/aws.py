"""The emulator, for programs that measure. It asks for no signature."""
import json, os, time, urllib.error, urllib.request

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
PROXY = os.environ["DROPFORGE_CLOUD_PROXY"]
LOG_SECONDS = 5


def http(method, url, body=None, headers={}):
    with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method)) as answer:
        return answer.read()


def call(target, **fields):
    return json.loads(http("POST", ENDPOINT, json.dumps(fields).encode(), {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0"}))


def schedule(name, group, **changes):
    """Changes a schedule. By the service in the signature's place the emulator tells Scheduler's paths from S3's."""
    url, signed = f"{ENDPOINT}/schedules/{name}", {"Authorization": "AWS4-HMAC-SHA256 Credential=-/-/-/scheduler/aws4_request"}
    there = json.loads(http("GET", f"{url}?groupName={group}", headers=signed))
    http("PUT", url, json.dumps({**there, "GroupName": group, **changes}).encode(), signed)


def variables(function, **changes):
    """A function's environment, with these changes from now on."""
    url = f"{ENDPOINT}/2015-03-31/functions/{function}/configuration"
    there = json.loads(http("GET", url))["Environment"]["Variables"]
    if changes:
        http("PUT", url, json.dumps({"Environment": {"Variables": {**there, **changes}}}).encode())
    return there


def invoke(function):
    http("POST", f"{ENDPOINT}/2015-03-31/functions/{function}/invocations", b"{}")


def said(function, began):
    """What a function has said since then. One answer holds 10,000 lines, so that it is asked for some seconds at a time."""
    for second in range(int(began), int(time.time()) + 1, LOG_SECONDS):
        window = {"startTime": max(second, began) * 1000, "endTime": (second + LOG_SECONDS) * 1000 - 1}
        try:
            events = call("Logs_20140328.FilterLogEvents", logGroupName=f"/aws/lambda/{function}", **window)["events"]
        except urllib.error.HTTPError:
            return  # it was never called
        yield from (event["message"] for event in events)


def put(bucket, key, document):
    http("PUT", f"{ENDPOINT}/{bucket}/{key}", json.dumps(document).encode(), {"If-None-Match": "*"})


def listed(bucket, prefix):
    """The text of the first thousand keys."""
    return http("GET", f"{ENDPOINT}/{bucket}?list-type=2&prefix={prefix}").decode()


def counts(reset=False):
    """What functions and pods asked of S3 and SQS through the proxy: {method or SQS: {requests, bytes}}."""
    return json.loads(http("DELETE" if reset else "GET", f"{PROXY}/_counts"))


def places():
    """The same of S3, by method and kind of object."""
    return json.loads(http("GET", f"{PROXY}/_places"))
