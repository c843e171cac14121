#!/usr/bin/env python3
"""A real Prometheus in front of a cluster under load, with a kill in it: what people are given for it returns data."""

import glob
import json
import os
import re
import signal
import subprocess
import threading
import time
import unittest
import urllib.parse
import urllib.request

from cluster import PATIENCE_SECONDS, ClusterTest, Process, Stream, free_port
from program import ROOT

DEPLOY = os.path.join(ROOT, "deploy")
RULES = os.path.join(DEPLOY, "prometheus", "potluck.rules.yml")


def rules(kind):
    """Names (`record` or `alert`) and expressions."""
    with open(RULES, encoding="utf-8") as file:
        return re.findall(rf"- {kind}: (\S+)\n\s+expr: (.+)\n", file.read())


def panels():
    """Of all dashboards: where, and the expression as Grafana would send it with all models and devices chosen."""
    for path in sorted(glob.glob(os.path.join(DEPLOY, "grafana", "dashboards", "*.json"))):
        with open(path, encoding="utf-8") as file:
            dashboard = json.load(file)
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "30s").replace("$__range", "1m").replace("$model", ".*").replace("$worker", ".*")
                yield f"{dashboard['title']}, {panel['title']}: {expression}", expression


def listed_of_workers():
    """Metrics and their types, as docs/metrics.md says them of a worker with --metrics."""
    with open(os.path.join(ROOT, "docs", "metrics.md"), encoding="utf-8") as page:
        sections = re.findall(r"^## (?:On a worker|The process)$(.*?)(?=^## |\Z)", page.read(), re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", "".join(sections), re.MULTILINE))


class Machine:
    """A tree as Linux' /sys/class, of a processor that takes 20 watts and a battery that gives 10."""

    def __init__(self, folder):
        self.zone = os.path.join(folder, "powercap", "intel-rapl:0")
        self.battery = os.path.join(folder, "power_supply", "BAT0")
        for path, text in ((self.zone, {"name": "package-0", "max_energy_range_uj": "262143328850"}), (self.battery, {"type": "Battery"})):
            os.makedirs(path)
            for name, line in text.items():
                self.write(os.path.join(path, name), line)
        self.began = time.monotonic()
        self.ended = threading.Event()
        self.tell()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    @staticmethod
    def write(path, line):
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(line + "\n")
        os.rename(path + ".new", path)

    def tell(self):
        seconds = time.monotonic() - self.began
        self.write(os.path.join(self.zone, "energy_uj"), str(int(seconds * 20e6)))
        self.write(os.path.join(self.battery, "energy_now"), str(int(50e6 - seconds * 10e6 / 3600)))

    def run(self):
        while not self.ended.wait(0.2):
            self.tell()

    def end(self):
        self.ended.set()
        self.thread.join()


class Prometheus(ClusterTest):
    def begin(self):
        machine = Machine(self.folder + "/sys")
        self.addCleanup(machine.end)
        os.environ["POTLUCK_SYS_CLASS"] = self.folder + "/sys"
        self.addCleanup(os.environ.pop, "POTLUCK_SYS_CLASS")
        self.up("--copies", "2", "--spread")
        # One tells its metrics itself, of the others the coordinator does.
        self.exporter = f"127.0.0.1:{free_port()}"
        self.join("desk", "--metrics", self.exporter)
        for name in ("nas", "laptop"):
            self.join(name)
        self.wait_until("a plan over several and its standbys", lambda status: status["instances"][0]["state"] == "ready"
                        and len(status["instances"][0]["stages"]) > 1 and status["workers"][2]["links"])
        with open(RULES, encoding="utf-8") as file:
            quick = re.sub(r"( for:) \S+", r"\1 1s", file.read())  # when they fire otherwise is alerts_test.yml's
        config = self.write("prometheus.yml", json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [self.write("rules.yml", quick)],
            "scrape_configs": [{"job_name": "potluck", "static_configs": [{"targets": [self.url]}]},
                               {"job_name": "potluck-workers", "http_sd_configs": [
                                   {"url": f"http://{self.url}/cluster/prometheus/targets", "refresh_interval": "1s"}]}]}))
        self.prometheus_url = f"127.0.0.1:{free_port()}"
        prometheus = Process(f"--config.file={config}", f"--storage.tsdb.path={self.folder}/tsdb",
                             f"--web.listen-address={self.prometheus_url}", program="prometheus")
        self.addCleanup(prometheus.kill)
        prometheus.wait_for("Server is ready to receive web requests")

    def ask(self, path):
        code, text = self.call("GET", path)
        self.assertEqual(code, 200, text)
        return json.loads(text)

    def query(self, expression):
        url = f"http://{self.prometheus_url}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as reply:
            return [sample for sample in json.load(reply)["data"]["result"] if sample["value"][1] != "NaN"]

    def wait_for_data(self, what, expression):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := self.query(expression)):
            self.assertLess(time.monotonic(), deadline, f"no data: {what}")
            time.sleep(0.3)
        return found

    def test_what_is_deployed_is_sound(self):
        for arguments in (("check", "config", os.path.join(DEPLOY, "prometheus", "prometheus.yml")),
                          ("test", "rules", os.path.join(ROOT, "tests", "prometheus", "alerts_test.yml"))):
            done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(os.path.join(ROOT, "tests", "prometheus", "alerts_test.yml"), encoding="utf-8") as file:
            tested = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", file.read()))
        self.assertEqual(tested, {name for name, _ in rules("alert")}, "each alert fires in a test")
        # The dashboards' metrics are all on the page that lists them.
        with open(os.path.join(ROOT, "docs", "metrics.md"), encoding="utf-8") as page:
            listed = set(re.findall(r"^\| `(\w+)` \|", page.read(), re.MULTILINE))
        for where, expression in panels():
            for name in re.findall(r"\b(?:potluck|process)_\w+", expression):
                self.assertIn(re.sub(r"_(bucket|sum|count)$", "", name), listed | {name} & listed, where)

    def test_every_panel_rule_and_alert_has_data(self):
        self.begin()
        targets = {target["labels"]["worker"]: target for target in self.ask("/cluster/prometheus/targets")}
        self.assertEqual(targets["desk"]["targets"], [self.exporter])
        self.assertEqual(set(targets), {"desk", "nas", "laptop"})
        for reach, names in (("direct", {"desk"}), ("relayed", {"nas", "laptop"})):
            listed = self.ask(f"/cluster/prometheus/targets?reach={reach}")
            self.assertEqual({target["labels"]["worker"] for target in listed}, names)
        self.assertEqual(self.call("GET", "/cluster/prometheus/targets?reach=far")[0], 400)
        self.assertEqual(self.call("GET", "/cluster/prometheus/worker?id=nobody")[0], 404)
        labels = targets["nas"]["labels"]
        for url in (f"http://{self.exporter}/metrics",
                    f"http://{targets['nas']['targets'][0]}{labels['__metrics_path__']}?id={labels['__param_id']}"):
            with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as reply:
                self.assertIn("text/plain", reply.headers["Content-Type"])
                types = dict(re.findall(r"^# TYPE ((?!exposer_)\w+) (\w+)$", reply.read().decode(), re.MULTILINE))
            self.assertEqual(types, listed_of_workers(), "what a worker tells is what the page lists")
        stop = time.monotonic() + 15
        victim = None
        while time.monotonic() < stop or victim is None:
            streams = [Stream(self.url, prompt=f"Number {number} brings soup", max_tokens=40, ignore_eos=True, temperature=1,
                              seed=number) for number in range(4)]
            if victim is None and time.monotonic() > stop - 9:
                victim = self.stages()[-1]
                self.workers[victim].process.send_signal(signal.SIGKILL)
            for stream in streams:
                stream.result()
                self.assertIsNone(stream.error)
        for name, expression in rules("record"):
            with self.subTest(rule=name):
                self.wait_for_data(name, name)
        for where, expression in panels():
            with self.subTest(panel=where):
                self.wait_for_data(where, expression)
        for alive in targets.keys() - {victim}:
            watts = {sample["metric"]["source"]: float(sample["value"][1]) for sample in self.query(
                f'rate(potluck_energy_joules_total{{worker="{alive}"}}[10s])')}
            self.assertEqual(set(watts), {"package-0", "BAT0"}, alive)
            self.assertAlmostEqual(watts["package-0"], 20, delta=5)
            self.assertAlmostEqual(watts["BAT0"], 10, delta=3)
        # Every hop has moved rows and tokens.
        sent = {(sample["metric"]["worker"], sample["metric"]["to"]) for sample in self.query("potluck_link_sent_bytes_total > 10000")}
        self.assertIn("coordinator", {worker for worker, _ in sent})
        self.assertIn("coordinator", {to for _, to in sent})
        self.assertTrue(any("coordinator" not in link for link in sent), sent)
        for name, expression in rules("alert"):
            with self.subTest(alert=name):
                selector = re.sub(r" (==|>|<) \S+$", "", expression)
                self.assertNotEqual(selector, expression)
                self.wait_for_data(name, selector)
        lost = self.wait_for_data("the alert of a lost device", 'ALERTS{alertname="PotluckWorkerLost", alertstate="firing"}')
        self.assertEqual([alert["metric"]["worker"] for alert in lost], [victim])


if __name__ == "__main__":
    unittest.main()
