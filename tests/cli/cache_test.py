#!/usr/bin/env python3
"""potluck cache: what it lists, what it removes, and what it leaves alone."""

import fcntl
import hashlib
import json
import os
import unittest

from program import ProgramTest


class Cache(ProgramTest):
    def setUp(self):
        super().setUp()
        self.cache = os.path.join(self.folder, "cache")

    def ask(self, *words):
        return json.loads(self.fine("cache", *words, "--cache-dir", self.cache, "--json").out)

    def put(self, number, size, kind="blobs"):
        """A blob last used `number` hours after 1970. The cache believes names: what is whole was verified."""
        name = hashlib.sha256(str(number).encode()).hexdigest()
        path = os.path.join(self.cache, kind, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.truncate(size)
        os.utime(path, (number * 3600, number * 3600))
        return name

    def names(self):
        return [blob["id"] for blob in self.ask("ls")["blobs"]]

    def test_list(self):
        self.assertEqual(self.ask("ls"), {"folder": self.cache, "bytes": 0, "pinned_bytes": 0, "blobs": []})
        new, old = self.put(5, 3000), self.put(2, 1 << 20)
        part = self.put(3, 70, "partial")
        with open(os.path.join(self.cache, "blobs", "a stranger's file"), "w", encoding="utf-8") as file:
            file.write("x")
        listed = self.ask("ls")
        self.assertEqual([blob["id"] for blob in listed["blobs"]], [old, part, new])
        self.assertEqual([blob["partial"] for blob in listed["blobs"]], [False, True, False])
        self.assertEqual(listed["blobs"][0]["last_used"], "1970-01-01T02:00:00Z")
        self.assertEqual(listed["bytes"], 3000 + (1 << 20) + 70)
        text = self.fine("cache", "ls", "--cache-dir", self.cache).out
        self.assertIn(old + "       1.0 MiB  1970-01-01T02:00:00Z\n", text)
        self.assertIn("partial", text)
        self.assertIn("3 blobs, 1.0 MiB", text)

    def test_prune_takes_the_longest_unused(self):
        newest, middle, oldest = (self.put(number, 1 << 20) for number in (9, 5, 1))
        pruned = self.ask("prune", "--max-size", "2.5MiB")
        self.assertEqual((pruned["removed_blobs"], pruned["kept_bytes"]), (1, 2 << 20))
        self.assertNotIn(oldest, self.names())
        self.assertEqual(self.ask("prune", "--max-size", "2 MiB")["removed_blobs"], 0)
        self.assertEqual(self.ask("prune", "--max-size", "1048576")["removed_blobs"], 1)
        self.assertEqual(self.names(), [newest])
        self.assertNotIn(middle, self.names())

    def test_what_a_worker_needs_stays(self):
        needed, other = self.put(1, 4096), self.put(2, 4096)
        self.ask("ls")  # makes the folders
        with open(os.path.join(self.cache, "pins", "pins.worker"), "w", encoding="utf-8") as pins:
            pins.write(needed + "\n")
            pins.flush()
            fcntl.flock(pins, fcntl.LOCK_EX)
            self.assertEqual([blob["pinned"] for blob in self.ask("ls")["blobs"]], [True, False])
            self.assertIn("1 blobs, 0.0 MiB, are in use by running workers and stay",
                          self.fine("cache", "clear", "--cache-dir", self.cache).out)
            self.assertEqual(self.names(), [needed])
        self.assertNotIn(other, self.names())
        # The worker has ended, and its pins with it.
        cleared = self.ask("clear")
        self.assertEqual((cleared["removed_blobs"], cleared["kept_blobs"]), (1, 0))

    def test_manifests_go_with_the_last_of_their_blobs(self):
        chunk = hashlib.sha256(b"a header").digest()
        manifest = json.dumps({"documents": [{"blob": {"chunks": [chunk.hex()], "size": 8}, "name": "header-00001"}],
                               "format": "GGUF v3", "name": "a model", "tensors": [], "version": 1},
                              separators=(",", ":")).encode()
        folder = os.path.join(self.cache, "fetched-manifests")
        os.makedirs(folder)
        os.makedirs(os.path.join(self.cache, "blobs"))
        fetched = self.write(f"cache/fetched-manifests/{hashlib.sha256(manifest).hexdigest()}.json", manifest)
        strange = self.write("cache/fetched-manifests/notes.json", b"{}")
        self.write(f"cache/fetched-manifests/{'0' * 64}.json", b"damaged")
        blob = hashlib.sha256(chunk + (8).to_bytes(8, "little")).hexdigest()
        self.write(f"cache/blobs/{blob}", b"a header")
        self.ask("ls")
        with open(os.path.join(self.cache, "pins", "pins.worker"), "w", encoding="utf-8") as pins:
            pins.write(blob + "\n")
            pins.flush()
            fcntl.flock(pins, fcntl.LOCK_EX)
            self.assertEqual(self.ask("clear")["removed_manifests"], 1)
            self.assertEqual(sorted(os.listdir(folder)), sorted(map(os.path.basename, (fetched, strange))))
        self.assertEqual(self.ask("prune", "--max-size", "1KiB")["removed_manifests"], 0)
        self.assertEqual(self.ask("clear")["removed_manifests"], 1)
        self.assertEqual(os.listdir(folder), ["notes.json"])

    def test_default_folder(self):
        home = os.path.join(self.folder, "home")
        listed = json.loads(self.fine("cache", "ls", "--json", env={"XDG_CACHE_HOME": home}).out)
        self.assertEqual(listed["folder"], os.path.join(home, "potluck"))
        self.assertEqual(os.stat(listed["folder"]).st_mode & 0o777, 0o700)

    def test_wrong_usage(self):
        self.misused("cache", says=("subcommand", "potluck cache --help"))
        self.misused("cache", "prune", says=("--max-size", "potluck cache prune --help"))
        self.misused("cache", "eat", says="potluck cache --help")
        for size in ("", "much", "20gib", "-1", "1e3", "2..5MiB", "99999999TiB", "5 5MiB"):
            with self.subTest(size=size):
                self.misused("cache", "prune", "--cache-dir", self.cache, f"--max-size={size}")

    def test_a_folder_that_is_none(self):
        path = self.write("file", "x")
        self.fails("cache", "ls", "--cache-dir", path, says=path)
        self.fails("cache", "ls", "--cache-dir", os.path.join(path, "below"), says="below")


if __name__ == "__main__":
    unittest.main()
