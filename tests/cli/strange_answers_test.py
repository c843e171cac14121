#!/usr/bin/env python3
"""What asks a cluster, and something else answers: no answer may end it in anything but a result or one line."""

import http.server
import itertools
import json
import threading
import unittest

from program import ProgramTest

STRANGE = (None, True, 7, -1.5, "x", [], [[]], [7], {}, {"x": {}})


class StrangeServer(http.server.BaseHTTPRequestHandler):
    """Answers what the test has put there, as JSON or, to those who want a stream, as its events."""

    answers, protocol_version = {}, "HTTP/1.1"

    def do_GET(self):
        self.reply("application/json", json.dumps(self.answers.get(self.path, {})))

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked.get("stream"):
            events = self.answers[self.path]
            self.reply("text/event-stream", "".join(f"data: {json.dumps(event)}\n\n" for event in events))
        else:
            self.reply("application/json", json.dumps(self.answers.get(self.path, {})))

    def reply(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


class StrangeAnswers(ProgramTest):
    def setUp(self):
        super().setUp()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StrangeServer)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        self.url = ("--url", f"http://127.0.0.1:{server.server_port}")

    def ask(self, *flags, models=None, events=()):
        StrangeServer.answers = {"/v1/models": models, "/v1/completions": events, "/v1/chat/completions": events}
        return self.fine("run", "demo", "hi", *self.url, *flags)

    def test_events_with_fields_of_another_kind(self):
        end = {"choices": [{"delta": {"content": "yes"}, "finish_reason": "stop"}]}
        chunks = [{"choices": choices} for choices in STRANGE]
        chunks += [{"choices": [choice]} for choice in STRANGE]
        for key, value in itertools.product(("delta", "text", "logprobs", "finish_reason"), STRANGE):
            if not isinstance(value, str):
                chunks.append({"choices": [{key: value}]})
        chunks += [{"choices": [{"logprobs": {"content": value}}]} for value in STRANGE]
        chunks += [{"choices": [{"delta": {"content": value}}]} for value in STRANGE if not isinstance(value, str)]
        chunks += list(STRANGE)
        self.assertEqual(json.loads(self.ask("--json", events=[*chunks, end]).out)["text"], "yes")
        for value in STRANGE:
            usage = [{"usage": value}, {"usage": {"prompt_tokens": value, "completion_tokens": value}}, end]
            self.assertEqual(self.ask(events=usage).out, "yes\n")

    def test_errors_of_another_kind(self):
        for value in STRANGE:
            StrangeServer.answers = {"/v1/chat/completions": [{"error": value}]}
            self.fails("run", "demo", "hi", *self.url, says="failed")
            StrangeServer.answers = {"/v1/chat/completions": [{"error": {"message": value}}]}
            self.fails("run", "demo", "hi", *self.url)

    def test_models_of_another_kind(self):
        end = [{"choices": [{"text": "yes", "finish_reason": "stop"}]}]
        for value in STRANGE:
            for models in (value, {"data": value}, {"data": [{"id": value}]}, {"data": [{"id": "demo", "meta": value}]},
                           {"data": [{"id": "demo", "meta": {"has_chat_template": value}}]}):
                self.assertEqual(self.ask(models=models, events=end).out, "yes\n")

    def test_other_commands(self):
        for value in STRANGE:
            StrangeServer.answers = dict.fromkeys(("/cluster", "/cluster/plan", "/cluster/pause"), value)
            self.fine("status", *self.url)
            self.fine("pause", "desk", *self.url)
            for key in ("instances", "workers"):
                StrangeServer.answers = {"/cluster": {key: value}}
                self.fine("status", *self.url)
                StrangeServer.answers = {"/cluster": {key: [value]}}
                self.fine("status", *self.url)

    def test_who_rests_is_said_with_what_ends_it(self):
        worker = {"id": "ab12", "name": "den", "state": "resting", "rests_for_seconds": 540,
                  "devices": [{"device": "cpu", "memory_bytes": 1 << 30, "free_memory_bytes": 1 << 29}]}
        StrangeServer.answers = {"/cluster": {"workers": [worker]}}
        self.assertRegex(self.fine("status", *self.url).out, r"den rests for another 540 s.*`potluck resume den`")

    def test_names_that_are_no_utf_8_are_asked_for_all_the_same(self):
        self.fails("run", "demo", b"caf\xe9", *self.url, says="not UTF-8")
        self.fine("pause", b"d\xe9sk", *self.url)
        self.fine("load", b"d\xe9sk.gguf", *self.url)


if __name__ == "__main__":
    unittest.main()
