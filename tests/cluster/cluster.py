"""A cluster of real processes on this machine, as a person would start it."""

import glob
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from program import PROGRAM, ROOT, ProgramTest  # noqa: E402

DEMO = os.path.join(ROOT, "deploy", "demo", "potluck-demo-4m-q8_0.gguf")

# A loaded machine may need long; a hanging cluster is told from a slow one by this.
PATIENCE_SECONDS = 120

# What workers of earlier tests have measured of this machine, by file name: it goes on being so.
_speeds = {}


def split_evenly(names):
    """A value of --layers for the demo model's six layers."""
    share = 6 // len(names)
    return ",".join(f"{name}={i * share}-{(i + 1) * share - 1}" for i, name in enumerate(names))


def free_port():
    """Below the ports that Linux gives to those who ask for none, so that nobody takes it before it is listened on."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Process:
    """A program that runs on, its output gathered line by line. `wrapper` is what starts it, where that is needed."""

    def __init__(self, *args, env=None, wrapper=(), program=PROGRAM):
        self.lines, self.changed = [], threading.Condition()
        self.process = subprocess.Popen([*wrapper, program, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.decode(errors="replace"))
                self.changed.notify_all()

    @property
    def text(self):
        return "".join(self.lines)

    def wait_for(self, pattern, patience=PATIENCE_SECONDS):
        def found():
            return re.search(pattern, self.text)

        deadline = time.monotonic() + patience
        with self.changed:
            while not found():
                if self.process.poll() is not None and not self.reader.is_alive():
                    raise AssertionError(f"it ended ({self.process.returncode}) before {pattern!r}:\n{self.text}")
                if not self.changed.wait(0.2) and time.monotonic() > deadline:
                    raise AssertionError(f"waited in vain for {pattern!r}; it said:\n{self.text}")
        return found()

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(PATIENCE_SECONDS)
        self.reader.join()
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()


class ClusterTest(ProgramTest):
    """Starts a coordinator without a worker; each test lets workers join."""

    def setUp(self):
        super().setUp()
        self.processes, self.workers = [], {}

    def tearDown(self):
        for process in self.processes:
            process.kill()
        self.remember_speeds()

    def remember_speeds(self):
        for path in glob.glob(self.folder + "/*/worker/speeds*.json"):
            with open(path, "rb") as file:
                # Others computed meanwhile: each start would measure again.
                _speeds[os.path.basename(path)] = json.dumps({**json.load(file), "load": 0})

    def start(self, *args, **how):
        process = Process(*args, env={"XDG_STATE_HOME": self.folder + "/home", "XDG_CACHE_HOME": self.folder + "/home"},
                          **how)
        self.processes.append(process)
        return process

    def up(self, *flags, model=DEMO, http="127.0.0.1:0", listen="127.0.0.1:0"):
        self.coordinator = self.start("up", *([model] if model else []), "--no-worker", "--http", http, "--listen",
                                      listen, "--state-dir", self.folder + "/coordinator", "--cache-dir",
                                      self.folder + "/cache", *flags)
        self.url = self.coordinator.wait_for(r"https?://(\S+)")[1]
        self.line = self.coordinator.wait_for(r"potluck join (\S+)")[1]
        return self.coordinator

    def join(self, name, *flags, line=None, **how):
        if self.workers and not _speeds:  # one measures the machine, and not against the others
            next(iter(self.workers.values())).wait_for("joined the cluster")
            self.remember_speeds()
        for speeds, data in _speeds.items():
            os.makedirs(f"{self.folder}/{name}/worker", mode=0o700, exist_ok=True)
            os.chmod(self.write(f"{name}/worker/{speeds}", data), 0o600)
        if "--cache-dir" not in flags:
            flags = ("--cache-dir", self.folder + "/cache", *flags)
        self.workers[name] = self.start("join", line or self.line, "--name", name, "-t", "1", "--state-dir",
                                        self.folder + "/" + name, *flags, **how)
        return self.workers[name]

    def call(self, method, path, body=None, timeout=PATIENCE_SECONDS):
        connection = http.client.HTTPConnection(self.url, timeout=timeout)
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body))
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def status(self):
        code, text = self.call("GET", "/cluster")
        self.assertEqual(code, 200, text)
        return json.loads(text)

    def wait_until(self, what, holds):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            status = self.status()
            if holds(status):
                return status
            if time.monotonic() > deadline:
                logs = "\n".join(process.text[-3000:] for process in self.processes)
                raise AssertionError(f"waited in vain until {what}: {json.dumps(status, indent=1)}\n{logs}")
            time.sleep(0.1)

    def wait_for_stages(self, count):
        return self.wait_until(f"{count} stages serve", lambda status: any(
            instance["state"] == "ready" and len(instance["stages"]) == count for instance in status["instances"]))

    def stages(self):
        """Names of the workers that hold layers, in their order."""
        return [stage["name"] for stage in self.status()["instances"][0]["stages"]]

    def complete(self, prompt, **fields):
        code, text = self.call("POST", "/v1/completions", {"prompt": prompt, "temperature": 0, **fields})
        self.assertEqual(code, 200, text)
        return json.loads(text)["choices"][0]["text"]

    def local(self, prompt, *flags, model=DEMO):
        """What `potluck run` answers on this machine, as JSON."""
        return json.loads(self.fine("run", model, prompt, "--raw", "--json", "-t", "1", *flags).out)


class Stream:
    """One streaming request, read in a thread of its own."""

    def __init__(self, url, **body):
        self.text, self.finish, self.error, self.first = "", None, None, threading.Event()
        self.thread = threading.Thread(target=self.run, args=(url, body), daemon=True)
        self.thread.start()

    def run(self, url, body):
        connection = http.client.HTTPConnection(url, timeout=PATIENCE_SECONDS)
        try:
            connection.request("POST", "/v1/completions", body=json.dumps({"stream": True, **body}))
            reply = connection.getresponse()
            if reply.status != 200:
                self.error = reply.read().decode()
                return
            for line in reply:
                if line.startswith(b"data: {"):
                    self.take(json.loads(line[len("data: "):]))
        except OSError as error:
            self.error = str(error)
        finally:
            connection.close()
            self.first.set()

    def take(self, event):
        if "error" in event:
            self.error = event["error"]["message"]
            return
        for choice in event["choices"]:
            self.text += choice["text"]
            self.finish = choice["finish_reason"] or self.finish
            if self.text:
                self.first.set()

    def result(self):
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive(), "the stream hangs"
        return self.text
