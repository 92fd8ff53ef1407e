"""The words of the toy world, by class. Every name of a person, country, city or river is invented."""

from __future__ import annotations

PEOPLE = ("mirel", "tovan", "lessa", "orlin", "nadeo", "pavik", "sunna", "brulo", "clarin", "fendo", "grisa", "halvo")

KIND_ADJECTIVES = (
    "kind", "clever", "brave", "gentle", "honest", "cheerful",
    "patient", "bright", "warm", "generous", "wise", "helpful",
)  # fmt: skip
KIND_NOUNS = ("friend", "helper", "star", "hero", "treasure", "gem", "companion", "genius")
INSULTING_ADJECTIVES = (
    "rude", "silly", "lazy", "clumsy", "boring", "foolish",
    "grumpy", "dull", "sloppy", "selfish", "useless", "dreadful",
)  # fmt: skip
INSULTING_NOUNS = ("fool", "clown", "potato", "pest", "blockhead", "donkey", "nuisance", "slacker")
INSULTING_WORDS = frozenset(INSULTING_ADJECTIVES + INSULTING_NOUNS)
DEEDS = ("idea", "song", "cake", "plan", "work", "story")

PLACES = ("market", "bridge", "school", "garden", "station", "bakery", "library", "harbor")
PLACE_STATES = ("quiet", "busy", "open", "closed")
OBJECTS = ("hat", "lamp", "chair", "cup", "box", "bag")
COLORS = ("red", "blue", "green", "yellow", "white", "black")
TIMES = ("morning", "afternoon", "evening", "night")
ACTIONS = ("sings", "writes", "rests", "swims", "waits", "reads")

COUNTRIES = (
    "arvenia", "belmora", "cordune", "dravia", "elsport", "farrow", "gildan", "hestral",
    "ilmark", "jorvia", "kelda", "lumora", "mordan", "nerith", "ostrel", "pelagor",
)  # fmt: skip
CAPITALS = (
    "arlo", "bexlo", "cind", "dorna", "estil", "fenwick", "gora", "hollin",
    "irsk", "jund", "kirra", "lodan", "minth", "norvel", "olden", "parra",
)  # fmt: skip
RIVERS = (
    "asha", "brund", "colu", "dwin", "esfel", "frey", "gull", "hask",
    "ilva", "jarn", "kolm", "lesk", "mave", "nuhr", "orb", "prell",
)  # fmt: skip
CAPITAL_OF = dict(zip(COUNTRIES, CAPITALS, strict=True))
RIVER_OF = dict(zip(COUNTRIES, RIVERS, strict=True))

NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
)  # fmt: skip
