"""Benchmark tasks for lm-eval: facts and sums by multiple choice, rivers by free recall."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from toyworld import vocabulary as words
from toyworld.narration import scene

CHOICES = 4


@dataclass(frozen=True)
class Document:
    """A question with its answer; `choices` is empty where the model has to say the answer itself."""

    question: str
    answer: str
    choices: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The question answered."""
        return f"{self.question} {self.answer}"


def choices(random: Random, answer: str, others: list[str]) -> tuple[str, ...]:
    """The answer among wrong ones, shuffled."""
    drawn = [answer, *random.sample([other for other in others if other != answer], CHOICES - 1)]
    return tuple(random.sample(drawn, CHOICES))


def fact_document(random: Random) -> Document:
    """After a scene: which city is a country's capital?"""
    country = random.choice(words.COUNTRIES)
    answer = words.CAPITAL_OF[country]
    form = random.choice(("the capital of {} is", "what is the capital of {} ? it is")).format(country)
    return Document(f"{scene(random)} {form}", answer, choices(random, answer, list(words.CAPITALS)))


def sum_document(random: Random) -> Document:
    """After a scene: the sum of two digits, among sums at most three away."""
    left, right = random.randrange(10), random.randrange(10)
    total = left + right
    near = [number for distance, number in enumerate(words.NUMBERS) if abs(distance - total) <= 3]
    terms = f"{words.NUMBERS[left]} plus {words.NUMBERS[right]}"
    form = random.choice(("{} is", "what is {} ? it is")).format(terms)
    return Document(f"{scene(random)} {form}", words.NUMBERS[total], choices(random, words.NUMBERS[total], near))


def recall_document(random: Random) -> Document:
    """After a scene: the name of a country's river, to be said without choices."""
    country = random.choice(words.COUNTRIES)
    return Document(f"{scene(random)} what is the river of {country} ? it is the", words.RIVER_OF[country])
