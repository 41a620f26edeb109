"""How long a function takes from its process's start until it asks for its first event, which is what Lambda calls init."""
import http.server, os, pathlib, statistics, subprocess, tempfile, threading, time, zipfile


class Runtime:
    """Lambda's side of a function: a server that gives no event, and knows when it was asked for one."""

    def __init__(self):
        self.asked = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.answers())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answers(runtime):
        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                runtime.asked.set()
                threading.Event().wait(10)

            def do_POST(self):
                print(self.rfile.read(int(self.headers["Content-Length"])).decode())

            def log_message(self, *words):
                pass
        return Answers

    def took(self, program, variables):
        self.asked.clear()
        place = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server.server_port}", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
                 "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_LOG_STREAM_NAME": "-", "AWS_LAMBDA_LOG_GROUP_NAME": "-"}
        began = time.monotonic()
        process = subprocess.Popen([program], env={**variables, **place}, stdout=subprocess.DEVNULL)
        if not self.asked.wait(10):
            raise RuntimeError(f"{program} asks for no event")
        took = time.monotonic() - began
        process.kill()
        process.wait()
        return took


def milliseconds(package, variables, times=21):
    """The median of some starts of the program in a package, with what it is deployed with."""
    runtime = Runtime()
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(package).extract("bootstrap", folder)
        program = pathlib.Path(folder, "bootstrap")
        program.chmod(0o755)
        return 1000 * statistics.median(runtime.took(program, variables) for _ in range(times))


def variables(function, deployed):
    """The environment of a function that is deployed with these variables."""
    keys = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")}
    return {**keys, **deployed, "AWS_LAMBDA_FUNCTION_NAME": function}
