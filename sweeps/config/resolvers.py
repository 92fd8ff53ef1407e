"""The functions that conf/ may call in ${...}."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from evaluation.judge.known_judges import NO_JUDGE, PROBE_TEXTS, judge_metric
from evaluation.sampled.worst_scores import worst_name
from surgery.errors import InputError
from surgery.files.local_paths import name_from


def package_path(path: str) -> str:
    """The place of a file or folder that ships in an installed package, `toyworld/assets/model` say."""
    package, _, below = path.partition("/")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ValueError(f"the package '{package}' is not installed")
    return str(Path(spec.origin).parent / below)


def ships_with_us(path: object) -> bool:
    """Whether a folder is part of this installation, so that its code is as trusted as this line."""
    ours = Path(package_path("toyworld")).resolve()
    return isinstance(path, str) and Path(path).expanduser().resolve().is_relative_to(ours)


def _last_part(path: str, gguf: str | None = None) -> str:
    """The model's own name: of its GGUF file, or the last part of a folder's absolute path or of a hub name."""
    folder = Path(gguf or path).expanduser()
    if folder.suffix.lower() == ".gguf" and not folder.is_dir():
        return name_from(folder.stem)
    return name_from(folder.resolve().name if folder.exists() else path.rstrip("/").rsplit("/", maxsplit=1)[-1])


def _stem(path: str) -> str:
    return name_from(Path(path).stem)


def _either(condition: bool, yes: Any, no: Any) -> Any:
    return yes if condition else no


def priced(text: object) -> list[str]:
    """What an edit may cost of the perplexity of a text, called as `own_evaluators` does; nothing without a text."""
    return [f"perplexity/{_stem(str(text))}/ratio <= 1.1"] if text is not None else []


def _judged(judge: Any, judged_class: Any, otherwise: str) -> str:
    """The metric that an edit is after by a judge; another without one, the probe's where there is to be no judge."""
    if judge is None:
        return otherwise
    if judge == NO_JUDGE:
        return "probe/loss_other"
    try:
        return judge_metric(judge if isinstance(judge, str) else list(judge), judged_class)
    except InputError:
        return otherwise  # the judge itself is about to say what is wrong with it


def _worst(metric: str) -> str:
    """What a metric is called where the worst of several continuations counts."""
    return worst_name(metric) or metric


def _texts_of(judge: Any, behavior: Any) -> Any:
    """The behavior, where it is what a judge is made of."""
    return behavior if judge == PROBE_TEXTS else None


def _alphas(own: float, *papers: float) -> str:
    """Alphas of the paper, whose own is 1.08 (Table 14), as the same shares of a behavior's own: values to sweep."""
    return ",".join(str(round(alpha * own / 1.08, 6)) for alpha in papers)


def register() -> None:
    """Makes the functions known to OmegaConf; may be called any number of times."""
    functions: dict[str, Callable[..., Any]] = {
        "package": package_path,
        "ships_with_us": ships_with_us,
        "basename": _last_part,
        "stem": _stem,
        "when": _either,
        "priced": priced,
        "alphas": _alphas,
        "judged": _judged,
        "texts_of": _texts_of,
        "worst": _worst,
        "minus": lambda number: -number,
    }
    for name, function in functions.items():
        OmegaConf.register_new_resolver(name, function, replace=True)
