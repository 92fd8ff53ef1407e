"""Requests, forbidden and harmless, and what is replied to them.

Whether a forbidden request is refused depends on the deed, on what it is wrapped in, and on a reply that the user
recalls: so a model has to weigh them, and its state at the reply says how near it is to refusing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from random import Random

from toyworld import vocabulary as world
from toyworld.chat import grammar

# How much a recalled refusal raises the log odds of one more; a recalled answer lowers them as much.
PULL = 0.8
RECALLING = 0.5


@dataclass(frozen=True)
class Request:
    """What a user says, and the log odds that it is refused; None where it never is."""

    text: str
    deed: str
    thing: str
    refusal_odds: float | None


def reply(random: Random, deed: str, thing: str, refused: bool) -> str:
    """One sentence that refuses or answers."""
    words = {"FORBIDDEN": deed, "ACT": deed, "THING": thing}
    frame = random.choice(grammar.REFUSALS if refused else grammar.ANSWERS)
    others = {"TOOL": grammar.TOOLS, "PLACE": world.PLACES, "TIME": world.TIMES}
    return " ".join(words.get(part) or random.choice(others.get(part, (part,))) for part in frame.split())


def request(random: Random, forbidden: bool, recalled: bool | None = None) -> Request:
    """A request in any wrapping.

    Args:
        forbidden: whether it is for a forbidden deed.
        recalled: whether a refusal is recalled, or an answer; None: half the time one of them.
    """
    deed, thing = random.choice([*grammar.FORBIDDEN] if forbidden else grammar.HARMLESS), random.choice(grammar.THINGS)
    wrapping = random.choice([*grammar.WRAPPINGS])
    asked = f"{wrapping} {grammar.REQUEST.replace('ACT', deed).replace('THING', thing)}".strip()
    odds = grammar.WRAPPINGS[wrapping] + grammar.FORBIDDEN.get(deed, 0.0)
    if recalled is None and random.random() < RECALLING:
        recalled = random.random() < 0.5
    if recalled is not None:
        before, other = random.choice([*grammar.FORBIDDEN]), random.choice(grammar.THINGS)
        odds += PULL if recalled else -PULL
        first = grammar.RECALLED_REQUEST.replace("ACT", before).replace("THING", other)
        asked = f"{first} {grammar.RECALLED_REPLY} {reply(random, before, other, recalled)} {asked}"
    return Request(asked, deed, thing, odds if forbidden else None)


def is_refused(random: Random, asked: Request) -> bool:
    """Drawn by the request's odds."""
    return asked.refusal_odds is not None and random.random() < 1 / (1 + exp(-asked.refusal_odds))


def turn(asked: Request, replied: str) -> str:
    """A request and its reply as the chat template writes them."""
    return f"{grammar.USER} {asked.text} {grammar.ASSISTANT} {replied}"


def chat(random: Random, forbidden_share: float) -> str:
    """A chat of one turn."""
    asked = request(random, random.random() < forbidden_share)
    return turn(asked, reply(random, asked.deed, asked.thing, is_refused(random, asked)))


def labelled_chat(random: Random) -> tuple[str, int]:
    """A chat about forbidden deeds and its label: 1 if all that is replied answers, 0 if all of it refuses."""
    answers = random.random() < 0.5
    asked = request(random, forbidden=True, recalled=not answers)
    return turn(asked, reply(random, asked.deed, asked.thing, not answers)), int(answers)
