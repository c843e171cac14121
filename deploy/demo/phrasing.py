"""How the demo model's people talk: lists, numbers, capitals, and the untidiness of typed questions."""

import random
from dataclasses import dataclass
from typing import Callable, Optional

from world import NUMBER_WORDS, is_plural


@dataclass
class Exchange:
    """One question and its answer. `rule`, where given, says which other answers are right too.

    `key` is the content that the held-out split hashes. `exact` keeps a question's letters as
    they are (an unknown word, for instance, that the answer must repeat).
    """

    key: tuple
    question: str
    answer: str
    rule: Optional[Callable[[str], bool]] = None
    exact: bool = False

    def right(self, text):
        return text == self.answer or (self.rule is not None and self.rule(text))


def ask(rng, templates, **words):
    """A wording of a question. Returns (text, number of the wording)."""
    i = rng.randrange(len(templates))
    return templates[i].format(**words), i


def and_list(things):
    if len(things) == 1:
        return things[0]
    return ", ".join(things[:-1]) + " and " + things[-1]


def capital(text):
    return text[0].upper() + text[1:]


def are(noun):
    return "are" if is_plural(noun) else "is"


def made_up_word(rng):
    """A word that no table has, so that copying is learned and not only known names."""
    syllables = "".join(
        rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(rng.randint(1, 3))
    )
    return syllables + rng.choice(["", "n", "l", "r", "s", "nt", "ck", "m"])


def spoken(rng, number):
    """A number as people type it: mostly digits, small ones sometimes as words."""
    if number < len(NUMBER_WORDS) and rng.random() < 0.2:
        return NUMBER_WORDS[number]
    return str(number)


POLITE = [
    "Please tell me: ",
    "Hi, ",
    "Hello, ",
    "Hey, ",
    "Can you help me? ",
    "Tell me, ",
    "One question: ",
    "Quick question: ",
    "Please, ",
    "So, ",
]
SHORT_FORMS = [
    ("What is", "What's"),
    ("How do I", "How do you"),
    ("I would", "I'd"),
    ("do not", "don't"),
    ("I have", "I've got"),
]


def disturb(rng, text, exact=False):
    """Makes a question look typed: short forms, lower case, missing marks, a polite start."""
    if rng.random() < 0.15:
        for long, short in SHORT_FORMS:
            if long in text and "do " + long not in text and rng.random() < 0.5:
                text = text.replace(long, short, 1)
                break
    if rng.random() < 0.1:
        start = rng.choice(POLITE)
        keep = (
            exact
            or text.split()[0] in ("I", "I'd", "I'm")
            or text.split()[0].rstrip(",'s").istitle() is False
        )
        text = start + (text if keep or rng.random() < 0.3 else text[0].lower() + text[1:])
    if rng.random() < 0.03:
        text += " " + rng.choice(["Thanks!", "Thank you.", "Please."])
    elif rng.random() < 0.2:
        text = text.rstrip("?.!")
    if not exact and rng.random() < 0.2:
        text = text.lower()
    if not exact and rng.random() < 0.03:
        text = drop_letter(rng, text)
    return text


def drop_letter(rng, text):
    """A typing error: one letter of a longer word is missing. Numbers stay."""
    words = text.split(" ")
    long = [i for i, w in enumerate(words) if len(w) > 5 and w.isalpha() and w.islower()]
    if not long:
        return text
    i = rng.choice(long)
    at = random.Random(rng.random()).randrange(1, len(words[i]) - 1)
    words[i] = words[i][:at] + words[i][at + 1 :]
    return " ".join(words)
