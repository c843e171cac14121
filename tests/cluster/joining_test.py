#!/usr/bin/env python3
"""The ways in which a machine gets its join line, and what its owner says of it."""

import glob
import json
import os
import socket
import unittest

from cluster import DEMO, ClusterTest


class JoinLine(ClusterTest):
    """As a service starts a worker: the code is never on a command line, where all of the machine would see it."""

    def join_as(self, name, *flags, env=None, wrapper=()):
        worker = self.start("join", *flags, "--name", name, "-t", "1", "--state-dir", f"{self.folder}/{name}",
                            "--cache-dir", self.folder + "/cache", wrapper=wrapper)
        worker.wait_for("joined the cluster")
        return worker

    def test_from_a_file_from_standard_input_and_from_the_environment(self):
        self.up(model=None)
        code = self.line.split("/")[1]
        path = self.write("line", self.line.encode() + b"\n")
        workers = [self.join_as("file", "--join-file", path),
                   self.join_as("stdin", "-", wrapper=("sh", "-c", f'exec "$@" < {path}', "sh")),
                   self.join_as("environment", wrapper=("env", "POTLUCK_JOIN=" + self.line))]
        self.assertEqual({worker["name"] for worker in self.status()["workers"]},
                         {"file", "stdin", "environment"})
        for worker in workers:
            with open(f"/proc/{worker.process.pid}/cmdline", "rb") as file:
                self.assertNotIn(code.encode(), file.read())

    def test_none_and_broken_ones_are_told(self):
        empty = self.write("empty", b"\n")
        for flags, stdin in ((("--join-file", empty), b""), (("-",), b"\n"), (("-",), b"a line\nand another\n")):
            with self.subTest(flags=flags, stdin=stdin):
                result = self.fails("join", *flags, "--state-dir", self.folder + "/none", stdin=stdin)
                self.assertNotIn("joined", result.err)
        self.fails("join", "--join-file", self.folder + "/nowhere", "--state-dir", self.folder + "/none", says="nowhere")
        self.misused("join", "--state-dir", self.folder + "/none", says="HOST:PORT/CODE")


class Owner(ClusterTest):
    def test_memory_that_is_not_lent_is_not_taken(self):
        self.up()
        self.join("mean", "--memory", "1MiB").wait_for("joined the cluster")
        status = self.wait_until("it is told why", lambda now: now["instances"][0].get("trouble")
                                 and now["workers"] and now["workers"][0]["state"] == "ready")
        self.assertEqual(status["instances"][0]["stages"], [])
        self.join("kind")
        self.wait_for_stages(1)
        self.assertEqual(self.stages(), ["kind"])

    def test_pauses_resumes_and_drains_the_worker_of_this_machine(self):
        self.up(model=None)
        here = ("--state-dir", self.folder + "/desk")
        for verb in ("pause", "resume", "drain"):
            self.fails(verb, *here, says=("no worker", self.folder + "/desk"))
            self.misused(verb, "--url", "http://" + self.url, says="name or id")
            self.misused(verb, "desk", *here)
        worker = self.join("desk")
        worker.wait_for("joined the cluster")

        def wait_for(state):
            self.wait_until(state, lambda now: [worker["state"] for worker in now["workers"]] == [state])

        wait_for("ready")
        self.fine("pause", *here)
        wait_for("paused")
        self.fine("resume", "--state-dir", self.folder + "/desk/worker")
        wait_for("ready")
        second = self.start("join", self.line, "-t", "1", "--name", "second", *here, "--cache-dir",
                            self.folder + "/cache")
        second.wait_for("joined the cluster")
        self.fails("drain", *here, says=("2 workers", self.folder + "/desk/worker-2"))
        self.fine("drain", "--state-dir", self.folder + "/desk/worker-2")
        self.assertEqual(second.process.wait(60), 0)
        self.fine("drain", *here)
        self.assertEqual(worker.process.wait(60), 0)
        self.fails("pause", *here, says="no worker")

    def test_the_worker_beside_a_coordinator_is_paused_and_not_ended(self):
        here = ("--state-dir", self.folder + "/up")
        up = self.start("up", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "-t", "1", *here)
        self.url = up.wait_for(r"http://(\S+)")[1]
        for verb, state in (("pause", "paused"), ("resume", "ready")):
            self.wait_until("it is there", lambda now: now["workers"])
            self.fine(verb, *here)
            self.wait_until(state, lambda now: now["workers"][0]["state"] == state)
        self.fails("drain", *here, says="potluck status")

    def test_a_log_for_programs_has_nothing_else_in_it(self):
        self.up(model=None)
        worker = self.join("desk", "--log-format", "json")
        worker.wait_for("joined the cluster")
        (member,) = self.status()["workers"]
        self.coordinator.kill()
        worker.wait_for("cannot reach the coordinator")
        self.assertEqual(worker.end(), 0)
        lines = [json.loads(line) for line in worker.lines]
        told = [line["event"] for line in lines if line.get("worker") == member["id"]]
        for event in ("joined the cluster", "lost the coordinator", "cannot reach the coordinator", "leaving"):
            self.assertIn(event, told)

    def test_all_interfaces_are_told_as_one_that_others_reach(self):
        self.up(model=None)
        self.join("desk", "--listen", "0.0.0.0:0").wait_for("joined the cluster")
        host, port = self.status()["workers"][0]["addresses"][0].rsplit(":", 1)
        self.assertNotEqual(host, "0.0.0.0")
        socket.create_connection((host, int(port)), 10).close()

    def test_disk_that_is_not_lent_is_not_taken(self):
        self.misused("join", "nas:7071", "--cache-size", "much", says="--cache-size")
        self.up()
        self.join("mean", "--cache-size", "1MiB", "--cache-dir", self.folder + "/mean-cache")
        status = self.wait_until("it is told why", lambda now: any(
            "--cache-size" in instance.get("trouble", "") for instance in now["instances"]))
        self.assertEqual(status["instances"][0]["stages"], [])
        self.assertLessEqual(status["workers"][0]["disk_free_bytes"], 1 << 20)

    def test_devices_are_measured_again_where_that_is_asked_for(self):
        self.up(model=None)

        def speeds():
            (path,) = glob.glob(self.folder + "/desk/worker/speeds*.json")
            with open(path, encoding="utf-8") as file:
                return path, json.load(file)

        self.join("desk").wait_for("joined the cluster")
        self.workers["desk"].end()
        path, measured = speeds()
        self.assertGreater(measured["layer_overhead_seconds"], 0)
        # As if measured on a quiet machine, with a number that no measurement gives.
        measured.update(load=0, step_overhead_seconds=42)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(measured, file)
        self.join_again()
        self.assertEqual(speeds()[1]["step_overhead_seconds"], 42)
        self.join_again("--measure")
        self.assertLess(speeds()[1]["step_overhead_seconds"], 42)
        # What a busy machine has said is measured again without being asked for.
        measured.update(load=1)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(measured, file)
        self.join_again()
        now = speeds()[1]
        self.assertTrue(now["load"] == 1 or now["step_overhead_seconds"] < 42, now)

    def join_again(self, *flags):
        worker = self.start("join", self.line, "--name", "desk", "-t", "1", "--state-dir", self.folder + "/desk",
                            "--cache-dir", self.folder + "/cache", *flags)
        worker.wait_for("joined the cluster")
        worker.end()


class OwnFiles(ClusterTest):
    def cached(self):
        return json.loads(self.fine("cache", "ls", "--json", "--cache-dir", self.folder + "/own").out)["blobs"]

    def test_what_lies_in_a_file_of_this_machine_is_not_fetched(self):
        alone = self.start("up", DEMO, "-t", "1", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--state-dir",
                           self.folder + "/alone", "--cache-dir", self.folder + "/own")
        alone.wait_for("event=ready")
        self.assertEqual(self.cached(), [])
        alone.end()
        # Its cache folder knows the file from then on, whose cluster it is in.
        self.up()
        self.join("desk", "--cache-dir", self.folder + "/own")
        self.wait_for_stages(1)
        self.assertEqual(self.stages(), ["desk"])
        self.assertEqual(self.cached(), [])


if __name__ == "__main__":
    unittest.main()
