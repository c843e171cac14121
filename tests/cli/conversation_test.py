#!/usr/bin/env python3
"""Conversations on a terminal, and interrupts: a person at a pseudo-terminal."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
import unittest

from gguf_bytes import Gguf
from program import DEMO, PATIENCE_SECONDS, PROGRAM, ProgramTest

CTRL_C, CTRL_D = b"\x03", b"\x04"
PROMPT = "> "


class Terminal:
    """The program with a terminal for standard input and error; standard output is a pipe of its own."""

    def __init__(self, *args):
        self.master, slave = pty.openpty()
        # A session of its own, so that Ctrl-C reaches this program and no other.
        self.process = subprocess.Popen([PROGRAM, *args], stdin=slave, stderr=slave, stdout=subprocess.PIPE,
                                        preexec_fn=lambda: self.lead(slave))
        os.close(slave)
        self.seen, self.answers = "", ""

    @staticmethod
    def lead(slave):
        os.setsid()
        import fcntl
        import termios
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    def write(self, data):
        os.write(self.master, data if isinstance(data, bytes) else data.encode())

    def read_until(self, done):
        """Reads both outputs until done() or the end; the end is an error unless done() says otherwise."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        out = self.process.stdout.fileno()
        open_ends = {self.master, out}
        while not done():
            ready, _, _ = select.select(list(open_ends), [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"waited in vain; saw {self.seen!r} and {self.answers!r}")
            for end in ready:
                try:
                    data = os.read(end, 65536)
                except OSError:  # the other side of the terminal is closed
                    data = b""
                if not data:
                    open_ends.discard(end)
                elif end == out:
                    self.answers += data.decode(errors="replace")
                else:
                    self.seen += data.decode(errors="replace")
            if not open_ends:
                return

    def wait_for_prompt(self, count):
        # What was typed is echoed, too, but never begins a line with "> ".
        self.read_until(lambda: self.seen.count(PROMPT) >= count)

    def end(self):
        self.read_until(lambda: False)
        code = self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()
        os.close(self.master)
        return code


class Conversation(ProgramTest):
    def start(self, *flags, model=DEMO):
        terminal = Terminal("run", model, "-t", "1", *(flags or ("--temp", "0")))
        self.addCleanup(lambda: terminal.process.poll() is None and terminal.process.kill())
        return terminal

    def test_two_turns_and_clear(self):
        terminal = self.start()
        terminal.wait_for_prompt(1)
        self.assertIn("/exit", terminal.seen)
        for turn, line in enumerate(("hello", "What can I cook with leeks?", "/clear", "hello"), 2):
            terminal.write(line + "\n")
            terminal.wait_for_prompt(turn)
        terminal.write("/exit\n")
        self.assertEqual(terminal.end(), 0)
        answers = terminal.answers.splitlines()
        self.assertEqual(len(answers), 3, terminal.answers)
        # Forgotten, the greeting is answered as if it were the first one.
        self.assertEqual(answers[2], answers[0])
        # The second turn carries the first one, whose keys and values are still there.
        cached = [line for line in terminal.seen.splitlines() if "cached" in line]
        self.assertIn("(0 cached)", cached[0])
        self.assertNotIn("(0 cached)", cached[1])

    def test_a_model_without_template_is_spoken_to_in_chatml(self):
        gguf = Gguf.read(DEMO)
        del gguf.metadata["tokenizer.chat_template"]
        terminal = self.start("-n", "2", model=self.write("plain.gguf", gguf.bytes()))
        terminal.wait_for_prompt(1)
        self.assertIn("ChatML is used", terminal.seen)
        terminal.write("hello\n")
        terminal.wait_for_prompt(2)
        terminal.write(CTRL_D)
        self.assertEqual(terminal.end(), 0)
        self.assertGreater(int(re.search(r"prompt (\d+) tokens", terminal.seen)[1]), 8)

    def test_a_line_that_is_no_utf8_is_refused(self):
        terminal = self.start("-n", "2")
        terminal.wait_for_prompt(1)
        terminal.write(b"soup \xff\n")
        terminal.wait_for_prompt(2)
        self.assertIn("not UTF-8 at byte 5", terminal.seen)
        self.assertEqual(terminal.answers, "")
        terminal.write("/exit\n")
        self.assertEqual(terminal.end(), 0)

    def test_control_d_ends_it(self):
        terminal = self.start()
        terminal.wait_for_prompt(1)
        terminal.write(CTRL_D)
        self.assertEqual(terminal.end(), 0)
        self.assertEqual(terminal.answers, "")

    def test_control_c_at_the_prompt_ends_it(self):
        terminal = self.start()
        terminal.wait_for_prompt(1)
        terminal.write(CTRL_C)
        self.assertEqual(terminal.end(), 0)

    def test_control_c_ends_an_answer_and_not_the_conversation(self):
        # Hot and without an end in sight: it would go on to the end of the context.
        terminal = self.start("--temp", "100", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--seed", "1")
        terminal.wait_for_prompt(1)
        terminal.write("hello\n")
        terminal.read_until(lambda: len(terminal.answers) > 0)
        terminal.write(CTRL_C)
        terminal.wait_for_prompt(2)
        terminal.write("/exit\n")
        self.assertEqual(terminal.end(), 0)

    def test_a_turn_that_does_not_fit_is_said_and_the_conversation_goes_on(self):
        terminal = self.start("--temp", "0", "--ctx", "48")
        terminal.wait_for_prompt(1)
        terminal.write("potato " * 60 + "\n")
        terminal.wait_for_prompt(2)
        self.assertIn("context size (48 tokens)", terminal.seen)
        self.assertNotIn("/clear forgets the conversation, which", terminal.seen)
        terminal.write("hello\n")
        terminal.wait_for_prompt(3)
        terminal.write("potato " * 60 + "\n")
        terminal.wait_for_prompt(4)
        self.assertIn("/clear forgets the conversation, which makes room", terminal.seen)
        terminal.write("/exit\n")
        self.assertEqual(terminal.end(), 0)
        self.assertGreater(len(terminal.answers), 5)


    def test_an_answer_that_the_context_cuts_says_so(self):
        terminal = self.start("--temp", "0", "--ctx", "24")
        terminal.wait_for_prompt(1)
        terminal.write("How do I make lentil soup?\n")
        terminal.wait_for_prompt(2)
        self.assertIn("The context of 24 tokens is full", terminal.seen)
        terminal.write("/exit\n")
        self.assertEqual(terminal.end(), 0)


class Interrupts(ProgramTest):
    def test_an_answer_ends_cleanly(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                process = subprocess.Popen(
                    [PROGRAM, "run", DEMO, "-t", "1", "--temp", "100", "--top-k", "0", "--top-p", "1", "--min-p", "0",
                     "--raw", "soup"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, bufsize=0)
                first = process.stdout.read(1)  # the answer has begun
                process.send_signal(number)
                rest, err = process.communicate(timeout=PATIENCE_SECONDS)
                self.assertEqual(process.returncode, 0, err)
                self.assertTrue((first + rest).endswith(b"\n"))
                self.assertRegex(err.decode(), r"generated \d+ tokens?\b")

    def test_a_prompt_is_given_up_in_the_midst_of_a_step(self):
        process = subprocess.Popen(
            [PROGRAM, "run", DEMO, "-t", "1", "-n", "1", "--raw", "--json", " soup" * 900], env={**os.environ, "POTLUCK_TARGET": "cpu_scalar"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.assertIn(b"context", process.stderr.readline())  # the step begins
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(process.returncode, 0, err)
        answer = json.loads(out)
        self.assertEqual(answer["finish_reason"], "cancelled")
        self.assertEqual(answer["ids"], [])
        # What was not computed is not counted.
        self.assertLess(answer["timings"]["prompt_tokens"], 900)

    def test_a_second_interrupt_ends_the_program(self):
        process = subprocess.Popen([PROGRAM, "bench", DEMO, "-t", "1", "-r", "1000", "-n", "100000", "-p", "0"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stderr.readline()  # the measurement begins
        process.send_signal(signal.SIGSTOP)  # both come before it can do anything about the first
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertIn(process.returncode, (-signal.SIGINT, -signal.SIGTERM))
        self.assertEqual(err, b"")

    def test_bench_ends_at_once(self):
        process = subprocess.Popen([PROGRAM, "bench", DEMO, "-t", "1", "-r", "1000", "-n", "100000", "-p", "0"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stderr.readline()  # the note on the context: the measurement begins
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(err, b"potluck: stopped\n")

    def test_a_wait_for_a_pipe_ends(self):
        path = os.path.join(self.folder, "pipe")
        os.mkfifo(path)
        process = subprocess.Popen([PROGRAM, "tokenize", DEMO, "-f", path], stderr=subprocess.PIPE)
        with open(path, "wb"):  # returns once the program has opened its end
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(err.decode(), f"potluck: stopped while reading {path}\n")

    def test_a_reader_that_leaves_ends_the_program(self):
        reader, writer = os.pipe()
        os.close(reader)
        process = subprocess.Popen([PROGRAM, "inspect", DEMO, "--json"], stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertNotEqual(process.returncode, 0)
        self.assertNotIn(b"terminate", err)


if __name__ == "__main__":
    unittest.main()
