"""What llama.cpp makes of texts, for every value of tokenizer.ggml.pre and for a SentencePiece vocabulary.

    python make_tokenizer_goldens.py ../../../model/tokenizer/pre_tokenizers.inc

Writes bytes.json, characters.json, sentencepiece.json and ends.json beside this script; README.md says what is in them.
"""
import collections
import json
import os
import random
import re
import sys
import tempfile

import gguf
import llama_cpp

from texts import MARKED_TEXTS, SAMPLE, TEXTS

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
HERE = os.path.dirname(os.path.abspath(__file__))
# Whole pieces that no merge leads to: what ignore_merges is about.
WHOLE = [" fox", "123", " world", "\n\n", "\n\n\n", "\n", "Hello", " \u043c\u0438\u0440", "over", " the", "\u4e16\u754c"]
SPECIAL = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL), ("<|im_end|>", CONTROL), ("<mask>", CONTROL),
           ("<think>", USER_DEFINED)]


def byte_alphabet():
    itself = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in itself]
    return {**{b: chr(b) for b in itself}, **{b: chr(256 + i) for i, b in enumerate(others)}}


ALPHABET = byte_alphabet()


def spelled(text):
    return "".join(ALPHABET[b] for b in text.encode())


def learn_merges(sequences, count, seed):
    """Pairs in rank order. Words are not kept apart: whatever a pattern then cuts shows in the ids."""
    chooser = random.Random(seed)
    sequences = [list(s) for s in sequences]
    merges = []
    for _ in range(count):
        pairs = collections.Counter(p for s in sequences for p in zip(s, s[1:]))
        if not pairs:
            break
        most = max(pairs.values())
        left, right = chooser.choice(sorted(p for p, n in pairs.items() if n == most))
        merges.append((left, right))
        for s in sequences:
            i = 0
            while i + 1 < len(s):
                if s[i] == left and s[i + 1] == right:
                    s[i:i + 2] = [left + right]
                i += 1
    return merges


def vocabulary(letters, merges, whole):
    """tokens, their types, and merges as pairs of indices."""
    tokens = list(dict.fromkeys([*letters, *(a + b for a, b in merges), *whole]))
    index = {t: i for i, t in enumerate(tokens)}
    types = [NORMAL] * len(tokens)
    for text, kind in SPECIAL:
        tokens.append(text)
        types.append(kind)
    return {"tokens": tokens, "types": types, "merges": [[index[a], index[b]] for a, b in merges]}


def write_gguf(path, vocab, model, pre, **flags):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocab["tokens"])
    writer.add_token_types(vocab["types"])
    if "scores" in vocab:
        writer.add_token_scores(vocab["scores"])
    if "merges" in vocab:
        writer.add_token_merges([vocab["tokens"][a] + " " + vocab["tokens"][b] for a, b in vocab["merges"]])
    for name, text in (("bos", "<s>"), ("eos", "</s>")):
        if text in vocab["tokens"]:
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", vocab["tokens"].index(text))
    for name, value in flags.items():
        writer.add_bool(f"tokenizer.ggml.{name}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def open_vocabulary(vocab, model, pre, **flags):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vocab.gguf")
        write_gguf(path, vocab, model, pre, **flags)
        return llama_cpp.Llama(path, vocab_only=True, verbose=False)


def tokenize(llm, text, parse=False, special=False):
    return llm.tokenize(text.encode(), add_bos=special, special=parse)


def results(vocab, variants):
    """Per text the different results, and which variant gives which: many of them agree."""
    opened = [open_vocabulary(vocab, **v) for v in variants]
    cases = []
    for parse, texts in ((False, TEXTS + MARKED_TEXTS), (True, MARKED_TEXTS)):
        for text in texts:
            different, which = [], []
            for llm, variant in zip(opened, variants):
                # llama.cpp ends the process on a space beside other white space here.
                if variant["pre"] == "whitespace" and re.search(r" \s|\s ", text):
                    which.append(-1)
                    continue
                ids = tokenize(llm, text, parse)
                if ids not in different:
                    different.append(ids)
                which.append(different.index(ids))
            cases.append({"text": text, "parse": parse, "ids": different, "which": which})
    around = [tokenize(llm, "", special=True) for llm in opened]
    return cases, around


def write(name, value):
    path = os.path.join(HERE, name)
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    text = text.replace('{"text":', '\n{"text":').replace('"vocabulary":', '\n"vocabulary":')
    with open(path, "w") as file:
        file.write(text + "\n")
    print(name, len(text), "bytes")


def write_pre(name, vocab, pres):
    cases, around = results(vocab, [{"model": "gpt2", "pre": p} for p in pres])
    write(name, {"pre": pres, "special_around": around, "cases": cases, "vocabulary": vocab})


def make_pre(inc):
    names = re.findall(r'POTLUCK_PRE\("([^"]+)", *\w+,\s*([^)]*)\)', inc)
    by_bytes = [n for n, flags in names if "kCharacters" not in flags]
    by_characters = [n for n, flags in names if "kCharacters" in flags]
    texts = [*TEXTS, *TEXTS, SAMPLE]
    merges = learn_merges([spelled(t) for t in texts], 1200, seed=1)
    # Tells whether a contraction's letters may be the start of a longer word.
    first = [("'", "m"), ("'m", "a")]
    merges = [*first, *(m for m in merges if m not in first)]
    write_pre("bytes.json", vocabulary(ALPHABET.values(), merges, [spelled(w) for w in WHOLE]), by_bytes)

    escaped = [t.replace(" ", "\u2581") for t in texts]
    # No NUL: llama.cpp reads the tokens of a file up to the first one.
    letters = sorted({c for t in escaped for c in t if "\0" < c < "\u3100"})
    letters += [f"<0x{b:02X}>" for b in range(256)]
    merges = learn_merges(escaped, 700, seed=2)
    merges = [m for m in merges if all(c in letters for c in "".join(m))]
    whole = [w.replace(" ", "\u2581") for w in WHOLE if all(c in letters or c == " " for c in w)]
    write_pre("characters.json", vocabulary(letters, merges, whole), by_characters)


def make_sentencepiece():
    texts = ["\u2581" + t.replace(" ", "\u2581") for t in [*TEXTS, *TEXTS, SAMPLE]]
    letters = sorted({c for t in texts for c in t if "\0" < c < "\u0500" or c == "\u2581"})
    merges = [m for m in learn_merges(texts, 500, seed=3) if all(c in letters for c in "".join(m))]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "<|im_end|>", "<mask>", "<think>"]
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, CONTROL, CONTROL, USER_DEFINED]
    pieces = [p for p in dict.fromkeys([*(a + b for a, b in merges), *letters]) if p not in tokens]
    # Equal scores now and then: ties go to the left.
    scores = [0.0] * len(tokens) + [-float(i // 3) for i in range(len(pieces))]
    vocab = {"tokens": tokens + pieces, "types": types + [NORMAL] * len(pieces), "scores": scores}
    variants = [{}, {"add_space_prefix": False}, {"add_space_prefix": True, "add_bos_token": False},
                {"add_eos_token": True}]
    cases, around = results(vocab, [{"model": "llama", "pre": None, **v} for v in variants])
    write("sentencepiece.json",
          {"variants": variants, "special_around": around, "cases": cases, "vocabulary": vocab})


def make_ends():
    """Which ids end a generation, and which are control tokens, by their spellings."""
    ends = ["<|eot_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<end_of_turn>", "</s>", "<|eom_id|>", "<EOT>",
            "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>",
            "<\uff5cend\u2581of\u2581sentence\uff5c>", "<|fim_pad|>", "<fim_prefix>", "<|fim_suffix|>",
            "<|repo_name|>", "<|file_sep|>", "<|im_start|>", "<|user|>"]
    lists = [ends, ["<|end|>", "<|return|>", "<|call|>"], ["<|end|>", "<|calls|>", "<|flush|>"], ["<|end|>", "<|call|>"],
             ["<|end|>", "<|return|>"], ["</s>", "<turn|>", "<|tool_response>"], ["</s>", "<turn|>"], ["<|eot_id|>", "</s>"]]
    vocabularies = []
    for spellings in lists:
        tokens = [*ALPHABET.values(), "he", *spellings]
        vocab = {"tokens": tokens, "types": [NORMAL] * len(tokens), "merges": [[tokens.index("h"), tokens.index("e")]]}
        llm = open_vocabulary(vocab, "gpt2", "gpt-2")
        handle = llama_cpp.llama_model_get_vocab(llm._model.model)
        ids = range(len(tokens) - len(spellings), len(tokens))
        vocabularies.append({
            "spellings": spellings,
            "end_of_generation": [tokens[i] for i in ids if llama_cpp.llama_vocab_is_eog(handle, i)],
            "control": [tokens[i] for i in ids if llama_cpp.llama_vocab_is_control(handle, i)]})
    write("ends.json", vocabularies)


if __name__ == "__main__":
    with open(sys.argv[1]) as source:
        make_pre(source.read())
    make_sentencepiece()
    make_ends()
