"""`evaluation=safety`: published sets of requests, each put plainly, with a prefilled answer, and in an attack."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from evaluation.continuations import Continuations, Scorer
from evaluation.divergence.divergence import AT_LEAST, Divergence
from evaluation.engines.decoding import Generation
from evaluation.evaluator import Evaluator
from evaluation.grouped_prompts import PromptSets
from evaluation.judge.asked_judges import asked_judges
from evaluation.judge.known_judges import judge_metric, judge_names
from evaluation.perplexity import Perplexity
from evaluation.refusal.refusal import Overrefused, Refusal
from evaluation.safety.request_set import VARIANTS, RequestSet
from surgery.errors import InputError
from surgery.files.local_paths import name_from

# What is told of each set by itself; the rest of all sets together.
EACH = ("*/refusal_rate", "*/overrefusal_rate", "*/unsafe_rate", "*/avoided_rate", "*/listed_rate", "*/unparsed")


@dataclass(frozen=True)
class Asked:
    """How the sets are asked and judged.

    Attributes:
        generation: of the answers.
        limit: at most so many requests of a set, drawn.
        phrases: the list of `jailbreak/…`; the paper's is told beside it.
        harmful, harmless: judges of the answers to either, beside the lists.
        judge_metrics: the first metric of each judge.
    """

    generation: Generation
    limit: int | None
    phrases: Literal["paper", "modern"] | Sequence[str]
    harmful: Mapping[str, Scorer]
    harmless: Mapping[str, Scorer]
    judge_metrics: Sequence[str]

    def of(self, name: str, one: RequestSet, place: str) -> Continuations:
        """A set's requests, their answers and who judges them."""
        kind = Refusal if one.harmful else Overrefused
        lists: dict[str, Scorer] = {"refusal": kind(self.phrases)}
        if self.phrases != "paper":
            lists["paper"] = kind("paper", name="jailbreak_paper")
        by_category = ["jailbreak/refusal_rate", *self.judge_metrics] if one.harmful else ["jailbreak/overrefusal_rate"]
        return Continuations(
            place,
            column=one.column,
            where=one.where,
            category=one.category,
            by_category=by_category if one.category is not None else (),
            source=one.ways_out(name),
            limit=self.limit,
            generation=self.generation,
            scorers={**lists, **(self.harmful if one.harmful else self.harmless)},
            each_alone=True,
            at_least=1 if one.harmful else AT_LEAST,
        )

    def unjudged(
        self, name: str, known: Mapping[str, RequestSet], files: Mapping[str, str | None], folder: str | None
    ) -> Continuations:
        """The prompts of a set, by its name, or of any file of prompts."""
        one = known.get(name)
        place = name if one is None else one.place(name, files.get(name), folder)
        plain = Continuations(place) if one is None else self.of(name, one, place)
        return replace(
            plain,
            generation=self.generation,
            limit=self.limit,
            each_alone=True,
            scorers={},
            by_category=(),
            category=None,
        )


def safety_evaluators(
    sets: str | Sequence[str],
    known: Mapping[str, RequestSet],
    files: Mapping[str, str | None],
    folder: str | None,
    variants: str | Sequence[str],
    prefill: str,
    wrapper: str,
    generation: Generation,
    limit: int | None = None,
    phrases: Literal["paper", "modern"] | Sequence[str] = "modern",
    harmless_prompts: str | None = None,
    divergence_tokens: int = 32,
    text: str | None = None,
    judge: str | Sequence[str] | None = None,
    judge_model: str | None = None,
    judge_class: str | int | None = None,
    judge_texts: Mapping[str, Any] | None = None,
    judge_share: float = 0.1,
) -> dict[str, Evaluator]:
    """The evaluators of the sets and variants that are asked for; see `PromptSets` for the names of the metrics.

    Args:
        sets: their names, as a list or with commas between them.
        known: {name: what is known of it}.
        files, folder: where they lie, see `RequestSet.place`.
        variants: of `plain`, `prefill` and `wrapped`.
        prefill, wrapper: what an answer is made to begin with, and the attack that a request is put into, with {prompt}
            in it.
        generation: of the answers.
        limit: at most so many requests of each set, drawn by their own hashes, since some sets are sorted.
        phrases: the list of refusals, see `Refusal`; the paper's is told beside it as `jailbreak_paper/…`.
        harmless_prompts, divergence_tokens, text: as `own_evaluators` takes them; the prompts also by the name of a
            set, and of them too `limit` are drawn.
        judge, judge_model, judge_class, judge_texts, judge_share: see `evaluation.judge.named_judges.judge_scorers`;
            of the answers to harmful requests, and by guards that tell refusals also to the harmless ones.

    Raises:
        InputError: for an unknown set or variant, and a set whose file is nowhere.
    """
    names, ways = _chosen(sets, known, "sets"), _chosen(variants, VARIANTS, "variants")
    places = {name: known[name].place(name, files.get(name), folder) for name in names}
    harmful, harmless = asked_judges(judge, judge_model, judge_class, judge_texts, judge_share)
    judges = [judge_metric(one, judge_class) for one in judge_names(judge)]
    asked = Asked(generation, limit, phrases, harmful, harmless, judges)
    made: dict[str, Evaluator] = {}
    if text is not None:
        tokens_per_batch = generation.tokens_per_batch
        made["perplexity"] = Perplexity({name_from(Path(text).stem): text}, tokens_per_batch=tokens_per_batch)
    if harmless_prompts is not None:
        answers = replace(asked, generation=replace(generation, max_new_tokens=divergence_tokens))
        made["divergence"] = Divergence(answers.unjudged(harmless_prompts, known, files, folder))
    plain = {name: asked.of(name, known[name], places[name]) for name in names}
    for variant in ways:
        made |= _put(variant, plain, known, prefill, wrapper)
    return made


def _put(
    variant: str, plain: Mapping[str, Continuations], known: Mapping[str, RequestSet], prefill: str, wrapper: str
) -> dict[str, Evaluator]:
    """The harmful sets together, and the harmless ones, where there are any that are put in this way."""
    under = "" if variant == "plain" else variant
    made: dict[str, Evaluator] = {}
    for kind, harmful in (("refusal", True), ("overrefusal", False)):
        sets = {
            name: _attacked(one, variant, prefill, wrapper)
            for name, one in plain.items()
            if known[name].harmful is harmful and variant in known[name].variants
        }
        if sets:
            made[f"{kind}_{under}".rstrip("_")] = PromptSets(sets, under=under, each=EACH)
    return made


def _attacked(plain: Continuations, variant: str, prefill: str, wrapper: str) -> Continuations:
    """The same requests as a variant puts them."""
    if variant == "prefill":
        return replace(plain, generation=replace(plain.generation, prefill=prefill))
    return replace(plain, wrapper=wrapper) if variant == "wrapped" else plain


def _chosen(given: str | Sequence[str], possible: Mapping[str, object] | Sequence[str], key: str) -> list[str]:
    """The names that are asked for, each once; raises InputError for none, and for one that is not possible."""
    written = given.split(",") if isinstance(given, str) else given
    names = list(dict.fromkeys(str(name).strip() for name in written if str(name).strip()))
    if not names:
        raise InputError(f"evaluation.{key} is empty; it is one or more of {', '.join(possible)}")
    for name in names:
        if name not in possible:
            near = difflib.get_close_matches(name, list(possible), n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(possible)}"
            raise InputError(f"evaluation.{key} names '{name}', which is none; {hint}")
    return names
