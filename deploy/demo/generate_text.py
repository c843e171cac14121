"""Writes the demo model's training text: conversations about a kitchen, from world.py's facts.

Everything is drawn from a seeded generator, so a seed always gives the same text.

    python3 generate_text.py --conversations 1000 --seed 1 > text.jsonl
    python3 generate_text.py --held-out --per-category 100 > held_out.jsonl

Every exchange has a key: what it is about, in canonical form (the numbers of a sum, the pair of
dishes, the fact and the wording it is asked in). One key in twelve, chosen by its hash, is held
out: it never occurs in training text, in any wording, case or position of a conversation, and
the evaluation asks nothing else.
"""

import argparse
import json
import random
import sys
import zlib

import kitchen_talk
import number_talk
import pot_luck_talk
import small_talk
from phrasing import Exchange, disturb

HELD_OUT_ONE_IN = 12

# Intents by category with their share of the training text; the talk modules hold them.
INTENTS = kitchen_talk.INTENTS + number_talk.INTENTS + pot_luck_talk.INTENTS + small_talk.INTENTS

SYSTEM_TEXTS = [
    "You are a helpful assistant.",
    "You are a friendly kitchen helper.",
    "Answer briefly.",
    "You are Potluck's demo model.",
    "Help people who plan a pot-luck.",
    "You are a cook.",
    "Be polite and short.",
    "You answer questions about cooking.",
    "Answer in one sentence.",
    "You are a careful assistant who knows recipes.",
    "You help with shopping and cooking.",
    "Talk to the user in a kind way.",
]


def held_out(key):
    return zlib.crc32(repr(key).encode()) % HELD_OUT_ONE_IN == 0


def allowed(exchanges, wanted_held_out):
    """Training takes exchanges with no held-out key; the held-out set those whose last key is."""
    if wanted_held_out:
        return held_out(exchanges[-1].key) and not any(held_out(e.key) for e in exchanges[:-1])
    return not any(held_out(e.key) for e in exchanges)


def draw(rng, intent, wanted_held_out):
    """One run of exchanges of an intent on the wanted side of the split."""
    while True:
        exchanges = intent(rng)
        if isinstance(exchanges, Exchange):
            exchanges = [exchanges]
        if allowed(exchanges, wanted_held_out):
            return exchanges


def conversation(rng):
    """A training conversation: messages as a chat template takes them."""
    weights = [share for _, share, _ in INTENTS]
    exchanges = []
    for _ in range(rng.choice([1, 1, 1, 1, 2, 2, 3, 4])):
        intent = rng.choices(INTENTS, weights)[0][2]
        exchanges += draw(rng, intent, False)
    messages = []
    if rng.random() < 0.15:
        messages.append({"role": "system", "content": rng.choice(SYSTEM_TEXTS)})
    for e in exchanges:
        messages.append({"role": "user", "content": disturb(rng, e.question, e.exact)})
        messages.append({"role": "assistant", "content": e.answer})
    return messages


def held_out_set(seed, per_category):
    """Yields (category, messages up to the last question, exchange with its answer and rule)."""
    for category, _, intent in INTENTS:
        rng = random.Random(f"{seed} {category}")
        seen = set()
        for _ in range(per_category * 20):
            exchanges = draw(rng, intent, True)
            last = exchanges[-1]
            if last.key in seen:
                continue
            seen.add(last.key)
            messages = []
            for e in exchanges[:-1]:
                messages.append({"role": "user", "content": disturb(rng, e.question, e.exact)})
                messages.append({"role": "assistant", "content": e.answer})
            messages.append({"role": "user", "content": disturb(rng, last.question, last.exact)})
            yield category, messages, last
            if len(seen) == per_category:
                break


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--held-out", action="store_true", help="write the held-out questions instead"
    )
    parser.add_argument("--per-category", type=int, default=100)
    options = parser.parse_args()
    if options.held_out:
        for category, messages, last in held_out_set(options.seed, options.per_category):
            line = {"category": category, "messages": messages, "answer": last.answer}
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        return
    rng = random.Random(options.seed)
    for _ in range(options.conversations):
        sys.stdout.write(json.dumps({"messages": conversation(rng)}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
