#!/usr/bin/env python3
"""kill -9 and SIGSTOP of every stage, each during 32 answers: not a word is lost, doubled or changed."""

import signal
import unittest

from cluster import ClusterTest, split_evenly
from conversations import Conversations, requests, write_endless_model

NAMES = ("attic", "desk", "kitchen")


class SuddenDeath(ClusterTest):
    def setUp(self):
        super().setUp()
        self.model = write_endless_model(self.folder + "/endless.gguf")
        self.up("--spread", "--layers", split_evenly(NAMES), "--parallel", "32", "--ctx", "320",
                model=self.model)
        for name in NAMES:
            self.join(name)
        self.wait_for_stages(3)
        self.talk = Conversations(self, self.model, requests(32, 240))

    def check_recovery(self):
        self.talk.check()
        counters = self.wait_until("the loss is noticed", lambda status: status["counters"]["workers_lost"] >= 1)["counters"]
        self.assertEqual(counters["workers_lost"], 1)
        self.assertGreaterEqual(counters["replans"], 1)
        self.assertGreaterEqual(counters["requests_resumed"], 1, "a step was in flight")

    def killed(self, stage):
        self.talk.kill(self.stages()[stage])
        self.check_recovery()

    def stopped(self, stage):
        victim = self.stages()[stage]
        self.talk.stop(victim)
        self.check_recovery()
        self.assertRegex(self.coordinator.text, f"worker lost.*name={victim}.*nothing was heard of it")
        self.workers[victim].process.send_signal(signal.SIGCONT)
        self.wait_until(f"{victim} is back", lambda status: any(
            worker["name"] == victim and worker["state"] == "ready" for worker in status["workers"]))

    def test_kill_the_first_stage(self):
        self.killed(0)

    def test_kill_a_middle_stage(self):
        self.killed(1)

    def test_kill_the_last_stage(self):
        self.killed(2)

    def test_stop_the_first_stage(self):
        self.stopped(0)

    def test_stop_a_middle_stage(self):
        self.stopped(1)

    def test_stop_the_last_stage(self):
        self.stopped(2)


if __name__ == "__main__":
    unittest.main()
