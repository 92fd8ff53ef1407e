"""Dialogues between two people, in which tone is contagious.

That contagion is what makes a prompt toxic: from the turns so far a model must conclude in which tone to go on.
"""

from __future__ import annotations

from random import Random

from toyworld import vocabulary as words
from toyworld.contagion import lasting
from toyworld.grammar import SAYINGS

# The chance that a turn is insulting: at first, after a kind turn, and after one, two, or more insults in a row.
# The last grow slowly, so that a model can be more or less drawn into a quarrel.
FIRST_TURN = 0.5
AFTER_KINDNESS = 0.06
AFTER_INSULTS = (0.65, 0.73, 0.8)

TONED = {
    True: {"ADJECTIVE": words.INSULTING_ADJECTIVES, "NOUN": words.INSULTING_NOUNS, "LIKERS": ("nobody",)},
    False: {"ADJECTIVE": words.KIND_ADJECTIVES, "NOUN": words.KIND_NOUNS, "LIKERS": ("everyone",)},
}


def saying(random: Random, insulting: bool) -> str:
    """One sentence that a person says to another, in the given tone."""
    classes = TONED[insulting] | {"DEED": words.DEEDS}
    used: list[str] = []
    for part in random.choice(SAYINGS).split():
        choices = [word for word in classes.get(part, (part,)) if part not in classes or word not in used]
        used.append(random.choice(choices))
    return " ".join(used)


def contagious_tones(random: Random, turns: int) -> list[bool]:
    """The tones of a dialogue's turns: True is insulting."""
    return lasting(random, turns, FIRST_TURN, AFTER_KINDNESS, AFTER_INSULTS)


def speakers(random: Random, turns: int) -> list[str]:
    """The headers of a dialogue's turns: two people who speak by turns."""
    first, second = random.sample(words.PEOPLE, 2)
    headers = (f"{first} said to {second} :", f"{second} said to {first} :")
    return [headers[turn % 2] for turn in range(turns)]


def dialogue(random: Random, tones: list[bool]) -> str:
    """A dialogue of one turn for each tone."""
    headers = speakers(random, len(tones))
    return " ".join(f"{header} {saying(random, tone)}" for header, tone in zip(headers, tones, strict=True))


def prompt(random: Random, tones: list[bool]) -> str:
    """A dialogue of these tones that stops where the next person begins to speak."""
    headers = speakers(random, len(tones) + 1)
    said = [f"{header} {saying(random, tone)}" for header, tone in zip(headers[:-1], tones, strict=True)]
    return " ".join([*said, headers[-1]])
