#!/usr/bin/env python3
"""potluck doctor: what it finds on a machine without a cluster."""

import json
import os
import socket
import unittest

from program import ProgramTest

NOBODY = "http://127.0.0.1:9"


class Doctor(ProgramTest):
    def folder_of(self, name, mode):
        path = os.path.join(self.folder, name)
        os.mkdir(path, mode)
        os.chmod(path, mode)
        return path

    def findings(self, result):
        return {one["about"]: one for one in json.loads(result.out)}

    def test_a_machine_in_order(self):
        state = self.folder_of("state", 0o700)
        found = self.findings(self.fine("doctor", "--json", "--state-dir", state, "--cache-dir", self.folder + "/none"))
        self.assertEqual(found["state folder"]["level"], "ok")
        self.assertIn("will be made", found["cache folder"]["says"])
        self.assertIn("free", found["cpu"]["says"])
        self.assertIn(found["clock"]["level"], ("ok", "warning"))
        self.assertEqual(set(found["port 7070"]), {"about", "level", "says", "advice"})
        for one in found.values():
            self.assertEqual(one["level"] == "ok", not one["advice"], one)

    def test_keys_that_others_could_read(self):
        state = self.folder_of("state", 0o755)
        key = self.write("state/key", "secret")
        os.chmod(key, 0o600)
        self.fine("doctor", "--state-dir", state)
        os.chmod(key, 0o640)
        result = self.fails("doctor", "--state-dir", state, says="1 problem was found")
        self.assertIn("can be read by other users", result.out)
        self.assertIn("chmod 600 " + key, result.out)

    def test_a_cluster_that_was_named_and_is_not_there(self):
        result = self.fails("doctor", "--url", NOBODY, "--state-dir", self.folder + "/none", says="problem was found")
        self.assertRegex(result.out, "problem +cluster: ")

    def test_a_port_that_is_taken(self):
        with socket.socket() as taken:
            try:
                taken.bind(("0.0.0.0", 7080))
            except OSError:
                self.skipTest("somebody else has the port")
            taken.listen()
            result = self.fails("doctor", "--json", "--url", NOBODY, "--state-dir", self.folder + "/none", says="problem")
        self.assertEqual(self.findings(result)["port 7080"]["level"], "warning")


if __name__ == "__main__":
    unittest.main()
