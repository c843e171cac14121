#!/usr/bin/env python3
"""Embeddings over HTTP: what clients ask for and get, and the same bits whoever computes them."""

import base64
import concurrent.futures
import json
import math
import os
import signal
import struct
import unittest

from cluster import ClusterTest, DEMO, PATIENCE_SECONDS, Stream
from gguf_bytes import Gguf, number

NAME = os.path.basename(DEMO)[:-len(".gguf")]
TEXTS = ["Bring a salad", "What can I cook with leeks?", "A pot of soup for the whole street", "The train is late again"]
LONG = " ".join(f"The {i}th guest brings a dish, and everybody tries it." for i in range(40))


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


class Embeddings(ClusterTest):
    def ask(self, **body):
        code, text = self.call("POST", "/v1/embeddings", body)
        self.assertEqual(code, 200, text)
        return json.loads(text)

    def embed(self, texts, **fields):
        data = self.ask(input=texts, **fields)["data"]
        self.assertEqual([one["index"] for one in data], list(range(len(data))))
        return [one["embedding"] for one in data]

    def ids(self, text):
        code, reply = self.call("POST", "/tokenize", {"content": text, "add_special": True})
        self.assertEqual(code, 200, reply)
        return json.loads(reply)["tokens"]

    def begin(self, *flags, model=DEMO):
        self.up(*flags, model=model)
        self.join("desk")
        self.wait_for_stages(1)

    def test_what_clients_ask_for_and_get(self):
        self.begin()
        reply = self.ask(input=TEXTS[0], model=NAME)
        self.assertEqual(reply["object"], "list")
        self.assertEqual(reply["model"], NAME)
        self.assertEqual(reply["usage"]["prompt_tokens"], len(self.ids(TEXTS[0])))
        self.assertEqual(reply["usage"]["total_tokens"], reply["usage"]["prompt_tokens"])
        self.assertEqual(reply["data"][0]["object"], "embedding")
        one = reply["data"][0]["embedding"]
        self.assertAlmostEqual(math.sqrt(dot(one, one)), 1, places=5)

        # Many at once are what each is by itself, in their order; ids are what their text is.
        many = self.embed(TEXTS * 12)
        self.assertEqual(many[:4] * 12, many)
        self.assertEqual(many[0], one)
        self.assertEqual(self.embed(self.ids(TEXTS[0])), [one])
        self.assertEqual(self.embed([self.ids(text) for text in TEXTS]), many[:4])
        self.assertLess(dot(many[0], many[3]), 0.999)

        packed = base64.b64decode(self.embed(TEXTS[0], encoding_format="base64")[0])
        self.assertEqual(packed, struct.pack(f"<{len(one)}f", *one), "the floats' texts mean other floats")

    def test_what_is_wrong_is_told(self):
        self.begin("--ctx", "512")
        for body, status, says in (({}, 400, "input"), ({"input": []}, 400, "empty"), ({"input": [[]]}, 400, "empty"),
                                   ({"input": {"text": "a"}}, 400, "input"), ({"input": ["a", 3]}, 400, "input"),
                                   ({"input": ["a"] * 2049}, 400, "2048"), ({"input": [[5_000_000]]}, 400, "vocabulary"),
                                   ({"input": "a", "encoding_format": "int8"}, 400, "encoding_format"),
                                   ({"input": "a", "dimensions": 3}, 400, "dimensions"),
                                   ({"input": "a", "model": "other"}, 404, NAME),
                                   ({"input": ["a", LONG * 5]}, 400, "exceed_context_size_error")):
            code, reply = self.call("POST", "/v1/embeddings", body)
            self.assertEqual(code, status, reply)
            self.assertIn(says, reply)
        self.assertEqual(len(self.embed("a")), 1)
        code, text = self.call("GET", "/metrics")
        self.assertEqual(code, 200)
        self.assertRegex(text, r'potluck_prompt_tokens_total\{[^}]*\} [1-9]')

    # Of two tokens the mean lies between their rows, which "last" tells one by one: a row depends on nothing after it.
    def test_pooling_is_the_model_files(self):
        self.up(model=None)
        self.join("desk")
        told = {}
        for kind, pooling in enumerate(("none", "mean", "cls", "last", "rank")):
            gguf = Gguf.read(DEMO)
            architecture = gguf.metadata["general.architecture"][12:].decode()
            gguf.metadata[f"{architecture}.pooling_type"] = number(kind)
            code, reply = self.call("POST", "/cluster/load", {"model": self.write(f"{pooling}.gguf", gguf.bytes())})
            self.assertEqual(code, 200, reply)
            self.wait_until("it serves", lambda status, name=pooling: any(
                instance["model"] == name and instance["state"] == "ready" for instance in status["instances"]))
            code, reply = self.call("POST", "/v1/embeddings", {"model": pooling, "input": [[300], [300, 301]]})
            self.assertEqual(code, 400 if pooling == "rank" else 200, reply)
            told[pooling] = json.loads(reply).get("data")
        first, second = (one["embedding"] for one in told["last"])
        for pooling in ("none", "mean", "cls"):
            self.assertEqual(told[pooling][0]["embedding"], first, "one token's row")
        self.assertEqual(told["cls"][1]["embedding"], first)
        mean = told["mean"][1]["embedding"]
        self.assertEqual(told["none"][1]["embedding"], mean)
        # mean = a * first + b * second, by least squares.
        overlap = dot(first, second)
        a = (dot(mean, first) - overlap * dot(mean, second)) / (1 - overlap ** 2)
        b = (dot(mean, second) - overlap * dot(mean, first)) / (1 - overlap ** 2)
        self.assertGreater(min(a, b), 0.1)
        for x, y, z in zip(mean, first, second):
            self.assertAlmostEqual(x, a * y + b * z, places=4)

    def test_the_same_bits_however_the_layers_are_split_and_whoever_dies(self):
        self.up("--spread", "--parallel", "8")
        self.join("desk")
        self.wait_for_stages(1)
        texts = [f"{i}: {LONG}" for i in range(12)]
        alone = self.embed(texts)
        for name in ("attic", "barn"):
            self.join(name)
        self.wait_for_stages(3)
        chat = Stream(self.url, prompt="Once upon a time", max_tokens=200, ignore_eos=True)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            embedding = pool.submit(self.embed, texts)
            # In the midst of it: some of it has come, more is under way.
            self.wait_until("a step is in flight", lambda status: status["instances"][0]["requests"]["running"] > 1)
            self.assertIn("barn", self.stages())
            self.workers["barn"].process.send_signal(signal.SIGKILL)
            self.assertEqual(embedding.result(PATIENCE_SECONDS), alone)
        chat.result()
        self.assertIsNone(chat.error)
        self.assertEqual(self.status()["counters"]["workers_lost"], 1)


if __name__ == "__main__":
    unittest.main()
