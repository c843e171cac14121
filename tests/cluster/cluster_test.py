#!/usr/bin/env python3
"""A cluster in daily life: joining, the same words as one machine, leaving, coming back, errors. Who dies is in
sudden_death_test.py."""

import json
import os
import subprocess
import unittest

from cluster import ClusterTest, DEMO, PROGRAM, Stream, split_evenly
from conversations import Conversations, PROMPTS, requests, write_endless_model


class SameWords(ClusterTest):
    def test_any_number_of_workers_says_what_one_machine_says(self):
        expected = {prompt: self.local(prompt, "--temp", "0", "-n", "24")["text"] for prompt in PROMPTS}
        seeded = self.local(PROMPTS[0], "--temp", "1.2", "--seed", "7", "-n", "24")["text"]
        self.up("--spread")
        for count, name in enumerate(("attic", "desk", "kitchen"), 1):
            self.join(name)
            self.wait_for_stages(count)
            for prompt, text in expected.items():
                self.assertEqual(self.complete(prompt, max_tokens=24), text)
            self.assertEqual(self.complete(PROMPTS[0], max_tokens=24, temperature=1.2, seed=7), seeded)
        streams = [Stream(self.url, prompt=prompt, temperature=0, max_tokens=24) for prompt in PROMPTS * 4]
        for stream, prompt in zip(streams, PROMPTS * 4):
            self.assertEqual(stream.result(), expected[prompt], stream.error)
            self.assertIsNone(stream.error)

    def test_run_with_a_url_answers_as_run_does(self):
        self.up()
        self.join("desk")
        self.wait_for_stages(1)
        name = os.path.basename(DEMO)[:-len(".gguf")]
        question = "What can I bring to a pot-luck?"
        here = json.loads(self.fine("run", DEMO, question, "--temp", "0", "--json", "-t", "1").out)
        there = json.loads(self.fine("run", name, question, "--temp", "0", "--json", "--url", "http://" + self.url).out)
        self.assertEqual(there["text"], here["text"])
        self.assertEqual(there["finish_reason"], here["finish_reason"])
        self.fails("run", "another", "hi", "--url", "http://" + self.url, says=("another", name))


class Life(ClusterTest):
    def test_a_request_s_end_is_logged_without_its_words(self):
        self.up()
        self.join("desk")
        self.wait_for_stages(1)
        self.fine("run", "potluck-demo-4m-q8_0", "Bring leeks, please", "-n", "3", "--url", "http://" + self.url)
        self.coordinator.wait_for(r'event="request ended" .*request=\S+ .*how=length generated_tokens=3')
        self.assertNotIn("leeks", self.coordinator.text)

    def three(self, model=DEMO):
        names = ("attic", "desk", "kitchen")
        self.up("--spread", "--layers", split_evenly(names), model=model)
        for name in names:
            self.join(name)
        self.wait_for_stages(3)

    def test_a_worker_that_leaves_is_no_loss(self):
        model = write_endless_model(self.folder + "/endless.gguf")
        self.three(model)
        talk = Conversations(self, model, requests(8, 400))
        leaver = self.workers["attic"]
        talk.strike("attic", lambda: self.assertEqual(leaver.end(), 0, leaver.text))
        talk.check()
        status = self.wait_for_stages(2)
        self.assertEqual(status["counters"]["workers_lost"], 0)

    def test_drain_pause_and_resume(self):
        self.three()
        victim = self.stages()[1]
        url = "http://" + self.url
        self.fine("drain", victim, "--url", url)
        self.wait_for_stages(2)
        self.fine("resume", victim, "--url", url)
        self.wait_for_stages(3)
        self.fine("pause", victim, "--url", url)
        self.wait_for_stages(2)
        self.fails("pause", "nobody", "--url", url, says="nobody")

    def test_the_coordinator_comes_back_with_its_models_and_workers(self):
        self.three()
        http, listen = self.url, self.line.split("/")[0]
        before = self.status()
        self.assertEqual(self.coordinator.end(), 0)
        self.up(model=None, http=http, listen=listen)
        after = self.wait_for_stages(3)
        self.assertGreater(after["term"], before["term"])
        self.assertEqual([stage["worker"] for stage in after["instances"][0]["stages"]],
                         [stage["worker"] for stage in before["instances"][0]["stages"]])
        self.assertEqual(self.complete(PROMPTS[0], max_tokens=8),
                         self.local(PROMPTS[0], "--temp", "0", "-n", "8")["text"])

    def test_two_models_and_unload(self):
        self.up()
        self.join("desk")
        self.wait_for_stages(1)
        url = "http://" + self.url
        second = os.path.join(os.path.dirname(DEMO), "potluck-demo-1m-q8_0.gguf")
        self.fine("load", second, "--url", url)
        self.wait_until("both are ready", lambda status: [i["state"] for i in status["instances"]] == ["ready"] * 2)
        self.assertEqual(self.complete("Once", max_tokens=8, model="potluck-demo-1m-q8_0"),
                         self.local("Once", "--temp", "0", "-n", "8", model=second)["text"])
        self.fine("unload", "potluck-demo-1m-q8_0", "--url", url)
        self.assertEqual(len(self.status()["instances"]), 1)
        self.assertIn("desk", self.fine("status", "--url", url).out)


class Trust(ClusterTest):
    def test_wrong_codes_are_refused_plainly(self):
        self.up()
        address, code = self.line.split("/")
        for line in (f"{address}/{code[:-1]}{'0' if code[-1] != '0' else '1'}",
                     f"{address}/pl1.{'0' * 32}.{code.split('.')[2]}", f"{address}/nonsense", "nowhere"):
            result = subprocess.run([PROGRAM, "join", line, "--state-dir", self.folder + "/stranger"],
                                    capture_output=True, timeout=60)
            self.assertIn(result.returncode, (1, 2), line)
            self.assertEqual(result.stderr.count(b"\n"), 1, result.stderr)
        self.assertEqual(self.status()["workers"], [])

    def test_a_code_is_shown_and_withdrawn(self):
        self.up(model=None)
        url = ("--url", "http://" + self.url)
        self.assertEqual(self.fine("join-code", *url).out, f"potluck join {self.line}\n")
        leaked, self.line = self.line, json.loads(self.fine("join-code", "--replace", "--json", *url).out)["join_line"]
        self.assertEqual(self.fine("join-code", *url).out, f"potluck join {self.line}\n")
        self.fails("join", leaked, "--state-dir", self.folder + "/stranger", says=("old", "potluck join-code"))
        self.join("desk").wait_for("joined the cluster")

    def test_a_member_needs_no_code_again(self):
        self.up()
        worker = self.join("desk")
        worker.wait_for("joined the cluster")
        worker.end()
        self.line = self.line.split("/")[0]
        self.join("desk").wait_for("joined the cluster")

    def test_secrets_are_for_their_owner_alone(self):
        self.up()
        self.join("desk").wait_for("joined the cluster")
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(folder, name)
                if name.endswith((".pem", "codes", "json")) or "key" in name:
                    self.assertEqual(os.stat(path).st_mode & 0o077, 0, path)


class Errors(ClusterTest):
    def test_before_a_model_is_there(self):
        self.up()
        code, text = self.call("GET", "/health")
        self.assertEqual(code, 503, text)
        code, text = self.call("POST", "/v1/completions", {"prompt": "hi"})
        self.assertEqual(code, 503, text)

    def test_the_doctor_sees_workers_links_and_models(self):
        self.up("--spread", "--layers", split_evenly(("desk", "nas")))
        self.join("desk")
        self.join("nas")
        self.wait_for_stages(2)
        doctor = ("doctor", "--json", "--url", "http://" + self.url, "--state-dir", self.folder + "/none")
        self.wait_until("links are measured", lambda status: sum(len(worker["links"]) for worker in status["workers"]) == 3)
        found = {one["about"]: one for one in json.loads(self.fine(*doctor).out)}
        for about in ("worker desk", "link desk to the coordinator", "link nas to the coordinator"):
            self.assertIn(about, found)
        self.assertTrue({"link desk to nas", "link nas to desk"} & set(found), found)
        self.assertEqual(found["worker desk"]["level"], "ok")
        self.fine("pause", "nas", "--url", "http://" + self.url)
        found = {one["about"]: one for one in json.loads(self.fine(*doctor).out)}
        self.assertEqual((found["worker nas"]["says"], found["worker nas"]["level"]), ("paused", "warning"))

    def test_bad_requests(self):
        self.up()
        self.join("desk")
        self.wait_for_stages(1)
        for body, code in (({"prompt": 5}, 400), ({"prompt": "hi", "temperature": "hot"}, 400),
                           ({"prompt": "hi", "model": "gpt"}, 404), ({"prompt": "word " * 5000}, 400)):
            got, text = self.call("POST", "/v1/completions", body)
            self.assertEqual(got, code, text)
            self.assertIn("message", json.loads(text)["error"])
        self.assertEqual(self.call("GET", "/nowhere")[0], 404)
        self.assertEqual(self.call("GET", "/health")[0], 200)

    def test_a_port_that_is_taken(self):
        self.up()
        self.fails("up", "--http", self.url, "--listen", "127.0.0.1:0", "--no-worker", "--state-dir",
                   self.folder + "/other", says=self.url.split(":")[1])


if __name__ == "__main__":
    unittest.main()
