#!/usr/bin/env python3
"""The HTTP API as its clients meet it, field by field, asked of a cluster of one worker."""

import concurrent.futures
import http.client
import json
import os
import re
import unittest

from cluster import ClusterTest, DEMO, Stream, split_evenly

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NAME = os.path.basename(DEMO)[:-len(".gguf")]
PROMPT = "Once upon a time there was a pot-luck, and everybody who lived in the street brought a dish"
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a pot-luck?"}]


class HttpApi(ClusterTest):
    def begin(self, *flags):
        self.up(*flags)
        self.join("desk")
        self.wait_for_stages(1)

    def ask(self, path, **body):
        code, text = self.call("POST", path, body)
        self.assertEqual(code, 200, text)
        return json.loads(text)

    def stream(self, path, **body):
        """The events of a stream, with what else was in it: comments and [DONE]."""
        connection = http.client.HTTPConnection(self.url, timeout=60)
        connection.request("POST", path, json.dumps({**body, "stream": True}))
        reply = connection.getresponse()
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.headers["Content-Type"], "text/event-stream")
        text = reply.read().decode()
        connection.close()
        self.assertTrue(text.endswith("data: [DONE]\n\n"), text[-200:])
        data = [event[len("data: "):] for event in text.split("\n\n") if event.startswith("data: ")]
        return [json.loads(event) for event in data[:-1]]

    def test_a_chat_whole_and_as_a_stream(self):
        self.begin()
        body = {"model": NAME, "messages": CHAT, "temperature": 0, "max_tokens": 24}
        whole = self.ask("/v1/chat/completions", **body)
        choice = whole["choices"][0]
        self.assertEqual(whole["object"], "chat.completion")
        self.assertEqual(whole["model"], NAME)
        self.assertRegex(whole["id"], "^chatcmpl-")
        self.assertTrue(whole["system_fingerprint"])
        self.assertEqual(choice["message"]["role"], "assistant")
        self.assertIsNone(choice["logprobs"])
        self.assertIn(choice["finish_reason"], ("stop", "length"))
        self.assertEqual(whole["usage"]["total_tokens"],
                         whole["usage"]["prompt_tokens"] + whole["usage"]["completion_tokens"])
        timings = whole["timings"]
        self.assertEqual(timings["prompt_n"] + timings["cache_n"], whole["usage"]["prompt_tokens"])
        self.assertEqual(timings["predicted_n"], whole["usage"]["completion_tokens"])
        self.assertGreater(timings["prompt_per_second"], 0)
        self.assertGreater(timings["predicted_per_second"], 0)

        events = self.stream("/v1/chat/completions", **body)
        for field in ("id", "created", "model", "object", "system_fingerprint"):
            self.assertEqual(len({event[field] for event in events}), 1, field)
        self.assertEqual(events[0]["object"], "chat.completion.chunk")
        self.assertEqual(events[0]["choices"][0]["delta"], {"role": "assistant", "content": None})
        self.assertTrue(all(event["choices"] for event in events), "a chunk without choices that nobody asked for")
        self.assertEqual(events[-1]["choices"][0]["delta"], {})
        self.assertEqual(events[-1]["choices"][0]["finish_reason"], choice["finish_reason"])
        self.assertEqual([event for event in events if "timings" in event], events[-1:])
        said = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
        self.assertEqual(said, choice["message"]["content"])

        events = self.stream("/v1/chat/completions", stream_options={"include_usage": True}, **body)
        self.assertEqual(events[-1]["choices"], [])
        self.assertEqual(events[-1]["usage"]["completion_tokens"], whole["usage"]["completion_tokens"])
        self.assertEqual(sum("usage" in event for event in events), 1)

    def test_several_answers_at_once(self):
        self.begin()
        body = {"prompt": [PROMPT, "The soup is"], "n": 2, "temperature": 1, "seed": 7, "max_tokens": 12,
                "ignore_eos": True}
        reply = self.ask("/v1/completions", **body)
        texts = [choice["text"] for choice in reply["choices"]]
        self.assertEqual([choice["index"] for choice in reply["choices"]], [0, 1, 2, 3])
        self.assertNotEqual(texts[0], texts[1], "two choices of one prompt are drawn apart")
        # Each is what it is by itself.
        for index, prompt in ((0, PROMPT), (2, "The soup is")):
            alone = self.ask("/v1/completions", **{**body, "prompt": prompt, "n": 1})
            self.assertEqual(alone["choices"][0]["text"], texts[index])
        said = dict.fromkeys(range(4), "")
        finished = []
        for event in self.stream("/v1/completions", **body):
            for choice in event["choices"]:
                said[choice["index"]] += choice["text"]
                finished += [choice["index"]] if choice["finish_reason"] else []
        self.assertEqual(list(said.values()), texts)
        self.assertEqual(sorted(finished), [0, 1, 2, 3])

    def test_log_probabilities(self):
        self.begin()
        chat = self.ask("/v1/chat/completions", messages=CHAT, temperature=0, max_tokens=8, ignore_eos=True,
                        logprobs=True, top_logprobs=3)
        content = chat["choices"][0]["logprobs"]["content"]
        self.assertEqual(len(content), 8)
        for token in content:
            self.assertEqual(len(token["top_logprobs"]), 3)
            self.assertAlmostEqual(token["logprob"], token["top_logprobs"][0]["logprob"], places=5)  # greedy
            self.assertLessEqual(token["logprob"], 0)
        said = b"".join(bytes(token["bytes"]) for token in content).decode(errors="replace")
        self.assertEqual(said, chat["choices"][0]["message"]["content"])
        body = {"prompt": PROMPT, "temperature": 0, "max_tokens": 8, "ignore_eos": True, "logprobs": 2}
        text = self.ask("/v1/completions", **body)["choices"][0]
        logprobs = text["logprobs"]
        self.assertEqual("".join(logprobs["tokens"]), text["text"])
        self.assertEqual([len(top) for top in logprobs["top_logprobs"]], [2] * 8)
        for token, offset in zip(logprobs["tokens"], logprobs["text_offset"]):
            self.assertEqual(text["text"][offset:offset + len(token)], token)
        streamed = [event["choices"][0]["logprobs"] for event in self.stream("/v1/completions", **body)]
        for field in ("tokens", "token_logprobs", "text_offset"):
            self.assertEqual(sum((part[field] for part in streamed if part), []), logprobs[field], field)

    def test_a_long_prompts_progress_is_told(self):
        self.begin()
        events = self.stream("/v1/completions", prompt=list(range(300, 900)), max_tokens=3, ignore_eos=True,
                             return_progress=True, timings_per_token=True)
        progress = [event["prompt_progress"] for event in events if "prompt_progress" in event]
        self.assertEqual({part["total"] for part in progress}, {600})
        self.assertEqual(progress[0]["processed"], progress[0]["cache"])
        self.assertEqual(progress[-1]["processed"], 600)
        self.assertEqual(sum("timings" in event for event in events), len(events) - len(progress))
        timings = [event["timings"] for event in events if "timings" in event]
        self.assertEqual({part["prompt_n"] + part["cache_n"] for part in timings}, {600})
        self.assertTrue(all(part["prompt_ms"] > 0 and part["queue_ms"] > 0 for part in timings), timings)

    def test_a_prompt_that_is_too_long_is_told_in_numbers(self):
        self.begin("--ctx", "64")
        code, text = self.call("POST", "/v1/completions", {"prompt": list(range(300, 400))})
        error = json.loads(text)["error"]
        self.assertEqual((code, error["type"], error["n_prompt_tokens"], error["n_ctx"]),
                         (400, "exceed_context_size_error", 100, 64))
        self.assertIn("request (100 tokens) exceeds the available context size (64 tokens)", error["message"])

    def test_names_that_people_gave(self):
        self.begin("--alias", "soup,gpt-4o")
        self.assertEqual(json.loads(self.call("GET", "/v1/models")[1])["data"][0]["id"], "soup")
        for name in ("soup", "gpt-4o", NAME):
            self.assertEqual(self.ask("/v1/completions", model=name, prompt="a", max_tokens=1)["model"], name)
        code, text = self.call("POST", "/v1/completions", {"model": "stew", "prompt": "a"})
        self.assertEqual(code, 404)
        self.assertIn("soup", json.loads(text)["error"]["message"])
        # Names stay over a restart.
        self.coordinator.end()
        self.up(model=None)
        self.assertEqual(self.wait_until("it is loaded", lambda s: s["instances"])["instances"][0]["model"], NAME)
        self.assertEqual(json.loads(self.call("GET", "/v1/models")[1])["data"][0]["id"], "soup")

    def test_answers_have_the_form_that_was_asked_for(self):
        self.begin()
        schema = {"type": "object", "required": ["name", "servings", "tags"], "additionalProperties": False, "properties": {
            "name": {"type": "string", "maxLength": 12}, "servings": {"type": "integer", "minimum": 1, "maximum": 12},
            "tags": {"type": "array", "items": {"enum": ["soup", "cake"]}, "maxItems": 3},
            "oven": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}}}
        body = {"model": NAME, "messages": CHAT, "temperature": 1.2, "max_tokens": 200}
        for seed in range(6):
            answer = self.ask("/v1/chat/completions", **body, seed=seed, response_format={
                "type": "json_schema", "json_schema": {"name": "dish", "strict": True, "schema": schema}})["choices"][0]
            self.assertEqual(answer["finish_reason"], "stop")
            dish = json.loads(answer["message"]["content"])
            self.assertEqual(list(dish)[:3], ["name", "servings", "tags"], "in the order of the schema")
            self.assertIn(dish["servings"], range(1, 13))
            self.assertLessEqual(len(dish["name"]), 12)
            self.assertLessEqual(set(dish["tags"]), {"soup", "cake"})
            self.assertIn(dish.get("oven"), (True, False, None))
        stream = self.stream("/v1/chat/completions", **body, response_format={"type": "json_object"})
        text = "".join(event["choices"][0]["delta"].get("content") or "" for event in stream if event["choices"])
        self.assertRegex(text, r'^\{("|\}$)')
        said = self.ask("/v1/completions", prompt=PROMPT, grammar='root ::= ("yes" | "no") "!"', temperature=2)
        self.assertIn(said["choices"][0]["text"], ("yes!", "no!"))
        self.assertEqual(said["choices"][0]["finish_reason"], "stop")
        for fields, says in (({"grammar": "root ::= ("}, "grammar, line 1"),
                             ({"json_schema": {"not": {}}}, '"not" cannot be enforced'),
                             ({"response_format": {"type": "yaml"}}, "response_format"),
                             ({"response_format": {"type": "json_schema"}}, "json_schema.schema"),
                             ({"response_format": {"type": "json_object"}, "grammar": 'root ::= "a"'}, "another field")):
            code, text = self.call("POST", "/v1/chat/completions", {**body, **fields})
            self.assertEqual(code, 400, text)
            self.assertIn(says, json.loads(text)["error"]["message"])

    TOOLS = [{"type": "function", "function": {
        "name": "cook", "description": "Cooks a dish.", "parameters": {
            "type": "object", "required": ["dish", "servings"], "additionalProperties": False, "properties": {
                "dish": {"enum": ["soup", "stew"]}, "servings": {"type": "integer", "minimum": 1, "maximum": 9}}}}},
             {"type": "function", "function": {"name": "ring_the_bell"}}]

    def expect_calls(self, calls):
        for call in calls:
            self.assertEqual(call["type"], "function")
            self.assertRegex(call["id"], "^[0-9a-z]{9}$")
            arguments = json.loads(call["function"]["arguments"])
            if call["function"]["name"] == "cook":
                self.assertIn(arguments["dish"], ("soup", "stew"))
                self.assertIn(arguments["servings"], range(1, 10))
            else:
                self.assertEqual((call["function"]["name"], arguments), ("ring_the_bell", {}))
        self.assertTrue(calls)

    def test_tools_are_called(self):
        self.begin()
        body = {"messages": CHAT, "temperature": 1, "max_tokens": 200, "tools": self.TOOLS}
        for seed in range(4):
            asked = {**body, "seed": seed, "tool_choice": "required"}
            whole = self.ask("/v1/chat/completions", **asked)["choices"][0]
            if whole["finish_reason"] == "length":
                continue  # so many calls
            self.assertEqual(whole["finish_reason"], "tool_calls")
            self.assertIsNone(whole["message"]["content"])
            self.expect_calls(whole["message"]["tool_calls"])
            # A stream tells the same, each call's name first.
            calls = []
            for event in self.stream("/v1/chat/completions", **asked):
                for call in event["choices"][0]["delta"].get("tool_calls", []):
                    if "name" in call["function"]:
                        calls.append({**call, "function": {"name": call["function"]["name"], "arguments": ""}})
                    self.assertEqual(call["index"], len(calls) - 1)
                    calls[-1]["function"]["arguments"] += call["function"]["arguments"]
            self.assertEqual(event["choices"][0]["finish_reason"], "tool_calls")
            self.assertEqual([call["function"] for call in calls],
                             [call["function"] for call in whole["message"]["tool_calls"]])
            # And goes on from there.
            messages = CHAT + [whole["message"]] + [
                {"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in whole["message"]["tool_calls"]]
            self.ask("/v1/chat/completions", messages=messages, tools=self.TOOLS, max_tokens=8)
            prompt = self.ask("/apply-template", messages=messages, tools=self.TOOLS)["prompt"]
            self.assertIn(f"{calls[0]['function']['name']} returned:\ndone", prompt)
        named = {"type": "function", "function": {"name": "ring_the_bell"}}
        bell = self.ask("/v1/chat/completions", **body, tool_choice=named, parallel_tool_calls=False)["choices"][0]
        self.assertEqual(bell["message"]["tool_calls"][0]["function"], {"name": "ring_the_bell", "arguments": "{}"})
        free = self.ask("/v1/chat/completions", **body, tool_choice="none")["choices"][0]
        self.assertNotIn("tool_calls", free["message"])
        for choice, told in (("auto", True), ("none", False)):
            prompt = self.ask("/apply-template", messages=CHAT, tools=self.TOOLS, tool_choice=choice)["prompt"]
            self.assertEqual("Cooks a dish." in prompt, told)
        strict = {"name": "f", "strict": True, "parameters": {"type": "object", "not": {}}}
        for fields, says in (({"tool_choice": named, "tools": []}, "tool_choice"),
                             ({"tool_choice": {"type": "function", "function": {"name": "eat"}}}, "one of the tools'"),
                             ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "names of 1 to 64"),
                             ({"tools": self.TOOLS + self.TOOLS}, "comes twice"),
                             ({"tools": [{"type": "function", "function": strict}]}, "the parameters of tool f"),
                             ({"functions": [{"name": "f"}]}, "functions"),
                             ({"grammar": 'root ::= "a"'}, "grammar")):
            code, text = self.call("POST", "/v1/chat/completions", {**body, **fields})
            self.assertEqual(code, 400, text)
            self.assertIn(says, json.loads(text)["error"]["message"])

    def test_an_answers_form_survives_its_worker(self):
        names = ("desk", "nas")
        self.up("--spread", "--layers", split_evenly(names))
        for name in names:
            self.join(name)
        self.wait_for_stages(2)
        grammar = 'root ::= line{60}\nline ::= [A-Z] [a-z ,]{8,30} "."\n'
        body = {"prompt": PROMPT, "grammar": grammar, "max_tokens": 300, "seed": 3, "temperature": 1}
        whole = self.ask("/v1/completions", **body)["choices"][0]
        path = self.write("lines.gbnf", grammar.encode())
        alone = self.local(PROMPT, "--grammar-file", path, "-n", "300", "--seed", "3", "--temp", "1")
        self.assertEqual(whole["text"], alone["text"])
        self.assertRegex(whole["text"], r"^([A-Z][a-z ,]{8,30}\.)+([A-Z][a-z ,]{0,30}\.?)?$")
        stream = Stream(self.url, **body)
        stream.first.wait()
        self.workers[self.stages()[-1]].kill()
        self.assertEqual(stream.result(), whole["text"])
        self.assertIsNone(stream.error)
        self.assertGreaterEqual(self.status()["counters"]["requests_resumed"], 1, "a step was in flight")

    def test_keys_of_a_file_and_pages_of_others(self):
        keys = self.write("keys", "# who\ndesk desk-key-1\nphone phone-key-1\n")
        self.begin("--api-keys", keys, "--cors-origin", "https://chat.example")

        def ask(method, path, headers):
            connection = http.client.HTTPConnection(self.url, timeout=60)
            connection.request(method, path, headers=headers)
            reply = connection.getresponse()
            reply.read()
            connection.close()
            return reply.status, reply.headers["Access-Control-Allow-Origin"]

        named = {"Host": "nas.example"}  # as one behind a proxy is asked
        self.assertEqual(ask("GET", "/v1/models", named)[0], 401)
        self.assertEqual(ask("GET", "/v1/models", {**named, "Authorization": "Bearer desk-key-2"})[0], 401)
        for key in ("desk-key-1", "phone-key-1"):
            self.assertEqual(ask("GET", "/v1/models", {**named, "Authorization": "Bearer " + key})[0], 200)
            self.assertEqual(ask("GET", "/v1/models", {**named, "api-key": key})[0], 200)
        page = {"Origin": "https://chat.example"}
        self.assertEqual(ask("GET", "/v1/models", page), (200, "https://chat.example"))
        self.assertEqual(ask("OPTIONS", "/v1/chat/completions", page), (200, "https://chat.example"))
        self.assertEqual(ask("GET", "/v1/models", {"Origin": "https://evil.example"}), (401, None))

    def test_what_prometheus_reads_is_what_the_page_lists(self):
        self.up("--api-keys", self.write("keys", "desk desk-key-1\n"))
        for name in ("desk", "den"):
            self.join(name)
        self.wait_until("links are measured", lambda status: all(
            worker["state"] == "ready" and worker["links"] for worker in status["workers"]) and status["workers"][1:])
        self.wait_until("a model is ready", lambda status: status["instances"][0]["state"] == "ready")
        self.ask("/v1/completions", prompt=PROMPT, max_tokens=5, ignore_eos=True)
        connection = http.client.HTTPConnection(self.url, timeout=60)
        connection.request("GET", "/metrics")
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        self.assertEqual(reply.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
        with open(os.path.join(SOURCE, "docs/metrics.md"), encoding="utf-8") as page:
            of_coordinator = re.sub(r"^## On a worker$.*?^## ", "## ", page.read(), flags=re.MULTILINE | re.DOTALL)
        listed = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", of_coordinator, re.MULTILINE))
        self.assertEqual(listed.pop("potluck_grpc_requests_total"), "counter")  # of the other API: grpc_test.py
        self.assertEqual(types, listed)
        samples = re.findall(r"^(\w+)(?:\{([^}]*)\})? (\S+)$", text, re.MULTILINE)
        self.assertEqual(len({(name, labels) for name, labels, _ in samples}), len(samples), "the same sample twice")
        values = {name: float(value) for name, _, value in samples}
        self.assertEqual(values["potluck_generation_tokens_total"], 5)
        self.assertEqual(values["potluck_time_to_first_token_seconds_count"], 1)
        self.assertEqual(values["potluck_inter_token_latency_seconds_count"], 4)
        self.assertEqual(values["potluck_worker_up"], 1)
        # Five tokens, and the one by which the pipeline became ready.
        self.assertGreaterEqual(values["potluck_stage_compute_seconds_count"], 6)
        self.assertEqual(values["potluck_stage_compute_seconds_count"], values["potluck_hop_transfer_seconds_count"])
        self.assertIn('potluck_http_requests_total{key="none",path="/v1/completions"} 1\n', text)

    def test_the_cluster_tells_its_changes(self):
        self.begin()
        watcher = http.client.HTTPConnection(self.url, timeout=60)
        watcher.request("GET", "/cluster/events")
        reply = watcher.getresponse()
        self.assertEqual(reply.headers["Content-Type"], "text/event-stream")

        def next_state():
            while not (line := reply.readline()).startswith(b"data: "):
                self.assertTrue(line, "the stream has ended")
            return json.loads(line[len("data: "):])

        self.assertEqual([worker["name"] for worker in next_state()["workers"]], ["desk"])
        self.join("nas")
        while len((state := next_state())["workers"]) < 2:
            pass
        self.assertEqual(set(state), set(self.status()))
        watcher.close()

    def test_clients_that_leave_free_what_they_had(self):
        self.begin("--parallel", "4")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            def leave(index):
                connection = http.client.HTTPConnection(self.url, timeout=60)
                connection.request("POST", "/v1/completions", json.dumps(
                    {"prompt": f"{index} {PROMPT}", "n": 3, "max_tokens": 900, "ignore_eos": True, "stream": index % 2 == 0}))
                if index % 2 == 0:
                    connection.getresponse().readline()
                connection.close()
            list(pool.map(leave, range(8)))
        self.wait_until("nothing runs", lambda status: status["instances"][0]["requests"] == {"running": 0, "waiting": 0})


if __name__ == "__main__":
    unittest.main()
