"""A headless Chromium, driven as the WebDriver standard says (https://www.w3.org/TR/webdriver2/)."""

import base64
import json
import re
import subprocess
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the standard's name for a reference to one
ENTER = "\ue007"
PATIENCE_SECONDS = 60


class Browser:
    def __init__(self, width=1200, height=900):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.driver.stdout:
            if started := re.search(r"started successfully on port (\d+)", line):
                break
        else:
            raise AssertionError("chromedriver did not start")
        self.base = f"http://127.0.0.1:{started[1]}/session"
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                            f"--window-size={width},{height}"]}
        created = self.call("POST", "", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.base += "/" + created["sessionId"]

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, None if method == "GET" else json.dumps(body or {}).encode(),
                                         {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """What the body of a function gives, or what its promise does."""
        return self.call("POST", "/execute/sync", {"script": script, "args": arguments})

    def find(self, selector):
        return self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.call("POST", f"/element/{self.find(selector)}/click")

    def type(self, selector, text):
        self.call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector)

    def wait_for(self, what, condition):
        """Until condition() gives something true."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {PATIENCE_SECONDS} s; the page says:\n"
                                     + self.run("return document.body.innerText"))
            time.sleep(0.05)
        return value

    def accept_question(self):
        self.call("POST", "/alert/accept")

    def complaints(self):
        """What the page, or the browser about it, wrote to the console."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("GET", "/screenshot")))

    def end(self):
        self.call("DELETE", "")  # ends the browser, which the driver's own end would leave behind
        self.driver.terminate()
        self.driver.wait()
        self.driver.stdout.close()
