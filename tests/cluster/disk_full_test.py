#!/usr/bin/env python3
"""A worker whose disk is full says so and holds nothing; whoever has room carries the model; and once there is room, it is
used. Needs a file system of its own (a small tmpfs), and skips where the machine does not allow one."""

import os
import subprocess
import unittest

from apart import run_apart
from cluster import ClusterTest, DEMO

WHY_NOT = None
PROMPT = "Once upon a time"


class DiskFull(ClusterTest):
    def setUp(self):
        if WHY_NOT is not None:
            self.skipTest(f"no file system of its own: {WHY_NOT}")
        super().setUp()
        self.disk = self.folder + "/disk"
        os.mkdir(self.disk)
        self.mount("size=2m")
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.disk], check=True)
        self.expected = self.local(PROMPT, "--temp", "0", "-n", "16")["text"]

    def mount(self, options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.disk], check=True)

    def join_without_room(self, name):
        self.up("--spread", "--wait-for-workers", "5")
        self.join(name, "--cache-dir", self.disk)

    def check_trouble(self, *words):
        def told(status):
            trouble = status["instances"][0].get("trouble", "") if status["instances"] else ""
            return all(word in trouble for word in words)

        self.assertEqual(self.wait_until("the trouble is told", told)["instances"][0]["stages"], [])
        code, text = self.call("POST", "/v1/completions", {"prompt": PROMPT})
        self.assertEqual(code, 503, text)
        for word in words:
            self.assertIn(word, text)
        self.assertEqual(self.call("GET", "/health")[0], 503)

    def check_words(self):
        self.assertEqual(self.complete(PROMPT, max_tokens=16), self.expected)

    def test_another_worker_has_room(self):
        self.join_without_room("attic")
        self.check_trouble("attic", self.disk, "make room on the disk")
        self.join("desk")
        self.wait_for_stages(1)
        self.assertEqual(self.stages(), ["desk"])
        self.check_words()

    def test_not_a_byte_is_left(self):
        try:
            with open(self.disk + "/ballast", "wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        except OSError:
            pass
        self.join_without_room("attic")
        self.check_trouble("attic")
        self.assertIsNone(self.workers["attic"].process.poll())
        self.join("desk")
        self.wait_for_stages(1)
        self.check_words()

    def test_room_is_made(self):
        self.join_without_room("attic")
        self.check_trouble("attic", self.disk)
        # Two of these are left to others.
        self.mount("remount,size=3g")
        self.wait_for_stages(1)
        self.check_words()


if __name__ == "__main__":
    WHY_NOT = run_apart("--mount")
    unittest.main()
