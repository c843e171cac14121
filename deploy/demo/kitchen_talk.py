"""Talk about cooking: recipes, ingredients, times, storage, suggestions."""

import re

from phrasing import Exchange, and_list, are, ask, capital
from world import (
    ANIMAL,
    BOIL,
    DISH,
    DISHES,
    INSTEAD,
    KINDS,
    MEAT,
    PLACE,
    WITH_ARTICLE,
    is_plural,
)

INGREDIENTS = sorted({i for d in DISHES for i in d.ingredients})

ASK_INGREDIENTS = [
    "What do I need for {d}?",
    "Which ingredients do I need for {d}?",
    "What goes into {d}?",
    "What is in {d}?",
    "What are the ingredients of {d}?",
    "I want to make {d}. What do I need?",
    "What do I need to make {d}?",
    "Tell me the ingredients for {d}.",
    "What should I buy for {d}?",
    "Ingredients for {d}?",
    "What is needed for {d}?",
    "I am going to cook {d}. What should I buy?",
    "Give me a shopping list for {d}.",
    "What is {d} made of?",
    "List the ingredients for {d}.",
    "What must I have at home to make {d}?",
]


def made_with(d):
    return f"{capital(d.name)} {d.is_} made with {and_list(d.ingredients)}"


def ingredients_answer(d):
    return f"For {d.name} you need {and_list(d.ingredients)}."


def ingredients(rng):
    d = rng.choice(DISHES)
    question, wording = ask(rng, ASK_INGREDIENTS, d=d.name)
    return Exchange(("ingredients", d.name, wording), question, ingredients_answer(d))


ASK_METHOD = [
    "How do I make {d}?",
    "How can I make {d}?",
    "How do I cook {d}?",
    "Tell me how to make {d}.",
    "Explain how to make {d}.",
    "What is the recipe for {d}?",
    "Give me a recipe for {d}.",
    "I want to make {d}. How does it work?",
    "Recipe for {d}?",
    "Can you tell me how {d} {is_} made?",
    "How {is_} {d} made?",
    "Show me how to cook {d}.",
    "Teach me to make {d}.",
    "How would you make {d}?",
]


def method_answer(d):
    return f"To make {d.name}, {d.method[0].lower()}{d.method[1:]}"


def method(rng):
    d = rng.choice(DISHES)
    question, wording = ask(rng, ASK_METHOD, d=d.name, is_=d.is_)
    return Exchange(("method", d.name, wording), question, method_answer(d))


ASK_MINUTES = [
    "How long {does} {d} take?",
    "How many minutes {does} {d} take?",
    "How much time do I need for {d}?",
    "Time for {d}?",
    "How long does it take to make {d}?",
    "How many minutes do I need for {d}?",
    "How much time {does} {d} take?",
    "I want to make {d}. How long will it take?",
    "When I make {d}, how long do I need?",
    "Do {d} take long?",
]


def minutes_answer(d):
    return f"{capital(d.name)} {d.takes} {d.minutes} minutes."


def minutes(rng):
    d = rng.choice(DISHES)
    question, wording = ask(rng, ASK_MINUTES, d=d.name, does="do" if d.plural else "does")
    if not d.plural:
        question = question.replace("Do " + d.name, "Does " + d.name)
    return Exchange(("minutes", d.name, wording), question, minutes_answer(d))


ASK_READY = [
    "I start {d} at {t}. When {is_} {it} ready?",
    "If I start {d} at {t}, when {is_} {it} ready?",
    "It is {t} now and I begin to make {d}. When can we eat?",
    "When will {d} be ready if I start at {t}?",
    "I begin with {d} at {t}. At what time {is_} {it} done?",
    "{d_} from {t}: when {is_} {it} done?",
]


ASK_START = [
    "When should I start {d} to eat at {t}?",
    "We want to eat {d} at {t}. When do I start?",
    "When must I begin with {d} if we eat at {t}?",
    "I need {d} at {t}. When should I begin?",
]


def clock(minutes_of_day):
    return f"{minutes_of_day // 60}:{minutes_of_day % 60:02d}"


def ready(rng):
    d = rng.choice(DISHES)
    start = rng.randrange(9 * 60, 20 * 60, 30)
    if rng.random() < 0.35:
        end = rng.randrange(11 * 60, 21 * 60, 30)
        question, _ = ask(rng, ASK_START, d=d.name, t=clock(end))
        answer = f"{capital(d.name)} {d.takes} {d.minutes} minutes, so start at {clock(end - d.minutes)}."
        return Exchange(("start", d.name, end), question, answer)
    question, _ = ask(
        rng, ASK_READY, d=d.name, d_=capital(d.name), t=clock(start), is_=d.is_, it=d.it
    )
    answer = f"{capital(d.name)} {d.takes} {d.minutes} minutes, so {d.it} {d.is_} ready at {clock(start + d.minutes)}."
    return Exchange(("ready", d.name, start), question, answer)


ASK_FASTER = [
    "Which is faster, {a} or {b}?",
    "What takes longer, {a} or {b}?",
    "{a_} or {b}: which is faster?",
    "I have little time. Should I make {a} or {b}?",
    "Is it faster to make {a} or {b}?",
    "What is quicker to make: {a} or {b}?",
]


def faster(rng):
    a, b = rng.sample(DISHES, 2)
    question, wording = ask(rng, ASK_FASTER, a=a.name, a_=capital(a.name), b=b.name)
    answer = f"{capital(a.name)} {a.takes} {a.minutes} minutes and {b.name} {b.takes} {b.minutes} minutes, so "
    if a.minutes == b.minutes:
        answer += "both take the same time."
    elif wording == 1:
        longer = a if a.minutes > b.minutes else b
        answer += f"{longer.name} {longer.takes} longer."
    else:
        quick = a if a.minutes < b.minutes else b
        answer += f"{quick.name} {quick.is_} faster."
    return Exchange(("faster",) + tuple(sorted((a.name, b.name))), question, answer)


ASK_CONTAINS = [
    "{are} there {i} in {d}?",
    "{do} {d} contain {i}?",
    "Do I need {i} for {d}?",
    "Do {d} have {i} in {them}?",
    "I can't eat {i}. Can I eat {d}?",
    "My friend can't eat {i}. {are_} {d} fine?",
    "Do I have to buy {i} for {d}?",
]


def contains(rng):
    d = rng.choice(DISHES)
    i = rng.choice(d.ingredients) if rng.random() < 0.5 else rng.choice(INGREDIENTS)
    question, wording = ask(
        rng,
        ASK_CONTAINS,
        d=d.name,
        i=i,
        are=capital(are(i)),
        do="Do" if d.plural else "Does",
        them=d.them,
        are_=capital(d.is_),
    )
    if wording == 3 and not d.plural:
        question = f"Does {d.name} have {i} in it?"
    inside = i in d.ingredients
    if wording in (4, 5):
        end = (
            f"so no, {d.it} {d.is_} not fine without {i}."
            if inside
            else f"so yes, {d.it} {d.is_} fine: there {are(i)} no {i} in {d.them}."
        )
    elif wording in (2, 6):
        end = f"so yes, you need {i}." if inside else f"so no, you don't need {i}."
    else:
        end = (
            f"so yes, there {are(i)} {i} in {d.them}."
            if inside
            else f"so no, there {are(i)} no {i} in {d.them}."
        )
    return Exchange(("contains", d.name, i), question, f"{made_with(d)}, {end}")


ASK_DIET = [
    "{is_} {d} {diet}?",
    "Can I eat {d} if I am {diet}?",
    "My guest is {diet}. Can I serve {d}?",
    "Do {diet} people eat {d}?",
    "I am looking for a {diet} dish. {is_} {d} all right?",
    "{is_} {d} {diet} or not?",
    "Would {d} be {diet}?",
]


def diet_answer(d, diet):
    bad = [i for i in d.ingredients if i in (MEAT if diet == "vegetarian" else ANIMAL)]
    end = (
        f"so no, {d.it} {d.is_} not {diet}: {d.it} {'have' if d.plural else 'has'} {and_list(bad)}."
        if bad
        else f"so yes, {d.it} {d.is_} {diet}."
    )
    return f"{made_with(d)}, {end}"


def diet(rng):
    d = rng.choice(DISHES)
    word = rng.choice(["vegetarian", "vegan"])
    question, wording = ask(rng, ASK_DIET, d=d.name, is_=capital(d.is_), diet=word)
    return Exchange(("diet", d.name, word, wording), question, diet_answer(d, word))


ASK_KIND = [
    "Is {d} {k}?",
    "Is {d} {k} or something else?",
    "Would you say that {d} is {k}?",
    "Can {d} be called {k}?",
]


def kind(rng):
    d = rng.choice(DISHES)
    k = d.kind if rng.random() < 0.4 else rng.choice(KINDS)
    question, _ = ask(rng, ASK_KIND, d=d.name, k=WITH_ARTICLE[k])
    if d.plural:
        question = question.replace("Is ", "Are ", 1).replace(" is ", " are ")
    answer = (
        f"Yes, {d.name} {d.is_} {WITH_ARTICLE[k]}."
        if k == d.kind
        else f"No, {d.name} {d.is_} not {WITH_ARTICLE[k]} but {WITH_ARTICLE[d.kind]}."
    )
    return Exchange(("kind", d.name, k), question, answer)


FOLLOW_UPS = {
    "ingredients": [
        "And what do I need?",
        "What do I need for that?",
        "Which ingredients do I need?",
        "What goes into {it}?",
    ],
    "method": [
        "And how do I make {it}?",
        "How do I make {it}?",
        "What is the recipe?",
        "Tell me how to make {it}.",
    ],
    "minutes": [
        "How long does it take?",
        "And how long does that take?",
        "How many minutes do I need?",
        "Does it take long?",
    ],
    "vegetarian": [
        "{is_} {it} vegetarian?",
        "And {is_2} {it} vegetarian?",
        "Can my vegetarian friend eat {it}?",
    ],
    "vegan": ["{is_} {it} vegan?", "And {is_2} {it} vegan?", "Can my vegan friend eat {it}?"],
}


def about(d, topic):
    if topic in ("vegetarian", "vegan"):
        return diet_answer(d, topic)
    return {"ingredients": ingredients_answer, "method": method_answer, "minutes": minutes_answer}[
        topic
    ](d)


def follow_up(rng):
    """Asks about a dish, then asks on without naming it again."""
    d = rng.choice(DISHES)
    topics = rng.sample(sorted(FOLLOW_UPS), rng.choice([2, 2, 3]))
    first = {"ingredients": ASK_INGREDIENTS, "method": ASK_METHOD, "minutes": ASK_MINUTES[:8]}.get(
        topics[0], ["{is_} {d} " + topics[0] + "?"]
    )
    is_ = d.is_ if topics[0] == "method" else capital(d.is_)
    question, wording = ask(rng, first, d=d.name, is_=is_, does="do" if d.plural else "does")
    key = (
        ("diet", d.name, topics[0], 0)
        if topics[0].startswith("veg")
        else (topics[0], d.name, wording)
    )
    exchanges = [Exchange(key, question, about(d, topics[0]))]
    for before, topic in zip(topics, topics[1:]):
        question, _ = ask(
            rng,
            FOLLOW_UPS[topic],
            it=d.them if topic == "method" else d.it,
            is_=capital(d.is_),
            is_2=d.is_,
        )
        exchanges.append(Exchange(("follow up", d.name, before, topic), question, about(d, topic)))
    return exchanges


ASK_WITHIN = [
    "What can I cook in {n} minutes?",
    "I have {n} minutes. What can I make?",
    "Suggest a dish that takes {n} minutes or less.",
    "We want to eat in {n} minutes. What can we cook?",
    "Something that is done in {n} minutes?",
]
ASK_WITH = [
    "What can I make with {i}?",
    "I have {i}. What can I cook?",
    "I still have {i} at home. What can I make?",
    "Suggest a dish with {i}.",
    "Do you know a dish with {i}?",
    "What can I do with {i}?",
]
ASK_SUGGEST = [
    "Suggest {k}.",
    "I need {k}. Any idea?",
    "Can you suggest {k}?",
    "What can I make as {k}?",
    "Give me an idea for {k}.",
    "I am looking for {k}.",
]


def suggest_within(rng):
    n = rng.randrange(10, 100, 5)
    d = rng.choice([d for d in DISHES if d.minutes <= n and d.kind != "drink"])
    question, wording = ask(rng, ASK_WITHIN, n=n)

    def rule(text):
        found = re.fullmatch(r"You can make (.+)\. (.+)", text)
        dish = DISH.get(found.group(1)) if found else None
        return dish is not None and dish.minutes <= n and found.group(2) == minutes_answer(dish)

    return Exchange(
        ("within", n, wording), question, f"You can make {d.name}. {minutes_answer(d)}", rule
    )


def suggest_with(rng):
    d = rng.choice(DISHES)
    use = (
        rng.sample(d.ingredients, rng.choice([1, 2, 2]))
        if rng.random() < 0.8
        else rng.sample(INGREDIENTS, 2)
    )
    question, _ = ask(rng, ASK_WITH, i=and_list(use))
    options = [x for x in DISHES if set(use) <= set(x.ingredients)]
    key = ("with",) + tuple(sorted(use))
    if not options:
        return Exchange(key, question, f"I know no dish with both {use[0]} and {use[1]}.")
    d = rng.choice(options)

    def rule(text):
        found = re.fullmatch(r"You can make (.+)\. (.+)", text)
        dish = DISH.get(found.group(1)) if found else None
        return (
            dish is not None
            and set(use) <= set(dish.ingredients)
            and found.group(2) == made_with(dish) + "."
        )

    return Exchange(key, question, f"You can make {d.name}. {made_with(d)}.", rule)


def suggest_kind(rng):
    d = rng.choice(DISHES)
    word = rng.choice(["", "", "vegetarian", "vegan", "quick"])
    fits = {
        "": lambda x: True,
        "quick": lambda x: x.minutes <= 30,
        "vegetarian": lambda x: not set(x.ingredients) & set(MEAT),
        "vegan": lambda x: not set(x.ingredients) & set(ANIMAL),
    }[word]
    options = [x for x in DISHES if x.kind == d.kind and fits(x)]
    if not options:
        return suggest_kind(rng)
    thing = (
        f"a {word} {d.kind}" if word else ("a bread" if d.kind == "bread" else WITH_ARTICLE[d.kind])
    )
    question, wording = ask(rng, ASK_SUGGEST, k=thing)

    def answer_for(x):
        return f"How about {x.name}? {made_with(x)}."

    def rule(text):
        return any(text == answer_for(x) for x in options)

    return Exchange(
        ("suggest", d.kind, word, wording), question, answer_for(rng.choice(options)), rule
    )


def suggest(rng):
    return rng.choice([suggest_within, suggest_with, suggest_kind])(rng)


ASK_INSTEAD = [
    "What can I use instead of {i}?",
    "I have no {i}. What can I use?",
    "I have no {i} for the {d}. What can I take?",
    "What can replace {i} in {d}?",
    "Is there something else than {i} for {d}?",
    "We ran out of {i}. What now?",
    "I want to make {d} without {i}. What can I use?",
]


def instead(rng):
    i = rng.choice(sorted(INSTEAD))
    dishes = [d.name for d in DISHES if i in d.ingredients] or ["tea"]
    d = rng.choice(dishes)
    question, wording = ask(rng, ASK_INSTEAD, i=i, d=d)
    key = ("instead", i, wording if wording in (0, 1, 5) else d)
    return Exchange(key, question, f"Instead of {i} you can use {INSTEAD[i]}.")


ASK_KEEP = [
    "Where do I keep {i}?",
    "Where should I put {i}?",
    "Where do {i} belong?",
    "What is the best place for {i}?",
    "I bought {i}. Where do I put {them}?",
    "How do I store {i}?",
    "Where are {i} kept best?",
    "Should I put {i} in the fridge?",
]


def keep(rng):
    i = rng.choice(sorted(PLACE))
    question, wording = ask(rng, ASK_KEEP, i=i, them="them" if is_plural(i) else "it")
    if not is_plural(i):
        question = question.replace(f"do {i} belong", f"does {i} belong").replace(
            f"are {i} kept", f"is {i} kept"
        )
    answer = f"Keep {i} in the {PLACE[i]}."
    if wording == 7:
        answer = (
            f"Yes, keep {i} in the fridge."
            if PLACE[i] == "fridge"
            else f"No, keep {i} in the {PLACE[i]}."
        )
    return Exchange(("keep", i, wording), question, answer)


ASK_BOIL = [
    "How long do I boil {i}?",
    "How many minutes do {i} need in boiling water?",
    "How long must {i} cook?",
    "How long should I boil {i}?",
    "When {are} {i} done if I boil {them}?",
    "Boiling time for {i}?",
    "For how many minutes do I cook {i} in water?",
]


def boil(rng):
    i = rng.choice(sorted(BOIL))
    question, wording = ask(rng, ASK_BOIL, i=i, are=are(i), them="them" if is_plural(i) else "it")
    if not is_plural(i):
        question = question.replace(f"do {i} need", f"does {i} need")
    return Exchange(("boil", i, wording), question, f"Boil {i} for {BOIL[i]} minutes.")


ASK_AMOUNT = [
    "How much {i} do I need for {d}?",
    "How many {i} do I need for {d}?",
    "How much {i} goes into {d}?",
    "How many grams of {i} are in {d}?",
    "What amount of {i} do I need for {d}?",
    "Tell me the amounts for {d}.",
]


def amounts(rng):
    d = rng.choice(DISHES)
    i = rng.choice(d.ingredients)
    question, wording = ask(rng, ASK_AMOUNT, d=d.name, i=i)
    if is_plural(i) and wording in (0, 2):
        question = question.replace("How much", "How many").replace("goes into", "go into")
    elif wording == 1 and not is_plural(i):
        question = question.replace("How many", "How much")
    return Exchange(
        ("amount", d.name, i if wording < 5 else 5),
        question,
        f"I don't know the amounts. {made_with(d)}.",
    )


INTENTS = [
    ("ingredients of a dish", 0.4, ingredients),
    ("how a dish is made", 0.6, method),
    ("how long a dish takes", 0.3, minutes),
    ("when a dish is ready", 1.5, ready),
    ("which dish is faster", 1.2, faster),
    ("is something in a dish", 1.0, contains),
    ("vegetarian or vegan", 0.4, diet),
    ("which kind of dish", 0.6, kind),
    ("asking on about a dish", 0.4, follow_up),
    ("suggesting a dish", 0.6, suggest),
    ("using something instead", 0.3, instead),
    ("where to keep things", 0.4, keep),
    ("boiling times", 0.2, boil),
    ("amounts it does not know", 0.2, amounts),
]
