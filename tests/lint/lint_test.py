#!/usr/bin/env python3
"""Every rule of lint.py must turn red on a small tree that breaks it, and stay green on one that does not."""

import os
import tempfile
import unittest

import lint

CLEAN = {
    "CMakeLists.txt": "add_subdirectory(tests)\n",
    "common/text.h": "#pragma once\n",
    "kernels/tensor.h": '#include "common/text.h"\n#include "absl/status/status.h"\n',
    "kernels/cpu/cpu.cc": '#include "kernels/formats/decode.h"\n#include <cpuinfo.h>\n',
    "kernels/formats/decode.h": '#include "kernels/tensor.h"\n',
    "kernels/reference/reference.h": "#pragma once\n",
    "model/config.h": '#include "kernels/tensor.h"\n',
    "cli/main.cc": '#include "model/config.h"\nchar* home = getenv("HOME");\nauto now = absl::Now();\n',
    "tests/CMakeLists.txt": "potluck_test(NAME a_test SOURCES a_test.cc)\nforeach(op b c)\n potluck_test(${op}_test.cc)\nendforeach()\n",
    "tests/a_test.cc": '#include "tests/testing/bits.h"\n',
    "tests/b_test.cc": "",
    "tests/testing/bits.h": "#pragma once\n",
    "docs/cli.md": "`model/config.h`, `kernels/{tensor.h,cpu/cpu.cc}`, `cli/*.cc`, `build/release/potluck`, `a/b`, [x](../README.md)\n",
    "README.md": "See `docs/`, `docs/cli.md` and `tests/a_test.cc --all`.\n",
}


class LintTest(unittest.TestCase):
    def findings(self, changes, check=None):
        with tempfile.TemporaryDirectory() as root:
            files = {**CLEAN, **changes}
            for path, text in files.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            tree = lint.Tree(root, files)
            checks = [check] if check else lint.CHECKS
            return [finding for each in checks for finding in each(tree)]

    def assert_red(self, path, text, says, line=1):
        found = self.findings({path: text})
        self.assertEqual([(f[0], f[1]) for f in found], [(path, line)], found)
        self.assertIn(says, found[0][2])

    def test_a_clean_tree_is_green(self):
        self.assertEqual(self.findings({}), [])

    def test_a_lower_folder_may_not_include_a_higher_one(self):
        self.assert_red("common/text.cc", '\n#include "kernels/tensor.h"\n', "common/ may not include kernels/", 2)
        self.assert_red("kernels/cpu/x.cc", '#include "model/config.h"\n', "kernels/ may not include model/")
        self.assert_red("model/x.cc", '#  include "tests/testing/bits.h"\n', "model/ may not include tests/")

    def test_worker_and_coordinator_do_not_meet(self):
        found = self.findings({"worker/w.h": "", "coordinator/c.cc": '#include "worker/w.h"\n',
                               "partition/p.h": "", "training/t.cc": '#include "partition/p.h"\n'})
        self.assertEqual([f[0] for f in found], ["coordinator/c.cc", "training/t.cc"])

    def test_a_backend_is_not_built_from_another(self):
        self.assert_red("kernels/cpu/x.cc", '#include "kernels/reference/reference.h"\n', "another backend")

    def test_includes_are_relative_to_the_root(self):
        self.assert_red("common/x.cc", '#include "text.h"\n', "no tracked file")
        self.assert_red("common/x.cc", '#include "common/gone.h"\n', "no tracked file")

    def test_outside_libraries_stay_where_they_belong(self):
        for header in ("grpcpp/grpcpp.h", "potluck/v1/worker.pb.h", "CL/cl.h", "cuda_runtime.h", "prometheus/counter.h"):
            self.assert_red("model/x.cc", f"#include <{header}>\n", header)
        self.assertEqual(self.findings({"wire/grpc/x.cc": '#include "potluck/v1/worker.pb.h"\n#include <grpcpp/x.h>\n'}), [])

    def test_documents_name_what_is_there(self):
        self.assert_red("docs/x.md", "\nsee `model/gone.h`\n", "`model/gone.h`", 2)
        self.assert_red("docs/x.md", "see `model/{config.h,gone.h}`\n", "`model/gone.h`")
        self.assert_red("docs/x.md", "see `kernels/*.cu`\n", "`kernels/*.cu`")
        self.assert_red("docs/x.md", "see `GONE.md`\n", "`GONE.md`")
        self.assert_red("docs/x.md", "run `tests/gone.sh --quick`\n", "`tests/gone.sh`")
        self.assert_red("docs/x.md", "see [that](gone.md#part)\n", "`gone.md`")
        self.assertEqual(self.findings({"docs/x.md": "```\n`model/gone.h`\n```\n"}), [])

    def test_every_test_is_built(self):
        for name in ("x_test.cc", "x_fuzz.cc", "x_bench.cc", "x_test.py"):
            self.assert_red("tests/" + name, "", "no CMakeLists.txt")
        found = self.findings({"tests/CMakeLists.txt": CLEAN["tests/CMakeLists.txt"] + "# x_test.cc\n", "tests/x_test.cc": ""})
        self.assertEqual([f[0] for f in found], ["tests/x_test.cc"])
        elsewhere = {"kernels/CMakeLists.txt": "add_test(COMMAND ${CMAKE_SOURCE_DIR}/tests/x_test.sh)\n"}
        self.assertEqual(self.findings({**elsewhere, "tests/x_test.sh": ""}), [])

    def test_the_environment_is_read_in_cli_only(self):
        self.assert_red("model/x.cc", 'auto x = std::getenv("X");\n', "environment")
        self.assertEqual(self.findings({"model/x.cc": "// getenv() is for cli/\n"}), [])

    def test_clocks_and_seeds_are_made_in_cli_only(self):
        for text in ("absl::Now()", "std::chrono::system_clock::now()", "std::random_device seed;"):
            self.assert_red("model/x.cc", f"/* why\n*/ auto x = {text};\n", "given at construction", 2)
        self.assert_red("tests/a_test.cc", "std::random_device seed;\n", "given at construction")

    def test_files_stay_small(self):
        self.assert_red("model/x.cc", "\n" * (lint.MAX_LINES + 1), "801 lines", lint.MAX_LINES)
        self.assertEqual(self.findings({"model/x.cc": "\n" * lint.MAX_LINES}), [])
        self.assert_red("docs/x.bin", "x" * (lint.MAX_BYTES + 1), "bytes")

    @unittest.skipUnless(os.environ.get("CLANG_FORMAT"), "clang-format 14 is not installed")
    def test_sources_are_formatted(self):
        def check(tree):
            return lint.check_format(tree, os.environ["CLANG_FORMAT"])

        good = {path: "" for path in CLEAN if path.endswith((".cc", ".h"))}
        self.assertEqual(self.findings(good, check), [])
        self.assertEqual([f[0] for f in self.findings({**good, "model/x.cc": "int  x ;\n"}, check)], ["model/x.cc"])


if __name__ == "__main__":
    unittest.main()
