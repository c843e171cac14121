#!/usr/bin/env python3
"""potluck plan of a cluster that runs: what it shows, what it foresees, what it measures."""

import json
import os
import unittest

from cluster import ClusterTest, DEMO

NAME = os.path.basename(DEMO)[:-len(".gguf")]
SECOND = os.path.join(os.path.dirname(DEMO), "potluck-demo-1m-q8_0.gguf")


class Plan(ClusterTest):
    def plan(self, *args):
        return json.loads(self.fine("plan", *args, "--url", "http://" + self.url, "--json").out)

    def two(self):
        self.up("--spread", "--ctx", "1000")
        self.join("attic")
        self.join("desk")
        self.wait_for_stages(2)

    def test_what_runs(self):
        self.two()
        plans = self.plan()["instances"]
        status = self.status()["instances"][0]
        self.assertEqual(len(plans), 1)
        self.assertEqual((plans[0]["model"], plans[0]["state"], plans[0]["epoch"]), (NAME, "ready", status["epoch"]))
        running = plans[0]["running"]
        self.assertEqual([stage["layers"] for stage in running["stages"]],
                         [stage["layers"] for stage in status["stages"]])
        self.assertEqual(running["context_length"], 1000)
        names = [stage["name"] for stage in running["stages"]]
        self.assertEqual([(hop["from"], hop["to"]) for hop in running["hops"]],
                         [("coordinator", names[0]), (names[0], names[1]), (names[1], "coordinator")])
        self.assertEqual([hop["dialled_by"] for hop in running["hops"]], [names[0], names[0], names[1]])
        # With --spread it stays where it is, unless another program has made a worker's machine slower meanwhile.
        layers = [[(stage["name"], stage["layers"]) for stage in plan["stages"]] for plan in (running, plans[0]["now"])]
        self.assertEqual(plans[0]["moves"], layers[0] != layers[1])
        self.assertEqual(self.plan(NAME)["instances"][0]["running"], running)
        self.assertEqual(self.plan(DEMO)["instances"][0]["running"], running)
        text = self.fine("plan", "--url", "http://" + self.url).out
        for words in (f"{NAME}: ready", "on 2 of 2 devices", f"{names[0]}/cpu", f"coordinator -> {names[0]}",
                      "where the time goes", "prefill", "planned now:"):
            self.assertIn(words, text)
        for stage in running["stages"]:
            self.assertNotIn(stage["worker"], text)  # names, not ids

    def test_what_would_be(self):
        self.two()
        second = self.plan(SECOND)
        self.assertEqual(second["model"], "potluck-demo-1m-q8_0")
        self.assertTrue(any("serves 1 other model" in note for note in second["notes"]), second["notes"])
        self.assertEqual(len(self.plan(SECOND, "--spread", "--parallel", "2")["stages"]), 2)
        self.assertEqual(self.plan(SECOND, "--parallel", "2")["parallel"], 2)
        wished = self.plan(SECOND, "--layers", "desk=0-1")
        self.assertEqual([stage["name"] for stage in wished["stages"]], ["desk"])
        self.assertIn("not loaded", self.fine("plan", SECOND, "--url", "http://" + self.url).out)
        self.assertEqual(len(self.status()["instances"]), 1)  # nothing was loaded
        # A worker less: what is planned differs from what runs, until it has been carried out.
        self.fine("pause", "desk", "--url", "http://" + self.url)
        self.wait_for_stages(1)
        after = self.plan()["instances"][0]
        self.assertIn("paused", {one["name"]: one["reason"] for one in after["running"]["left_out"]}["desk"])

    def test_check_measures(self):
        self.two()
        asked = self.status()["instances"][0]["generated_tokens"]
        check = self.plan("--check")["instances"][0]["check"]
        self.assertEqual((check["prompt_tokens"], check["generated_tokens"]), (256, 64))
        for speed in (check["prefill_tokens_per_second"], check["decode_tokens_per_second"]):
            self.assertGreater(speed["predicted"], 0)
            self.assertGreater(speed["measured"], 0)
            self.assertAlmostEqual(speed["ratio"], speed["measured"] / speed["predicted"])
        # One to warm up and three of each kind have really been generated.
        self.assertEqual(self.status()["instances"][0]["generated_tokens"] - asked, 4 * 65 + 3)
        text = self.fine("plan", NAME, "--check", "--url", "http://" + self.url).out
        self.assertIn("measured / predicted", text)
        self.assertIn("a prompt of 256 tokens, then 64 more", text)

    def test_who_may_ask(self):
        self.up(model=None, http="0.0.0.0:0")
        if self.url.startswith("127."):
            self.skipTest("this machine has no address but its own")
        url = ("--url", "http://" + self.url)
        key, admin = (self.coordinator.wait_for(rf"{kind} key +(\S+)")[1] for kind in ("API", "admin"))
        self.fails("plan", *url, says="API key")
        self.fails("plan", *url, "--api-key", "pk-guess", says="unknown")
        self.fails("plan", *url, "--api-key", key, says="no model is loaded")
        # What files there are is not for everybody.
        self.fails("plan", "/no/such.gguf", *url, "--api-key", key, says="admin key")
        self.fails("plan", "/no/such.gguf", *url, "--api-key", admin, says="/no/such.gguf")
        self.fails("join-code", *url, "--api-key", key, says="admin key")
        self.fine("join-code", *url, "--api-key", admin)

    def test_what_cannot_be(self):
        self.up(model=None)
        url = ("--url", "http://" + self.url)
        self.fails("plan", *url, says=("no model is loaded", "potluck load"))
        self.fails("plan", "/no/such.gguf", *url, says="/no/such.gguf")
        self.fails("plan", "another", "--check", *url, says="no model is loaded")
        self.fails("plan", DEMO, *url, says="there is no worker")
        self.fails("plan", DEMO, "--layers", "desk", *url, says="desk")
        for query in ("depth=x", "prompt_tokens=0", "model=%zz", "model=%4"):
            code, text = self.call("GET", "/cluster/plan?" + query)
            self.assertEqual(code, 400, text)
        self.assertEqual(self.call("GET", "/cluster/plan?model=%61%20b")[0], 404)
        self.assertEqual(self.call("DELETE", "/cluster/plan")[0], 405)
        # Loaded, and nobody to run it.
        self.fine("load", DEMO, *url)
        self.wait_until("it is known", lambda status: len(status["instances"]) == 1)
        self.fails("plan", "--check", *url, says=(NAME, "not ready"))
        waiting = self.plan()["instances"][0]
        self.assertIsNone(waiting["running"])
        self.assertIn("no worker", waiting["why_not"])
        self.assertIn("no worker", self.fine("plan", *url).out)


if __name__ == "__main__":
    unittest.main()
