#!/usr/bin/env python3
"""The promise: however many workers, however the layers are split, however many talk at once, and whoever dies meanwhile,
each answer is `potluck run`'s, token for token; greedy and drawn, with keys and values as f16 and q8.

The cells below go over each number of workers, several splits and 1 to 16 requests. POTLUCK_FULL_PROMISE=1 in the
environment runs each split with each number of requests and each type, and kills each of its stages: some 20 minutes.
"""

import os
import unittest

from cluster import ClusterTest
from conversations import Conversations, requests, write_endless_model

NAMES = ("attic", "barn", "cellar", "desk", "hall")
NUM_LAYERS = 6

# Layers of each stage; requests at once; type of keys and values; the stage that is killed.
CELLS = (
    ((6,), 1, "f16", 0),
    ((6,), 16, "q8", 0),
    ((3, 3), 4, "f16", 0),
    ((1, 5), 16, "q8", 1),
    ((5, 1), 2, "q8", 0),
    ((2, 2, 2), 8, "q8", 1),
    ((1, 1, 4), 16, "f16", 2),
    ((2, 1, 1, 1, 1), 3, "q8", 2),
    ((1, 1, 1, 1, 2), 16, "f16", 4),
)


def all_cells():
    for split in sorted({cell[0] for cell in CELLS} | {(4, 1, 1), (1, 2, 1, 1, 1), (4, 2)}):
        for count in (1, 2, 5, 16):
            for kv_type in ("f16", "q8"):
                for killed in range(len(split)):
                    yield split, count, kv_type, killed


class Promise(ClusterTest):
    def keep(self, split, count, kv_type, killed):
        model = write_endless_model(self.folder + "/endless.gguf")
        # Not in the order of their names, which is not the order of their ids either.
        names = NAMES[:len(split)][::-1]
        ends = [sum(split[:i + 1]) for i in range(len(split))]
        layers = [f"{name}={end - size}-{end - 1}" for name, size, end in zip(names, split, ends)]
        self.up("--spread", "--layers", ",".join(layers), "--parallel", str(count), "--ctx", "320", "--kv-type", kv_type,
                model=model)
        for name in names:
            self.join(name)
        status = self.wait_for_stages(len(split))
        held = [(stage["name"], stage["layers"]) for stage in status["instances"][0]["stages"]]
        self.assertEqual(held, [(name, [end - size, end - 1]) for name, size, end in zip(names, split, ends)])

        undisturbed = Conversations(self, model, requests(count, 40), kv_type)
        undisturbed.check()
        self.assertEqual(self.status()["counters"], {"workers_lost": 0, "replans": 0, "requests_resumed": 0})

        talk = Conversations(self, model, requests(count, 240), kv_type)
        talk.kill(names[killed])
        if len(split) == 1:  # nobody else is there: the answers wait until it is back
            self.wait_until("it is missed", lambda status: status["counters"]["workers_lost"] == 1)
            self.join(names[killed])
        talk.check()
        counters = self.status()["counters"]
        self.assertEqual((counters["workers_lost"], counters["replans"]), (1, 1))
        self.assertGreaterEqual(counters["requests_resumed"], 1)


def add_tests(cells):
    for split, count, kv_type, killed in cells:
        def test(self, cell=(split, count, kv_type, killed)):
            self.keep(*cell)

        assert sum(split) == NUM_LAYERS
        name = f"test_{'_'.join(map(str, split))}_layers_{count}_at_once_{kv_type}_without_{killed}"
        setattr(Promise, name, test)


add_tests(all_cells() if os.environ.get("POTLUCK_FULL_PROMISE") else CELLS)

if __name__ == "__main__":
    unittest.main()
