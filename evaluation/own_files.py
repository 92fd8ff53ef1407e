"""The measurements of anyone's own files: what isn't given isn't measured."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict

from evaluation.continuations import Continuations, Scorer
from evaluation.divergence.divergence import AT_LEAST, Divergence
from evaluation.engines.decoding import Generation
from evaluation.evaluator import Evaluator
from evaluation.fluency import Fluency
from evaluation.judge.asked_judges import asked_judges
from evaluation.judge.known_judges import NO_JUDGE
from evaluation.lm_eval_tasks import LmEval
from evaluation.perplexity import Perplexity
from evaluation.refusal.refusal import Overrefused
from evaluation.toxicity import Toxicity
from surgery.files.local_paths import name_from


class DetoxifyFiles(TypedDict, total=False):
    """A checkpoint in Detoxify's format and its config folder, or the name of a published one."""

    checkpoint: str | None
    config: str | None
    variant: str


def own_evaluators(
    prompts: str | None,
    text: str | None,
    tasks: str | Sequence[str] | None,
    detoxify: DetoxifyFiles,
    max_new_tokens: int,
    threshold: float,
    tokens_per_batch: int | None,
    batch_size: int | Literal["auto"],
    limit: int | None,
    chat: bool,
    trust_task_code: bool,
    trust_checkpoint: bool,
    harmless_prompts: str | None = None,
    overrefusal_prompts: str | None = None,
    divergence_tokens: int = 32,
    judge: str | Sequence[str] | None = None,
    judge_model: str | None = None,
    judge_class: str | int | None = None,
    judge_texts: Mapping[str, Any] | None = None,
    judge_share: float = 0.1,
) -> dict[str, Evaluator]:
    """The evaluators for the files that are given, in the order they are measured.

    Args:
        prompts: prompts to continue greedily; toxicity and fluency are taken of the continuations alone.
        text: a text to take the perplexity of, called by its file's name without the ending.
        tasks: a folder of lm-eval tasks, or registered names.
        detoxify: `checkpoint` and `config`, or `variant` for a published one.
        max_new_tokens, threshold: of the continuations, and from where on one is toxic.
        tokens_per_batch, batch_size: of `Generation` and `Perplexity`, and of `LmEval`.
        limit: at most so many prompts, and documents of a task.
        chat: put prompts into the model's chat template.
        trust_task_code: run Python code that tasks name.
        trust_checkpoint: unpickle a checkpoint that holds more than tensors.
        harmless_prompts: prompts whose first `divergence_tokens` tokens of answer the divergence is taken over.
        overrefusal_prompts: harmless prompts that sound harmful; how many are refused is measured.
        judge: of the continuations, in Detoxify's place, or `none`; with `judge_model`, `judge_class`, `judge_texts`
            and `judge_share` see `judge_scorers`. A guard that tells refusals judges `overrefusal_prompts` too.
    """
    made: dict[str, Evaluator] = {}
    generation = Generation(max_new_tokens=max_new_tokens, tokens_per_batch=tokens_per_batch, chat=chat)
    judging = (judge, judge_model, judge_class, judge_texts, judge_share)
    if text is not None:
        made["perplexity"] = Perplexity({name_from(Path(text).stem): text}, tokens_per_batch=tokens_per_batch)
    if prompts is not None:
        scorers = prompt_scorers(detoxify, threshold, trust_checkpoint, *judging)
        made["continuations"] = Continuations(prompts, limit=limit, generation=generation, scorers=scorers)
    if harmless_prompts is not None:
        answers = replace(generation, max_new_tokens=divergence_tokens)
        made["divergence"] = Divergence(Continuations(harmless_prompts, limit=limit, generation=answers))
    if overrefusal_prompts is not None:
        refused: dict[str, Scorer] = {"refusal": Overrefused(), **asked_judges(*judging)[1]}
        made["overrefusal"] = Continuations(
            overrefusal_prompts, limit=limit, generation=generation, scorers=refused, at_least=AT_LEAST
        )
    if tasks is not None:
        made["lm_eval"] = LmEval(tasks, batch_size=batch_size, limit=limit, chat=chat, trust_task_code=trust_task_code)
    return made


def prompt_scorers(
    detoxify: DetoxifyFiles,
    threshold: float,
    trust_checkpoint: bool,
    judge: str | Sequence[str] | None = None,
    judge_model: str | None = None,
    judge_class: str | int | None = None,
    judge_texts: Mapping[str, Any] | None = None,
    judge_share: float = 0.1,
) -> dict[str, Scorer]:
    """What judges continuations, Detoxify or a judge in its place or none, and their fluency; see `own_evaluators`."""
    toxicity = Toxicity(**detoxify, threshold=threshold, trust_checkpoint=trust_checkpoint)
    judges, _ = asked_judges(judge, judge_model, judge_class, judge_texts, judge_share)
    published: dict[str, Scorer] = {} if judge == NO_JUDGE else {"toxicity": toxicity}
    return {**(judges or published), "fluency": Fluency()}
