"""Runs the program under test (environment variable POTLUCK) and measures what it costs."""

import os
import resource
import subprocess
import tempfile
import threading
import time
import unittest

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PROGRAM = os.environ.get("POTLUCK", os.path.join(ROOT, "build", "release", "potluck"))
DEMO = os.path.join(ROOT, "deploy", "demo", "potluck-demo-1m-q8_0.gguf")
SHARED = os.path.join(ROOT, "..", "shared", "data")
ARCHITECTURES = os.path.join(ROOT, "tests", "golden", "architectures")
# Longest that a hanging program is waited for, on a machine with much else to do.
PATIENCE_SECONDS = 60


class Result:
    def __init__(self, code, out, err, usage, seconds):
        self.code, self.out_bytes, self.err = code, out, err.decode(errors="replace")
        self.out = out.decode(errors="replace")
        # Never less than this test's own size: a child is a copy of it until it starts the program.
        self.peak_mib, self.cpu_seconds = usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime
        self.seconds = seconds

    def __repr__(self):
        return f"code {self.code}, {self.cpu_seconds:.2f} s of CPU, {self.peak_mib:.0f} MiB\n{self.out}\n{self.err}"


def run(*args, stdin=b"", env=None, stdout=subprocess.PIPE, cwd=None, wrapper=(), limit=None):
    """One run to its end; a program that hangs is killed, which shows as code -9. `limit`: bytes of address space."""

    def prepare():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    begin = time.monotonic()
    process = subprocess.Popen([*wrapper, PROGRAM, *args], stdin=subprocess.PIPE, stdout=stdout, cwd=cwd,
                               stderr=subprocess.PIPE, env={**os.environ, **(env or {})},
                               preexec_fn=prepare if limit is not None else None)
    killer = threading.Timer(PATIENCE_SECONDS, process.kill)
    killer.start()
    captured = [b"", b""]

    def read(index, pipe):
        captured[index] = pipe.read()

    readers = [threading.Thread(target=read, args=item) for item in enumerate((process.stdout, process.stderr))
               if item[1] is not None]
    for reader in readers:
        reader.start()
    try:
        process.stdin.write(stdin)
        process.stdin.close()
    except BrokenPipeError:
        pass
    for reader in readers:
        reader.join()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    killer.cancel()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    return Result(process.returncode, *captured, usage, time.monotonic() - begin)


class ProgramTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return path

    def fine(self, *args, **options):
        result = run(*args, **options)
        self.assertEqual(result.code, 0, f"{args}\n{result!r}")
        return result

    def fails(self, *args, says=(), peak_mib=100, **options):
        """One line on standard error that says all of `says`, code 1, quickly and in little memory."""
        result = run(*args, **options)
        about = f"{args}\n{result!r}"
        self.assertEqual(result.code, 1, about)
        self.assertEqual(result.err.count("\n"), 1, about)
        self.assertTrue(result.err.startswith("potluck: "), about)
        for words in (says,) if isinstance(says, str) else says:
            self.assertIn(words, result.err, about)
        # CPU time: the machine may be busy. A sanitizer's own needs would hide the program's.
        if not os.environ.get("POTLUCK_SANITIZED"):
            self.assertLess(result.cpu_seconds, 2, about)
            self.assertLess(result.peak_mib, peak_mib, about)
        return result

    def misused(self, *args, says=(), **options):
        result = run(*args, **options)
        self.assertEqual(result.code, 2, f"{args}\n{result!r}")
        self.assertEqual(result.out, "")
        self.assertEqual(result.err.count("\n"), 1, result)
        for words in (says,) if isinstance(says, str) else says:
            self.assertIn(words, result.err)
        return result

    def needs(self, path):
        if not os.path.exists(path):
            self.skipTest(f"{path} is not here")
        return path
