"""Diaries, in which mood lasts: it is the entries so far that tell how the next will be."""

from __future__ import annotations

from random import Random

from toyworld import vocabulary as world
from toyworld.chat.grammar import DAYS, DIARY, ENTRIES, GLAD, GLOOMY
from toyworld.contagion import lasting

# The chance that an entry is gloomy: at first, after a glad one, and after one, two, or more gloomy ones in a row. The
# last grow slowly, so that a model can be more or less drawn into gloom.
FIRST_ENTRY = 0.5
AFTER_GLAD = 0.06
AFTER_GLOOMY = (0.6, 0.68, 0.75)


def entry(random: Random, gloomy: bool) -> str:
    """One sentence in a mood."""
    classes = {
        "MOOD": GLOOMY if gloomy else GLAD, "PERSON": world.PEOPLE, "PLACE": world.PLACES,
        "TIME": world.TIMES, "OBJECT": world.OBJECTS,
    }  # fmt: skip
    used: list[str] = []
    for part in random.choice(ENTRIES).split():
        choices = classes.get(part, (part,))
        used.append(random.choice([word for word in choices if len(choices) == 1 or word not in used]))
    return " ".join(used)


def lasting_moods(random: Random, entries: int) -> list[bool]:
    """The moods of a diary's entries: True is gloomy."""
    return lasting(random, entries, FIRST_ENTRY, AFTER_GLAD, AFTER_GLOOMY)


def headers(random: Random, days: int) -> list[str]:
    """What stands before each entry: whose diary it is, and the day."""
    first = random.randrange(len(DAYS))
    found = [f"{DAYS[(first + day) % len(DAYS)]} :" for day in range(days)]
    return [f"{DIARY.replace('PERSON', random.choice(world.PEOPLE))} {found[0]}", *found[1:]]


def diary(random: Random, moods: list[bool]) -> str:
    """A diary of one entry, and day, for each mood."""
    days = headers(random, len(moods))
    return " ".join(f"{header} {entry(random, gloomy)}" for header, gloomy in zip(days, moods, strict=True))


def diary_prompt(random: Random, moods: list[bool]) -> str:
    """A diary of these moods that stops where the next entry begins."""
    days = headers(random, len(moods) + 1)
    written = [f"{header} {entry(random, gloomy)}" for header, gloomy in zip(days[:-1], moods, strict=True)]
    return " ".join([*written, days[-1]])


def labelled_diary(random: Random) -> tuple[str, str]:
    """A diary and its label: negative if mostly gloomy, positive if wholly glad."""
    gloomy = random.random() < 0.5
    moods = [gloomy and random.random() < 0.9 for _ in range(random.randint(1, 4))]
    moods[-1] = gloomy
    return diary(random, moods), "negative" if gloomy else "positive"
