#!/usr/bin/env python3
"""A worker of another architecture in an x86 cluster: an arm64 program, under qemu-user, says the same words.

POTLUCK is this machine's program, POTLUCK_ARM64 the other one, POTLUCK_EMULATOR what runs it, with its arguments.
`tests/run.sh --arm64` builds both and runs this."""

import os
import shlex
import struct
import unittest

from cluster import ClusterTest, PROGRAM, split_evenly
from conversations import Conversations, requests, write_endless_model

ARM64 = os.environ.get("POTLUCK_ARM64", "")
EMULATOR = shlex.split(os.environ.get("POTLUCK_EMULATOR", ""))
AARCH64 = 183  # ELF's number for it


def machine_of(program):
    with open(program, "rb") as file:
        return struct.unpack("<H", file.read(20)[18:])[0]


class Arm64Worker(ClusterTest):
    def setUp(self):
        for program in (PROGRAM, ARM64):
            if not os.path.exists(program):
                self.skipTest(f"there is no program {program!r}: both are needed, this machine's and an arm64 one")
        if not EMULATOR:
            self.skipTest("POTLUCK_EMULATOR says nothing to run an arm64 program with")
        super().setUp()
        self.assertEqual([machine_of(PROGRAM) == AARCH64, machine_of(ARM64) == AARCH64], [False, True])
        self.model = write_endless_model(self.folder + "/endless.gguf")
        self.up("--spread", "--layers", split_evenly(("desk", "phone")), "--parallel", "4", "--ctx", "320",
                "--wait-for-workers", "600s", model=self.model)
        self.join("desk")
        # It measures its emulated processor first.
        self.join("phone", wrapper=EMULATOR, program=ARM64).wait_for("joined the cluster", patience=300)
        self.wait_for_stages(2)
        self.assertEqual(self.stages(), ["desk", "phone"])

    def test_the_same_words(self):
        Conversations(self, self.model, requests(4, 40)).check()
        self.assertEqual(self.status()["counters"]["workers_lost"], 0)

    def test_either_goes_on_where_the_other_was(self):
        talk = Conversations(self, self.model, requests(4, 60))
        talk.kill("desk")
        talk.check()
        self.wait_for_stages(1)
        self.assertEqual(self.stages(), ["phone"])


if __name__ == "__main__":
    unittest.main()
