#!/usr/bin/env python3
"""Bad input: each kind gives one line that says what is wrong and where, exit code 1, soon and in little memory."""

import os
import shutil
import struct
import subprocess
import unittest

from gguf_bytes import Gguf, number, string, strings
from program import DEMO, PROGRAM, ProgramTest, run

Q8_0_BLOCK_BYTES = 34


class BadFiles(ProgramTest):
    def bent(self, change, name="bent.gguf"):
        gguf = Gguf.read(DEMO)
        change(gguf)
        return self.write(name, gguf.bytes())

    def test_the_unbent_copy_works(self):
        path = self.bent(lambda gguf: None)
        with open(DEMO, "rb") as demo, open(path, "rb") as copy:
            self.assertEqual(demo.read(), copy.read())

    def test_truncated_anywhere(self):
        with open(DEMO, "rb") as file:
            whole = file.read()
        header = Gguf.read(DEMO).header_bytes
        lengths = [1, 3, 4, 7, 8, 15, 16, 23, 24, 31, 32, 100, 1000, 20000, header - 1, header, header + 1,
                   len(whole) // 2, len(whole) - 1]
        for length in lengths:
            with self.subTest(length=length):
                path = self.write("short.gguf", whole[:length])
                self.fails("run", path, "hi", says="short.gguf")
                self.fails("inspect", path, says="short.gguf")

    def test_wrong_magic_and_version(self):
        with open(DEMO, "rb") as file:
            whole = file.read()
        self.fails("run", self.write("a.gguf", b"GGML" + whole[4:]), "hi", says=("a.gguf", "GGUF"))
        self.fails("run", self.write("a.gguf", b"GGUF\x09\0\0\0" + whole[8:]), "hi", says=("a.gguf", "version"))
        self.fails("run", self.write("a.gguf", os.urandom(1 << 16)), "hi", says="a.gguf")

    def test_absurd_counts(self):
        def tensors(gguf):
            gguf.num_tensors = 2**60

        self.fails("run", self.bent(tensors), "hi", says=("bent.gguf", "tensors"))
        with open(DEMO, "rb") as file:
            whole = file.read()
        for position in (8, 16):
            path = self.write("a.gguf", whole[:position] + struct.pack("<Q", 2**60) + whole[position + 8 :])
            self.fails("run", path, "hi", says="a.gguf")

    def test_tensors_that_lie(self):
        def overlap(gguf):
            gguf.tensors[1][3] = gguf.tensors[0][3]

        def misalign(gguf):
            gguf.tensors[1][3] += 1

        def outside(gguf):
            gguf.tensors[1][3] = 2**62

        def unknown_type(gguf):
            gguf.tensors[1][2] = 9999

        def enormous(gguf):
            gguf.tensors[1][1] = [2**40, 2**40]

        for change in (overlap, misalign, outside, unknown_type, enormous):
            with self.subTest(change=change.__name__):
                name = Gguf.read(DEMO).tensors[1][0]
                self.fails("run", self.bent(change), "hi", says=("bent.gguf", name))

    def test_missing_tensor(self):
        last = Gguf.read(DEMO).tensors[-1]

        def drop(gguf):
            gguf.tensors.pop()
            del gguf.data[last[3] :]

        self.fails("run", self.bent(drop), "hi", says=(last[0], "bent.gguf"))

    def test_nan_weights(self):
        for bits in (0x7E00, 0x7C00):  # a NaN and an infinity as a block's scale

            def poison(gguf):
                tensor = gguf.tensor("blk.1.ffn_down.weight")
                struct.pack_into("<H", gguf.data, tensor[3] + 5 * Q8_0_BLOCK_BYTES, bits)

            with self.subTest(bits=hex(bits)):
                self.fails("run", self.bent(poison), "hi", says=("blk.1.ffn_down.weight", "bent.gguf"))

    def test_empty_vocabulary(self):
        def empty(gguf):
            gguf.metadata["tokenizer.ggml.tokens"] = strings([])

        path = self.bent(empty)
        self.fails("run", path, "hi", says="tokenizer.ggml.tokens")
        self.fails("tokenize", path, "hi", says="tokenizer.ggml.tokens")

    def test_no_vocabulary(self):
        def drop(gguf):
            for key in [key for key in gguf.metadata if key.startswith("tokenizer.ggml")]:
                del gguf.metadata[key]

        self.fails("tokenize", self.bent(drop), "hi", says=("bent.gguf", "tokenizer.ggml"))

    def test_endless_and_broken_templates(self):
        endless = {
            "loop": "{% for i in range(10**9) %}x{% endfor %}",
            "nested loops": "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}",
            "growing text": "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
            "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "deep expression": "{{ " + "(" * 100000 + "1" + ")" * 100000 + " }}",
            "syntax": "{% if %}",
            "raised": "{{ raise_exception('two\nlines') }}",
        }
        for name, template in endless.items():

            def replace(gguf):
                gguf.metadata["tokenizer.chat_template"] = string(template)

            with self.subTest(template=name):
                self.fails("run", self.bent(replace), "hi", says="template")

    def test_impossible_config(self):
        for key, value in (("llama.block_count", 2**31), ("llama.attention.head_count", 0),
                           ("llama.embedding_length", 255), ("llama.context_length", 0), ("llama.block_count", 1)):

            def replace(gguf):
                gguf.metadata[key] = number(value)

            with self.subTest(key=key):
                self.fails("run", self.bent(replace), "hi", says="bent.gguf")

    def test_paths_that_are_no_model(self):
        empty_folder = os.path.join(self.folder, "nothing")
        os.mkdir(empty_folder)
        self.fails("run", empty_folder, "hi", says="nothing")
        self.fails("run", "/dev/null", "hi", says=("/dev/null", "not a regular file"))
        self.fails("run", self.write("empty.gguf", b""), "hi", says=("empty.gguf", "empty"))
        self.fails("run", os.path.join(self.folder, "missing.gguf"), "hi", says=("missing.gguf", "no file"))
        pipe = os.path.join(self.folder, "pipe.gguf")
        os.mkfifo(pipe)
        self.fails("run", pipe, "hi", says=("pipe.gguf", "not a regular file"))
        self.fails("tokenize", DEMO, "-f", self.folder, says="a folder")
        self.fails("tokenize", DEMO, "-f", "/dev/zero", says=("/dev/zero", "64 MiB"), peak_mib=300)
        self.fails("perplexity", DEMO, "-f", os.path.join(self.folder, "missing.txt"), says="missing.txt")

    def test_a_folder_with_two_models(self):
        for name in ("one.gguf", "two.gguf"):
            shutil.copy(DEMO, os.path.join(self.folder, name))
        self.fails("run", self.folder, "hi", says=("one.gguf", "two.gguf"))

    def test_missing_part_of_a_split_file(self):
        def split(gguf):
            gguf.metadata["split.count"] = number(2)
            gguf.metadata["split.no"] = number(0)
            gguf.metadata["split.tensors.count"] = number(len(gguf.tensors))

        path = self.bent(split, "m-00001-of-00002.gguf")
        self.fails("run", path, "hi", says="m-00002-of-00002.gguf")

    def test_folder_without_tokenizer(self):
        with open(os.path.join(self.folder, "config.json"), "w") as file:
            file.write("{")
        self.fails("run", self.folder, "hi", says="config.json")

    def test_unreadable_file(self):
        path = self.write("secret.gguf", b"GGUF")
        os.chmod(path, 0)
        wrapper = ()
        if os.geteuid() == 0:
            os.chmod(self.folder, 0o755)
            wrapper = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
            if subprocess.run([*wrapper, PROGRAM, "--version"], capture_output=True).returncode != 0:
                self.skipTest("another user cannot run the program here")
        self.fails("run", path, "hi", wrapper=wrapper, says=("secret.gguf", "Permission denied"))


class BadPrompts(ProgramTest):
    def test_longer_than_the_context(self):
        self.fails("run", DEMO, "--ctx", "16", "one two three four five six seven eight nine ten eleven twelve",
                   says=("tokens", "context size (16 tokens)"))
        self.fails("run", DEMO, stdin=b"potato " * 150000, says="context size (1024 tokens)")

    def test_context_larger_than_the_model_s(self):
        self.fails("run", DEMO, "hi", "--ctx", "99999999", says=("1024", "99999999"))

    def test_invalid_utf8(self):
        self.fails("run", DEMO, b"caf\xe9 ?", says="the prompt is not UTF-8 at byte 3")
        self.fails("run", DEMO, "hi", "--system", b"\xed\xa0\x80", says="--system text is not UTF-8 at byte 0")
        self.fails("run", DEMO, stdin=b"hi\xff", says="the prompt is not UTF-8 at byte 2")
        result = self.fine("tokenize", DEMO, "--json", stdin=b"\xff\xc3\x00\x80")
        self.assertEqual(result.out.count("\n"), 1)

    def test_empty_raw_prompt(self):
        self.fails("run", DEMO, "--raw", "", says="prompt is empty")


class FullDisk(ProgramTest):
    COMMANDS = (("run", DEMO, "hi", "-n", "3", "-t", "1"), ("run", DEMO, "hi", "-n", "3", "-t", "1", "--json"),
                ("inspect", DEMO), ("tokenize", DEMO, "hi"), ("devices", "--json"))

    def unwritable(self, command, **options):
        result = run(*command, **options)
        self.assertEqual(result.code, 1, f"{command}\n{result!r}")
        # `run` has said what context it uses by then.
        self.assertIn("potluck: cannot write to standard output", result.err.splitlines()[-1], result)

    def test_dev_full(self):
        for command in (*self.COMMANDS, ("--help",), ("run", "--help")):
            with self.subTest(command=command), open("/dev/full", "wb") as full:
                self.unwritable(command, stdout=full)

    def test_closed(self):
        for command in self.COMMANDS:
            with self.subTest(command=command):
                self.unwritable(command, wrapper=("sh", "-c", 'exec "$@" >&-', "sh"))

    def test_small_disk(self):
        if os.geteuid() != 0:
            self.skipTest("only root may mount a small disk")
        mount = 'mount -t tmpfs -o size=64k none "$0"'
        in_namespace = ("unshare", "-m", "sh", "-c")
        if subprocess.run([*in_namespace, mount, self.folder], capture_output=True).returncode != 0:
            self.skipTest("mounting is not permitted here")
        fill = 'head -c 63000 /dev/zero > "$0/filler"; exec "$@" > "$0/out"'
        self.unwritable(("inspect", DEMO, "--tensors", "--json"),
                        wrapper=(*in_namespace, f"{mount} && {fill}", self.folder))


@unittest.skipIf(os.environ.get("POTLUCK_SANITIZED"), "a sanitizer itself takes terabytes of address space")
class LittleMemory(ProgramTest):
    def test_address_space(self):
        # From too little to map the file, through too little for threads and buffers, to enough.
        codes = set()
        for mib in (12, 14, 16, 20, 24, 32, 48, 64, 96, 1024):
            with self.subTest(mib=mib):
                if run("--version", limit=mib << 20).code != 0:
                    continue  # not even the libraries fit
                result = run("run", DEMO, "hi", "-n", "2", "-t", "2", limit=mib << 20)
                codes.add(result.code)
                self.assertIn(result.code, (0, 1), result)
                if result.code == 1:
                    self.assertEqual(result.err.count("\n"), 1, result)
        self.assertEqual(codes, {0, 1})

    def test_context_that_does_not_fit(self):
        gguf = Gguf.read(DEMO)
        gguf.metadata["llama.context_length"] = number(1 << 24)
        path = self.write("long.gguf", gguf.bytes())
        self.fails("run", path, "hi", "--ctx", str(1 << 24), limit=1 << 30, says=("memory", "--ctx"))


if __name__ == "__main__":
    unittest.main()
