"""What AWS is asked while something runs, in the words of its price list and of `infra/costs.json`.

S3 and SQS by the proxy's count of what functions and pods ask; calls, their time and what they log by the functions' logs.
"""
import re, time

import aws

COLUMNS = ["PUT, LIST", "GET", "SQS", "calls", "GB-seconds", "KB of logs"]
# S3 has two prices: DELETE costs nothing, what is left costs what GET costs.
DEAR, CHEAP = ("PUT", "POST", "LIST"), ("GET", "HEAD")
# Lambda's own requests for each call that a queue makes: it receives the messages and deletes them. The emulator's Lambda
# asks its SQS for them without a request.
SQS_A_CALL = 2
# Of each line, beside its text: CloudWatch counts a time and what surrounds both.
LOG_LINE_BYTES = 26
REPORT = re.compile(r"Billed Duration: (\d+) ms\tMemory Size: (\d+) MB")
ON_THE_WAY = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
SETTLE_SECONDS_MAX = 120


class Counting:
    """Counts from when it is made."""

    def __init__(self, deployment):
        self.names = {name: function["name"] for name, function in deployment["functions"].items()}
        self.queues = [deployment["events_queue_url"], deployment["upload_queue_url"]]
        self.settle()
        aws.counts(reset=True)
        self.began = time.time()

    def settle(self):
        """Waits until no message is left that would call a function."""
        limit = time.monotonic() + SETTLE_SECONDS_MAX
        while any(self.waiting(queue) for queue in self.queues):
            if time.monotonic() > limit:
                raise RuntimeError("messages stay in the queues: tests/cloud/bed/log says what functions say of them")
            time.sleep(0.2)

    def waiting(self, queue):
        told = aws.call("AmazonSQS.GetQueueAttributes", QueueUrl=queue, AttributeNames=ON_THE_WAY)["Attributes"]
        return any(int(told[name]) for name in ON_THE_WAY)

    def counted(self):
        """What was asked until now: by column, and how often each function was called."""
        self.settle()
        asked = aws.counts()
        requests = lambda kinds: sum(asked[kind]["requests"] for kind in kinds if kind in asked)
        said = {name: list(aws.said(function, self.began)) for name, function in self.names.items()}
        reports = {name: [(int(took), int(memory)) for took, memory in REPORT.findall("\n".join(lines))] for name, lines in said.items()}
        by_queues = len(reports["ingest"]) + len(reports["advance"])
        every = [report for of_one in reports.values() for report in of_one]
        counted = {"PUT, LIST": requests(DEAR), "GET": requests(CHEAP), "SQS": requests(["SQS"]) + SQS_A_CALL * by_queues,
                   "calls": len(every), "GB-seconds": sum(took / 1000 * memory / 1024 for took, memory in every),
                   "KB of logs": sum(len(line.encode()) + LOG_LINE_BYTES for lines in said.values() for line in lines) / 1000}
        return counted, {name: len(of_one) for name, of_one in reports.items() if of_one}


def cells(counted, many):
    """What falls to one of so many, as `infra/costs.json` takes it."""
    return [f"{counted[column] / many:.3g}" for column in COLUMNS]
