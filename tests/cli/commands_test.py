#!/usr/bin/env python3
"""Every command and flag, as docs/cli.md tells them."""

import json
import os
import shutil
import unittest

from gguf_bytes import Gguf, number, string, strings
from program import ARCHITECTURES, DEMO, ROOT, SHARED, ProgramTest, run

# One thread: the tests are about words, not about speed.
RUN = ("run", DEMO, "-t", "1", "--temp", "0")
QUESTION = "What should I bring to a pot-luck?"


def answer(result):
    return json.loads(result.out)


class Usage(ProgramTest):
    COMMANDS = ("up", "join", "status", "load", "unload", "drain", "pause", "resume", "run", "inspect", "tokenize",
                "perplexity", "bench", "devices", "plan", "cache")
    # They print nothing that a program would read.
    WITHOUT_JSON = ("up", "join", "load", "unload", "drain", "pause", "resume")

    def test_help_and_version(self):
        everything = self.fine("--help").out
        for command in self.COMMANDS:
            self.assertIn(command, everything)
            text = self.fine(command, "--help").out
            self.assertIn("Example", text)
            self.assertEqual("--json" in text, command not in self.WITHOUT_JSON, command)
        self.assertRegex(self.fine("--version").out, r"^\d+\.\d+\.\d+\n$")

    def test_every_flag_of_the_document_is_in_the_help(self):
        with open(os.path.join(ROOT, "docs", "cli.md"), encoding="utf-8") as file:
            sections = file.read().split("\n## potluck ")[1:]
        for section in sections:
            command, text = section.split(" ", 1)[0].strip(), section
            shown = self.fine(command, "--help").out
            for word in text.replace("`", " ").replace("[", " ").replace("]", " ").replace(",", " ").split():
                if word.startswith("--") and len(word) > 3:
                    self.assertIn(word.rstrip(".;:)"), shown, command)

    def test_wrong_usage(self):
        self.misused(says=("run", "inspect", "--help"))
        self.misused("cook", says=("cook", "run, inspect"))
        self.misused("run", says=("MODEL", "potluck run --help"))
        self.misused("run", DEMO, "hi", "there", says="there")
        self.misused("run", DEMO, "hi", "--no-such-flag", says="--no-such-flag")
        self.misused("run", DEMO, says="prompt")  # an empty standard input
        for flags in (("-n", "-5"), ("-n", "x"), ("-n", "99999999999999999999"), ("--ctx", "0"), ("--ctx", "1.5"),
                      ("-t", "0"), ("--kv-type", "q4"), ("--device", "gpu"), ("--temp", "-1"), ("--temp", "nan"),
                      ("--top-p", "2"), ("--top-p", "0"), ("--top-k", "-1"), ("--min-p", "7"), ("--seed", "-1"),
                      ("--seed", "18446744073709551616"), ("--repeat-penalty", "0"), ("--logprobs", "101", "--json"),
                      ("--logprobs", "3"), ("--raw", "--system", "x"), ("--stop",)):
            with self.subTest(flags=flags):
                self.misused("run", DEMO, "hi", *flags)
        for flags in (("up", "--http", "nonsense"), ("up", "--listen", "host:port"), ("join", "nas:7071/pl1.a.b", "--listen", "7"),
                      ("join", "nas:7071/pl1.a.b", "--advertise", "nas"), ("up", "--wait-for-workers", "soon"),
                      ("status", "--url", "nas:x")):
            with self.subTest(flags=flags):
                self.misused(*flags, says=flags[-2])
        self.misused("tokenize", DEMO, "text", "-f", "file", says="not both")
        self.misused("perplexity", DEMO, says="--file")
        self.misused("bench", DEMO, "-p", "0", "-n", "0", says="nothing to measure")
        self.misused("devices", "more")

    def test_unknown_target(self):
        self.misused("run", DEMO, "hi", env={"POTLUCK_TARGET": "cpu_abacus"}, says=("cpu_abacus", "cpu_scalar"))


class Run(ProgramTest):
    def test_only_the_text_on_standard_output(self):
        result = self.fine(*RUN, QUESTION)
        self.assertGreater(len(result.out.split()), 2)
        self.assertNotIn(QUESTION, result.out)
        self.assertTrue(result.out.endswith("\n"))
        for words in ("context: 1024 tokens", "prompt", "generated", "tokens/s", "memory"):
            self.assertIn(words, result.err)
            self.assertNotIn(words, result.out)

    def test_prompt_from_standard_input(self):
        self.assertEqual(self.fine(*RUN, stdin=QUESTION.encode()).out, self.fine(*RUN, QUESTION).out)

    def test_json(self):
        result = answer(self.fine(*RUN, QUESTION, "--json"))
        self.assertEqual(list(result), ["text", "ids", "prompt_ids", "logprobs", "timings", "finish_reason", "seed",
                                        "device"])
        self.assertEqual(result["text"] + "\n", self.fine(*RUN, QUESTION).out)
        self.assertEqual(result["finish_reason"], "stop")
        self.assertIsNone(result["logprobs"])
        self.assertEqual(result["timings"]["generated_tokens"], len(result["ids"]))
        self.assertEqual(result["timings"]["prompt_tokens"], len(result["prompt_ids"]))
        self.assertEqual(result["device"]["numerics_class"], "cpu-1")
        self.assertEqual(result["prompt_ids"][0], 1)  # the template's <|im_start|>

    def test_raw_continues_the_prompt(self):
        result = answer(self.fine(*RUN, "Bring a", "--raw", "--json", "-n", "4"))
        plain = answer(self.fine("tokenize", DEMO, "Bring a", "--json"))
        self.assertEqual(result["prompt_ids"], plain["ids"])

    def test_length(self):
        for count in (0, 1, 5):
            result = answer(self.fine(*RUN, QUESTION, "--json", "-n", str(count)))
            self.assertEqual(len(result["ids"]), count)
            self.assertEqual(result["finish_reason"], "length")
        # A huge bound is no request for memory.
        self.assertEqual(self.fine(*RUN, QUESTION, "-n", "1000000000").out, self.fine(*RUN, QUESTION).out)

    def test_the_context_ends_an_answer(self):
        prompt = answer(self.fine(*RUN, QUESTION, "--json", "-n", "0"))["prompt_ids"]
        result = answer(self.fine(*RUN, QUESTION, "--json", "--ctx", str(len(prompt) + 3)))
        self.assertEqual((len(result["ids"]), result["finish_reason"]), (3, "length"))

    def test_seeds(self):
        def ids(seed):
            return answer(self.fine("run", DEMO, "-t", "1", "--temp", "2", "--top-k", "0", "--top-p", "1", "--min-p", "0",
                                    "--seed", str(seed), "-n", "20", "--json", QUESTION))["ids"]

        self.assertEqual(ids(7), ids(7))
        self.assertNotEqual(ids(7), ids(8))
        ids(2**64 - 1)
        without = answer(self.fine("run", DEMO, "-t", "1", "-n", "1", "--json", "hi"))
        self.assertNotEqual(without["seed"], answer(self.fine("run", DEMO, "-t", "1", "-n", "1", "--json", "hi"))["seed"])

    def test_temperature_zero_ignores_the_seed(self):
        self.assertEqual(self.fine(*RUN, QUESTION, "--seed", "1").out, self.fine(*RUN, QUESTION, "--seed", "2").out)

    def test_filters_and_penalties(self):
        greedy = self.fine(*RUN, QUESTION).out
        hot = ("run", DEMO, "-t", "1", "--temp", "5", "--seed", "3", QUESTION)
        self.assertEqual(self.fine(*hot, "--top-k", "1").out, greedy)
        self.assertEqual(self.fine(*hot, "--top-p", "0.000001").out, greedy)
        self.assertEqual(self.fine(*hot, "--min-p", "1").out, greedy)
        for flags in (("--repeat-penalty", "50"), ("--presence-penalty", "90"), ("--frequency-penalty", "90")):
            self.assertNotEqual(self.fine(*RUN, QUESTION, *flags, "-n", "40").out, greedy, flags)

    def test_stop(self):
        whole = answer(self.fine(*RUN, QUESTION, "--json"))["text"]
        for stop in (whole[5:9], whole[3:20]):
            result = answer(self.fine(*RUN, QUESTION, "--json", "--stop", "never said", "--stop", stop))
            self.assertEqual(result["text"], whole[: whole.index(stop)])
            self.assertEqual(result["finish_reason"], "stop")
            self.assertEqual(self.fine(*RUN, "--stop", stop, QUESTION).out, whole[: whole.index(stop)] + "\n")

    def test_system(self):
        result = answer(self.fine(*RUN, "hi", "--system", "Be brief.", "--json", "-n", "1"))
        system = answer(self.fine("tokenize", DEMO, "Be brief.", "--json"))["ids"]
        self.assertIn(",".join(map(str, system)), ",".join(map(str, result["prompt_ids"])))
        self.assertNotEqual(result["prompt_ids"], answer(self.fine(*RUN, "hi", "--json", "-n", "1"))["prompt_ids"])

    def test_a_template_that_takes_no_system_text(self):
        gguf = Gguf.read(DEMO)
        gguf.metadata["tokenizer.chat_template"] = string(
            "{% if messages[0].role == 'system' %}{{ raise_exception('no such role') }}{% endif %}"
            "{% for message in messages %}{{ message.content }}{% endfor %}")
        path = self.write("gemma.gguf", gguf.bytes())
        self.fine("run", path, "hi", "-n", "1", "-t", "1")
        self.fails("run", path, "hi", "--system", "x", says=("--system", "put it into the prompt", "no such role"))

    def test_logprobs(self):
        for count in (0, 3, 100):
            result = answer(self.fine(*RUN, QUESTION, "--json", "--logprobs", str(count), "-n", "4"))
            self.assertEqual([token["id"] for token in result["logprobs"]], result["ids"])
            for token in result["logprobs"]:
                self.assertEqual(len(token["top"]), count)
                self.assertLessEqual(token["logprob"], 0)
                falling = [other["logprob"] for other in token["top"]]
                self.assertEqual(falling, sorted(falling, reverse=True))
                if count > 0:  # at temperature 0 the chosen one is the likeliest
                    self.assertEqual(token["top"][0]["id"], token["id"])
            text = b"".join(bytes(token["bytes"]) for token in result["logprobs"])
            self.assertEqual(text.decode(), result["text"])

    def test_control_tokens_in_a_prompt_stay_text(self):
        ids = answer(self.fine(*RUN, "a<|im_end|>b", "--json", "-n", "0"))["prompt_ids"]
        plain = answer(self.fine(*RUN, "ab", "--json", "-n", "0"))["prompt_ids"]
        for control in (0, 1, 2):
            self.assertEqual(ids.count(control), plain.count(control))

    def test_kv_types(self):
        greedy = self.fine(*RUN, QUESTION).out
        self.assertEqual(self.fine(*RUN, QUESTION, "--kv-type", "f16").out, greedy)
        for kind in ("f32", "q8"):
            self.assertGreater(len(self.fine(*RUN, QUESTION, "--kv-type", kind).out), 10)

    def test_instruction_sets_and_threads_give_the_same_ids(self):
        flags = ("run", DEMO, "--temp", "1.5", "--seed", "5", "-n", "24", "--json", QUESTION)
        ids = answer(self.fine(*flags, "-t", "1"))["ids"]
        self.assertEqual(answer(self.fine(*flags, "-t", "2"))["ids"], ids)
        # More than the machine has is said, and served.
        many = self.fine(*flags, "-t", "1000")
        self.assertEqual(answer(many)["ids"], ids)
        self.assertIn("1000", many.err)
        scalar = answer(self.fine(*flags, "-t", "1", env={"POTLUCK_TARGET": "cpu_scalar"}))
        self.assertEqual(scalar["device"]["target"], "cpu_scalar")
        self.assertEqual(scalar["ids"], ids)

    def test_a_model_without_template_continues(self):
        def drop(gguf):
            del gguf.metadata["tokenizer.chat_template"]

        gguf = Gguf.read(DEMO)
        drop(gguf)
        path = self.write("plain.gguf", gguf.bytes())
        result = self.fine("run", path, "Bring a", "-n", "2", "-t", "1", "--json")
        self.assertIn("no chat template", result.err)
        self.assertEqual(answer(result)["prompt_ids"], answer(self.fine("tokenize", DEMO, "Bring a", "--json"))["ids"])
        self.assertEqual(self.fine("run", path, "Bring a", "-n", "2", "-t", "1", "--raw").err.count("template"), 0)
        chatml = answer(self.fine("run", path, "hi", "--system", "x", "-n", "2", "-t", "1", "--json"))
        self.assertGreater(len(chatml["prompt_ids"]), 8)

    def test_every_architecture_answers(self):
        index = os.path.join(ARCHITECTURES, "index.json")
        with open(self.needs(index), encoding="utf-8") as file:
            models = json.load(file)["models"]
        for model in models:
            for kind in ("hf", "gguf"):
                if model[kind] is None:
                    continue
                with self.subTest(model=model["name"], kind=kind):
                    path = os.path.join(ARCHITECTURES, model[kind])
                    result = answer(self.fine("run", path, "ab", "--raw", "-n", "2", "-t", "1", "--json"))
                    self.assertTrue(result["finish_reason"] == "stop" or len(result["ids"]) == 2, result)


class Names(ProgramTest):
    def setUp(self):
        super().setUp()
        self.models = os.path.join(self.folder, "potluck", "models")
        os.makedirs(self.models)
        shutil.copy(DEMO, os.path.join(self.models, "supper.gguf"))

    def test_by_name(self):
        home = {"XDG_DATA_HOME": self.folder}
        self.assertIn("supper", self.fine("inspect", "supper", env=home).out)
        self.assertIn("supper", self.fine("inspect", "supper.gguf", env=home).out)
        self.fails("inspect", "dinner", env=home, says=("dinner", "supper"))
        self.fails("inspect", "dinner", env={"XDG_DATA_HOME": "/nowhere"}, says=("dinner", "/nowhere/potluck/models"))
        at_home = os.path.join(self.folder, "home")
        os.makedirs(os.path.join(at_home, ".local", "share"))
        os.symlink(os.path.join(self.folder, "potluck"), os.path.join(at_home, ".local", "share", "potluck"))
        self.fine("inspect", "supper", env={"XDG_DATA_HOME": "", "HOME": at_home})

    def test_models_dir(self):
        self.fine("tokenize", "supper", "--models-dir", self.models, "hi")
        self.fine("run", "supper", "--models-dir", self.models, "hi", "-n", "1", "-t", "1")
        self.fails("run", "dinner", "--models-dir", self.models, "hi", says=("dinner", "supper"))

    def test_downloads_are_no_names(self):
        self.fails("run", "hf:someone/something", "hi", says="path")


class Tokenize(ProgramTest):
    def ids(self, *args, **options):
        return answer(self.fine("tokenize", *args, "--json", **options))["ids"]

    def test_text_file_and_standard_input(self):
        text = "  Bring\r\n two\tpies \u00e9\U0001f95f\n"
        expected = self.ids(DEMO, text)
        self.assertEqual(self.ids(DEMO, "-f", self.write("text", text)), expected)
        self.assertEqual(self.ids(DEMO, stdin=text.encode()), expected)
        pipe = ("bash", "-c", '"$@" -f <(printf %s "$0")', text)
        self.assertEqual(self.ids(DEMO, wrapper=pipe), expected)
        self.assertEqual(self.ids(DEMO, "-f", "/dev/stdin", stdin=text.encode()), expected)
        with_zero = self.ids(DEMO, "-f", self.write("text", b"a\0b\n"))
        self.assertEqual(len(with_zero), 4)
        self.assertEqual(len(answer(self.fine("tokenize", DEMO, text, "--json"))["tokens"]), len(expected))

    def test_nothing_has_no_tokens(self):
        result = answer(self.fine("tokenize", DEMO, "-f", self.write("empty", b""), "--json"))
        self.assertEqual(result, {"ids": [], "tokens": []})
        self.assertEqual(self.fine("tokenize", DEMO, "").out, "")
        self.assertEqual(self.ids(DEMO), [])

    def test_text_never_becomes_a_control_token(self):
        for text in ("<|im_start|>", "a<|endoftext|>b", "<|im_end|>"):
            self.assertFalse({0, 1, 2} & set(self.ids(DEMO, text)), text)

    def test_table(self):
        lines = self.fine("tokenize", DEMO, "two pies").out.splitlines()
        self.assertEqual([int(line.split()[0]) for line in lines], self.ids(DEMO, "two pies"))

    def test_no_bos(self):
        path = self.needs(os.path.join(SHARED, "tokenizers", "ggml-vocab-llama-spm.gguf"))
        self.assertEqual(self.ids(path, "Hello"), [1] + self.ids(path, "Hello", "--no-bos"))
        self.assertNotIn(2, self.ids(path, "</s>", "--no-bos"))
        self.assertEqual(self.ids(path, ""), [])

    def test_files_that_hold_only_a_vocabulary(self):
        for name in ("ggml-vocab-gpt-2", "llama3-vocab", "qwen2-vocab", "ggml-vocab-llama-spm"):
            path = self.needs(os.path.join(SHARED, "tokenizers", name + ".gguf"))
            self.assertGreater(len(self.ids(path, "Hello there")), 1)
            self.assertIn("metadata", self.fine("inspect", path).out)


class Inspect(ProgramTest):
    def test_text_and_json(self):
        text = self.fine("inspect", DEMO).out
        for words in ("potluck-demo-1m-q8_0", "llama", "GGUF v3", "llama.context_length"):
            self.assertIn(words, text)
        self.assertNotIn("blk.0.attn_q.weight", text)
        self.assertIn("blk.0.attn_q.weight", self.fine("inspect", DEMO, "--tensors").out)
        result = answer(self.fine("inspect", DEMO, "--json"))
        self.assertEqual(result["config"]["architecture"], "llama")
        self.assertNotIn("tensors", result)
        tensors = answer(self.fine("inspect", DEMO, "--json", "--tensors"))["tensors"]
        self.assertEqual([tensor["name"] for tensor in tensors], [tensor[0] for tensor in Gguf.read(DEMO).tensors])
        self.assertEqual(sum(tensor["bytes"] for tensor in tensors), result["tensor_bytes"])

    def test_an_architecture_that_does_not_run(self):
        header = {"general.architecture": string("abacus"), "abacus.block_count": number(2),
                  "tokenizer.ggml.model": string("gpt2"), "tokenizer.ggml.pre": string("gpt-2"),
                  "tokenizer.ggml.tokens": strings(["a", "b", "ab"]), "tokenizer.ggml.merges": strings(["a b"])}
        tensor = ["blk.0.beads.weight", [4, 2], 0, 0]
        path = self.write("abacus.gguf", Gguf(header, [tensor], bytes(32)).bytes())
        text = self.fine("inspect", path, "--tensors").out
        for words in ("abacus", "blk.0.beads.weight", "not supported"):
            self.assertIn(words, text)
        result = answer(self.fine("inspect", path, "--json"))
        self.assertIsNone(result["config"])
        self.assertIn("abacus", result["error"])
        self.assertEqual(answer(self.fine("tokenize", path, "abab", "--json"))["ids"], [2, 2])
        self.fails("run", path, "ab", says=("abacus.gguf", "abacus", "llama", "qwen2", "gemma3", "glm4"))


class Measure(ProgramTest):
    def test_perplexity(self):
        with open(os.path.join(ROOT, "LICENSE"), "rb") as file:
            text = self.write("text", file.read()[:1500])
        flags = ("perplexity", DEMO, "-f", text, "--ctx", "64", "-t", "1")
        result = answer(self.fine(*flags, "--json"))
        for key in ("perplexity", "standard_error", "negative_log_likelihood", "tokens", "scored_tokens", "chunks", "ctx",
                    "seconds"):
            self.assertIn(key, result)
        self.assertGreater(result["perplexity"], 1)
        self.assertEqual(result["ctx"], 64)
        self.assertIn(f"{result['perplexity']:.4f}", self.fine(*flags).out)
        self.assertEqual(result["tokens"], len(answer(self.fine("tokenize", DEMO, "-f", text, "--json"))["ids"]))
        self.fails("perplexity", DEMO, "-f", self.write("short", b"too short"), says="tokens")

    def test_bench(self):
        flags = ("bench", DEMO, "-t", "1", "-r", "1", "-p", "8", "-n", "4", "--json")
        result = answer(self.fine(*flags))
        self.assertEqual([line["test"] for line in result], ["pp8", "tg4"])
        for line in result:
            self.assertGreater(line["tokens_per_second"], 0)
        decode = ("bench", DEMO, "-t", "1", "-r", "1", "-p", "0", "-n", "4", "--json")
        names = [line["test"] for line in answer(self.fine(*flags, "-d", "16", "--sequences", "3"))]
        self.assertEqual(names, ["pp8@d16", "tg4x3@d16"])
        self.assertEqual([line["test"] for line in answer(self.fine(*decode))], ["tg4"])
        many = self.fine("bench", DEMO, "-t", "1000", "-r", "1", "-p", "0", "-n", "1")
        self.assertIn("not 1000", many.err)
        beyond = self.fine("bench", DEMO, "-t", "1", "-r", "1", "-p", "4", "-n", "0", "-d", "1100")
        self.assertIn("1024", beyond.err)
        self.assertIn("pp4@d1100", beyond.out)

    def test_devices(self):
        result = answer(self.fine("devices", "--json"))
        self.assertEqual([device["name"] for device in result], ["cpu"])
        self.assertEqual(result[0]["numerics_class"], "cpu-1")
        self.assertGreater(result[0]["total_memory_bytes"], 1 << 20)
        self.assertIn(result[0]["target"], self.fine("devices").out)


class Together(ProgramTest):
    def test_several_at_once(self):
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: run(*RUN, QUESTION), range(4)))
        self.assertEqual({(result.code, result.out) for result in results}, {(0, results[0].out)})


if __name__ == "__main__":
    unittest.main()
