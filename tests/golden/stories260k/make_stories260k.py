"""Perplexity and greedy continuations of the stories260k model by llama.cpp.

Run by hand:  python make_stories260k.py stories260k-f32.gguf tinystories_197k.txt
Perplexity goes as in llama.cpp's own perplexity tool: the whole text is one token list with BOS in
front; chunk i is tokens [i*ctx, (i+1)*ctx), its first token replaced by BOS, a cache of its own; row
p of a chunk is scored against token p+1 for p in [ctx/2, ctx-2]; tokens that fill no chunk are left.
"""

import hashlib
import json
import sys
from pathlib import Path

import llama_cpp as lc
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from llama_cpp_logits import Model  # noqa: E402

TEXT_BYTES = 20000
PROMPTS = [
    "Once upon a time",
    "Lily and Tom went to the park",
    "The little dog was sad because",
    '"Can I play?" asked Ben.',
    "One day, a big red truck",
    "",
]
LENGTH = 120


def tokenize(model, text):
    data = text.encode()
    ids = (lc.llama_token * (len(data) + 8))()
    count = lc.llama_tokenize(model.vocab, data, len(data), ids, len(ids), True, False)
    return list(ids[:count])


def perplexity(model, tokens, ctx, kv):
    bos = lc.llama_vocab_bos(model.vocab)
    first, chunks = ctx // 2, []
    for start in range(0, len(tokens) - ctx + 1, ctx):
        chunk = tokens[start : start + ctx]
        rows = model.logits([bos] + chunk[1:], ctx, kv)[first : ctx - 1].astype(np.float64)
        top = rows.max(axis=1)
        log_sum = top + np.log(np.exp(rows - top[:, None]).sum(axis=1))
        targets = chunk[first + 1 :]
        chunks.append(float((log_sum - rows[np.arange(len(targets)), targets]).sum()))
    scored = len(chunks) * (ctx - 1 - first)
    return {
        "ctx": ctx,
        "kv": kv,
        "chunks": len(chunks),
        "scored_tokens": scored,
        "negative_log_likelihood": sum(chunks),
        "first_chunk": chunks[0],
        "perplexity": float(np.exp(sum(chunks) / scored)),
        "tolerance": 0.005,
    }


def greedy(model, prompt, kv):
    ids = tokenize(model, prompt)
    context = model.context(512, kv)
    out, margin = [], float("inf")
    logits = model.decode(context, ids, 0, False)[0]
    while True:
        second, best = np.sort(logits)[-2:]
        margin = min(margin, float(best - second))
        out.append(int(logits.argmax()))
        if len(out) == LENGTH:
            break
        logits = model.decode(context, out[-1:], len(ids) + len(out) - 1, False)[0]
    lc.llama_free(context)
    return {
        "prompt": prompt,
        "prompt_ids": ids,
        "kv": kv,
        "ids": out,
        "closest_choice": float(f"{margin:.3g}"),
    }


def main():
    gguf_path, text_path = map(Path, sys.argv[1:])
    data = text_path.read_bytes()[:TEXT_BYTES]
    model = Model(gguf_path)
    assert lc.llama_vocab_get_add_bos(model.vocab)
    tokens = tokenize(model, data.decode())
    ids = np.array(tokens, "<i4").tobytes()
    runs = [perplexity(model, tokens, ctx, kv) for ctx in (256, 512) for kv in ("f16", "f32")]
    continuations = [greedy(model, p, kv) for p in PROMPTS for kv in ("f16", "f32")]
    for run in runs + continuations:
        print(run)
    lines = ",\n  ".join(json.dumps(r) for r in runs)
    stories = ",\n  ".join(json.dumps(c) for c in continuations)
    text = json.dumps(
        {
            "file": text_path.name,
            "first_byte": 0,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    )
    (HERE / "expected.json").write_text(
        f'{{\n "text": {text},\n "tokens": {len(tokens)},\n "first_tokens": {tokens[:32]},\n'
        f' "token_ids_sha256": "{hashlib.sha256(ids).hexdigest()}",\n'
        f' "perplexity": [\n  {lines}\n ],\n "greedy": [\n  {stories}\n ]\n}}\n'
    )


if __name__ == "__main__":
    main()
