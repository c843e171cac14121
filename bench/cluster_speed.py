#!/usr/bin/env python3
"""What being a cluster costs, and how long a home's accidents hold up an answer, with real processes on this machine.

  bench/cluster_speed.py MODEL [--only speed,change]       (POTLUCK names the program, otherwise build/release/potluck)

Workers are pinned to a share of the cores each and join over loopback with mutual TLS, as anywhere.
  speed    decode of one process that serves one request with all cores beside two workers with half of them each and two
           requests, both asked over HTTP, and beside what `potluck bench` says of all cores (computing, and no more);
           prefill through both workers beside one of them; the CPU time of the coordinator's threads for each token of
           16 streams (its own work is on the one called coordinator)
  change   the longest wait for a next token around a planned leave, a kill and a freeze of a stage, with and without a
           standby, and how much of it had passed when the next plan was in place: the rest is replay; the model's layers
           are on two of the workers, a third one is free
"""

import argparse
import collections
import concurrent.futures
import contextlib
import datetime
import http.client
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "cluster"))
from cluster import PROGRAM, Process  # noqa: E402

CORES = sorted(os.sched_getaffinity(0))
PROMPT = "The quick brown fox jumps over the lazy dog. " * 12


class Cluster:
    def __init__(self, folder, model, *flags, own_worker=False):
        self.folder, self.processes, self.workers = folder, [], {}
        up = self.start("coordinator", CORES, "up", model, *(() if own_worker else ("--no-worker",)), "--http",
                        "127.0.0.1:0", "--listen", "127.0.0.1:0", "--ctx", "2048", "--wait-for-workers", "120s", *flags)
        self.url = up.wait_for(r"http://(\S+)")[1]

    def start(self, name, cores, *arguments):
        process = Process(*arguments, "--state-dir", f"{self.folder}/{name}", "--cache-dir", f"{self.folder}/cache",
                          wrapper=("taskset", "-c", ",".join(map(str, cores))))
        self.processes.append(process)
        return process

    def join(self, name, cores):
        line = self.processes[0].wait_for(r"potluck join (\S+)")[1]
        self.workers[name] = self.start(name, cores, "join", line, "--name", name, "-t", str(len(cores)))

    def call(self, path, body=None):
        connection = http.client.HTTPConnection(self.url, timeout=600)
        connection.request("GET" if body is None else "POST", path, body and json.dumps(body))
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        assert reply.status == 200, text
        return json.loads(text)

    def stages(self):
        """Names of the workers that serve, in the order of their layers, once all is ready."""
        instances = self.call("/cluster")["instances"]
        return [stage["name"] for stage in instances[0]["stages"]] if instances and instances[0]["state"] == "ready" else []

    def wait_for(self, *names):
        deadline = time.monotonic() + 600
        while sorted(self.stages()) != sorted(names):
            assert time.monotonic() < deadline, f"{self.stages()} instead of {names}"
            time.sleep(0.2)

    def plans_in_place(self):
        """When, on the clock of time.monotonic()."""
        stamps = re.findall(r'time=(\S+) .*event="plan in place"', self.processes[0].text)
        ahead = time.time() - time.monotonic()
        return [datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() - ahead for stamp in stamps]

    def end(self):
        for process in self.processes:
            process.kill()


class Stream(threading.Thread):
    """Notes when each of its tokens has come."""

    def __init__(self, cluster, prompt, tokens):
        super().__init__(daemon=True)
        self.cluster, self.times, self.error = cluster, [], None
        self.body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True, "ignore_eos": True}
        self.began = time.monotonic()
        self.start()

    def run(self):
        connection = http.client.HTTPConnection(self.cluster.url, timeout=600)
        connection.request("POST", "/v1/completions", json.dumps(self.body))
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                event = json.loads(line[6:])
                if "error" in event:
                    self.error = event["error"]["message"]
                elif event["choices"] and event["choices"][0].get("text") is not None:
                    self.times.append(time.monotonic())
        connection.close()

    def wait_for_tokens(self, count):
        while len(self.times) < count and self.is_alive():
            time.sleep(0.01)

    def longest_wait(self, since):
        """When it began, and its seconds."""
        times = [since, *(t for t in self.times if t >= since)]
        return max(zip(times, (b - a for a, b in zip(times, times[1:]))), key=lambda wait: wait[1])


def rate(streams):
    """Tokens per second of all of them, while all of them were answering."""
    begin, end = max(s.times[0] for s in streams), min(s.times[-1] for s in streams)
    return sum(sum(begin < t <= end for t in s.times) for s in streams) / (end - begin)


def cpu_seconds(process):
    """Of all threads, by their names."""
    seconds = collections.Counter()
    for thread in pathlib.Path(f"/proc/{process.process.pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            name = (thread / "comm").read_text(encoding="ascii").strip()
            seconds[name] += int((thread / "schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    return seconds


def streams_together(cluster, count, tokens):
    streams = [Stream(cluster, f"Number {i}. Once upon a time", tokens) for i in range(count)]
    for stream in streams:
        stream.join()
        assert stream.error is None, stream.error
    return streams


def first_token_seconds(cluster, text):
    stream = Stream(cluster, text, 1)
    stream.join()
    return stream.times[0] - stream.began


def alone_rate(model, test, cores):
    """Tokens per second of one process on those cores: `test` is pp or tg with a number of tokens, as `potluck bench` says."""
    sizes = ("-p", test[2:], "-n", "0") if test.startswith("pp") else ("-p", "0", "-n", test[2:])
    output = subprocess.run(["taskset", "-c", ",".join(map(str, cores)), PROGRAM, "bench", model, *sizes, "-t", str(len(cores)),
                             "--json"], check=True, capture_output=True).stdout
    return next(result["tokens_per_second"] for result in json.loads(output) if result["test"] == test)


def gain_of_two(model, test, half):
    """What two processes that know nothing of each other compute at the same time, beside one: the most that this machine
    can gain by a second worker."""
    one = alone_rate(model, test, CORES[:half])
    with concurrent.futures.ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda cores: alone_rate(model, test, cores), (CORES[:half], CORES[half:2 * half])))
    return sum(both) / one


def speed(model):
    half = len(CORES) // 2
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(folder, model, "--spread", "--parallel", "16")
        cluster.join("one", CORES[:half])
        cluster.wait_for("one")
        streams_together(cluster, 1, 8)
        prompts = [f"{i} {PROMPT * 12}" for i in range(6)]  # about 1,800 tokens
        one = min(first_token_seconds(cluster, prompt) for prompt in prompts[:3])
        cluster.join("two", CORES[half:2 * half])
        cluster.wait_for("one", "two")
        streams_together(cluster, 2, 8)
        both = min(first_token_seconds(cluster, prompt) for prompt in prompts[3:])
        alone = Cluster(f"{folder}/alone", model, "-t", str(len(CORES)), own_worker=True)
        while not alone.stages():
            time.sleep(0.2)
        streams_together(alone, 1, 8)
        rounds = [(rate(streams_together(cluster, 2, 96)), rate(streams_together(alone, 1, 96)),
                   alone_rate(model, "tg96", CORES)) for _ in range(6)]  # in turn: machines have moods
        alone.end()
        streams_together(cluster, 16, 8)
        before = cpu_seconds(cluster.processes[0])
        many = streams_together(cluster, 16, 64)
        spent = cpu_seconds(cluster.processes[0])
        spent.subtract(before)
        tokens = sum(len(s.times) for s in many)
        layers = [stage["layers"] for stage in cluster.call("/cluster")["instances"][0]["stages"]]
        cluster.end()
    two, served, computed = (statistics.mean(rates) for rates in zip(*rounds))
    most = gain_of_two(model, "pp512", half)
    print(f"one process, {len(CORES)} cores, 1 request: decode {served:.1f} tokens/s; potluck bench: {computed:.1f}")
    print(f"two workers, {half} cores each, layers {layers}, 2 requests: decode {two:.1f} tokens/s, {100 * two / served:.0f}% "
          f"of one process (in turn: {', '.join(f'{100 * a / b:.0f}%' for a, b, _ in rounds)}), "
          f"{100 * two / computed:.0f}% of potluck bench")
    print(f"prefill, first token: one worker {one:.2f} s, two {both:.2f} s: {one / both:.2f} times "
          f"(two processes that know nothing of each other: {most:.2f} times one)")
    print(f"16 streams: {rate(many):.1f} tokens/s; CPU of the coordinator's process for each token: {1e6 * spent.total() / tokens:.0f} us:")
    for name, seconds in spent.most_common(8):
        print(f"  {1e6 * seconds / tokens:6.1f} us  {name}")


def half_each(model):
    """--layers that give the first half of the model's layers to a, the others to b."""
    about = json.loads(subprocess.run([PROGRAM, "inspect", model, "--json"], check=True, capture_output=True).stdout)
    layers = about["config"]["num_layers"]
    return f"a=0-{layers // 2 - 1},b={layers // 2}-{layers - 1}"


def wait_around(model, what, standby):
    """The longest wait of a stream whose second stage is left, killed or frozen in the midst of it."""
    with tempfile.TemporaryDirectory() as folder:
        share = max(1, len(CORES) // 2)
        cluster = Cluster(folder, model, "--layers", half_each(model), "--copies", "2" if standby else "1")
        for name, cores in (("a", CORES[:share]), ("b", CORES[share:]), ("c", CORES[share:])):
            cluster.join(name, cores)
        cluster.wait_for("a", "b")
        time.sleep(15 if standby else 2)  # copies are made in the background
        stream = Stream(cluster, PROMPT, 400)
        stream.wait_for_tokens(30)
        usual = stream.longest_wait(stream.times[5])[1]
        since = time.monotonic()
        cluster.workers["b"].process.send_signal(
            {"leave": signal.SIGTERM, "kill": signal.SIGKILL, "freeze": signal.SIGSTOP}[what])
        stream.join()
        assert stream.error is None, stream.error
        counters = cluster.call("/cluster")["counters"]
        began, longest = stream.longest_wait(since)
        planned = [t - began for t in cluster.plans_in_place() if began < t < began + longest]
        in_place = f"{planned[-1]:5.2f} s until the plan was in place" if planned else "no plan came into place in it"
        print(f"{what:6} {'standby' if standby else 'none':8} longest wait {longest:5.2f} s, {in_place}; usually "
              f"{usual:.3f} s; after it {cluster.stages()}; {counters['replans']} re-plans", flush=True)
        cluster.end()


def change(model):
    for what, standby in (("leave", True), ("kill", True), ("freeze", True), ("kill", False), ("freeze", False)):
        wait_around(model, what, standby)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--only", default="speed,change")
    options = parser.parse_args()
    for part in options.only.split(","):
        {"speed": speed, "change": change}[part](options.model)


if __name__ == "__main__":
    main()
