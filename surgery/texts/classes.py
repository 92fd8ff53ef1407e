"""Which of two classes a labelled text belongs to, and what is left out because it belongs to none."""

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

from surgery.errors import InputError
from surgery.texts.labels import Labelled
from surgery.texts.words import as_word, is_judged, text_key

FEWEST_TEXTS = 10


@dataclass(frozen=True)
class Classes:
    """The labels to move away from (class 1), and those of the rest (class 0).

    Attributes:
        avoid: label values, or names of `labels`.
        against: likewise; empty for all others.
        labels: {class: its label values}.
    """

    avoid: Sequence[object]
    against: Sequence[object] = ()
    labels: Mapping[str, Sequence[object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if both := self.avoided & self.kept:
            raise InputError(f"label '{min(both)}' is both in behavior.avoid and in behavior.against")

    @cached_property
    def avoided(self) -> frozenset[str]:
        """The words of `avoid`."""
        return frozenset(map(as_word, self.avoid))

    @cached_property
    def kept(self) -> frozenset[str]:
        """The words of `against`."""
        return frozenset(map(as_word, self.against))

    @property
    def names(self) -> tuple[str, str]:
        """Of class 0 and class 1."""
        return " ".join(sorted(self.kept)) or "other", " ".join(sorted(self.avoided))

    @cached_property
    def _classes_of(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for name, values in self.labels.items():
            for value in values:
                found.setdefault(as_word(value), set()).add(as_word(name))
        return found

    def judgement(self, labels: Iterable[str]) -> frozenset[str]:
        """The labels that say something: what stands for no judgement does so only where it is named as a label."""
        named = self.avoided | self.kept | self._classes_of.keys()
        return frozenset(label for label in labels if label in named or is_judged(label))

    def of(self, judgement: frozenset[str]) -> int | None:
        """1, 0, or None for what belongs to neither class or to both."""
        words = judgement.union(*(self._classes_of.get(label, ()) for label in judgement))
        avoided, other = bool(words & self.avoided), bool(words & self.kept)
        if not self.kept:
            return int(avoided)
        return int(avoided) if avoided != other else None


@dataclass
class SortedTexts:
    """Texts by class, and what was left out.

    Attributes:
        chosen: (text, class), in the order of the table.
        empty, neither: rows without text, and of neither class or of both.
        unjudged: how many rows hold each word that is no judgement.
        seen: how many texts carry each label.
    """

    chosen: list[tuple[str, int]] = field(default_factory=list)
    empty: int = 0
    neither: int = 0
    unjudged: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, rows: Iterable[Labelled], classes: Classes) -> "SortedTexts":
        """Sorts the rows of a table."""
        found = cls()
        for row in rows:
            judgement = classes.judgement(row.labels)
            found.seen.update(judgement)
            value = classes.of(judgement)
            if row.text is None:
                found.empty += 1
            elif row.unjudged is not None:
                found.unjudged[row.unjudged or "empty"] += 1
            elif row.labels and not judgement:
                found.unjudged[min(row.labels) or "empty"] += 1
            elif value is None:
                found.neither += 1
            else:
                found.chosen.append((row.text, value))
        return found

    def left_out(self) -> list[str]:
        """Each reason, with how many rows were left out for it."""
        reasons = [f"{self.empty} without text"] * bool(self.empty)
        if total := self.unjudged.total():
            words = self.unjudged.most_common(8)
            told = words[0][0] if len(words) == 1 else ", ".join(f"{count} {word}" for word, count in words)
            reasons.append(f"{total} of neither class: no judgement ({told})")
        return reasons + [f"{self.neither} of neither class or of both"] * bool(self.neither)

    def require_both(self, classes: Classes, path: object) -> None:
        """Raises InputError where a class has fewer different texts than a probe needs; says where the rest is."""
        for value, key, words in ((1, "avoid", classes.avoided), (0, "against", classes.kept)):
            texts = [text for text, of_class in self.chosen if of_class == value]
            different = len({text_key(text) for text in texts})
            if different >= FEWEST_TEXTS:
                continue
            asked = f"behavior.{key}={sorted(words)}" if words else "the class of all other labels"
            copies = f" that differ, in {len(texts)} rows," if len(texts) > different else ""
            other = "the other class has" if words or value else f"behavior.avoid={sorted(classes.avoided)} has"
            left_out = ", ".join(self.left_out()) or "no row"
            seen = ", ".join(word or "''" for word, _ in self.seen.most_common(8))
            hint = "; a word that is a label all the same is named in behavior.against" if self.unjudged else ""
            raise InputError(
                f"{asked} gives {different} texts{copies} in '{path}', {FEWEST_TEXTS - different} fewer than the "
                f"{FEWEST_TEXTS} a probe needs; {other} {len(self.chosen) - len(texts)}; left out: {left_out}; "
                f"the labels there are {seen or 'none'}{hint}{'' if different else self._instead(key, words)}"
            )

    def _instead(self, key: str, words: Collection[str]) -> str:
        """The key to type where none of the labels that were asked for is there: with the nearest, or any that is."""
        given = {word for word in self.seen if word}
        # What belongs to the other class as things are can be named too: `avoid` may have been left at its default.
        near = [match for word in sorted(words) for match in get_close_matches(word, given, n=1)]
        choices = near or [word for word, _ in self.seen.most_common(2) if word]
        if len(given) < 2 or not choices:
            return ""
        asked = [shlex.quote(f"behavior.{key}=[{word}]") for word in choices[:2]]
        return f"; did you mean {asked[0]}?" if near else f"; name one, {' or '.join(asked)} say"
