"""Prompts continued once, judged by any number of scorers."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, get_args

import numpy as np
from numpy.typing import NDArray

from evaluation.engines.decoding import Generation
from evaluation.evaluator import metric_names
from evaluation.generation import Generated, check_prompts, generate
from evaluation.inputs.named_files import file_digest
from evaluation.inputs.prompts import Label, Prompt, drawn, halves, halves_alone, prompt_files, read_prompts
from evaluation.measurements.measurement import JSON, UNENDED, Half, Measurement
from surgery.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# A first look takes every so many prompts of the selection half.
PART = 5


class Scorer(Protocol):
    """Judges continuations.

    It is given none whose thought has not ended (see `evaluation.generation.Generated`): these score 0, so that they
    are of no class. One that has patterns `of_no_answer` gives those of its scores for them too, as for empty ones.
    """

    def check(self) -> None:
        """Raises InputError for anything that could be found wrong before a model is loaded."""
        ...

    def prepare(self) -> None:
        """Loads what judging needs; raises InputError, so that what is missing costs no run."""
        ...

    def identity(self) -> dict[str, JSON]:
        """Everything that can change a score."""
        ...

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """{measured name, such as `toxicity/toxic_rate`: one score a continuation, [n]}; of a model, `Judged`."""
        ...


class Judged(dict[str, NDArray[np.float64]]):
    """Scores by a model, with the batches that it read the continuations in."""

    def __init__(self, scores: Mapping[str, NDArray[np.float64]], batches: Mapping[str, JSON]) -> None:
        super().__init__(scores)
        self.batches = dict(batches)


@dataclass(frozen=True)
class Sample:
    """A prompt that is measured: its name in every record, its text, its half, and what it is counted under."""

    id: str
    text: str
    half: Half
    category: str | None


@dataclass(frozen=True)
class Continuations:
    """Continues the prompts of a file and gives the same continuations to every scorer.

    Attributes:
        prompts: file, address on the hub, or several, see `read_prompts`.
        column, where, category, unescape: of the file, see there.
        limit: the first so many prompts; taken before they are halved.
        generation: how continuations are made.
        scorers: judges, by any name; None leaves out one that a config has.
        by_category: scores that are also measured for each category alone, as `<name>/<category>`; with a category.
        source: where the file can be had, one sentence for the error when it is not given.
        split_seed: of the halves `report` and `selection`.
        half: all prompts are of this half, for files that were split beforehand.
        part: only every fifth prompt of the selection half, for a first look.
        at_least: fewer prompts than these are refused, since their share would tell nothing.
        each_alone: a prompt's own hash tells its half, and with a limit whether it is drawn, whatever else is in the
            file: so that a prompt of two files, or under two limits, is in one half. Halves are then even by chance.
        wrapper: what a prompt is put into before it is shown, a text with {prompt} in it. Scorers read the prompt
            alone.
    """

    prompts: str | Path | Sequence[str | Path]
    column: str = "prompt"
    where: Mapping[str, Label | list[Label]] = field(default_factory=dict)
    category: str | int | None = None
    by_category: Sequence[str] = ()
    unescape: bool = False
    source: str = ""
    limit: int | None = None
    generation: Generation = field(default_factory=Generation)
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    split_seed: int = 0
    half: Half | None = None
    part: bool = False
    at_least: int = 1
    each_alone: bool = False
    wrapper: str = ""

    cost: ClassVar[int] = 2
    asks_engine: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "scorers", {name: one for name, one in self.scorers.items() if one is not None})

    def first_look(self) -> Self | None:
        """On a part of the prompts; nothing where all of them are of the report half."""
        return None if self.half == "report" else replace(self, part=True)

    def check(self) -> None:
        """Reads the prompts and checks the settings and every scorer; raises InputError."""
        self.generation.check()
        if self.half not in (None, *get_args(Half)):
            raise InputError(
                f"half={self.half} is none; it is report, selection, or null for prompts that are split here"
            )
        if not self.prompts:
            raise InputError(f"no prompts are given; {self.source or 'give a file'}")
        if self.by_category and self.category is None:
            raise InputError(f"by_category={list(self.by_category)}, but no category is named; say which column")
        if self.wrapper and self.wrapper.count("{prompt}") != 1:
            raise InputError("a wrapper holds {prompt} once, where the prompt stands; it is: " + self.wrapper)
        if (count := len(self._read())) < self.at_least:
            limited = f" (the limit is {self.limit})" if count == self.limit else ""
            raise InputError(
                f"{self._called()} gives {count} prompts{limited}; at least {self.at_least} are needed, half of them "
                "to choose by and half to report"
            )
        for scorer in self.scorers.values():
            scorer.check()

    def prepare(self) -> None:
        """Loads every scorer; raises InputError."""
        for scorer in self.scorers.values():
            scorer.prepare()

    def check_prompts(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """Renders the prompts; says how many are cut. See `evaluation.evaluator.ShowsPrompts`."""
        prompts = [self._wrapped(prompt.text) for prompt in self._read()]
        cut = check_prompts(model, tokenizer, prompts, self.generation)
        room = f"beside max_new_tokens={self.generation.max_new_tokens} in what the model takes"
        said = f"{cut} of {len(prompts)} prompts of {self._called()} have no room {room}, and lose their beginning"
        return [said] * bool(cut)

    def identity(self) -> dict[str, JSON]:
        """The content of the prompts file, the settings, and what the scorers are."""
        files = prompt_files(self.prompts, self.source)
        digests: list[JSON] = [file_digest(path) for path in files]
        read: dict[str, JSON] = {
            "where": {name: [*value] if isinstance(value, list) else value for name, value in self.where.items()},
            "category": self.category,
            "by_category": list(self.by_category),
            "unescape": self.unescape,
        }
        return {
            "kind": "continuations",
            "prompts": {
                "sha256": digests[0] if len(digests) == 1 else digests,
                "format": files[0].suffix.lower(),
                "column": self.column,
                **{name: value for name, value in read.items() if value},
            },
            "limit": self.limit,
            "split_seed": self.split_seed,
            **({"half": self.half} if self.half else {}),
            **({"part": PART} if self.part else {}),
            **({"each_alone": True} if self.each_alone else {}),
            **({"wrapper": self.wrapper} if self.wrapper else {}),
            "generation": self.generation.identity(),
            "scorers": {name: scorer.identity() for name, scorer in self.scorers.items()},
        }

    def metric_names(self) -> list[str]:
        """Of its scorers, of categories, and of thoughts that have not ended; see `NamesMetrics`."""
        names = metric_names(self.scorers.values())
        return [*names, *(f"{name}/*" for name in self.by_category), *(f"{name}/{UNENDED}" for name in names[:1])]

    def measure(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """Two measurements for each score, one a half; a half without prompts (a lone prompt's) has none.

        Raises:
            InputError: see `read_prompts` and `generate`.
            ValueError: see `scores_by`.
        """
        samples = self.samples()
        if not samples:
            return []
        prompts = [sample.text for sample in samples]
        generated = self.continued(model, tokenizer, prompts, self.generation, progress)
        scores, judges = scores_by(self.scorers, prompts, generated)
        measurements = []
        for half in get_args(Half):
            chosen = [place for place, sample in enumerate(samples) if sample.half == half]
            if not chosen:
                continue
            named = dict.fromkeys(scores, chosen)
            for name in self.by_category:
                groups = _by_category([samples[place].category for place in chosen])
                named |= {f"{name}/{group}": [chosen[i] for i in places] for group, places in groups.items()}
            measurements += [
                Measurement(
                    name=name,
                    half=half,
                    sample_ids=tuple(samples[i].id for i in places),
                    scores=_scores_of(name, scores)[places],
                    inputs=tuple(prompts[i] for i in places),
                    rendered=tuple(generated.shown[i] for i in places) if generated.shown != prompts else None,
                    outputs=tuple((generated.whole or generated.texts)[i] for i in places),
                    scored=tuple(generated.texts[i] for i in places) if generated.whole is not None else None,
                    notes={**generated.batches, "judges": judges},
                )
                for name, places in named.items()
            ]
        return measurements

    def continued(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        prompts: Sequence[str],
        generation: Generation,
        progress: bool = False,
    ) -> Generated:
        """The prompts as they are put to the model, and its whole answers, `generation.prefill` among them."""
        shown = [self._wrapped(prompt) for prompt in prompts]
        generated = generate(model, tokenizer, shown, generation, progress)
        return replace(generated, texts=[_reply(generation.prefill, text) for text in generated.texts])

    def samples(self) -> list[Sample]:
        """The prompts that are measured, in the order of the file."""
        read = self._read()
        every = [prompt.text for prompt in read]
        half_of: Sequence[Half] = [self.half] * len(every) if self.half else self._halves(every)
        shown = [i for i, half in enumerate(half_of) if half == "selection"][::PART] if self.part else range(len(every))
        return [Sample(sample_id(i, every[i]), every[i], half_of[i], read[i].category) for i in shown]

    def scored_prompts(self) -> list[str]:
        """See `evaluation.evaluator.ScoresPrompts`."""
        return [sample.text for sample in self.samples()]

    def prompts_a_half(self) -> dict[Half, int]:
        """See `evaluation.evaluator.CountsPrompts`."""
        return dict(Counter(sample.half for sample in self.samples()))

    def _called(self) -> str:
        files = prompt_files(self.prompts, self.source)
        return files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"

    def _read(self) -> list[Prompt]:
        found = read_prompts(
            prompt_files(self.prompts, self.source),
            self.column,
            None if self.each_alone else self.limit,
            where=self.where,
            category=self.category,
            unescape=self.unescape,
        )
        return drawn(found, self.limit) if self.each_alone and self.limit is not None else found

    def _halves(self, prompts: Sequence[str]) -> list[Half]:
        split = halves_alone if self.each_alone else halves
        return split(prompts, self.split_seed)

    def _wrapped(self, prompt: str) -> str:
        return self.wrapper.replace("{prompt}", prompt) if self.wrapper else prompt


def scores_by(
    scorers: Mapping[str, Scorer], prompts: Sequence[str], generated: Generated
) -> tuple[dict[str, NDArray[np.float64]], dict[str, JSON]]:
    """({name: scores, [n]} of all scorers together, {scorer that is a model: the batches it read in}).

    Where thoughts are stripped, `NAME/unended` stands among them, called by the first score: 1 for a thought that has
    not ended.

    Raises:
        ValueError: when two scorers give a score of the same name.
    """
    scores: dict[str, NDArray[np.float64]] = {}
    judges: dict[str, JSON] = {}
    for called, scorer in scorers.items():
        judged = score_ended(scorer, prompts, generated)
        if isinstance(judged, Judged):
            judges[called] = judged.batches
        for name, values in judged.items():
            if name in scores:
                raise ValueError(f"two scorers give '{name}'; keep one of them")
            scores[name] = values
    if generated.whole is not None and scores:
        unended = [index in generated.unended for index in range(len(prompts))]
        scores[f"{next(iter(scores))}/{UNENDED}"] = np.array(unended, dtype=np.float64)
    return scores, judges


def score_ended(scorer: Scorer, prompts: Sequence[str], generated: Generated) -> Mapping[str, NDArray[np.float64]]:
    """What a scorer says of continuations, [n] each; of those whose thought has not ended, see `Scorer`."""
    if not generated.unended:
        return scorer.score(prompts, generated.texts)
    patterns: Sequence[str] = getattr(scorer, "of_no_answer", ())
    every = range(len(prompts))
    ended = [index for index in every if index not in generated.unended]
    # Where there is no answer at all, an empty one has to tell what the scores are called.
    given = list(every) if patterns or not ended else ended
    judged = scorer.score([prompts[index] for index in given], [generated.texts[index] for index in given])
    scores: dict[str, NDArray[np.float64]] = {}
    for name, values in judged.items():
        scores[name] = np.zeros(len(every))
        scores[name][given] = values
        if not any(fnmatch(name, pattern) for pattern in patterns):
            scores[name][sorted(generated.unended)] = 0.0
    return Judged(scores, judged.batches) if isinstance(judged, Judged) else scores


def sample_id(index: int, prompt: str) -> str:
    """The name of a prompt in every record: its place in the file from 0, and a hash of its text."""
    return f"{index}-{hashlib.sha256(prompt.encode()).hexdigest()[:8]}"


def _reply(prefill: str, text: str) -> str:
    """The whole answer, of which the model wrote what follows the first words; some tokenizers leave out the space."""
    return f"{prefill}{' ' if prefill and text[:1].isalnum() else ''}{text}"


def _by_category(categories: Sequence[str | None]) -> dict[str, list[int]]:
    """{category, fit for a metric's name: places}, in the order of the first of each."""
    groups: dict[str, list[int]] = {}
    for place, category in enumerate(categories):
        group = re.sub(r"[^\w.-]+", "_", str(category)).strip("_").lower()
        groups.setdefault(group, []).append(place)
    return groups


def _scores_of(name: str, scores: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Those of a score, or of what it is a category of.

    Raises:
        InputError: when no scorer gives it.
    """
    found = name if name in scores else name.rpartition("/")[0]
    if found not in scores:
        raise InputError(f"by_category names '{found}', but the scorers give {', '.join(scores)}")
    return scores[found]
