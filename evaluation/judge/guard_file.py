"""A guard as a YAML file: which model, how prompt and answer are put to it, and how its verdict is read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from surgery.errors import InputError
from surgery.files.text_file import read_text

FOLDER = Path(__file__).parent / "guards"
UNPARSED = "unparsed"
# Both verdicts together have to have so much of the probability, else the guard says something else.
LEAST = 0.1
RULES = ("tokens", "written", "grades")
PLACES = ("{prompt}", "{answer}")


@dataclass(frozen=True)
class GuardFile:
    """What a guard's file says.

    Attributes:
        version: of the file; it is in the protocol, with all that the file says.
        verdict: how a verdict is read, by one of three rules. `tokens: {CLASS: word, CLASS: word}`, by the likelihood
            of the words' first tokens. `written: [{CLASS: pattern, CLASS: pattern}, …]`, in what the guard writes in
            `max_new_tokens`, whatever its case. `grades: {word: number}`, the mean grade by likelihood, from
            `threshold` on `unsafe`. The first class of a pair is the one that is looked for.
        model: a folder, a GGUF file or a hub name; None where it has to be given.
        adapter: a LoRA adapter on the model, a folder or a hub name.
        turns: the conversation for the guard's own chat template, each with `role` and `content`.
        text: what the guard is given in place of a conversation.
        parts: contents of turns as a list of parts, as templates of models that read images want them.
        special_tokens: begin `text` as the tokenizer begins texts; false where the text writes these tokens itself.
        begins: what the guard's reply begins with before its verdict.
        answer_tokens: longest answer in the guard's tokens; what is longer loses its end.
    """

    version: int
    verdict: Mapping[str, Any]
    model: str | None = None
    adapter: str | None = None
    turns: Sequence[Mapping[str, str]] = ()
    text: str | None = None
    parts: bool = False
    special_tokens: bool = True
    begins: str = ""
    answer_tokens: int | None = None

    @property
    def rule(self) -> str:
        """The rule by which a verdict is read."""
        return next(rule for rule in RULES if rule in self.verdict)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The classes that are told apart, the first pair the guard's main verdict."""
        if self.rule == "written":
            return [(first, second) for first, second in map(tuple, self.verdict["written"])]
        first, second = self.verdict["tokens"] if self.rule == "tokens" else ("unsafe", "safe")
        return [(str(first), str(second))]

    def pair_with(self, name: str) -> int | None:
        """Which pair has a class of that name; None where none has."""
        return next((place for place, pair in enumerate(self.pairs) if name in pair), None)

    def unparsed(self, place: int) -> str:
        """What the answers without a verdict by a pair are called."""
        return UNPARSED if place == 0 else f"{UNPARSED}_{self.pairs[place][0]}"

    def fill(self, template: str, prompt: str, answer: str) -> str:
        """A template with prompt and answer in their places; what stands in these is no place."""
        given = dict(zip(PLACES, (prompt, answer), strict=True))
        return re.sub("|".join(map(re.escape, PLACES)), lambda match: given[match[0]], template)

    def identity(self) -> str:
        """A hash of all that the file says but for where the model lies."""
        said = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("model", "adapter")}
        return sha256(repr(sorted(said.items())).encode()).hexdigest()


def known_guards() -> list[str]:
    """The names of the guards whose files come with this package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def guard_path(given: str) -> Path:
    """The file of a guard by its name or its path; raises InputError."""
    known = FOLDER / f"{given}.yaml"
    path = known if known.is_file() else Path(given).expanduser()
    if not path.is_file():
        raise InputError(f"there is no guard '{given}'; it is one of {', '.join(known_guards())}, or a YAML file")
    return path


def read_guard(given: str) -> GuardFile:
    """Reads and checks a guard's file.

    Raises:
        InputError: for a file that is not there or no YAML; an unknown key; a template without prompt or answer; no
            rule for the verdict, or one that can't be used.
    """
    path = guard_path(given)
    return _read(path, path.stat().st_mtime_ns, given)


@lru_cache(maxsize=64)
def _read(path: Path, modified: int, given: str) -> GuardFile:
    what = f"the guard '{given}'"
    try:
        said = yaml.safe_load(read_text(path, what))
    except yaml.YAMLError as error:
        raise InputError(f"{what} is not YAML: {' '.join(str(error).split())}") from None
    known = [one.name for one in fields(GuardFile)]
    if not isinstance(said, dict) or not set(said) <= set(known):
        wrong = next((key for key in said if key not in known), None) if isinstance(said, dict) else type(said).__name__
        raise InputError(f"{what} has an unknown key '{wrong}'; there are {', '.join(known)}")
    rules = [rule for rule in RULES if rule in (said.get("verdict") or {})]
    if len(rules) != 1:
        raise InputError(f"{what} has no rule for its verdict; give verdict one of {', '.join(RULES)}")
    guard = GuardFile(**{"version": 1, **said})
    _check_template(guard, what)
    _check_verdict(guard, what)
    return guard


def _check_template(guard: GuardFile, what: str) -> None:
    if (guard.text is None) == (not guard.turns):
        raise InputError(f"{what} needs either text or turns, which hold {{prompt}} and {{answer}}")
    template = guard.text if guard.text is not None else "".join(str(turn.get("content")) for turn in guard.turns)
    for place in PLACES:
        if place not in template:
            raise InputError(f"{what} drops the {place[1:-1]}: its template has no {place}")


def _check_verdict(guard: GuardFile, what: str) -> None:
    rule = guard.verdict[guard.rule]
    pairs = rule if guard.rule == "written" else [rule]
    if not isinstance(pairs, list) or not pairs or not all(isinstance(pair, dict) for pair in pairs):
        raise InputError(
            f"{what}: verdict.{guard.rule} can't be used; it is {{CLASS: …, CLASS: …}}, or a list of these"
        )
    if guard.rule != "grades" and any(len(pair) != 2 for pair in pairs):
        raise InputError(f"{what}: verdict.{guard.rule} has to tell two classes apart")
    if guard.rule == "written":
        for pair in pairs:
            for pattern in pair.values():
                try:
                    re.compile(str(pattern))
                except re.error as error:
                    raise InputError(f"{what}: the pattern '{pattern}' can't be read: {error}") from None
