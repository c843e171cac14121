"""Trains the demo models from scratch on generate_text.py's conversations and writes them as Q8_0 GGUF.

    python3 train.py tokenizer --work WORK
    python3 train.py train --shape 4m --work WORK --minutes 60
    python3 train.py export --shape 4m --work WORK --out potluck-demo-4m-q8_0.gguf

Needs torch, tokenizers, gguf. Running Potluck needs none of this: it was run once.
"""

import argparse
import os
import random
import time

import torch
import torch.nn.functional as F
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import generate_text
from llama import SHAPES, Llama

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# The split that GGUF calls "qwen2": digits stand alone, which is what sums need.
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
USER_WEIGHT = 0.1  # of the loss on what the user says; answers count 1
SHORT, LONG = 256, 1024  # row lengths; one step in eight trains on long conversations
TOKENS_PER_STEP = 2048


def chat_text(messages):
    return "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)


def as_byte_level(model):
    """A tokenizer around a BPE model: splitting, bytes and control tokens."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(c, special=True, normalized=False) for c in CONTROL])
    return tokenizer


def train_tokenizer(path, vocab_size):
    tokenizer = as_byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=CONTROL,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    rng = random.Random(11)
    texts = (m["content"] for _ in range(40000) for m in generate_text.conversation(rng))
    tokenizer.train_from_iterator(
        ["system\n", "user\n", "assistant\n"] * 1000 + list(texts), trainer
    )
    if tokenizer.get_vocab_size() != vocab_size:
        raise SystemExit(f"the text gives only {tokenizer.get_vocab_size()} tokens")
    tokenizer.save(path)


class Rows:
    """Packs conversations into rows of equal length: (ids, loss weight per target, which conversation)."""

    def __init__(self, tokenizer, seed):
        self.tokenizer, self.rng = tokenizer, random.Random(seed)
        self.end = tokenizer.token_to_id("<|im_end|>")
        self.begin = tokenizer.encode("<|im_start|>assistant\n").ids
        self.waiting = {}

    def conversation(self, length):
        messages = generate_text.conversation(self.rng)
        if length == LONG:
            while len(self.encode(messages)[0]) < LONG - 200:
                messages += [
                    m for m in generate_text.conversation(self.rng) if m["role"] != "system"
                ]
        return self.encode(messages)

    def encode(self, messages):
        ids = self.tokenizer.encode(chat_text(messages)).ids
        weights, answering = [], False
        for i, token in enumerate(ids):
            weights.append(1.0 if answering else USER_WEIGHT)
            if answering and token == self.end:
                answering = False
            elif ids[max(0, i + 1 - len(self.begin)) : i + 1] == self.begin:
                answering = True
        return ids, weights

    def row(self, length):
        """Fills a row with the longest waiting conversations that still fit."""
        waiting = self.waiting.setdefault(length, [])
        ids, weights, owners = [], [], []
        for number in range(length):
            while len(waiting) < (8 if length == LONG else 48):
                item = self.conversation(length)
                if len(item[0]) <= length + 1:
                    waiting.append(item)
            # The first is any, so that the short ones are not kept for the ends of rows.
            fits = [i for i, item in enumerate(waiting) if len(ids) + len(item[0]) <= length + 1]
            if not fits:
                break
            chosen = (
                self.rng.choice(fits) if number < 2 else max(fits, key=lambda i: len(waiting[i][0]))
            )
            item = waiting.pop(chosen)
            ids += item[0]
            weights += [0.0] + item[1][1:]
            owners += [number] * len(item[0])
        padding = length + 1 - len(ids)
        return ids + [0] * padding, weights + [0.0] * padding, owners + [-1] * padding

    def batch(self, length):
        rows = [self.row(length) for _ in range(TOKENS_PER_STEP // length)]
        ids = torch.tensor([r[0] for r in rows])
        weights = torch.tensor([r[1] for r in rows])[:, 1:]
        owners = torch.tensor([r[2] for r in rows])[:, :-1]
        mask = (owners[:, :, None] == owners[:, None, :]) & torch.ones(
            length, length, dtype=torch.bool
        ).tril()
        return ids[:, :-1], ids[:, 1:], weights, mask[:, None]


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal by Newton-Schulz iterations (Jordan et al. 2024)."""

    def __init__(self, weights):
        super().__init__(weights, dict(lr=0.02, momentum=0.95))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                state.lerp_(weight.grad, 1 - group["momentum"])
                update = orthogonal(weight.grad.lerp(state, group["momentum"])).float()
                rows, columns = weight.shape
                weight.mul_(1 - group["lr"] * 0.02)
                weight.add_(update, alpha=-group["lr"] * max(1, rows / columns) ** 0.5)


def orthogonal(x):
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[0] > x.shape[1]
    x = (x.T if tall else x).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


@torch.no_grad()
def grow(small, large):
    """Starts a large model as the same function as a trained small one.

    The layers that the small one lacks begin with outputs of zero, and so do the added FFN
    rows; its KV heads are repeated for their query heads.
    """
    large.token_embd.weight.copy_(small.token_embd.weight)
    large.output_norm.copy_(small.output_norm)
    for i, block in enumerate(large.blk):
        block.attn_output.weight.zero_()
        block.ffn_down.weight.zero_()
        # Old layers are spread: the first stays first, the last comes last.
        at = {0: 0, len(large.blk) - 1: len(small.blk) - 1}.get(i)
        if at is None:
            continue
        old = small.blk[at]
        block.attn_norm.copy_(old.attn_norm)
        block.ffn_norm.copy_(old.ffn_norm)
        block.attn_q.weight.copy_(old.attn_q.weight)
        block.attn_output.weight.copy_(old.attn_output.weight)
        times = large.s.num_kv_heads // small.s.num_kv_heads
        for new, source in ((block.attn_k, old.attn_k), (block.attn_v, old.attn_v)):
            heads = source.weight.view(small.s.num_kv_heads, small.s.head_dim, -1)
            new.weight.copy_(heads.repeat_interleave(times, 0).flatten(0, 1))
        block.ffn_gate.weight[: small.s.ffn_dim] = old.ffn_gate.weight
        block.ffn_up.weight[: small.s.ffn_dim] = old.ffn_up.weight
        block.ffn_down.weight[:, : small.s.ffn_dim] = old.ffn_down.weight


def learning_rate(progress):
    """Warm-up over the first hundredth, then flat, then down to nothing over the last 60%."""
    return min(1.0, progress / 0.01, (1 - progress) / 0.6)


def train(options, tokenizer):
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    model = Llama(SHAPES[options.shape])
    print(options.shape, sum(p.numel() for p in model.parameters()), "parameters", flush=True)
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embd" not in name]
    others = [p for name, p in model.named_parameters() if p.dim() == 1 or "embd" in name]
    optimizers = [
        (Muon(matrices), options.lr),
        (torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0), 0.15 * options.lr),
    ]
    path = os.path.join(options.work, f"{options.shape}.pt")
    if options.resume:
        model.load_state_dict(torch.load(path))
    if options.grow_from:
        small = Llama(SHAPES[options.grow_from])
        small.load_state_dict(torch.load(os.path.join(options.work, f"{options.grow_from}.pt")))
        grow(small, model)
    run = torch.compile(model)
    rows = Rows(tokenizer, options.seed * 1000 + 7)
    step, seen, running = 0, 0, []

    def minutes_spent():
        # Of processor time per thread, so that a busy machine takes longer but trains no less.
        return time.process_time() / 60 / options.threads

    begun = minutes_spent()
    while True:
        progress = (minutes_spent() - begun) / options.minutes
        if progress >= 1:
            break
        ids, targets, weights, mask = rows.batch(LONG if step % 8 == 7 else SHORT)
        with torch.autocast("cpu", torch.bfloat16):
            logits = run(ids, mask)
        losses = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
        flat = weights.flatten()
        loss = (losses * flat).sum() / flat.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer, rate in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * max(0.0, learning_rate(progress))
            optimizer.step()
            optimizer.zero_grad()
        answers = flat == 1
        running.append((losses.detach() * answers).sum().item() / answers.sum().item())
        step, seen = step + 1, seen + TOKENS_PER_STEP
        if step % 50 == 0:
            print(
                f"step {step} {progress:6.1%} answer loss {sum(running) / len(running):.4f} {seen} tokens",
                flush=True,
            )
            running = []
        if step % 200 == 0:
            torch.save(model.state_dict(), path)
    torch.save(model.state_dict(), path)
    print(f"{step} steps, {seen} tokens, {minutes_spent() - begun:.0f} minutes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["tokenizer", "train", "export"])
    parser.add_argument(
        "--work", required=True, help="folder for the tokenizer and the checkpoints"
    )
    parser.add_argument("--shape", choices=sorted(SHAPES), default="4m")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="start from the checkpoint")
    parser.add_argument("--grow-from", choices=sorted(SHAPES), help="start as this trained shape")
    parser.add_argument("--out")
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    path = os.path.join(options.work, "tokenizer.json")
    if options.action == "tokenizer":
        train_tokenizer(path, SHAPES["4m"].vocab_size)
        return
    tokenizer = Tokenizer.from_file(path)
    if options.action == "train":
        train(options, tokenizer)
    else:
        from export_gguf import export

        model = Llama(SHAPES[options.shape])
        model.load_state_dict(torch.load(os.path.join(options.work, f"{options.shape}.pt")))
        export(model, tokenizer, CONTROL, options.shape, options.out)


if __name__ == "__main__":
    main()
