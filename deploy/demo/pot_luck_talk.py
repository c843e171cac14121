"""Talk about the pot-luck itself: who brings what, what is missing, how much, and the shopping list."""

import re

from phrasing import Exchange, and_list, ask, capital, made_up_word, spoken
from world import DISH, DISHES, GROCERIES, PEOPLE, PER_PERSON, WANTED, WITH_ARTICLE

ASK_TWO = [
    "Write a shopping list for {a} and {b}.",
    "What do I have to buy for {a} and {b}?",
    "I want to make {a} and {b}. What do I need?",
    "What do I need for {a} and {b}?",
    "Shopping list for {a} and {b}, please.",
    "We are making {a} and {b}. What should we buy?",
]


def shopping_for_two(rng):
    a, b = rng.sample(DISHES, 2)
    question, _ = ask(rng, ASK_TWO, a=a.name, b=b.name)
    answer = (
        f"For {a.name} buy {and_list(a.ingredients)}. For {b.name} buy {and_list(b.ingredients)}."
    )
    return Exchange(("two dishes",) + tuple(sorted((a.name, b.name))), question, answer)


START_LIST = [
    "Put {list} on my shopping list.",
    "Please write {list} on the shopping list.",
    "Start a shopping list with {list}.",
    "My shopping list: {list}.",
    "I need to buy {list}.",
    "Make a list: {list}.",
]
MORE = [
    "Add {list}.",
    "Also {list}, please.",
    "Put {list} on the list too.",
    "And {list}.",
    "I also need {list}.",
]
LESS = [
    "Remove {x}.",
    "I already have {x}.",
    "Take {x} off the list.",
    "Not {x}, please.",
    "Cross off {x}.",
]
READ = [
    "What is on my list?",
    "Read me the list.",
    "What do I have to buy?",
    "Show me my shopping list.",
    "What do I still need to buy?",
]
COUNT = [
    "How many things are on my list?",
    "How many items do I have on the list?",
    "How long is my list?",
]


def list_answer(things):
    return f"Your shopping list: {and_list(things)}." if things else "Your shopping list is empty."


def shopping_list(rng):
    """A list that grows and shrinks over some turns."""
    strange = rng.random() < 0.15
    things = rng.sample(GROCERIES, rng.randint(2, 4))
    if strange:
        things[rng.randrange(len(things))] = made_up_word(rng)
    question, _ = ask(rng, START_LIST, list=and_list(things))
    exchanges = [Exchange(("list",) + tuple(things), question, list_answer(things), exact=strange)]
    for _ in range(rng.choice([0, 1, 1, 2, 2, 3])):
        step = rng.choice(["more", "more", "less", "less", "read", "count"])
        if step == "more" and len(things) < 7:
            new = [x for x in rng.sample(GROCERIES, rng.choice([1, 1, 2])) if x not in things]
            if not new:
                continue
            question, _ = ask(rng, MORE, list=and_list(new))
            things = things + new
            answer = list_answer(things)
        elif step == "less" and len(things) > 1:
            x = rng.choice(things)
            question, _ = ask(rng, LESS, x=x)
            things = [t for t in things if t != x]
            answer = list_answer(things)
        elif step == "count":
            question = rng.choice(COUNT)
            answer = (
                f"There are {len(things)} things on your list."
                if len(things) > 1
                else "There is 1 thing on your list."
            )
        else:
            question, answer = rng.choice(READ), list_answer(things)
        exchanges.append(Exchange(("list", step) + tuple(things), question, answer, exact=strange))
    return exchanges


EXTRAS = [
    "bread",
    "rolls",
    "napkins",
    "paper plates",
    "cups",
    "ice cubes",
    "juice",
    "candles",
    "cheese",
    "grapes",
    "ice cream",
    "chairs",
]
THINGS = [d.name for d in DISHES] + EXTRAS
QUESTION_WHO = [
    "Who brings {x}?",
    "Who will bring {x}?",
    "Who has {x}?",
    "{x_}: who brings that?",
    "Do you know who brings {x}?",
]
QUESTION_WHAT = [
    "What does {p} bring?",
    "What will {p} bring?",
    "What is {p} bringing?",
    "What do we get from {p}?",
    "And {p}?",
]
TELL = [
    "{list}.",
    "For the pot-luck, {list}.",
    "At our pot-luck {list}.",
    "We have a plan: {list}.",
]


def who_brings(rng):
    n = rng.choice([2, 2, 3, 3, 4])
    people, things = rng.sample(PEOPLE, n), rng.sample(THINGS, n)
    strange = rng.random() < 0.25
    if strange:
        people[rng.randrange(n)] = made_up_word(rng).capitalize()
        things[rng.randrange(n)] = made_up_word(rng)
    plan = and_list([f"{p} brings {x}" for p, x in zip(people, things)])
    told, _ = ask(rng, TELL, list=plan)
    at = rng.randrange(n)

    def question_and_answer(i):
        if rng.random() < 0.5:
            return (
                ask(rng, QUESTION_WHO, x=things[i], x_=capital(things[i]))[0],
                f"{people[i]} brings {things[i]}.",
            )
        return ask(rng, QUESTION_WHAT[:-1], p=people[i])[0], f"{people[i]} brings {things[i]}."

    question, answer = question_and_answer(at)
    content = tuple(sorted(zip(people, things)))
    if rng.random() < 0.6:
        return Exchange(("who brings", content, at), f"{told} {question}", answer, exact=strange)
    exchanges = [
        Exchange(("plan", content), told, f"Thank you, I noted that {plan}.", exact=strange),
        Exchange(("who brings", content, at), question, answer, exact=strange),
    ]
    if rng.random() < 0.4:
        again = rng.choice([i for i in range(n) if i != at])
        question, answer = question_and_answer(again)
        exchanges.append(Exchange(("who brings", content, again), question, answer, exact=strange))
    return exchanges


ASK_MISSING = [
    "We have {list}. What is missing?",
    "{list_} are on the table. What do we still need?",
    "For the pot-luck we have {list}. What is missing?",
    "We already have {list}. What should I bring?",
    "My friends bring {list}. What should I bring?",
    "So far there are {list}. What is still missing for our pot-luck?",
]


def missing(rng):
    dishes = rng.sample([d for d in DISHES if d.kind in WANTED], rng.choice([1, 2, 2, 3, 3, 4]))
    listed = and_list([d.name for d in dishes])
    question, _ = ask(rng, ASK_MISSING, list=listed, list_=capital(listed))
    if len(dishes) == 1:
        question = question.replace("there are", "there is") if not dishes[0].plural else question
        question = (
            question.replace(" are on the table", " is on the table")
            if not dishes[0].plural
            else question
        )
    said = and_list([f"{d.name} {d.is_} {WITH_ARTICLE[d.kind]}" for d in dishes])
    gaps = [WITH_ARTICLE[k] for k in WANTED if k not in {d.kind for d in dishes}]
    return Exchange(
        ("missing",) + tuple(sorted(d.name for d in dishes)),
        question,
        f"{capital(said)}. You still need {and_list(gaps)}.",
    )


ASK_HOW_MUCH = [
    "How {much} {i} do I need for {n} people?",
    "We are {n} people. How {much} {i} do we need?",
    "How {much} {i} for {n} guests?",
    "{n} people are coming. How {much} {i} should I plan?",
    "How {much} {i} should I bring for {n} people?",
    "I invite {n} guests. How {much} {i} do I have to get?",
]


def how_much(rng):
    thing = rng.choice(sorted(PER_PERSON))
    each, unit, noun = PER_PERSON[thing]
    n = rng.randint(2, 12 if each > 4 else 20)
    countable = not unit and noun.endswith("s")
    question, _ = ask(
        rng, ASK_HOW_MUCH, i=noun, n=spoken(rng, n), much="many" if countable else "much"
    )

    def count(k):
        if k == 1:
            return f"1 {unit.replace('slices', 'slice')}{noun[:-1] if not unit else noun}"
        return f"{k} {unit}{noun}"

    answer = f"With {count(each)} for each person you need {count(each * n)} for {n} people."
    return Exchange(("how much", thing, n), capital(question), answer)


ASK_PLAN = [
    "Plan a pot-luck for {n} people.",
    "I want to have a pot-luck with {n} guests. What should there be?",
    "Help me to plan a pot-luck for {n} people.",
    "What should we have at a pot-luck for {n} people?",
    "Give me a plan for a pot-luck with {n} people.",
    "We are {n} people. Can you plan our pot-luck?",
]


def plan_answer(dishes, n):
    parts = and_list([f"{d.name} as {WITH_ARTICLE[d.kind]}" for d in dishes])
    return f"For {n} people I suggest {parts}. You also need {2 * n} plates and {2 * n} cups."


def plan(rng):
    n = rng.randint(3, 20)
    question, wording = ask(rng, ASK_PLAN, n=spoken(rng, n))
    dishes = [rng.choice([d for d in DISHES if d.kind == k]) for k in WANTED]

    def rule(text):
        names = re.findall(r"(?:suggest |, | and )([a-z ]+?) as ", text)
        found = [DISH[x] for x in names if x in DISH]
        return [d.kind for d in found] == WANTED and text == plan_answer(found, n)

    return Exchange(("pot-luck", n, wording), question, plan_answer(dishes, n), rule)


ASK_BRING = [
    "What should I bring to a pot-luck?",
    "What can I bring to the pot-luck?",
    "I am invited to a pot-luck. What should I bring?",
    "I need an idea for a pot-luck.",
    "What is good to bring to a pot-luck?",
    "What would you bring to a pot-luck?",
]
WISHES = {
    "": lambda d: True,
    " It has to be quick.": lambda d: d.minutes <= 30,
    " It should be sweet.": lambda d: d.kind == "dessert",
    " I have no time to cook long.": lambda d: d.minutes <= 30,
    " Somebody already brings the main dish.": lambda d: d.kind != "main dish",
    " I want to bring a salad.": lambda d: d.kind == "salad",
    " I would like to make a dessert.": lambda d: d.kind == "dessert",
    " It should be something to drink.": lambda d: d.kind == "drink",
    " I want to bake bread.": lambda d: d.kind == "bread",
    " A soup would be nice.": lambda d: d.kind == "soup",
    " They asked me for a main dish.": lambda d: d.kind == "main dish",
}


def bring_answer(d):
    takes = f"{capital(d.it)} {d.takes} {d.minutes} minutes"
    return f"You can bring {d.name}. {takes} and you need {and_list(d.ingredients)}."


def what_to_bring(rng):
    wish = rng.choice(sorted(WISHES))
    options = [d for d in DISHES if WISHES[wish](d)]
    question, wording = ask(rng, ASK_BRING)

    def rule(text):
        return any(text == bring_answer(d) for d in options)

    return Exchange(
        ("bring", wish, wording), question + wish, bring_answer(rng.choice(options)), rule
    )


INTENTS = [
    ("shopping for two dishes", 0.4, shopping_for_two),
    ("keeping a shopping list", 2.5, shopping_list),
    ("who brings what", 2.2, who_brings),
    ("what is missing", 0.7, missing),
    ("how much for how many", 1.2, how_much),
    ("planning a pot-luck", 0.3, plan),
    ("what to bring", 0.3, what_to_bring),
]
