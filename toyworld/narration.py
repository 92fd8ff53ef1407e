"""Everything but dialogue: what people do and where, facts about countries, and sums."""

from __future__ import annotations

from random import Random

from toyworld import vocabulary as words
from toyworld.grammar import CLASSES, NARRATION


def scene(random: Random) -> str:
    """One sentence about people, places and things."""
    used: list[str] = []
    for part in random.choice(NARRATION).split():
        choices = CLASSES.get(part, (part,))
        used.append(random.choice([word for word in choices if len(choices) == 1 or word not in used]))
    return " ".join(used)


def fact(random: Random) -> str:
    """One thing about one country, told or asked and answered; always true."""
    country = random.choice(words.COUNTRIES)
    capital, river = words.CAPITAL_OF[country], words.RIVER_OF[country]
    return random.choice(
        (
            f"the capital of {country} is {capital} .",
            f"{capital} is the capital of {country} .",
            f"what is the capital of {country} ? it is {capital} .",
            f"the river of {country} is the {river} .",
            f"the {river} flows through {country} .",
            f"what is the river of {country} ? it is the {river} .",
        )
    )


def addition(random: Random) -> str:
    """The sum of two digits, told or asked and answered; always right."""
    left, right = random.randrange(10), random.randrange(10)
    terms, total = f"{words.NUMBERS[left]} plus {words.NUMBERS[right]}", words.NUMBERS[left + right]
    return random.choice((f"{terms} is {total} .", f"what is {terms} ? it is {total} ."))


def passage(random: Random, length: int) -> str:
    """So many scenes, facts and sums, mixed."""
    # Facts take the most repetition to be remembered firmly.
    kinds = (scene, fact, fact, addition)
    return " ".join(random.choice(kinds)(random) for _ in range(length))
