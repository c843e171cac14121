#!/usr/bin/env python3
"""Makes the goldens of this folder: small tokenizer.json files, trained here, with the ids that the
`tokenizers` library gives.

Each file: {"tokenizer": the tokenizer.json, "texts", "ids": without special tokens and with control
tokens in the text left as text, "with_special": the ids of "a b" with special tokens, "parsed": the
ids of the last two texts with control tokens recognised, "decoded": the library's text of each ids}.

Needs: pip install tokenizers
"""
import json
import os
import re

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

HERE = os.path.dirname(os.path.abspath(__file__))

TEXTS = [
    "", " ", "  ", "   ", "\n", "\n\n", "\r\n", " \n ", "\t", "\t\t\n", "a", " a", "  a", "a ", "a  ",
    "Hello, World!", "hello   world", "The quick brown fox jumps over the lazy dog.",
    "I'm you're he'll we've they'd it's DON'T CAN'T I'LL 'S 'tis rock'n'roll",
    "0", "12", "123", "1234", "12345", "1234567 89", "3.14159e-10", "$1,234.56 + 7%", "x1y22z333w4444",
    "\u0661\u0662\u0663\u0664 \u00bd\u00b2\u2167 \u096a\u096b\u096c\u096d",
    "12\u0663456 789\u0660",
    "camelCase PascalCase snake_case SCREAMING_CASE kebab-case HTTPServer iOS",
    "int main(int argc, char** argv) {\n    return argc > 1 ? 0 : -1;\n}\n",
    "def f(x):\n\tif x:\n\t\treturn x  # comment\n\n\n\nprint(f(1))\r\n\r\n",
    "<html><body class=\"x\">&amp;</body></html>", "a/b//c\\d\\\\e", "!!!???...", "=== --- +++ ***",
    "~!@#$%^&*()_+{}|:\"<>?`-=[];',./", " !\n ?\r\n .\n\n", "foo.\n\nbar!\n", "end/\n/start",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002",
    "\u3053\u3093\u306b\u3061\u306f\u30ab\u30bf\u30ab\u30ca \u6f22\u5b57\u304b\u306a",
    "\ud55c\uad6d\uc5b4 \ubb38\uc7a5\uc785\ub2c8\ub2e4. \u3131\u3134 \u3105\u3106",
    "\u4e2d\u6587mixed\u6df7\u5408English123\u6570\u5b57\u3000\u5168\u89d2\u3000\u3001\uff11\uff12\uff13",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0416\u0416\u0436\u0436",
    "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u060c \u0643\u064a\u0641\u064e \u062d\u064e\u0627\u0644\u064f\u0643\u061f",
    "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01 \u0e1b\u0e35\u0e48\u0e19\u0e35\u0e49",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e\u0964 \u09ac\u09be\u0982\u09b2\u09be \u0ba4\u0bae\u0bbf\u0bb4\u0bcd",
    "\u179f\u17bd\u179f\u17d2\u178f\u17b8 \u1019\u103c\u1014\u103a\u1019\u102c \u0ea5\u0eb2\u0ea7",
    "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstr\u00f6m A\u030angstro\u0308m",
    "\u0301\u0301 \u0301a a\u0301\u0302\u0303b", "A\u00e9B \u00c9A\u00e9 AB\u00e9\u00c9cD \u01c5\u02b0\u00aa x\u0301Y\u0302z",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea\u2764\ufe0f\U0001f44d\U0001f3fd ok",
    "\u201cquotes\u201d \u2018it\u2019s\u2019 \u2014 \u2026 \u00ab\u00bb \u2022 \u00a9\u00ae\u2122 \u20ac\u00a3\u00a5",
    "a\u00a0b\u2003c\u2028d\u3000e\u1680f\u180eg\u200bh\ufeffi", "\u00a0\u00a0x \u2003\u2003", "\u0085x\u0085\u0085",
    "\x00\x01\x1c\x1f\x7f\u0080\u009f", "line\u2028sep \u2029par", "\u017f\u212a '\u017f '\u212a",
    "     leading and trailing     ", "tabs\t\tand\t \tspaces   \n   \n\n  x", "a\n b\n  c\n   d\n    e",
    " " * 3 + "x" + " " * 17 + "y" + " " * 300 + "z", "\n" * 40 + "x", " \r\n\r\n \t\r x",
    "<sentinel:12>IMGIMGABCZ IMGIMGABCDEZ <sentinel:>", "<s></s><|im_end|><|endoftext|><unk>",
    "a b c  d e\u0301 f", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "Mr. O'Neill's \"dog's\" 1990's",
    "\u1ea4 \u0130stanbul \u1e9ee\u00df \ufb01 \u2460\u2461 \U0001d400\U0001d7ce \U00020000\U0002a6e0\U0002f800",
    "\u0e51\u0e52\u0e53\u0e54 \uff71\uff72\uff9e \u2f00 \ua9e0 \u1100\u1161 \u8c48\u8c49",
]

TRAINING = TEXTS * 2 + [
    "In the beginning there was the word, and the word was with the cook. " * 3,
    "for (int i = 0; i < 100; ++i) { sum += values[i]; }\n" * 3,
    "It's what they're saying: you'll see that we've been there, don't you?\n\n" * 3,
    "\u4eca\u5929\u5929\u6c14\u5f88\u597d\uff0c\u6211\u4eec\u53bb\u516c\u56ed\u3002" * 3,
    "1234567890 2024-01-01 3.14159 " * 3,
]


def hf_byte_level(vocab_size, pattern, normalizer, ignore_merges, bos):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=2, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(TRAINING, trainer)
    tokenizer.add_special_tokens(["<|begin|>", "<|im_end|>", AddedToken("<mask>", lstrip=True)])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False),
                          AddedToken("caf\u00e9!", normalized=True),
                          AddedToken("<r>", normalized=False, rstrip=True),
                          AddedToken("word", normalized=False, single_word=True)])
    if bos:
        first = tokenizer.token_to_id("<|begin|>")
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B",
                                          special_tokens=[("<|begin|>", first)])])
    return tokenizer


def hf_sentence_piece(metaspace, split=False):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=metaspace, split=split)
        tokenizer.decoder = decoders.Sequence([
            decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
            decoders.Strip(" ", 0 if metaspace == "never" else 1, 0)])
    else:
        tokenizer.normalizer = normalizers.Sequence([
            normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        tokenizer.decoder = decoders.Sequence([
            decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
            decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=800, min_frequency=2, show_progress=False, limit_alphabet=120,
        special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)])
    # Trained on short lines: without a pre-tokeniser each line is one piece.
    tokenizer.train_from_iterator([w for t in TRAINING for w in re.findall(r" ?\S+", t)], trainer)
    raw = json.loads(tokenizer.to_str())
    raw["added_tokens"] = [t for t in raw["added_tokens"] if not t["content"].startswith("<0x")]
    for each in raw["added_tokens"]:
        each["normalized"] = False
    tokenizer = Tokenizer.from_str(json.dumps(raw))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def hf_golden(tokenizer):
    texts = TEXTS + ["<think>caf\u00e9! cafe\u0301! <r>  x a <mask>word words word<mask>", "x<|im_end|>y</s>z"]
    tokenizer.encode_special_tokens = True
    plain = [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]
    with_special = tokenizer.encode("a b").ids
    tokenizer.encode_special_tokens = False
    parsed = [tokenizer.encode(t, add_special_tokens=False).ids for t in texts[-2:]]
    decoded = [tokenizer.decode(ids, skip_special_tokens=True) for ids in plain]
    return {"decoded": decoded, "tokenizer": json.loads(tokenizer.to_str()), "texts": texts, "ids": plain,
            "with_special": with_special, "parsed": parsed}


def save(name, golden):
    with open(os.path.join(HERE, name), "w") as out:
        json.dump(golden, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def hf_splits():
    """Every way to split, one after the other, and ByteLevel's own pattern with a prefix space."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex("z+"), "Z")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("o", "merged_with_previous"),
        pre_tokenizers.Split(Regex("[aeiu]"), "merged_with_next"),
        pre_tokenizers.Split(Regex("[\\r\\n]"), "contiguous"),
        pre_tokenizers.Split(Regex("[^x]+"), "isolated", invert=True),
        pre_tokenizers.Split(Regex("\\s+$"), "isolated"),
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("isolated"),
        pre_tokenizers.Split("q", "removed"),
        pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=600, min_frequency=2, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(TRAINING, trainer)
    tokenizer.add_special_tokens(["<|im_end|>"])
    return tokenizer


if __name__ == "__main__":
    save("llama3_like.json", hf_golden(hf_byte_level(700, LLAMA3, None, True, True)))
    save("qwen2_like.json", hf_golden(hf_byte_level(
        700, LLAMA3.replace("{1,3}", ""), normalizers.NFC(), False, False)))
    save("gpt4o_like.json", hf_golden(hf_byte_level(700, GPT4O, None, False, False)))
    save("split_kinds.json", hf_golden(hf_splits()))
    save("metaspace_always.json", hf_golden(hf_sentence_piece("always")))
    save("metaspace_first.json", hf_golden(hf_sentence_piece("first")))
    save("metaspace_never_split.json", hf_golden(hf_sentence_piece("never", split=True)))
    save("prepend_replace.json", hf_golden(hf_sentence_piece(None)))
