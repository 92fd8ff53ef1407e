"""What an edited model is like: takes a model and a tokenizer, returns measurements.

Evaluators (`Continuations`, `Perplexity`, `LmEval`) are checked before any model is loaded and name everything
that can change what they measure. Each returns `Measurement`s with a score for every sample, so that a base
and an edited model are compared on the same samples.

Names load on first use, so that configs can be checked without torch, transformers or lm-eval.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluation.comparison.compare import Comparison, compare
    from evaluation.continuations import Continuations, Scorer
    from evaluation.evaluator import Evaluator
    from evaluation.fluency import Fluency
    from evaluation.generation import Generated, Generation, generate
    from evaluation.inputs.prompts import halves, read_prompts
    from evaluation.lm_eval_tasks import LmEval
    from evaluation.measurements.measurement import Measurement
    from evaluation.measurements.measurement_files import load_measurements, save_measurements
    from evaluation.perplexity import Perplexity
    from evaluation.probe_loss import probe_loss
    from evaluation.refusal import Refusal
    from evaluation.toxicity import Toxicity

_HOME = {
    "Comparison": "evaluation.comparison.compare",
    "Continuations": "evaluation.continuations",
    "Evaluator": "evaluation.evaluator",
    "Fluency": "evaluation.fluency",
    "Generated": "evaluation.generation",
    "Generation": "evaluation.generation",
    "LmEval": "evaluation.lm_eval_tasks",
    "Measurement": "evaluation.measurements.measurement",
    "Perplexity": "evaluation.perplexity",
    "Refusal": "evaluation.refusal",
    "Scorer": "evaluation.continuations",
    "Toxicity": "evaluation.toxicity",
    "compare": "evaluation.comparison.compare",
    "generate": "evaluation.generation",
    "halves": "evaluation.inputs.prompts",
    "load_measurements": "evaluation.measurements.measurement_files",
    "probe_loss": "evaluation.probe_loss",
    "read_prompts": "evaluation.inputs.prompts",
    "save_measurements": "evaluation.measurements.measurement_files",
}

__all__ = [
    "Comparison",
    "Continuations",
    "Evaluator",
    "Fluency",
    "Generated",
    "Generation",
    "LmEval",
    "Measurement",
    "Perplexity",
    "Refusal",
    "Scorer",
    "Toxicity",
    "compare",
    "generate",
    "halves",
    "load_measurements",
    "probe_loss",
    "read_prompts",
    "save_measurements",
]


# Where modules lay that recorded configs name as `_target_`.
_EARLIER = {"imported": "evaluation.scores_from_file", "own": "evaluation.own_files"}


def __getattr__(name: str) -> object:
    if name in _EARLIER:
        return import_module(_EARLIER[name])
    if name not in _HOME:
        raise AttributeError(f"module 'evaluation' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
