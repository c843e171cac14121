#!/usr/bin/env python3
"""The gRPC API for people: the clients of docs/clients as they are, and what a program may ask, be refused and cancel."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import grpc
from google.protobuf import json_format

from cluster import ClusterTest, DEMO, PATIENCE_SECONDS, ROOT
from https_test import make_certificate, own_address

CLIENTS = os.path.join(ROOT, "docs", "clients")
NAME = os.path.basename(DEMO)[:-len(".gguf")]

# As docs/grpc.md says.
_generated = tempfile.TemporaryDirectory()
subprocess.run(["protoc", "-I", os.path.join(ROOT, "proto"), f"--python_out={_generated.name}",
                f"--grpc_out={_generated.name}", "--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin",
                "potluck/v1/inference.proto"], check=True)
sys.path.insert(0, _generated.name)
from potluck.v1 import inference_pb2 as pb  # noqa: E402
from potluck.v1 import inference_pb2_grpc  # noqa: E402


def text_of(events):
    return "".join(event.piece.text for event in events if event.HasField("piece"))


def keys_of(json_value):
    """Of objects, their members' names with those of what they hold; of arrays, of all that is in them."""
    if isinstance(json_value, dict):
        return {name: keys_of(value) for name, value in json_value.items()}
    if isinstance(json_value, list):
        merged = {}
        for value in json_value:
            inner = keys_of(value)
            if isinstance(inner, dict):
                merged.update(inner)
        return merged
    return {}


class Grpc(ClusterTest):
    def begin(self, *flags, workers=("desk",), **how):
        self.up("--grpc", "127.0.0.1:0", *flags, **how)
        self.address = self.coordinator.wait_for(r"gRPC +(\S+)")[1]
        self.channel = grpc.insecure_channel(self.address)
        self.addCleanup(self.channel.close)
        self.inference = inference_pb2_grpc.InferenceStub(self.channel)
        for name in workers:
            self.join(name)
        self.wait_for_stages(len(workers))

    def fails_with(self, code, call, says=""):
        with self.assertRaises(grpc.RpcError) as caught:
            list(call()) if callable(call) else call
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        self.assertIn(says, caught.exception.details())

    def test_the_clients_of_the_documents_answer(self):
        self.begin("--layers", "desk=0-2,nas=3-5", workers=("desk", "nas"))
        body = {"messages": [{"role": "user", "content": "What goes with leeks?"}], "max_tokens": 256}
        _, reply = self.call("POST", "/v1/chat/completions", {**body, "temperature": 0})
        self.assertTrue(json.loads(reply)["choices"][0]["message"]["content"])

        done = subprocess.run([sys.executable, os.path.join(CLIENTS, "python", "chat.py"), self.address,
                               "What goes with leeks?"], env={**os.environ, "PYTHONPATH": _generated.name},
                              capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.strip())
        self.assertRegex(done.stderr, r"desk cpu0?.*, layers 0 to 2: \d+\.\d+ s computing\n.*nas .*, layers 3 to 5")

        build = self.folder + "/chat"
        for command in (["cmake", "-B", build, os.path.join(CLIENTS, "cpp")], ["cmake", "--build", build]):
            made = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(made.returncode, 0, made.stdout + made.stderr)
        done = subprocess.run([build + "/chat", self.address, "What goes with leeks?"], capture_output=True, text=True,
                              timeout=PATIENCE_SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.strip())
        self.assertRegex(done.stderr, r"\d+ tokens")

    def test_it_says_what_http_says(self):
        self.begin()
        prompt = "Bring a salad for the whole street, and soup for those who come late. " * 3
        tokens = self.inference.Tokenize(pb.TokenizeRequest(text=prompt, add_special=True)).tokens
        self.assertEqual(list(tokens), json.loads(self.call("POST", "/tokenize", {
            "content": prompt, "add_special": True})[1])["tokens"])

        fields = {"max_tokens": 32, "temperature": 0.8, "seed": 7, "n": 2, "top_k": 30, "stop": ["\n\n"]}
        _, http = self.call("POST", "/v1/completions", {"prompt": prompt, "logprobs": 2, **fields})
        http = json.loads(http)
        for asked in (pb.Prompt(text=prompt), pb.Prompt(tokens=pb.TokenIds(ids=tokens))):
            events = list(self.inference.Generate(pb.GenerateRequest(
                model=NAME, prompt=asked, options=pb.AnswerOptions(top_logprobs=2, progress=True, **fields))))
            self.assertEqual(events[0].begun.model, NAME)
            self.assertTrue(any(event.HasField("progress") for event in events))
            for i, choice in enumerate(http["choices"]):
                mine = [event for event in events if event.HasField("piece") and event.piece.choice == i]
                self.assertEqual(text_of(mine), choice["text"])
                chosen = [token for event in mine for token in event.piece.tokens]
                self.assertEqual([round(token.token.logprob, 4) for token in chosen],
                                 [round(logprob, 4) for logprob in choice["logprobs"]["token_logprobs"]])
                self.assertTrue(all(len(token.top) == 2 for token in chosen))
            ends = {event.choice_ended.choice: event.choice_ended.finish_reason for event in events
                    if event.HasField("choice_ended")}
            self.assertEqual(ends, {i: choice["finish_reason"] for i, choice in enumerate(http["choices"])})
            ended = events[-1].ended
            self.assertEqual((ended.prompt_tokens, ended.generated_tokens),
                             (http["usage"]["prompt_tokens"], http["usage"]["completion_tokens"]))
            self.assertEqual([(stage.worker, list(stage.layers)) for stage in ended.stages], [("desk", [0, 5])])
            self.assertGreater(ended.stages[0].computing_seconds, 0)
        self.assertGreater(ended.cached_tokens, 0)

        schema = {"type": "object", "properties": {"dish": {"type": "string", "maxLength": 8}, "guests": {"type": "integer",
                  "minimum": 1, "maximum": 9}}, "required": ["dish", "guests"]}
        messages = [pb.ChatMessage(role="system", content="Answer in JSON."), pb.ChatMessage(role="user", content="Soup?")]
        answer = json.loads(text_of(self.inference.Chat(pb.ChatRequest(
            messages=messages, options=pb.AnswerOptions(json_schema=json.dumps(schema), temperature=0)))))
        self.assertEqual(list(answer), ["dish", "guests"])
        tool = pb.Tool(name="cook", description="Cooks a dish", parameters=json.dumps(schema))
        events = list(self.inference.Chat(pb.ChatRequest(messages=messages, tools=[tool], tool_choice="cook",
                                                         parallel_tool_calls=False,
                                                         options=pb.AnswerOptions(temperature=0))))
        calls = [call for event in events for call in event.piece.tool_calls]
        self.assertEqual(calls[0].name, "cook")
        arguments = "".join(call.arguments for call in calls)
        self.assertEqual(list(json.loads(arguments)), ["dish", "guests"])
        self.assertEqual([event.choice_ended.finish_reason for event in events if event.HasField("choice_ended")],
                         ["tool_calls"])
        # And back, with what the tool has said.
        messages += [pb.ChatMessage(role="assistant", tool_calls=[pb.ToolCall(id=calls[0].id, name="cook",
                                                                             arguments=arguments)]),
                     pb.ChatMessage(role="tool", tool_call_id=calls[0].id, content="done")]
        self.assertTrue(list(self.inference.Chat(pb.ChatRequest(messages=messages, tools=[tool], tool_choice="none",
                                                                options=pb.AnswerOptions(max_tokens=8)))))

        vectors = self.inference.Embed(pb.EmbedRequest(inputs=[pb.Prompt(text=prompt),
                                                               pb.Prompt(tokens=pb.TokenIds(ids=tokens))]))
        _, http = self.call("POST", "/v1/embeddings", {"input": prompt})
        self.assertEqual(list(vectors.embeddings[0].values), list(vectors.embeddings[1].values))
        for mine, others in zip(vectors.embeddings[0].values, json.loads(http)["data"][0]["embedding"]):
            self.assertAlmostEqual(mine, others, places=6)

        _, http = self.call("GET", "/v1/models")
        model, http = self.inference.ListModels(pb.ListModelsRequest()).models[0], json.loads(http)["data"][0]
        self.assertEqual((model.id, model.vocab_size, model.context_length, model.created),
                         (http["id"], http["meta"]["n_vocab"], http["meta"]["n_ctx"], http["created"]))

    def test_what_is_wrong_is_told(self):
        self.begin("--ctx", "512")
        wrong = grpc.StatusCode.INVALID_ARGUMENT
        text = pb.Prompt(text="Bring")
        for request, code, says in (
                (pb.GenerateRequest(), wrong, "prompt"),
                (pb.GenerateRequest(prompt=text, options=pb.AnswerOptions(temperature=-1)), wrong, "temperature"),
                (pb.GenerateRequest(prompt=text, options=pb.AnswerOptions(top_p=float("nan"))), wrong, "top_p"),
                (pb.GenerateRequest(prompt=text, options=pb.AnswerOptions(n=99)), wrong, "n must"),
                (pb.GenerateRequest(prompt=text, options=pb.AnswerOptions(grammar="root ::= (")), wrong, "grammar"),
                (pb.GenerateRequest(prompt=text, options=pb.AnswerOptions(json_schema="[")), wrong, "json_schema"),
                (pb.GenerateRequest(prompt=text, options=pb.AnswerOptions(logit_bias={i: 1 for i in range(200_000)})), wrong,
                 "1024"),
                (pb.GenerateRequest(prompt=text, options=pb.AnswerOptions(json_schema=json.dumps(
                    {"properties": {str(i): {} for i in range(60_000)}}))), wrong, "members"),
                (pb.GenerateRequest(prompt=pb.Prompt(text="soup " * 2000)), wrong, "context"),
                (pb.GenerateRequest(prompt=pb.Prompt(tokens=pb.TokenIds(ids=[4_000_000_000]))), wrong, "prompt"),
                (pb.GenerateRequest(model="other", prompt=text), grpc.StatusCode.NOT_FOUND, NAME)):
            with self.subTest(says):
                self.fails_with(code, lambda: self.inference.Generate(request), says)
        for request, says in ((pb.ChatRequest(), "messages"),
                              (pb.ChatRequest(messages=[pb.ChatMessage(content="a")], tool_choice="x"), "tool_choice"),
                              (pb.ChatRequest(messages=[pb.ChatMessage(role="user", content="a")],
                                              chat_template_kwargs="[" * 5000), "chat_template_kwargs"),
                              (pb.ChatRequest(messages=[pb.ChatMessage(role="user", content="a")],
                                              tools=[pb.Tool(name="a b")]), "names")):
            self.fails_with(wrong, lambda: self.inference.Chat(request), says)
        self.fails_with(wrong, lambda: [self.inference.Embed(pb.EmbedRequest())], "inputs")
        self.fails_with(wrong, lambda: [self.inference.Embed(pb.EmbedRequest(inputs=[pb.Prompt(text="")]))], "empty")
        self.assertTrue(list(self.inference.Generate(pb.GenerateRequest(prompt=text,
                                                                        options=pb.AnswerOptions(max_tokens=2)))))

    def test_deadlines_and_cancellation_end_the_work(self):
        self.begin()
        endless = pb.GenerateRequest(prompt=pb.Prompt(text="Bring"),
                                     options=pb.AnswerOptions(max_tokens=100_000, ignore_eos=True, n=2))
        stream = self.inference.Generate(endless)
        next(event for event in stream if event.HasField("piece"))
        self.assertEqual(self.status()["instances"][0]["requests"]["running"], 2)
        stream.cancel()
        self.wait_until("nobody is computed for", lambda status: status["instances"][0]["requests"]["running"] == 0)
        self.fails_with(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: self.inference.Generate(endless, timeout=0.5))
        self.wait_until("nobody is computed for", lambda status: status["instances"][0]["requests"]["running"] == 0)
        # A client that reads nothing is not computed for; it goes on where it stopped.
        endless.options.top_logprobs = 20
        # Its window stays small, or all of the answer would fit into it.
        channel = grpc.insecure_channel(self.address, options=[("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        slow = inference_pb2_grpc.InferenceStub(channel).Generate(endless)
        next(slow)
        tokens = [-1, self.status()["instances"][0]["generated_tokens"]]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while tokens[-1] != tokens[-2]:
            self.assertLess(time.monotonic(), deadline, "it is computed for for ever")
            time.sleep(1)
            tokens.append(self.status()["instances"][0]["generated_tokens"])
        self.assertEqual(self.status()["instances"][0]["requests"]["running"], 2)
        while self.status()["instances"][0]["generated_tokens"] == tokens[-1]:
            for _ in range(50):
                next(slow)
        slow.cancel()

    def test_an_answer_goes_on_when_a_worker_dies(self):
        self.begin("--layers", "desk=0-2,nas=3-5", workers=("desk", "nas"))
        self.join("spare")
        self.wait_until("three workers", lambda status: sum(worker["state"] == "ready" for worker in status["workers"]) == 3)
        request = pb.GenerateRequest(prompt=pb.Prompt(text="Bring a salad"),
                                     options=pb.AnswerOptions(max_tokens=400, ignore_eos=True, temperature=0))
        whole = text_of(self.inference.Generate(request))
        events, stream = [], self.inference.Generate(request)
        for event in stream:
            events.append(event)
            if len(events) == 40:
                self.workers["nas"].end(signal.SIGKILL)
        self.assertEqual(text_of(events), whole)

    def test_the_cluster_as_it_is_and_as_it_changes(self):
        self.begin("--layers", "desk=0-2,nas=3-5", workers=("desk", "nas"))
        told = json_format.MessageToDict(self.inference.GetCluster(pb.GetClusterRequest()),
                                         preserving_proto_field_name=True, including_default_value_fields=True)
        state = self.status()

        def compare(http, mine, where):
            for name, inner in http.items():
                self.assertIn(name, mine, f"{where}: inference.proto lacks what GET /cluster tells")
                compare(inner, mine[name], f"{where}.{name}")

        compare(keys_of(state), keys_of(told), "cluster")
        self.assertEqual([stage["layers"] for stage in told["instances"][0]["stages"]], [[0, 2], [3, 5]])
        self.assertEqual({worker["name"] for worker in told["workers"]}, {"desk", "nas"})

        seen = threading.Event()

        def watch():
            for change in self.inference.WatchCluster(pb.WatchClusterRequest()):
                if any(worker.name == "late" for worker in change.workers):
                    return seen.set()

        threading.Thread(target=watch, daemon=True).start()
        self.join("late")
        self.assertTrue(seen.wait(PATIENCE_SECONDS))

    def ask_health(self, channel):
        # Its messages are a string and a number: no need for the Python package of its own.
        call = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=lambda name: b"\n" + bytes([len(name)])
                                   + name.encode(), response_deserializer=lambda reply: reply)
        return call("potluck.v1.Inference", wait_for_ready=True)

    def test_health_and_reflection(self):
        self.up("--grpc", "127.0.0.1:0")
        self.address = self.coordinator.wait_for(r"gRPC +(\S+)")[1]
        with grpc.insecure_channel(self.address) as channel:
            self.assertEqual(self.ask_health(channel), b"\x08\x02")  # NOT_SERVING
            self.join("desk")
            self.wait_for_stages(1)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while self.ask_health(channel) != b"\x08\x01":  # SERVING
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)
            reflect = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                            request_serializer=bytes, response_deserializer=bytes)
            services = next(reflect(iter([b"\x3a\x01*"])))  # list_services = "*"
            for name in (b"potluck.v1.Inference", b"grpc.health.v1.Health"):
                self.assertIn(name, services)
            self.assertNotIn(b"potluck.v1.Cluster", services)
        # The workers' port has neither.
        with open(self.folder + "/coordinator/coordinator/authority.pem", "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        with grpc.secure_channel(self.line.rsplit("/", 1)[0], credentials,
                                 options=[("grpc.ssl_target_name_override", "coordinator.potluck")]) as channel:
            self.fails_with(grpc.StatusCode.UNIMPLEMENTED, lambda: [self.ask_health(channel)])
            reflect = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                            request_serializer=bytes, response_deserializer=bytes)
            self.fails_with(grpc.StatusCode.UNIMPLEMENTED, lambda: reflect(iter([b"\x3a\x01*"])))

    @unittest.skipUnless(own_address(), "this machine has no network")
    def test_keys_and_tls_where_others_may_ask(self):
        certificate, key = make_certificate(self.folder, "home", f"DNS:localhost,IP:{own_address()}")
        keys = self.write("keys", "ada ada-knows-it\n")
        self.up("--grpc", "0.0.0.0:0", "--api-keys", keys, "--tls-cert", certificate, "--tls-key", key)
        port = self.coordinator.wait_for(r"gRPC +\S+:(\d+) \(TLS\)")[1]
        self.join("desk")
        self.wait_for_stages(1)
        with open(certificate, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        request = pb.GenerateRequest(prompt=pb.Prompt(text="Bring"), options=pb.AnswerOptions(max_tokens=4))
        with grpc.secure_channel(f"{own_address()}:{port}", credentials) as channel:
            inference = inference_pb2_grpc.InferenceStub(channel)
            self.fails_with(grpc.StatusCode.UNAUTHENTICATED, lambda: inference.Generate(request), "API key is needed")
            self.fails_with(grpc.StatusCode.UNAUTHENTICATED, lambda: inference.Generate(
                request, metadata=[("authorization", "Bearer wrong-one")]), "unknown")
            self.fails_with(grpc.StatusCode.UNAUTHENTICATED, lambda: inference.Generate(pb.GenerateRequest(
                options=pb.AnswerOptions(json_schema="["))), "API key is needed")  # it is not looked at
            self.assertTrue(list(inference.Generate(request, metadata=[("authorization", "Bearer ada-knows-it")])))
            self.assertTrue(self.ask_health(channel))
        with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
            self.assertTrue(list(inference_pb2_grpc.InferenceStub(channel).Generate(request)))
        _, metrics = self.call("GET", "/metrics")
        self.assertIn('potluck_grpc_requests_total{key="ada",method="Generate"} 1', metrics)


if __name__ == "__main__":
    unittest.main()
