"""The API server, for programs that measure: requests by the kubeconfig's certificate, and pods as they change."""
import base64, http.client, json, ssl, subprocess, tempfile, threading, time, urllib.parse


class Kubernetes:
    def __init__(self, namespace):
        config = json.loads(subprocess.check_output(["kubectl", "config", "view", "--raw", "--flatten", "--minify", "-o", "json"]))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.place = urllib.parse.urlsplit(cluster["server"]).netloc
        self.context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as both:
            both.write(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
            both.flush()
            self.context.load_cert_chain(both.name)
        self.pods = f"/api/v1/namespaces/{namespace}/pods"
        self.connection = self.connect()

    def connect(self):
        return http.client.HTTPSConnection(self.place, context=self.context)

    def ask(self, method, path, body=None):
        try:
            return self.ask_once(method, path, body)
        except (OSError, http.client.HTTPException):
            # It closes what was idle for a while.
            self.connection = self.connect()
            return self.ask_once(method, path, body)

    def ask_once(self, method, path, body):
        self.connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]}")
        return json.loads(text)

    def watch(self, selector, see):
        """Calls `see` with each event of the pods that the labels select, in a thread of its own. The API server ends a watch
        now and then, and who is too slow loses it: the next one begins with all pods as they are."""
        def events():
            while True:
                try:
                    connection = self.connect()
                    connection.request("GET", f"{self.pods}?watch=1&labelSelector={urllib.parse.quote(selector)}")
                    for event in map(json.loads, connection.getresponse()):
                        if event["type"] != "ERROR":
                            see(event)
                except (OSError, http.client.HTTPException):
                    time.sleep(1)  # cut off in the middle of an event
        threading.Thread(target=events, daemon=True).start()
