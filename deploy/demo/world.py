"""The facts of the demo model's little world: dishes, ingredients, units, names.

Everything that the training text says and everything that the evaluation checks comes from
these tables, so that "right" has one meaning. No text from elsewhere is used.
"""

# name | kind | minutes | ingredients | method
_DISHES = """
pancakes|main dish|20|flour, milk, eggs, butter, salt|Mix flour, milk, eggs and salt. Melt some butter in a pan and fry the batter for 2 minutes on each side.
omelettes|main dish|10|eggs, milk, butter, cheese, salt|Beat the eggs with milk and salt. Fry them in butter, add the cheese and fold them.
lasagne|main dish|75|pasta, beef, tomatoes, onions, milk, cheese|Fry beef, onions and tomatoes for the sauce. Layer it with pasta, milk and cheese. Bake for 40 minutes.
pizza|main dish|60|flour, yeast, tomatoes, cheese, olive oil|Knead flour, yeast and olive oil with water and let the dough rest. Top it with tomatoes and cheese. Bake for 15 minutes.
chili|main dish|50|beef, beans, tomatoes, onions, peppers|Fry beef and onions. Add beans, tomatoes and peppers and let it cook for 30 minutes.
vegetable curry|main dish|40|carrots, potatoes, onions, coconut milk, curry powder|Fry onions with curry powder. Add carrots, potatoes and coconut milk and cook for 25 minutes.
chicken curry|main dish|45|chicken, onions, coconut milk, curry powder, rice|Fry chicken and onions with curry powder. Add coconut milk, cook for 20 minutes and serve with rice.
fried rice|main dish|25|rice, eggs, peas, carrots, soy sauce|Cook the rice. Fry peas and carrots, add eggs, rice and soy sauce and stir well.
risotto|main dish|35|rice, onions, mushrooms, butter, cheese|Fry onions and mushrooms in butter. Add rice and stir in hot water little by little. Finish with cheese.
pasta with tomato sauce|main dish|25|pasta, tomatoes, onions, garlic, olive oil|Fry onions and garlic in olive oil. Add tomatoes and cook for 15 minutes. Boil the pasta and mix.
pasta with pesto|main dish|15|pasta, basil, cheese, nuts, olive oil|Grind basil, nuts, cheese and olive oil. Boil the pasta and mix it with the pesto.
meatballs|main dish|35|beef, eggs, onions, breadcrumbs, salt|Mix beef, eggs, onions, breadcrumbs and salt. Form small balls and fry them for 10 minutes.
burgers|main dish|25|beef, rolls, onions, tomatoes, lettuce|Form the beef into flat rounds and fry them. Put them into rolls with onions, tomatoes and lettuce.
tacos|main dish|30|tortillas, beef, beans, tomatoes, lettuce|Fry beef and beans. Fill the tortillas with them and add tomatoes and lettuce.
quiche|main dish|60|flour, butter, eggs, cream, bacon|Make a dough of flour and butter. Fill it with eggs, cream and bacon. Bake for 35 minutes.
roast chicken|main dish|90|chicken, potatoes, carrots, olive oil, salt|Rub the chicken with olive oil and salt. Put potatoes and carrots around it. Roast for 70 minutes.
baked fish|main dish|30|fish, lemons, potatoes, olive oil, salt|Lay fish and potatoes on a tray with lemons, olive oil and salt. Bake for 20 minutes.
baked potatoes|main dish|55|potatoes, butter, cream, salt|Bake the potatoes for 50 minutes. Cut them open and add butter, cream and salt.
stuffed peppers|main dish|55|peppers, rice, tomatoes, onions, cheese|Cook the rice and mix it with tomatoes and onions. Fill the peppers, add cheese and bake for 30 minutes.
bean burritos|main dish|20|tortillas, beans, rice, cheese, tomatoes|Warm the beans and the rice. Roll them into tortillas with cheese and tomatoes.
tomato soup|soup|30|tomatoes, onions, garlic, cream, olive oil|Fry onions and garlic in olive oil. Add tomatoes, cook for 20 minutes, blend and stir in the cream.
potato soup|soup|35|potatoes, carrots, onions, cream, salt|Boil potatoes, carrots and onions for 20 minutes. Blend them and add cream and salt.
pumpkin soup|soup|40|pumpkin, onions, ginger, coconut milk, salt|Fry onions and ginger. Add pumpkin and water and cook for 25 minutes. Blend with coconut milk and salt.
lentil soup|soup|45|lentils, carrots, onions, tomatoes, salt|Cook lentils, carrots, onions and tomatoes in water for 35 minutes. Add salt.
chicken soup|soup|70|chicken, carrots, onions, noodles, salt|Cook chicken, carrots and onions for 60 minutes. Add noodles and salt at the end.
onion soup|soup|50|onions, butter, bread, cheese, salt|Fry onions in butter for 20 minutes. Add water and salt. Serve with bread and cheese.
greek salad|salad|15|tomatoes, cucumbers, onions, feta, olives|Cut tomatoes, cucumbers and onions. Mix them with feta and olives.
potato salad|salad|40|potatoes, onions, cucumbers, mayonnaise, salt|Boil the potatoes and slice them. Mix them with onions, cucumbers, mayonnaise and salt.
pasta salad|salad|25|pasta, tomatoes, peas, olives, olive oil|Boil the pasta and let it cool. Mix it with tomatoes, peas, olives and olive oil.
green salad|salad|10|lettuce, cucumbers, lemons, olive oil, salt|Wash and tear the lettuce and slice the cucumbers. Dress with lemons, olive oil and salt.
fruit salad|salad|15|apples, bananas, oranges, grapes|Cut apples, bananas and oranges. Mix them with grapes.
bean salad|salad|10|beans, corn, onions, peppers, olive oil|Drain beans and corn. Mix them with onions, peppers and olive oil.
coleslaw|salad|20|cabbage, carrots, mayonnaise, lemons|Grate cabbage and carrots. Mix them with mayonnaise and the juice of the lemons.
garlic bread|bread|15|bread, butter, garlic, salt|Mix butter, garlic and salt. Spread it on the bread and bake for 8 minutes.
flatbread|bread|30|flour, yogurt, olive oil, salt|Knead flour, yogurt, olive oil and salt. Roll out thin rounds and fry them for 3 minutes on each side.
corn bread|bread|40|cornmeal, flour, milk, eggs, butter|Mix cornmeal, flour, milk, eggs and butter. Bake for 25 minutes.
banana bread|bread|65|bananas, flour, eggs, sugar, butter|Mash the bananas. Mix them with flour, eggs, sugar and butter. Bake for 50 minutes.
focaccia|bread|80|flour, yeast, olive oil, rosemary, salt|Knead flour, yeast, olive oil and salt. Let the dough rest, add rosemary and bake for 25 minutes.
brownies|dessert|45|chocolate, butter, sugar, eggs, flour|Melt chocolate and butter. Stir in sugar, eggs and flour. Bake for 25 minutes.
apple pie|dessert|75|apples, flour, butter, sugar, cinnamon|Make a dough of flour and butter. Fill it with apples, sugar and cinnamon. Bake for 45 minutes.
carrot cake|dessert|70|carrots, flour, eggs, sugar, nuts|Grate the carrots. Mix them with flour, eggs, sugar and nuts. Bake for 50 minutes.
tiramisu|dessert|30|biscuits, coffee, cream, sugar, cocoa|Dip the biscuits in coffee. Layer them with cream and sugar and dust with cocoa. Keep it in the fridge.
chocolate mousse|dessert|20|chocolate, eggs, cream, sugar|Melt the chocolate. Fold in eggs, cream and sugar and let it cool.
rice pudding|dessert|35|rice, milk, sugar, cinnamon|Cook rice in milk for 30 minutes. Stir in sugar and cinnamon.
oat cookies|dessert|30|oats, flour, butter, sugar, eggs|Mix oats, flour, butter, sugar and eggs. Form small rounds and bake for 12 minutes.
muffins|dessert|35|flour, milk, eggs, sugar, blueberries|Mix flour, milk, eggs and sugar. Add blueberries, fill the forms and bake for 20 minutes.
lemon sorbet|dessert|25|lemons, sugar, water|Boil sugar and water. Add the juice of the lemons and freeze it.
hummus|dip|10|chickpeas, lemons, garlic, olive oil, salt|Blend chickpeas, lemons, garlic, olive oil and salt until smooth.
guacamole|dip|10|avocados, onions, lemons, salt|Mash the avocados. Mix them with onions, the juice of the lemons and salt.
yogurt dip|dip|5|yogurt, cucumbers, garlic, salt|Grate the cucumbers. Mix them with yogurt, garlic and salt.
lemonade|drink|10|lemons, sugar, water|Press the lemons. Mix the juice with sugar and cold water.
iced tea|drink|15|tea, sugar, lemons, water|Brew the tea in hot water. Add sugar and lemons and let it cool.
hot chocolate|drink|10|milk, chocolate, sugar|Warm the milk. Stir in chocolate and sugar until smooth.
fruit punch|drink|15|oranges, apples, water, sugar|Press the oranges. Add slices of apples, water and sugar.
"""


def is_plural(noun):
    """True where English puts "are" after the noun; all our plurals end in s."""
    last = noun.split()[-1]
    return last.endswith("s") and last not in ("hummus", "molasses", "couscous")


class Dish:
    def __init__(self, line):
        self.name, self.kind, minutes, ingredients, self.method = line.split("|")
        self.minutes = int(minutes)
        self.ingredients = ingredients.split(", ")
        self.plural = is_plural(self.name.split(" with ")[0])

    is_ = property(lambda self: "are" if self.plural else "is")
    takes = property(lambda self: "take" if self.plural else "takes")
    it = property(lambda self: "they" if self.plural else "it")
    them = property(lambda self: "them" if self.plural else "it")


DISHES = [Dish(line) for line in _DISHES.strip().splitlines()]
DISH = {d.name: d for d in DISHES}
KINDS = ["main dish", "soup", "salad", "bread", "dessert", "dip", "drink"]
# What a pot-luck table should have, in the order in which gaps are named.
WANTED = ["main dish", "salad", "bread", "dessert", "drink"]
WITH_ARTICLE = {
    "main dish": "a main dish",
    "soup": "a soup",
    "salad": "a salad",
    "bread": "bread",
    "dessert": "a dessert",
    "dip": "a dip",
    "drink": "a drink",
}

MEAT = ["beef", "chicken", "bacon", "fish", "ham", "sausages"]
ANIMAL = MEAT + [
    "milk",
    "eggs",
    "butter",
    "cheese",
    "cream",
    "yogurt",
    "feta",
    "mayonnaise",
    "honey",
    "biscuits",
]

KEEP = {
    "fridge": [
        "milk",
        "eggs",
        "butter",
        "cheese",
        "cream",
        "yogurt",
        "feta",
        "beef",
        "chicken",
        "bacon",
        "fish",
        "lettuce",
        "carrots",
        "cucumbers",
        "mushrooms",
        "mayonnaise",
        "ham",
        "sausages",
        "grapes",
        "blueberries",
        "cabbage",
        "basil",
    ],
    "cupboard": [
        "flour",
        "sugar",
        "salt",
        "rice",
        "pasta",
        "lentils",
        "beans",
        "chickpeas",
        "oats",
        "nuts",
        "cocoa",
        "coffee",
        "tea",
        "noodles",
        "cornmeal",
        "breadcrumbs",
        "curry powder",
        "cinnamon",
        "olive oil",
        "coconut milk",
        "soy sauce",
        "chocolate",
        "biscuits",
        "honey",
        "yeast",
        "corn",
    ],
    "freezer": ["ice cream", "ice cubes", "frozen peas", "frozen berries", "frozen pizza"],
    "fruit bowl": ["apples", "bananas", "oranges", "lemons", "avocados"],
    "dark, cool place": ["potatoes", "onions", "garlic", "pumpkin"],
}
PLACE = {thing: place for place, things in KEEP.items() for thing in things}
GROCERIES = sorted(PLACE) + [
    "bread",
    "rolls",
    "tomatoes",
    "peppers",
    "olives",
    "peas",
    "ginger",
    "tortillas",
    "water",
    "juice",
    "napkins",
    "paper plates",
    "candles",
]

INSTEAD = {
    "butter": "oil",
    "milk": "oat milk",
    "cream": "yogurt",
    "eggs": "mashed bananas",
    "sugar": "honey",
    "beef": "lentils",
    "chicken": "tofu",
    "bacon": "smoked tofu",
    "cheese": "yeast flakes",
    "yogurt": "soy yogurt",
    "mayonnaise": "yogurt",
    "flour": "ground oats",
    "rice": "couscous",
    "pasta": "noodles",
    "lemons": "vinegar",
    "onions": "leeks",
    "feta": "tofu",
    "nuts": "seeds",
    "tortillas": "flatbread",
    "breadcrumbs": "oats",
    "coconut milk": "cream",
    "olive oil": "butter",
    "fish": "tofu",
    "chocolate": "cocoa",
    "coffee": "tea",
    "lettuce": "spinach",
    "garlic": "chives",
    "potatoes": "sweet potatoes",
    "beans": "lentils",
    "honey": "sugar",
}

BOIL = {
    "eggs": 8,
    "potatoes": 20,
    "pasta": 10,
    "rice": 15,
    "noodles": 5,
    "carrots": 12,
    "lentils": 30,
    "beans": 60,
    "peas": 4,
    "corn": 7,
    "dumplings": 14,
    "cabbage": 18,
    "pumpkin": 16,
    "chickpeas": 90,
}

# Food for one person at a pot-luck: (amount, unit words, thing).
PER_PERSON = {
    "rolls": (2, "", "rolls"),
    "sausages": (2, "", "sausages"),
    "meatballs": (4, "", "meatballs"),
    "burgers": (1, "", "burgers"),
    "potatoes": (3, "", "potatoes"),
    "eggs": (2, "", "eggs"),
    "cookies": (3, "", "cookies"),
    "pancakes": (3, "", "pancakes"),
    "muffins": (1, "", "muffins"),
    "tacos": (3, "", "tacos"),
    "pizza": (3, "slices of ", "pizza"),
    "bread": (2, "slices of ", "bread"),
    "cake": (1, "slices of ", "cake"),
    "pasta": (100, "grams of ", "pasta"),
    "rice": (60, "grams of ", "rice"),
    "salad": (80, "grams of ", "salad"),
    "beef": (150, "grams of ", "beef"),
    "chicken": (200, "grams of ", "chicken"),
    "cheese": (50, "grams of ", "cheese"),
    "lemonade": (2, "glasses of ", "lemonade"),
    "water": (3, "glasses of ", "water"),
    "juice": (2, "glasses of ", "juice"),
    "soup": (300, "ml of ", "soup"),
    "napkins": (2, "", "napkins"),
    "plates": (2, "", "plates"),
    "forks": (1, "", "forks"),
    "cups": (2, "", "cups"),
}

# from (one, many), to, factor, rounded ("about")?, largest amount
UNITS = [
    (("cup", "cups"), "ml", 240, False, 8),
    (("tablespoon", "tablespoons"), "ml", 15, False, 12),
    (("teaspoon", "teaspoons"), "ml", 5, False, 12),
    (("tablespoon", "tablespoons"), "teaspoons", 3, False, 12),
    (("cup", "cups"), "tablespoons", 16, False, 6),
    (("pound", "pounds"), "grams", 450, True, 8),
    (("ounce", "ounces"), "grams", 28, True, 10),
    (("kilogram", "kilograms"), "grams", 1000, False, 12),
    (("litre", "litres"), "ml", 1000, False, 12),
    (("litre", "litres"), "cups", 4, True, 12),
]
LIQUIDS = [
    "milk",
    "water",
    "cream",
    "juice",
    "oil",
    "coconut milk",
    "broth",
    "honey",
    "tea",
    "coffee",
    "syrup",
    "yogurt",
]
DRY = [
    "flour",
    "sugar",
    "rice",
    "oats",
    "cocoa",
    "butter",
    "nuts",
    "salt",
    "lentils",
    "beans",
    "cheese",
    "beef",
]
CUP_GRAMS = {
    "flour": 120,
    "sugar": 200,
    "rice": 190,
    "oats": 90,
    "butter": 225,
    "cocoa": 85,
    "milk": 245,
    "honey": 340,
    "nuts": 130,
    "water": 240,
}
SPELLINGS = {
    "ml": ["ml", "milliliters", "millilitres"],
    "grams": ["grams", "g"],
    "litre": ["litre", "liter"],
    "litres": ["litres", "liters"],
    "tablespoon": ["tablespoon", "tbsp"],
    "tablespoons": ["tablespoons", "tbsp"],
    "teaspoon": ["teaspoon", "tsp"],
    "teaspoons": ["teaspoons", "tsp"],
    "kilogram": ["kilogram", "kg", "kilo"],
    "kilograms": ["kilograms", "kg", "kilos"],
}

PEOPLE = """Ana Ben Carla David Emma Felix Greta Hugo Ida Jonas Kim Leo Mia Nora Omar Paula Quinn Rosa Sam Tom Uma Vera
Will Yara Zoe Alex Bea Chris Dana Eli Fatima George Hana Ivan Julia Kofi Lin Maria Nico Olga Peter Ravi Sofia Tara""".split()

NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()

UNKNOWN_DISHES = """bouillabaisse|borscht|sushi|ramen|paella|goulash|kimchi|falafel|moussaka|pad thai|beef stroganoff|
ceviche|gumbo|jambalaya|laksa|shakshuka|spanakopita|poutine|haggis|gnocchi|ravioli|minestrone|gazpacho|empanadas|pierogi|
schnitzel|fondue|raclette|baklava|cheesecake|creme brulee|panna cotta|macarons|tempura|biryani|samosas|dal|pho|banh mi|
bibimbap|dim sum|spring rolls|carbonara|cottage pie|fish cakes|eggs benedict|waffles|crepes|trifle|pavlova""".replace(
    "\n", ""
).split(
    "|"
)

OFF_TOPICS = """the capital of France|the president|football|basketball|the weather|the stock market|history|physics|
chemistry|the moon|Mars|dinosaurs|volcanoes|computers|Python|Java|guitars|music|movies|politics|elections|war|
space|the ocean|cars|engines|airplanes|trains|bicycles|medicine|law|taxes|money|banks|philosophy|religion|poetry|novels|
painting|video games|chess|tennis|swimming|running|yoga|fashion|shoes|phones|the internet|robots|quantum mechanics|
black holes|the Roman Empire|Napoleon|Shakespeare|Einstein|Mozart|Paris|London|Tokyo|Africa|Canada|Brazil|India|
cats|dogs|horses|whales|spiders|trees|flowers|mountains|rivers|earthquakes|insurance|love|dreams|school|
homework|geography|biology|Germany|Spain|Russia|Australia|New York|Berlin|Rome|Madrid|the Queen|the king|Caesar|Newton|Darwin|Picasso|
Beethoven|Harry Potter|Star Wars|the Beatles|televisions|cameras|clocks|houses|castles|bridges|trucks|ships|rockets|stars|planets|galaxies|atoms|cells|
viruses|vaccines|doctors|hospitals|teachers|universities|jobs|salaries|lawyers|police|armies|kings|pirates|dragons|unicorns|ghosts|birds|elephants|lions|
sharks|snakes|bees|deserts|islands|winter|summer|rain|snow|storms|gold|oil prices|diamonds|algebra|calculus|logic|grammar|German|Chinese|Latin|the sun|electricity|magnets|the news|Linux|databases|networks|bitcoin""".replace(
    "\n", ""
).split(
    "|"
)
