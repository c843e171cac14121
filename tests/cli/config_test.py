#!/usr/bin/env python3
"""Flags from files: --config and --print-config."""

import unittest

from program import ProgramTest


class Config(ProgramTest):
    def printed(self, *args):
        return self.fine(*args, "--print-config").out

    def test_what_is_printed_is_read_as_the_same(self):
        for args in (("up",), ("up", "a.gguf", "b c.gguf", "--lan", "--http", "a:1,b:2", "--wait-for-workers", "2m"),
                     ("join",), ("join", "nas:7071", "--name", "Anna's desk", "--memory", "4GiB", "-t", "3")):
            with self.subTest(args=args):
                text = self.printed(*args)
                path = self.write("flags.toml", text)
                self.assertEqual(self.printed(args[0], "--config", path), text)

    def test_flags_win(self):
        path = self.write("flags.toml", 'name = "attic"\nthreads = 3\nmeasure = true\n')
        text = self.printed("join", "--config", path, "--name", "cellar")
        for line in ('name = "cellar"', "threads = 3", "measure = true"):
            self.assertIn(line + "\n", text)

    def test_comments_end_where_quotes_begin(self):
        path = self.write("flags.toml", "# ours\nname = 'desk #2' # of two\nmemory = \"4GiB\" # it's enough\n")
        text = self.printed("join", "--config", path)
        for line in ('name = "desk #2"', 'memory = "4GiB"'):
            self.assertIn(line + "\n", text)

    def test_what_is_wrong_is_told(self):
        for text, says in (("colour = 1\n", "colour"), ("threads = 0\n", "threads"), ("[up]\nlan = true\n", "up"),
                           ("name = \"a\\u0007b\"\n", "control"),
                           ("wait = 60s\n", "line 1"), ("measure = 'yes'\n", "true or false"), ('name = ""\n', "no value"),
                           ("name = [[1]]\n", "list"), ("a." * 9000 + "a = 1\n", "too long"), ("config = 'x'\n", "config")):
            with self.subTest(text=text):
                self.misused("join", "--config", self.write("flags.toml", text), says=("flags.toml", says))
        self.fails("join", "--config", self.folder + "/none.toml", says="none.toml")


if __name__ == "__main__":
    unittest.main()
