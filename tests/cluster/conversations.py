"""Long answers of a cluster, many at a time, and what one machine says to the same."""

import concurrent.futures
import os
import signal
import struct
import time

from cluster import DEMO, PATIENCE_SECONDS, Stream

PROMPTS = ("Once upon a time", "What can I cook with leeks?", "Bring a salad", "The best dish of all is")

# What `potluck run` said before: tests ask for the same again and again.
_said = {}


def write_endless_model(path):
    """The demo model without an end: what ended its answers is now a token like others, so that it talks to itself for as
    long as it may, and no test's moment comes after the last word."""
    with open(DEMO, "rb") as file:
        data = file.read()
    key = b"tokenizer.ggml.eos_token_id"
    value = data.index(key) + len(key)
    never = struct.unpack("<I", data[value:value + 4])[0]
    assert never == 4, "GGUF's number for uint32"
    data = data[:value + 4] + struct.pack("<I", 2047) + data[value + 8:]
    for end, instead in ((b"<|im_end|>", b"<|im_say|>"), (b"<|endoftext|>", b"<|midoftext|>")):
        assert end in data and len(end) == len(instead)
        data = data.replace(end, instead)
    with open(path, "wb") as file:
        file.write(data)
    return path


def requests(count, tokens):
    """Every fourth is greedy, the others are drawn; some share their prompts, none its words."""
    return [{"prompt": PROMPTS[i % len(PROMPTS)] + " again" * (i // len(PROMPTS) % 3), "max_tokens": tokens,
             "temperature": 0 if i % 4 == 0 else 1.2, "seed": i} for i in range(count)]


def said_here(test, model, asked, kv_type="f16"):
    """What one process answers to each of the requests, on one thread."""
    def say(request):
        key = (os.path.basename(model), kv_type, *request.values())
        if key not in _said:
            answer = test.local(request["prompt"], "--temp", str(request["temperature"]), "--seed", str(request["seed"]),
                                "-n", str(request["max_tokens"]), "--kv-type", kv_type, model=model)
            test.assertEqual(len(answer["ids"]), request["max_tokens"])
            _said[key] = answer["text"]
        return _said[key]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(say, asked))


class Conversations:
    """Streams that are all in the midst of their answers when the constructor returns."""

    def __init__(self, test, model, asked, kv_type="f16"):
        self.test, self.expected = test, said_here(test, model, asked, kv_type)
        self.streams = [Stream(test.url, **request) for request in asked]
        for stream in self.streams:
            test.assertTrue(stream.first.wait(PATIENCE_SECONDS), "a stream does not begin")

    def assert_under_way(self):
        """All of them run, and steps are made: tokens come between two looks."""
        def look():
            instance = self.test.status()["instances"][0]
            self.test.assertEqual(instance["requests"]["running"], len(self.streams), instance)
            return instance["generated_tokens"]

        first, deadline = look(), time.monotonic() + PATIENCE_SECONDS
        while look() == first:
            self.test.assertLess(time.monotonic(), deadline, "no token comes")

    def strike(self, victim, how):
        """Does `how` to a worker that holds layers while steps are under way."""
        held = [stage["layers"] for stage in self.test.status()["instances"][0]["stages"] if stage["name"] == victim]
        self.test.assertTrue(held, f"{victim} holds nothing")
        self.assert_under_way()
        how()

    def kill(self, victim):
        self.strike(victim, lambda: self.test.workers[victim].process.send_signal(signal.SIGKILL))

    def stop(self, victim):
        self.strike(victim, lambda: self.test.workers[victim].process.send_signal(signal.SIGSTOP))

    def check(self):
        """Word for word, and as many as were asked for."""
        for stream, text in zip(self.streams, self.expected):
            self.test.assertEqual(stream.result(), text, stream.error)
            self.test.assertIsNone(stream.error)
            self.test.assertEqual(stream.finish, "length")
