#!/usr/bin/env python3
"""Machines with networks of their own: the coordinator's leads to each worker's by a cable, and from worker to worker only
where it forwards. Needs network namespaces, and skips where the machine does not allow them."""

import os
import subprocess
import sys
import unittest

from apart import run_apart
from cluster import ClusterTest, split_evenly
from conversations import Conversations, requests, write_endless_model

WHY_NOT = None
NAMES = ("attic", "desk")

# Connects to HOST PORT within a second, or says why not.
DIAL = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"


def ip(*args):
    subprocess.run(["ip", *args], check=True)


class Machine:
    """A network of its own, which lasts as long as a process in it; one end of its cable is here, called as it is."""

    def __init__(self, name, number):
        self.name = name
        self.process = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo up; cat"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"up\n"
        self.inside = ("nsenter", "--target", str(self.process.pid), "--net")
        self.v4, self.v6 = f"10.77.{number}.2", f"fd77:{number}::2"
        ip("link", "add", name, "type", "veth", "peer", "name", "cable", "netns", str(self.process.pid))
        self.here = (f"10.77.{number}.1", f"fd77:{number}::1")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{self.v4}/24", "dev", "cable")
        self.run("ip", "address", "add", f"{self.v6}/64", "dev", "cable", "nodad")
        self.run("ip", "link", "set", "cable", "up")
        self.plug(True)
        for gateway in self.here:
            self.run("ip", "route", "add", "default", "via", gateway)

    def run(self, *command):
        subprocess.run([*self.inside, *command], check=True)

    def plug(self, plugged):
        ip("link", "set", self.name, "up" if plugged else "down")
        if plugged:  # an interface that was down has forgotten its IPv6 address
            v4, v6 = self.here
            ip("address", "replace", v4 + "/24", "dev", self.name)
            ip("address", "replace", v6 + "/64", "dev", self.name, "nodad")

    def can_dial(self, host, port):
        done = subprocess.run([*self.inside, sys.executable, "-c", DIAL, host, str(port)], capture_output=True)
        return done.returncode == 0

    def close(self):
        # The next test's cable has this name, and the kernel takes its time to clear a network that is left.
        ip("link", "delete", self.name)
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class NetworkTest(ClusterTest):
    def setUp(self):
        if WHY_NOT is not None:
            self.skipTest(f"no network of its own: {WHY_NOT}")
        super().setUp()
        ip("link", "set", "lo", "up")
        for address in ("10.77.0.1/32", "fd77::1/128"):
            ip("address", "replace", address, "dev", "lo")
        self.machines = {}
        for number, name in enumerate(NAMES, 1):
            self.machines[name] = Machine(name, number)
            self.addCleanup(self.machines[name].close)
        self.model = write_endless_model(self.folder + "/endless.gguf")

    def forward(self, forwarded):
        for family in ("ipv4", "ipv6"):
            with open(f"/proc/sys/net/{family}/conf/all/forwarding", "w") as file:
                file.write("1" if forwarded else "0")

    def up_with(self, listen):
        self.up("--spread", "--layers", split_evenly(NAMES), "--parallel", "16", "--ctx", "320", model=self.model,
                listen=listen)
        for name in NAMES:
            self.join(name, wrapper=self.machines[name].inside)
        status = self.wait_for_stages(2)
        self.addresses = {worker["name"]: worker["addresses"][0] for worker in status["workers"]}
        return status

    def reachable(self, status):
        """What workers know of each other."""
        return [link["reachable"] for worker in status["workers"] for link in worker["links"]
                if link["to"] != "coordinator"]

    def can_dial_each_other(self):
        attic, desk = NAMES
        return [self.machines[one].can_dial(*self.addresses[other].replace("[", "").replace("]", "").rsplit(":", 1))
                for one, other in ((attic, desk), (desk, attic))]

    def test_both_workers_behind_a_firewall(self):
        self.forward(False)
        status = self.up_with("10.77.0.1:0")
        self.assertEqual(self.can_dial_each_other(), [False, False])
        self.assertEqual(set(self.reachable(status)), {False})
        Conversations(self, self.model, requests(12, 120)).check()
        Conversations(self, self.model, requests(12, 120)).check()
        # That nobody reaches the other may have been found out by a plan that failed; then it is known.
        self.assertEqual(self.status()["counters"], status["counters"])
        self.assertEqual(status["counters"]["workers_lost"], 0)

    def test_ipv6_and_a_pulled_plug(self):
        self.forward(True)
        status = self.up_with("[fd77::1]:0")
        self.assertIn("[fd77::1]:", self.line)
        self.assertEqual(sorted(address.rsplit(":", 1)[0] for address in self.addresses.values()),
                         ["[fd77:1::2]", "[fd77:2::2]"])
        self.assertEqual(self.can_dial_each_other(), [True, True])
        self.assertEqual(set(self.reachable(status)), {True})
        talk = Conversations(self, self.model, requests(12, 120))
        talk.strike("desk", lambda: self.machines["desk"].plug(False))
        talk.check()
        self.assertRegex(self.coordinator.text, "worker lost.*name=desk.*nothing was heard of it")
        counters = self.status()["counters"]
        self.assertEqual(counters["workers_lost"], 1)
        self.assertGreaterEqual(counters["requests_resumed"], 1, "a step was in flight")
        self.machines["desk"].plug(True)
        self.wait_until("desk is back", lambda status: all(
            worker["state"] == "ready" for worker in status["workers"]))

    def test_a_coordinator_whose_address_changes(self):
        desk = self.machines["desk"]
        up = self.start("up", "--http", "0.0.0.0:0", "--listen", "0.0.0.0:0", "--no-auth", "--name", "desk", "-t", "1",
                        "--state-dir", self.folder + "/up", wrapper=desk.inside)
        port = up.wait_for(rf"http://{desk.v4}:(\d+)")[1]

        def wait_for_desk(address):
            self.url = f"{address}:{port}"
            self.wait_until("desk is reached there", lambda now: [worker["addresses"][0].rsplit(":", 1)[0] for worker
                                                                  in now["workers"] if worker["state"] == "ready"]
                            == [address])

        wait_for_desk(desk.v4)
        other = "10.77.2.77"
        desk.run("ip", "address", "add", f"{other}/16", "dev", "cable")
        desk.run("ip", "address", "del", f"{desk.v4}/24", "dev", "cable")
        desk.run("ip", "route", "replace", "default", "via", desk.here[0])
        wait_for_desk(other)


if __name__ == "__main__":
    WHY_NOT = run_apart("--net")
    unittest.main()
