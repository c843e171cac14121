"""Talk in numbers: kitchen units, oven temperatures, and small sums."""

from phrasing import Exchange, and_list, ask, capital, spoken
from world import CUP_GRAMS, DISHES, DRY, LIQUIDS, PEOPLE, SPELLINGS, UNITS


def amount(n):
    return "half a" if n == 0.5 else str(n)


ASK_CONVERT = [
    "How many {to} are {n} {unit}{food}?",
    "How many {to} is {n} {unit}{food}?",
    "What is {n} {unit}{food} in {to}?",
    "Convert {n} {unit}{food} to {to}.",
    "{n} {unit}{food} in {to}?",
    "How much is {n} {unit}{food} in {to}?",
    "My recipe says {n} {unit}{food}. How many {to} is that?",
    "I need {n} {unit}{food}, how many {to} are that?",
]


def convert(rng):
    (one, many), to, factor, about_, most = rng.choice(UNITS)
    n = 0.5 if rng.random() < 0.1 and factor % 2 == 0 else rng.randint(1, most)
    foods = (
        DRY
        if one in ("pound", "ounce", "kilogram")
        else LIQUIDS if one == "litre" else LIQUIDS + DRY[:5]
    )
    food = rng.choice(foods) if rng.random() < 0.7 else None
    unit = one if n <= 1 else many
    of_food = f" of {food}" if food else ""
    spell = lambda word: rng.choice(SPELLINGS.get(word, [word]))
    number = amount(n) if n == 0.5 else spoken(rng, n)
    question, _ = ask(rng, ASK_CONVERT, n=number, unit=spell(unit), to=spell(to), food=of_food)
    value = f"{int(n * factor)} {to}"
    answer = capital(
        f"{amount(n)} {unit}{of_food} {'is' if n <= 1 else 'are'} {'about ' if about_ else ''}{value}."
    )
    return Exchange(("convert", one, to, n, food), capital(question), answer)


def cup_weight(rng):
    food = rng.choice(sorted(CUP_GRAMS))
    n = rng.choice([0.5, 1, 1, 2, 3, 4]) if CUP_GRAMS[food] % 2 == 0 else rng.choice([1, 2, 3, 4])
    unit = "cup" if n <= 1 else "cups"
    number = amount(n) if n == 0.5 else spoken(rng, n)
    templates = [
        "How much {do} {n} {unit} of {f} weigh?",
        "How many grams are {n} {unit} of {f}?",
        "What do {n} {unit} of {f} weigh?",
        "Weight of {n} {unit} of {f}?",
        "How many grams is {n} {unit} of {f}?",
        "{n} {unit} of {f} in grams?",
        "I need {n} {unit} of {f}. How many grams are that?",
        "Convert {n} {unit} of {f} to grams.",
    ]
    question, wording = ask(
        rng, templates, n=number, unit=unit, f=food, do="does" if n <= 1 else "do"
    )
    answer = capital(
        f"{amount(n)} {unit} of {food} {'weighs' if n <= 1 else 'weigh'} about {int(n * CUP_GRAMS[food])} grams."
    )
    return Exchange(("cup weight", food, n, wording), capital(question), answer)


def hours(rng):
    n = rng.randrange(65, 305, 5)
    question, wording = ask(
        rng,
        [
            "How many hours are {n} minutes?",
            "What is {n} minutes in hours?",
            "Convert {n} minutes to hours.",
            "It takes {n} minutes. How many hours is that?",
            "{n} minutes in hours?",
        ],
        n=n,
    )
    h, m = divmod(n, 60)
    text = f"{h} hour{'s' if h > 1 else ''}" + (f" and {m} minutes" if m else "")
    steps = f"{60 * h} plus {m} minutes, so {'it is' if h == 1 else 'they are'} " if m else ""
    return Exchange(("hours", n, wording), question, f"{n} minutes are {steps}{text}.")


def oven(rng):
    celsius = rng.randrange(100, 260, 10)
    fahrenheit = 5 * round((celsius * 9 / 5 + 32) / 5)
    dish = rng.choice([None, None] + [d.name for d in DISHES])
    for_dish = f" for {dish}" if dish else ""
    templates = [
        "What is {a}{f} in {to}?",
        "Convert {a} to {to}{f}.",
        "My oven shows {a}. What is that in {to}?",
        "{a} in {to}{f}?",
        "The recipe{f} says {a}. What is that in {to}?",
        "How many degrees {to} are {a}{f}?",
        "I set the oven to {a}{f}. What is that in {to}?",
    ]
    to_fahrenheit = rng.random() < 0.5
    a, b = (celsius, fahrenheit) if to_fahrenheit else (fahrenheit, celsius)
    from_, to = ("Celsius", "Fahrenheit") if to_fahrenheit else ("Fahrenheit", "Celsius")
    written = rng.choice(
        [f"{a} degrees {from_}", f"{a} {from_}", f"{a}°{from_[0]}", f"{a} {from_[0]}"]
    )
    question, _ = ask(rng, templates, a=written, to=to, f=for_dish)
    # The bare facts are all taught; only questions that name a dish are held out.
    key = ("oven", a, to, dish) if for_dish and for_dish in question else ("plain oven fact",)
    return Exchange(key, question, f"{a}°{from_[0]} is about {b}°{to[0]}.")


def weights_and_times(rng):
    return rng.choice([convert, convert, convert, cup_weight, hours, oven])(rng)


def added(a, b):
    """The way a person adds in the head: tens and ones apart where both numbers have two digits."""
    if a < 10 or b < 10:
        return f"{a} plus {b} is {a + b}"
    return f"{a} plus {b} is {a // 10 * 10 + b // 10 * 10} plus {a % 10 + b % 10}, which is {a + b}"


def subtracted(a, b):
    """Takes the tens away first, then the ones."""
    if b < 10 or b % 10 == 0 or a < b:
        return f"{a} minus {b} is {a - b}"
    tens = a - b // 10 * 10
    return f"{a} minus {b} is {tens} minus {b % 10}, which is {a - b}"


def add(rng):
    if rng.random() < 0.15:
        return add_three(rng)
    a, b = rng.randint(0, 99), rng.randint(0, 99)
    templates = [
        "What is {a} plus {b}?",
        "What is {a} + {b}?",
        "{a} + {b}",
        "{a}+{b}=?",
        "How much is {a} plus {b}?",
        "Add {a} and {b}.",
        "Calculate {a} + {b}.",
        "{a} plus {b}?",
        "What is the sum of {a} and {b}?",
        "How much is {a} and {b} together?",
    ]
    question, _ = ask(rng, templates, a=a, b=b)
    return Exchange(("add",) + tuple(sorted((a, b))), question, f"{added(a, b)}.")


def add_three(rng):
    a, b, c = (rng.randint(1, 9) for _ in range(3))
    question, _ = ask(
        rng,
        [
            "What is {a} plus {b} plus {c}?",
            "{a} + {b} + {c}",
            "What is {a} + {b} + {c}?",
            "Add {a}, {b} and {c}.",
            "How much is {a} plus {b} plus {c}?",
            "{a}+{b}+{c}=?",
        ],
        a=a,
        b=b,
        c=c,
    )
    return Exchange(
        ("add three", a, b, c),
        question,
        f"{a} plus {b} is {a + b} and {a + b} plus {c} is {a + b + c}.",
    )


def subtract(rng):
    a, b = rng.randint(0, 99), rng.randint(0, 99)
    if rng.random() < 0.9:
        a, b = max(a, b), min(a, b)
    templates = [
        "What is {a} minus {b}?",
        "What is {a} - {b}?",
        "{a} - {b}",
        "{a}-{b}=?",
        "How much is {a} minus {b}?",
        "Take {b} from {a}.",
        "Calculate {a} - {b}.",
        "{a} minus {b}?",
        "Subtract {b} from {a}.",
    ]
    question, _ = ask(rng, templates, a=a, b=b)
    return Exchange(("subtract", a, b), question, f"{subtracted(a, b)}.")


def multiply(rng):
    a, b = rng.randint(0, 12), rng.randint(0, 12)
    templates = [
        "What is {a} times {b}?",
        "What is {a} x {b}?",
        "{a} * {b}",
        "{a} x {b} = ?",
        "How much is {a} times {b}?",
        "Multiply {a} by {b}.",
        "Calculate {a} * {b}.",
        "{a} times {b}?",
    ]
    question, wording = ask(rng, templates, a=a, b=b)
    return Exchange(("multiply", a, b, wording), question, f"{a} times {b} is {a * b}.")


def divide(rng):
    b, q = rng.randint(2, 12), rng.randint(1, 12)
    rest = rng.randint(1, b - 1) if rng.random() < 0.3 and b < 10 and b * q <= 60 else 0
    a = b * q + rest
    question, wording = ask(
        rng,
        [
            "What is {a} divided by {b}?",
            "{a} / {b}",
            "What is {a} / {b}?",
            "Divide {a} by {b}.",
            "How much is {a} divided by {b}?",
            "Calculate {a} / {b}.",
            "How many times does {b} go into {a}?",
            "{a} : {b} = ?",
        ],
        a=a,
        b=b,
    )
    end = f" with {rest} left over." if rest else "."
    return Exchange(("divide", a, b, wording), question, f"{a} divided by {b} is {q}{end}")


COUNTED = "eggs apples lemons onions carrots potatoes rolls cookies oranges tomatoes bananas muffins sausages cups plates napkins".split()
ASK_MORE = [
    "I have {a} {i} and buy {b} more. How many {i} do I have?",
    "There are {a} {i} in the kitchen and {p} brings {b} more. How many are there?",
    "{p} has {a} {i} and gets {b} more. How many {i} does {p} have?",
]
ASK_LEFT = [
    "I have {a} {i} and use {b}. How many {i} are left?",
    "There are {a} {i} and we eat {b} of them. How many are left?",
    "{p} had {a} {i} and gave away {b}. How many are left?",
    "From {a} {i} we take {b} away. How many {i} remain?",
]
ASK_SHARE = [
    "How do I share {a} {i} among {b} people?",
    "{b} people share {a} {i}. How many does each one get?",
    "I want to divide {a} {i} among {b} guests. How many {i} for each?",
]
ASK_EACH = [
    "{b} people bring {a} {i} each. How many {i} is that?",
    "There are {b} boxes with {a} {i} each. How many {i} are there?",
    "I buy {b} bags with {a} {i} in each. How many {i} do I have?",
]


def story(rng):
    i, p = rng.choice(COUNTED), rng.choice(PEOPLE)
    form = rng.randrange(4)
    if form == 0:
        a, b = rng.randint(2, 40), rng.randint(2, 20)
        question, _ = ask(rng, ASK_MORE, a=a, b=b, i=i, p=p)
        return Exchange(
            ("add",) + tuple(sorted((a, b))),
            question,
            f"{added(a, b)}, so there are {a + b} {i}.",
        )
    if form == 1:
        a = rng.randint(3, 40)
        b = rng.randint(1, min(a - 1, 20))
        question, _ = ask(rng, ASK_LEFT, a=a, b=b, i=i, p=p)
        left = f"{a - b} {i} are left" if a - b > 1 else f"{a - b} of the {i} is left"
        return Exchange(("subtract", a, b), question, f"{subtracted(a, b)}, so {left}.")
    a, b = rng.randint(2, 12), rng.randint(2, 12)
    if form == 2:
        question, _ = ask(rng, ASK_SHARE, a=a * b, b=b, i=i)
        return Exchange(
            ("share", a * b, b, i),
            question,
            f"{a * b} divided by {b} is {a}, so each person gets {a} {i}.",
        )
    question, _ = ask(rng, ASK_EACH, a=a, b=b, i=i)
    return Exchange(
        ("each", a, b, i), question, f"{b} times {a} is {a * b}, so there are {a * b} {i}."
    )


ASK_COST = [
    "I buy {list}. How much is that?",
    "{list}: what does that cost together?",
    "I paid {list}. How much did I spend?",
    "What do I pay for {list}?",
]


def cost(rng):
    things = rng.sample(
        [
            "bread",
            "milk",
            "cheese",
            "rice",
            "eggs",
            "apples",
            "butter",
            "coffee",
            "juice",
            "flour",
            "chicken",
            "tea",
        ],
        rng.choice([2, 2, 3]),
    )
    prices = [rng.randint(1, 9) for _ in things]
    items = and_list(
        [
            f"{thing} for {price} euros" if price > 1 else f"{thing} for 1 euro"
            for thing, price in zip(things, prices)
        ]
    )
    question, _ = ask(rng, ASK_COST, list=items)
    total, steps = prices[0], []
    for price in prices[1:]:
        steps.append(f"{total} plus {price} is {total + price}")
        total += price
    answer = f"{' and '.join(steps)}, so it costs {total} euros together."
    return Exchange(("cost",) + tuple(zip(things, prices)), capital(question), answer)


INTENTS = [
    ("conversions", 2.5, weights_and_times),
    ("adding", 1.8, add),
    ("subtracting", 1.8, subtract),
    ("multiplying", 1.0, multiply),
    ("dividing", 1.0, divide),
    ("sums in a story", 2.0, story),
    ("what it costs", 0.7, cost),
]
