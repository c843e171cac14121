#!/usr/bin/env python3
"""Many people at once: recorded traffic, hundreds of streams, and clients that read slowly, leave, or send nonsense."""

import asyncio
import csv
import itertools
import json
import os
import random
import statistics
import time
import unittest

from cluster import ClusterTest, split_evenly
from program import ROOT

# Lengths of prompts and answers of 19,366 requests to a chat service, CC-BY 4.0:
# github.com/Azure/AzurePublicDataset, AzureLLMInferenceDataset2023
TRACE = os.path.join(ROOT, "..", "shared", "data", "text", "AzureLLMInferenceTrace_conv_2023.csv")
NAMES = ("desk", "nas")
REQUESTS = 500
STREAMS = 200
TIMES_FASTER = 12
LONGEST_PROMPT, LONGEST_ANSWER = 400, 60  # tokens; the model has room for 1,024
NONSENSE = (b"", b"{", b'{"prompt": 3}', b'{"prompt": "a", "max_tokens": -7}', b"\xff\xfe\x00", b'{"messages": []}',
            b'{"prompt": "a", "grammar": "root ::= ("}', b"[" * 5000)


def seconds_of(timestamp):
    hours, minutes, seconds = timestamp.split(" ")[1].split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def recorded_requests():
    """When each comes, and the tokens of its prompt and its answer; without the record some that are much like them."""
    if not os.path.exists(TRACE):
        draw = random.Random(5)
        lengths = [(draw.lognormvariate(6.5, 1), draw.lognormvariate(5, 0.8)) for _ in range(REQUESTS)]
        return [(0.2 * index, context, generated) for index, (context, generated) in enumerate(lengths)]
    with open(TRACE, newline="", encoding="utf-8") as file:
        rows = list(itertools.islice(csv.DictReader(file), REQUESTS))
    begin = seconds_of(rows[0]["TIMESTAMP"])
    return [(seconds_of(row["TIMESTAMP"]) - begin, int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in rows]


def percentiles(seconds):
    cuts = statistics.quantiles(seconds, n=100)
    return ", ".join(f"{name} {1000 * cuts[index]:.0f} ms" for name, index in (("median", 49), ("90%", 89), ("99%", 98)))


class Load(ClusterTest):
    def begin(self):
        self.up("--spread", "--layers", split_evenly(NAMES), "--parallel", "32")
        for name in NAMES:
            self.join(name)
        self.wait_for_stages(2)
        self.host, port = self.url.split(":")
        self.port = int(port)
        self.first, self.between, self.whole = [], [], []

    def resident_bytes(self):
        with open(f"/proc/{self.coordinator.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def post(self, path, body):
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: {self.url}\r\nConnection: close\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        status = int((await reader.readline()).split()[1])
        while (await reader.readline()).strip():
            pass
        return status, reader, writer

    async def stream(self, number, prompt_tokens, answer_tokens):
        """One that is read as fast as it comes, to its end."""
        prompt = [300 + (number * 31 + index * 7) % 900 for index in range(prompt_tokens)]
        began = last = time.monotonic()
        status, reader, writer = await self.post("/v1/completions", json.dumps(
            {"prompt": prompt, "max_tokens": answer_tokens, "seed": number, "ignore_eos": True, "stream": True,
             "stream_options": {"include_usage": True}}).encode())
        self.assertEqual(status, 200, await reader.read() if status != 200 else "")
        usage, done = None, False
        async for line in reader:
            if line.startswith(b"data: {"):
                event = json.loads(line[len(b"data: "):])
                self.assertNotIn("error", event)
                usage = event.get("usage", usage)
                now = time.monotonic()
                (self.between if last != began else self.first).append(now - last)
                last = now
            done |= line.startswith(b"data: [DONE]")
        writer.close()
        self.assertTrue(done, "the stream broke off")
        self.assertEqual((usage["prompt_tokens"], usage["completion_tokens"]), (prompt_tokens, answer_tokens))
        self.whole.append(last - began)

    async def read_slowly(self, number):
        body = {"prompt": f"{number} soup", "max_tokens": 300, "ignore_eos": True, "stream": True, "logprobs": 20}
        status, reader, writer = await self.post("/v1/completions", json.dumps(body).encode())
        self.assertEqual(status, 200)
        while await reader.read(2000):
            await asyncio.sleep(0.02)
        writer.close()

    async def leave(self, number):
        body = {"prompt": f"{number} stew", "max_tokens": 900, "ignore_eos": True, "stream": number % 2 == 0, "n": 2}
        _, writer = await asyncio.open_connection(self.host, self.port)
        text = json.dumps(body).encode()
        writer.write(f"POST /v1/completions HTTP/1.1\r\nHost: {self.url}\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
        await writer.drain()
        await asyncio.sleep(0.01 * (number % 50))
        writer.transport.abort()

    async def send_nonsense(self, number):
        status, reader, writer = await self.post("/v1/completions" if number % 2 else "/v1/chat/completions",
                                                 NONSENSE[number % len(NONSENSE)])
        await reader.read()
        writer.close()
        self.assertEqual(status, 400)

    async def healthy(self, until):
        """How long /health takes meanwhile."""
        took = []
        while not until.done():
            began = time.monotonic()
            _, reader, writer = await self.post("/health", b"")
            await reader.read()
            writer.close()
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.1)
        return took

    def tell(self, what):
        print(f"{what}: first token {percentiles(self.first)}; between tokens {percentiles(self.between)}; "
              f"whole {percentiles(self.whole)}; coordinator {self.resident_bytes() >> 20} MiB", flush=True)
        self.first, self.between, self.whole = [], [], []

    def expect_nothing_left(self):
        self.wait_until("nothing runs", lambda status: status["instances"][0]["requests"] == {"running": 0, "waiting": 0})
        self.assertEqual(self.status()["counters"]["workers_lost"], 0)

    async def replay(self, requests):
        begin = time.monotonic()
        together = asyncio.Semaphore(STREAMS)  # more might be too many for a slow machine
        longest_prompt = max(context for _, context, _ in requests)
        longest_answer = max(generated for _, _, generated in requests)

        async def one(number, at, context, generated):
            await asyncio.sleep(max(0, begin + at / TIMES_FASTER - time.monotonic()))
            async with together:
                await self.stream(number, max(1, int(context * LONGEST_PROMPT / longest_prompt)),
                                  max(2, int(generated * LONGEST_ANSWER / longest_answer)))

        await asyncio.gather(*(one(number, *request) for number, request in enumerate(requests)))

    def test_recorded_traffic(self):
        self.begin()
        requests = recorded_requests()
        asyncio.run(self.replay(requests[:100]))
        self.tell("100 recorded requests")
        before = self.resident_bytes()
        asyncio.run(self.replay(requests))
        self.tell(f"{REQUESTS} recorded requests")
        self.expect_nothing_left()
        self.assertLess(self.resident_bytes() - before, 32 << 20, "memory grows with what has been")

    def test_many_streams_among_clients_of_every_kind(self):
        self.begin()

        async def crowd():
            others = [kind(number) for number in range(25) for kind in (self.read_slowly, self.leave, self.send_nonsense)]
            streams = [self.stream(number, 20 + number % 50, 40) for number in range(STREAMS)]
            all_of_them = asyncio.gather(*streams, *others)
            took = await self.healthy(all_of_them)
            await all_of_them
            return took

        asyncio.run(crowd())
        self.tell(f"{STREAMS} streams, first time")
        self.expect_nothing_left()
        before = self.resident_bytes()
        for _ in range(2):
            took = asyncio.run(crowd())
        self.tell(f"{STREAMS} streams, twice more")
        print(f"/health meanwhile: {percentiles(took)}", flush=True)
        self.expect_nothing_left()
        self.assertLess(self.resident_bytes() - before, 32 << 20, "memory grows with what has been")


if __name__ == "__main__":
    unittest.main()
