#!/usr/bin/env python3
"""Answers of a cluster as their readers see them: where they stop, what a next turn costs, and a coordinator's end."""

import json
import os
import signal
import time
import unittest

from cluster import ClusterTest, DEMO, Stream

PROMPT = "Once upon a time there was a pot-luck, and everybody who lived in the street brought a dish that they liked"


class Stops(ClusterTest):
    name = os.path.basename(DEMO)[:-len(".gguf")]

    def ask(self, prompt, **fields):
        code, text = self.call("POST", "/v1/completions", {"prompt": prompt, "temperature": 0, **fields})
        self.assertEqual(code, 200, text)
        return json.loads(text)

    def test_a_stop_string_ends_the_answer_and_keeps_it_for_the_next_turn(self):
        self.up()
        self.join("desk")
        self.wait_for_stages(1)
        prompt = list(range(300, 340))  # as ids: text could be cut into other tokens the next time
        whole = self.ask(prompt, max_tokens=200, ignore_eos=True)["choices"][0]["text"]
        stop = whole[len(whole) * 3 // 4:][:6]
        self.fine("unload", self.name, "--url", "http://" + self.url)  # and with it what was computed
        self.fine("load", DEMO, "--url", "http://" + self.url)
        self.wait_for_stages(1)
        stopped = self.ask(prompt, max_tokens=200, ignore_eos=True, stop=[stop], logprobs=0)
        answer, usage = stopped["choices"][0], stopped["usage"]
        self.assertEqual(answer["text"], whole[:whole.index(stop)])
        self.assertEqual(answer["finish_reason"], "stop")
        self.assertEqual(usage["prompt_tokens_details"]["cached_tokens"], 0)
        ids = [token["id"] for token in answer["logprobs"]["content"]]
        self.assertEqual(usage["completion_tokens"], len(ids))
        self.assertTrue(64 < len(ids) < 200, len(ids))
        self.assertEqual(self.status()["instances"][0]["requests"], {"running": 0, "waiting": 0})
        following = self.ask(prompt + ids + [7], max_tokens=1)["usage"]
        # Full blocks of 32; the last token may not have been computed.
        self.assertGreaterEqual(following["prompt_tokens_details"]["cached_tokens"],
                                (len(prompt) + len(ids) - 1) // 32 * 32)

    def test_a_model_was_created_when_it_was_loaded(self):
        begin = int(time.time())
        self.up()
        self.join("desk")
        self.wait_for_stages(1)
        models = json.loads(self.call("GET", "/v1/models")[1])["data"]
        ready = int(time.time())
        self.assertTrue(begin <= models[0]["created"] <= ready, models)
        self.wait_until("a second has passed", lambda _: int(time.time()) > ready)
        self.assertEqual(json.loads(self.call("GET", "/v1/models")[1])["data"], models)


class End(ClusterTest):
    def begin(self, *flags):
        """An answer that goes on for as long as its worker stands still."""
        self.up(*flags)
        self.join("desk")
        self.wait_for_stages(1)
        self.workers["desk"].process.send_signal(signal.SIGSTOP)
        stream = Stream(self.url, prompt=PROMPT, temperature=1, seed=3, max_tokens=100)
        self.wait_until("it is asked", lambda status: any(status["instances"][0]["requests"].values()))
        self.coordinator.process.send_signal(signal.SIGTERM)
        return stream

    def test_running_answers_end_and_new_ones_are_refused(self):
        stream = self.begin()
        self.coordinator.wait_for("stopping")
        for method, path, body in (("POST", "/v1/completions", {"prompt": "hi"}), ("GET", "/health", None)):
            code, text = self.call(method, path, body)
            self.assertEqual(code, 503, text)
            self.assertIn("stopped", json.loads(text)["error"]["message"])
        self.workers["desk"].process.send_signal(signal.SIGCONT)
        expected = self.local(PROMPT, "--temp", "1", "--seed", "3", "-n", "100")["text"]
        self.assertEqual(stream.result(), expected, stream.error)
        self.assertIsNone(stream.error)
        self.assertEqual(self.coordinator.process.wait(60), 0)

    def check_cut_off(self, stream):
        self.assertEqual(self.coordinator.process.wait(60), 0)
        stream.result()
        self.assertIn("the coordinator was stopped", stream.error)

    def test_a_second_signal_ends_at_once(self):
        stream = self.begin("--drain-timeout", "10m")
        self.coordinator.wait_for("stopping")
        self.coordinator.process.send_signal(signal.SIGINT)
        self.check_cut_off(stream)

    def test_the_drain_has_an_end(self):
        self.check_cut_off(self.begin("--drain-timeout", "0.2s"))

    def test_nothing_is_waited_for_where_nothing_runs(self):
        self.up("--drain-timeout", "10m")
        self.assertEqual(self.coordinator.end(), 0)


if __name__ == "__main__":
    unittest.main()
