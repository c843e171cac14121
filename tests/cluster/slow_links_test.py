#!/usr/bin/env python3
"""A cluster over lines as people have them: every link through a relay with 5 ms and 100 Mbit/s, and what becomes of
answers when lines are cut, fall silent or die. Whatever it is: not a word is lost, doubled or changed."""

import os
import sys
import unittest

from cluster import ClusterTest, ROOT, free_port, split_evenly
from conversations import Conversations, requests, write_endless_model

sys.path.insert(0, os.path.join(ROOT, "tests", "testing"))
from tcp_relay import TcpRelay  # noqa: E402

NAMES = ("attic", "desk", "kitchen")
DELAY_SECONDS, BITS_PER_SECOND = 0.005, 100e6


class RelayedTest(ClusterTest):
    """Each worker reaches the coordinator through a relay of its own, to_coordinator[name], and is reached by the others
    through another, to_worker[name]."""

    def setUp(self):
        super().setUp()
        self.to_coordinator, self.to_worker = {}, {}
        self.model = write_endless_model(self.folder + "/endless.gguf")

    def relay(self, target):
        relay = TcpRelay(target, DELAY_SECONDS, BITS_PER_SECOND)
        self.addCleanup(relay.close)
        return relay

    def join(self, name, *flags, **how):
        coordinator, code = self.line.split("/")
        here = f"127.0.0.1:{free_port()}"
        self.to_coordinator[name], self.to_worker[name] = self.relay(coordinator), self.relay(here)
        return super().join(name, "--listen", here, "--advertise", self.to_worker[name].address, *flags,
                            line=f"{self.to_coordinator[name].address}/{code}", **how)

    def up_with(self, *names):
        self.up("--spread", "--layers", split_evenly(names), "--parallel", "16", "--ctx", "320", model=self.model)
        for name in names:
            self.join(name)
        self.wait_for_stages(len(names))
        self.assertEqual(self.stages(), list(names))

    def worker(self, name, status):
        return next(worker for worker in status["workers"] if worker["name"] == name)

    def link(self, status, name, to):
        """What is known of the way from one worker to another; None where nothing is."""
        there = "coordinator" if to == "coordinator" else self.worker(to, status)["id"]
        return next((link for link in self.worker(name, status)["links"] if link["to"] == there), None)

    def is_reachable(self, status, name, to):
        link = self.link(status, name, to)
        return link is None or link["reachable"]

    def wait_until_ready(self, name):
        return self.wait_until(f"{name} is ready", lambda status: self.worker(name, status)["state"] == "ready")


class Slow(RelayedTest):
    def test_the_words_do_not_mind(self):
        self.up_with(*NAMES)
        for worker in self.status()["workers"]:
            self.assertIn("coordinator", [link["to"] for link in worker["links"]])
            for link in worker["links"]:
                self.assertGreaterEqual(link["round_trip_ms"], 2e3 * DELAY_SECONDS, worker)
                self.assertLess(link["mbit_per_second"], 1.1e-6 * BITS_PER_SECOND, worker)
        passed = {name: relay.forwarded_bytes for name, relay in self.to_worker.items()}
        talk = Conversations(self, self.model, requests(8, 60))
        talk.check()
        for name in NAMES[1:]:  # its neighbour before it has sent it what it computed
            self.assertGreater(self.to_worker[name].forwarded_bytes, passed[name])
        self.assertEqual(self.status()["counters"], {"workers_lost": 0, "replans": 0, "requests_resumed": 0})


class Broken(RelayedTest):
    def setUp(self):
        super().setUp()
        self.up_with(*NAMES)
        self.talk = Conversations(self, self.model, requests(12, 120))

    def check(self, workers_lost):
        self.talk.check()
        counters = self.status()["counters"]
        self.assertEqual(counters["workers_lost"], workers_lost)
        self.assertGreaterEqual(counters["replans"], 1)
        if workers_lost > 0:
            self.assertGreaterEqual(counters["requests_resumed"], 1, "a step was in flight")

    def test_all_links_of_a_worker_are_cut(self):
        def cut():
            self.to_coordinator["desk"].cut()
            self.to_worker["desk"].cut()

        self.talk.strike("desk", cut)
        self.check(workers_lost=1)
        self.wait_until_ready("desk")

    def test_a_link_between_two_workers_is_cut(self):
        self.talk.strike("desk", self.to_worker["desk"].cut)
        self.check(workers_lost=0)

    def test_a_link_between_two_workers_is_dead(self):
        def kill():
            self.to_worker["attic"].kill()
            self.to_worker["desk"].kill()

        self.talk.strike("desk", kill)
        self.check(workers_lost=0)
        status = self.status()
        self.assertFalse(self.is_reachable(status, "attic", "desk"), status)
        again = Conversations(self, self.model, requests(4, 40))
        again.check()

    def test_a_worker_falls_silent(self):
        def freeze():
            self.to_coordinator["desk"].freeze()
            self.to_worker["desk"].freeze()

        self.talk.strike("desk", freeze)
        self.check(workers_lost=1)
        # By the heartbeats that do not come, not by the keep-alive of its connections, which takes longer.
        self.assertRegex(self.coordinator.text, "worker lost.*name=desk.*nothing was heard of it")
        self.to_coordinator["desk"].mend()
        self.to_worker["desk"].mend()
        self.wait_until_ready("desk")

    def test_a_worker_is_heard_but_hears_nothing(self):
        self.talk.strike("desk", lambda: self.to_coordinator["desk"].freeze(to_target=False))
        self.talk.check()
        self.to_coordinator["desk"].mend()
        self.wait_until_ready("desk")

    def test_a_link_between_two_workers_falls_silent(self):
        self.talk.strike("desk", self.to_worker["desk"].freeze)
        self.talk.check()


class Relayed(RelayedTest):
    def test_two_workers_that_nobody_can_dial(self):
        self.up("--spread", "--layers", split_evenly(NAMES[:2]), "--parallel", "8", "--ctx", "320", model=self.model)
        for name in NAMES[:2]:
            self.join(name)
            self.to_worker[name].kill()
        status = self.wait_for_stages(2)
        self.assertFalse(self.is_reachable(status, "attic", "desk") and self.is_reachable(status, "desk", "attic"))
        talk = Conversations(self, self.model, requests(8, 60))
        talk.check()
        self.assertEqual([relay.forwarded_bytes for relay in self.to_worker.values()], [0, 0])
        self.assertEqual(self.status()["counters"]["workers_lost"], 0)


if __name__ == "__main__":
    unittest.main()
