#!/usr/bin/env python3
"""The web page in a headless Chromium, in front of a cluster of two workers."""

import json
import unittest

from browser import ENTER, Browser
from cluster import ClusterTest, split_evenly

NAMES = ("desk", "nas")


class WebPage(ClusterTest):
    def begin(self, *flags, **window):
        self.up("--spread", "--layers", split_evenly(NAMES), *flags)
        for name in NAMES:
            self.join(name)
        self.wait_for_stages(2)
        self.page = Browser(**window)
        self.addCleanup(self.page.end)
        self.page.open(f"http://{self.url}/")
        self.page.wait_for("the header", lambda: "1 of 1 models ready" in self.page.text("#health"))

    def set(self, **values):
        self.page.click("#open-settings")
        for name, value in values.items():
            self.page.run("document.getElementById(arguments[0]).value = arguments[1]", name, value)
        self.page.click("#settings button[type=submit]")

    def say(self, text):
        self.page.type("#input", text + ENTER)

    def wait_for_status(self, status):
        self.page.wait_for(status, lambda: self.page.text("#chat-status") == status)

    def messages(self):
        return self.page.run("return [...document.querySelectorAll('.message .text')].map((each) => each.innerText.trim())")

    def test_a_chat(self):
        self.begin()
        self.set(temperature="0", max_tokens="24")
        self.say("What is a pot-luck?")
        self.wait_for_status("The answer is complete.")
        question, answer = self.messages()
        reply = json.loads(self.call("POST", "/v1/chat/completions", {
            "messages": [{"role": "user", "content": "What is a pot-luck?"}], "temperature": 0, "max_tokens": 24})[1])
        self.assertEqual(question, "What is a pot-luck?")
        self.assertEqual(" ".join(answer.split()), " ".join(reply["choices"][0]["message"]["content"].split()))
        self.assertRegex(self.page.text(".message.assistant .facts"), r"^\d+ tokens · [\d.]+ tokens/s · prompt \d+")
        # It goes on from there, and is there again after a reload.
        self.say("And then?")
        self.page.wait_for("two answers", lambda: len(self.messages()) == 4)
        self.wait_for_status("The answer is complete.")
        before = self.messages()
        self.page.open(f"http://{self.url}/")
        self.page.wait_for("the chat", lambda: self.messages() == before)
        # Another message in place of the first takes what followed with it.
        self.page.click(".message.user button:nth-of-type(2)")
        self.page.run("document.querySelector('.message textarea').value = 'Name a soup.'")
        self.page.click(".message.user button[type=submit]")
        self.page.wait_for("an edited chat", lambda: self.messages()[:1] == ["Name a soup."] and len(self.messages()) == 2)
        self.wait_for_status("The answer is complete.")
        edited = self.messages()
        self.page.click(".message.assistant button:nth-of-type(2)")
        self.wait_for_status("The answer is complete.")
        self.assertEqual(self.messages(), edited, "the same question has the same answer")
        # Another chat knows nothing of it.
        self.page.click("#new-chat")
        self.assertEqual(self.messages(), [])
        self.page.click("#chats li:nth-of-type(2) button")
        self.assertEqual(self.messages(), edited)
        self.assertEqual(self.page.complaints(), [])

    def test_an_answer_is_stopped(self):
        self.begin()
        self.set(temperature="1", seed="3", max_tokens="900")
        self.page.run("document.getElementById('system-text').value = 'Never stop.';"
                      "document.getElementById('system-text').onchange()")
        self.say("Tell me all about soup")
        self.page.wait_for("some of the answer", lambda: self.messages()[1:] and self.messages()[1])
        stopped = self.page.run("const stop = document.getElementById('stop'); const there = !stop.hidden; stop.click(); return there")
        if stopped:  # it had not ended by itself
            self.wait_for_status("Stopped.")
        self.assertEqual(self.page.run("return JSON.parse(localStorage.getItem('potluck.chats'))[0].system"), "Never stop.")
        self.wait_until("nothing runs", lambda status: status["instances"][0]["requests"] == {"running": 0, "waiting": 0})

    def test_what_a_model_says_cannot_run(self):
        self.begin()
        html = self.page.run("""
            return import('/web/markdown.js').then(({ render }) => {
              const into = document.createElement('div');
              render(arguments[0], into);
              document.body.append(into);
              return into.innerHTML;
            })""", "**soup** <img src=x onerror='window.owned=1'> <script>window.owned=1</script> "
                   "[x](javascript:window.owned=1) <iframe srcdoc='<script>parent.owned=1</script>'></iframe>\n\n"
                   "    <b>code</b>\n\n<style>body{display:none}</style>" + "<div>" * 600 + "deep")
        self.assertIn("<strong>soup</strong>", html)
        for forbidden in ("<img", "<script", "onerror", "javascript:", "<iframe", "<style"):
            self.assertNotIn(forbidden, html)
        self.assertIsNone(self.page.run("return window.owned ?? null"))

    def test_the_cluster(self):
        self.begin()
        self.page.click("#to-cluster")
        self.assertEqual(self.page.run("return [...document.querySelectorAll('.stage h3')].map((each) => each.textContent)"),
                         list(NAMES))
        self.assertIn("layers 0–", self.page.text(".stage"))
        self.assertEqual(self.page.run("return document.querySelectorAll('#workers > li').length"), 2)
        self.assertIn("If it left: ", self.page.text("#workers"))
        self.page.wait_for("measured links", lambda: "Mbit/s" in self.page.text("#links"))
        # While somebody asks, it shows who works.
        self.call("POST", "/v1/completions", {"prompt": "soup", "max_tokens": 200, "ignore_eos": True})
        self.page.wait_for("a stage that has worked", lambda: self.page.run(
            "return [...document.querySelectorAll('.pipeline + p')].some((each) => !each.textContent.includes(' 0.0 tokens/s'))"))
        self.page.click("#workers > li:last-child button:first-of-type")
        self.page.wait_for("a paused device", lambda: self.page.run(
            "return [...document.querySelectorAll('#workers .state')].map((each) => each.textContent)")[-1] in ("paused", "resting"))
        self.page.click("#workers > li:last-child button:first-of-type")
        self.page.wait_for("a device that is back", lambda: "paused" not in self.page.text("#workers"))
        self.assertEqual(self.page.complaints(), [])

    def test_a_phone_has_no_sideways_scrolling_and_every_control_a_name(self):
        self.begin(width=500, height=900)
        for view in ("#chat", "#cluster"):
            self.page.run("location.hash = arguments[0]", view)
            self.assertLessEqual(self.page.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0)
            self.assertEqual(self.page.run("""
                return [...document.querySelectorAll('button, input, select, textarea, a, meter, progress')].filter((each) =>
                  !(each.textContent.trim() || each.getAttribute('aria-label') || each.labels?.length)).map((each) => each.outerHTML)"""),
                             [])


if __name__ == "__main__":
    unittest.main()
