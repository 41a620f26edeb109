"""Pods without an orchestrator: the plain pod, and pods of the shapes that a step's may have."""
import threading, time

LABEL = "bench.dropforge.dev/bare"
TRUE = {"image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["true"]}
# As a step's executor puts containers around the command: what they do is not counted, that they are there is.
INIT = {"initContainers": [{**TRUE, "name": "init"}]}
SIDECAR = {"initContainers": [{**TRUE, "name": "init"}, {**TRUE, "name": "wait", "command": ["sleep", "3600"], "restartPolicy": "Always"}]}
SHAPES = {}, INIT, SIDECAR


class Bare:
    """Pods without an orchestrator, and when the command of each had ended."""

    def __init__(self, kubernetes):
        self.kubernetes, self.done, self.moved = kubernetes, {}, threading.Condition()
        kubernetes.watch(LABEL, self.see)

    def see(self, event):
        statuses = event["object"].get("status", {}).get("containerStatuses", [])
        if any("terminated" in status["state"] for status in statuses):
            with self.moved:
                self.done.setdefault(event["object"]["metadata"]["name"], time.monotonic())
                self.moved.notify_all()

    def start(self, name, shape):
        pod = {"metadata": {"name": name, "labels": {LABEL: ""}},
               "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [{**TRUE, "name": "main"}], **shape}}
        self.kubernetes.ask("POST", self.kubernetes.pods, pod)

    def wait(self, names):
        with self.moved:
            if not self.moved.wait_for(lambda: all(name in self.done for name in names), timeout=300):
                raise RuntimeError("pods do not end")
            return max(self.done[name] for name in names)

    def clear(self):
        selected = f"{self.kubernetes.pods}?labelSelector={LABEL}"
        self.kubernetes.ask("DELETE", f"{selected}&gracePeriodSeconds=0")
        while self.kubernetes.ask("GET", selected)["items"]:
            time.sleep(0.2)
        self.done.clear()

    def took(self, shape, steps, at_once):
        began = time.monotonic()
        names = [f"bare-{step}" for step in range(steps)]
        for name in names:
            self.start(name, shape)
            if not at_once:
                self.wait([name])
        ended = self.wait(names)
        self.clear()
        return ended - began
