"""Asks a demo model the held-out questions and counts the answers that are exactly right.

    python3 evaluate.py potluck-demo-4m-q8_0.gguf potluck-demo-1m-q8_0.gguf

The weights come from the GGUF files themselves (Q8_0, as stored); decoding is greedy. An answer
is right when it is, letter for letter, the generator's own answer, or where a question has several right ones
(suggestions), when the generator's rule says so. Prints a table for the model card, and how often
the models choose the same next token.
"""

import argparse
import os
import random
import re

import gguf
import torch
from tokenizers import models as tokenizer_models

import generate_text
from llama import SHAPES, Llama
from train import as_byte_level, chat_text

BATCH = 64
LONGEST_ANSWER = 100


def load(path):
    """A file's model and tokenizer."""
    reader = gguf.GGUFReader(path)
    tensors = {
        t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy())
        for t in reader.tensors
    }
    layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blk."))
    shape = next(s for s in SHAPES.values() if s.num_layers == layers)
    model = Llama(shape)
    state = {
        key: tensors[key + ".weight" if key.endswith("norm") else key] for key in model.state_dict()
    }
    model.load_state_dict(state)
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(m.split(" ")) for m in reader.fields["tokenizer.ggml.merges"].contents()]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return model.eval(), as_byte_level(tokenizer_models.BPE(vocabulary, merges))


@torch.no_grad()
def answers(model, tokenizer, prompts):
    """Greedy answers to prompts of like length; shorter ones are padded on the left and masked."""
    end = tokenizer.token_to_id("<|im_end|>")
    longest = max(len(p) for p in prompts)
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    real = torch.tensor([[False] * (longest - len(p)) + [True] * len(p) for p in prompts])
    mask = real[:, None, None, :] & torch.ones(longest, longest, dtype=torch.bool).tril()
    mask = mask | torch.eye(longest, dtype=torch.bool)
    caches = [[] for _ in model.blk]
    logits = model(ids, mask, 0, caches)[:, -1]
    texts, done = [[] for _ in prompts], [False] * len(prompts)
    for position in range(longest, longest + LONGEST_ANSWER):
        chosen = logits.argmax(-1)
        for i, token in enumerate(chosen.tolist()):
            done[i] = done[i] or token == end
            if not done[i]:
                texts[i].append(token)
        if all(done):
            break
        real = torch.cat((real, torch.ones(len(prompts), 1, dtype=torch.bool)), 1)
        logits = model(chosen[:, None], real[:, None, None, :], position, caches)[:, -1]
    return [tokenizer.decode(t) for t in texts]


def plain(text):
    return re.sub(r"[^a-z0-9+*=-]+", " ", text.lower()).strip()


def leaks(questions, conversations):
    """How many held-out questions occur among the first questions of fresh training conversations."""
    rng = random.Random(99)
    asked = set()
    for _ in range(conversations):
        first = next(m for m in generate_text.conversation(rng) if m["role"] == "user")
        asked.add(plain(first["content"]))
    return [q for q in questions if plain(q) in asked]


@torch.no_grad()
def agreement(models, tokenizer, questions):
    """The share of an answer's tokens that both models would choose, given the same text before."""
    same = total = 0
    for _, messages, last in questions[::5]:
        prompt = tokenizer.encode(chat_text(messages) + "<|im_start|>assistant\n").ids
        ids = torch.tensor([prompt + tokenizer.encode(last.answer + "<|im_end|>").ids])
        mask = torch.ones(1, 1, ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
        first, second = (m(ids, mask)[0, len(prompt) - 1 : -1].argmax(-1) for m in models)
        same, total = same + (first == second).sum().item(), total + len(first)
    return same / total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--per-category", type=int, default=100)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--show", type=int, default=2, help="wrong answers to show per category")
    options = parser.parse_args()
    questions = list(generate_text.held_out_set(options.seed, options.per_category))
    single = [m[0]["content"] for _, m, _ in questions if len(m) == 1]
    print(
        f"{len(questions)} held-out questions; of the {len(single)} without history,",
        f"{len(leaks(single, 100000))} occur in 100000 training conversations",
    )
    models, tokenizers = zip(*(load(path) for path in options.models))
    tokenizer = tokenizers[0]
    right, wrong = {}, []
    for which, model in enumerate(models):
        prompts = [
            tokenizer.encode(chat_text(m) + "<|im_start|>assistant\n").ids for _, m, _ in questions
        ]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        for at in range(0, len(order), BATCH):
            part = order[at : at + BATCH]
            for i, text in zip(part, answers(model, tokenizer, [prompts[i] for i in part])):
                category, messages, last = questions[i]
                right.setdefault(category, [[] for _ in models])[which].append(last.right(text))
                if not last.right(text):
                    wrong.append((which, category, messages[-1]["content"], text, last.answer))
    print("| category | questions |" + "".join(f" {os.path.basename(p)} |" for p in options.models))
    print("|---|---|" + "---|" * len(models))
    for category, _, _ in generate_text.INTENTS:
        if category in right:
            shares = "".join(f" {sum(r) / len(r):.0%} |" for r in right[category])
            print(f"| {category} | {len(right[category][0])} |{shares}")
    totals = [[x for lists in right.values() for x in lists[w]] for w in range(len(models))]
    print(f"| all | {len(totals[0])} |" + "".join(f" {sum(t) / len(t):.1%} |" for t in totals))
    if len(models) == 2:
        print(
            f"same next token on {agreement(models, tokenizer, questions):.1%} of the answers' tokens"
        )
    shown = {}
    for which, category, question, text, wanted in wrong:
        shown[which, category] = shown.get((which, category), 0) + 1
        if shown[which, category] <= options.show:
            print(
                f"\n{os.path.basename(options.models[which])}, {category}\n  asked   {question}\n  said    {text}\n  right   {wanted}"
            )


if __name__ == "__main__":
    main()
