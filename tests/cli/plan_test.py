#!/usr/bin/env python3
"""potluck plan: what it prints, and every cluster file that is none."""

import json
import unittest

from program import DEMO, ProgramTest

# The demo model has about a mebibyte: these pots and pans are small.
MIB = 1 / 1024


def device(name, speed=10.0, free_mib=64.0, **more):
    return {"id": name, "decode_gb_per_second": speed, "prefill_gflops": 100 * speed,
            "free_memory_gib": free_mib * MIB, "free_disk_gib": 1, **more}


def cluster(*devices, **more):
    return {"coordinator": {"host": devices[0]["id"]}, "devices": list(devices),
            "other_links": {"round_trip_ms": 1, "mbit_per_second": 1000}, **more}


class Plan(ProgramTest):
    def file(self, content):
        return self.write("home.json", content if isinstance(content, (str, bytes)) else json.dumps(content))

    def plan(self, content, *flags):
        return json.loads(self.fine("plan", DEMO, "--cluster", self.file(content), "--json", *flags).out)

    def layers(self, plan):
        return {stage["device"]: stage["layers"] for stage in plan["stages"]}

    def test_fastest_machine_alone(self):
        home = cluster(device("desk", 40), device("pi", 4, host="shelf"), device("nas", state="paused"),
                       coordinator={"host": "router"})
        plan = self.plan(home)
        self.assertEqual(list(self.layers(plan)), ["desk"])
        reasons = {one["device"]: one["reason"] for one in plan["left_out"]}
        self.assertIn("slower", reasons["pi"])
        self.assertIn("paused", reasons["nas"])
        self.assertGreater(plan["prediction"]["decode_tokens_per_second"], 0)
        self.assertEqual(plan["losses"][0]["worker"], "desk")
        self.assertTrue(plan["losses"][0]["survived"])
        self.assertEqual(plan["stages"][0]["standby"][0]["worker"], "pi")
        text = self.fine("plan", DEMO, "--cluster", self.file(home)).out
        for words in ("on 1 of 3 devices", "decode", "prefill", "where the time goes", "coordinator -> desk",
                      "left out", "pi: with it the model would be slower", "if a worker is lost", "it goes on",
                      "standby for layers 0-", "may take"):
            self.assertIn(words, text)

    def test_the_coordinators_own_worker_goes_with_it(self):
        loss = self.plan(cluster(device("desk", 40), device("pi", 4)))["losses"][0]
        self.assertEqual((loss["worker"], loss["survived"], loss["how"]), ("desk", False, "it is the coordinator, too"))

    def test_spread_and_wishes(self):
        home = cluster(device("desk", 40), device("pi", 4))
        spread = self.plan(home, "--spread")
        self.assertEqual(sorted(self.layers(spread)), ["desk", "pi"])
        last = max(stage["layers"][1] for stage in spread["stages"])
        wished = self.plan(home, "--layers", f"pi=0-{last - 1},desk={last}")
        self.assertEqual(self.layers(wished), {"pi": [0, last - 1], "desk": [last, last]})
        missing = self.plan(home, "--layers", f"pi=0-{last - 1},nas={last}")
        self.assertEqual(list(self.layers(missing)), ["desk"])
        self.assertTrue(any("nas" in note for note in missing["notes"]), missing["notes"])
        self.fails("plan", DEMO, "--cluster", self.file(home), "--layers", "desk=1", says="layer 0")

    def test_flags_reach_the_planner(self):
        home = cluster(device("desk", 40), device("pi", 4))
        plan = self.plan(home, "--ctx", "256", "--parallel", "4", "--kv-type", "f32", "--objective", "throughput",
                         "--copies", "1")
        self.assertEqual((plan["context_length"], plan["parallel"]), (256, 4))
        self.assertEqual(plan["stages"][0]["standby"], [])
        half = self.plan(home, "--ctx", "256", "--parallel", "4", "--kv-type", "f16")
        self.assertEqual(plan["stages"][0]["kv_bytes"], 2 * half["stages"][0]["kv_bytes"])

    def test_what_does_not_fit(self):
        self.fails("plan", DEMO, "--cluster", self.file(cluster(device("pi", 4, 2))),
                   says=("does not fit", "80%", "another machine with"))
        self.fails("plan", DEMO, "--cluster", self.file({"devices": []}), says="there is no worker")

    def test_wrong_usage(self):
        home = self.file(cluster(device("desk")))
        self.misused("plan", "--cluster", home, says="MODEL")
        self.misused("plan", DEMO, "--cluster", home, "--check", says=("--check measures", "that runs"))
        nobody = ("--url", "http://127.0.0.1:1")
        self.misused("plan", *nobody, "--spread", says="MODEL")
        self.misused("plan", DEMO, *nobody, "--spread", "--check", says="as it is")
        self.misused("plan", DEMO, *nobody, "--objective", "latency", says="--cluster")
        for flags in ((), (DEMO,), (DEMO, "--spread"), ("--check",), ("--json",)):
            self.fails("plan", *flags, *nobody, says=("no answer from http://127.0.0.1:1", "potluck up", "--url"))
        for flags in (("--ctx", "0"), ("--parallel", "0"), ("--parallel", "9999"), ("--kv-type", "q4"),
                      ("--objective", "cheap"), ("--layers", "desk"), ("--layers", "desk=3-1"), ("--copies", "0")):
            with self.subTest(flags=flags):
                self.misused("plan", DEMO, "--cluster", home, *flags)
        self.fails("plan", DEMO, "--cluster", home, "--ctx", "999999", says="trained for a context")

    def test_cluster_files_that_are_none(self):
        good = device("desk")
        for content, words in (
            ("", "JSON"), ("[]", "object"), ("{}", "devices"), ("{\"devices\": 3}", "array"),
            ("[" * 100000, "JSON"), (b"\xff\xfe\x00", "JSON"), ({"devices": [3]}, "object"),
            ({"devices": [good, good]}, "two devices have the id desk"),
            ({"devices": [good], "extra": 1}, "extra"),
            ({"devices": [{**good, "spede": 1}]}, "spede"),
            ({"devices": [{**good, "load": "x"}]}, "load"),
            ({"devices": [{**good, "load": 1.5}]}, "load"),
            ({"devices": [{**good, "decode_gb_per_second": -1}]}, "decode"),
            ({"devices": [{**good, "decode_gb_per_second": {"q9_9": 1}}]}, "q9_9"),
            ({"devices": [{**good, "decode_gb_per_second": 1e300}]}, "decode"),
            ({"devices": [{**good, "free_memory_gib": 1e30}]}, "free_memory_gib"),
            ({"devices": [{**good, "free_memory_gib": -1}]}, "free_memory_gib"),
            ({"devices": [{**good, "state": "asleep"}]}, "asleep"),
            ({"devices": [{**good, "id": 3}]}, "id"),
            ({"devices": [{**good, "id": "a\nb"}]}, "id"),
            ({"devices": [{"id": "desk"}]}, "free_memory_gib"),
            ({"devices": [good], "links": [{"from": "desk", "to": "nobody", "round_trip_ms": 1,
                                            "mbit_per_second": 1}]}, "nobody"),
            ({"devices": [good], "links": [{"from": "desk", "to": "coordinator", "round_trip_ms": 1}]},
             "mbit_per_second"),
            ({"devices": [good], "links": [{"from": "desk", "to": "coordinator", "round_trip_ms": -1,
                                            "mbit_per_second": 1}]}, "round trip"),
            ({"devices": [device(f"d{i}") for i in range(65)]}, "64"),
        ):
            with self.subTest(content=str(content)[:80]):
                self.fails("plan", DEMO, "--cluster", self.file(content), says=("home.json", words))
        self.fails("plan", DEMO, "--cluster", "/no/such/file.json", says="/no/such/file.json")
        self.fails("plan", "/no/such/model.gguf", "--cluster", self.file(cluster(good)), says="no file")


if __name__ == "__main__":
    unittest.main()
