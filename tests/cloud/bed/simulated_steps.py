"""Writes what the executor of a pod on a simulated node would have written: the pod has no process."""
import concurrent.futures, datetime, json, threading, time, urllib.error

import aws


class Steps:
    """Answers for the simulated pods of all runs; knows when each was seen first and when its bell was rung."""

    def __init__(self, kubernetes, control_bucket, namespace, queue_url):
        self.bucket, self.namespace, self.queue_url = control_bucket, namespace, queue_url
        self.created, self.rung, self.lock = {}, {}, threading.Lock()
        self.writers = concurrent.futures.ThreadPoolExecutor(8)
        kubernetes.watch("app.kubernetes.io/managed-by=dropforge", self.see)

    def see(self, event):
        pod = event["object"]
        name = pod["metadata"]["name"]
        with self.lock:
            self.created.setdefault(name, time.monotonic())
            ready = pod["status"].get("phase") == "Running" and pod["spec"].get("nodeName", "").startswith("simulated-")
            if not ready or name in self.rung:
                return
            self.rung[name] = None
        self.writers.submit(self.finish, pod).add_done_callback(lambda done: done.result())

    def finish(self, pod):
        name, run = pod["metadata"]["name"], pod["metadata"]["labels"]["dropforge.dev/run"]
        variables = {variable["name"]: variable.get("value") for variable in pod["spec"]["containers"][0]["env"]}
        launch = json.loads(variables["DROPFORGE_LAUNCH"])
        now = datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
        try:
            aws.put(self.bucket, f"attempts/{self.namespace}/{name}/claim.json", {"format": 1, "nonce": "simulated"})
        except urllib.error.HTTPError as refused:
            if refused.code != 412:
                raise
            return  # it was given up
        aws.put(self.bucket, f"attempts/{self.namespace}/{name}/result.json", {
            "format": 1, "attempt": name, "outcome": "Succeeded", "reason": "Exited", "exitCode": 0, "startedAt": now, "finishedAt": now,
            "outputs": {"exitCode": "0"}, "provenance": {}, "usage": {"cpuSeconds": 0.0, "memoryBytesMax": 0, "wallSeconds": 0.0}})
        bell = {"format": 1, "run": run, "why": {"attempt": name}, "hops": 0, "token": launch["token"]}
        self.rung[name] = time.monotonic()
        aws.call("AmazonSQS.SendMessage", QueueUrl=self.queue_url, MessageBody=json.dumps(bell))
