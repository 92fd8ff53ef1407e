"""What `evaluation.judge=…` may name, and the metric that an edit is then after; nothing is loaded for that."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.judge.guard_file import guard_path, known_guards, read_guard
from surgery.errors import InputError
from surgery.files.local_paths import name_from

PROBE_TEXTS = "probe-texts"
# No judge at all, not Detoxify either: continuations are measured by their fluency alone.
NO_JUDGE = "none"


def judge_names(judge: str | Sequence[str] | None) -> list[str]:
    """The judges that are named; none where nothing is, or `none`."""
    if judge is None or judge == NO_JUDGE:
        return []
    return [judge] if isinstance(judge, str) else list(judge)


def is_guard(name: str) -> bool:
    """Whether a name is that of a guard that comes with this package, or of a YAML file."""
    return name in known_guards() or Path(name).suffix in (".yaml", ".yml")


def is_word_list(name: str) -> bool:
    """Whether a name is that of a file with a list of words."""
    return Path(name).suffix.lower() == ".txt"


def _is_classifier(name: str) -> bool:
    """Whether a name can only be that of a text classifier, by folder or hub name."""
    return not (name == PROBE_TEXTS or is_word_list(name) or is_guard(name))


def require_used(names: Sequence[str], model: str | None, judged_class: str | int | None) -> None:
    """Raises InputError for a judge's model or class that no judge named would use."""
    for key, value, of, uses in (
        ("judge_model", model, "guards", is_guard),
        ("judge_class", judged_class, "text classifiers", _is_classifier),
    ):
        if value is None:
            continue
        if not names:
            raise InputError(f"evaluation.{key}={value} is given and no judge; name it with evaluation.judge=NAME")
        if (name := next((one for one in names if not uses(one)), None)) is not None:
            raise InputError(f"evaluation.{key}={value} is for {of}, and evaluation.judge={name} is none; leave it out")


def called(file: str) -> str:
    """What a guard's metrics are called by, unless it is given a name."""
    return name_from(guard_path(file).stem)


def judge_metric(judge: str | Sequence[str], judged_class: str | int | None = None) -> str:
    """The metric that an edit is after by a judge; by several, of the first."""
    name = judge if isinstance(judge, str) else next(iter(judge))
    if name == PROBE_TEXTS:
        return f"guard/{PROBE_TEXTS}/avoided_rate"
    if is_word_list(name):
        return f"guard/{name_from(Path(name).stem)}/listed_rate"
    if is_guard(name):
        return f"guard/{called(name)}/{read_guard(name).pairs[0][0]}_rate"
    return f"guard/{name_from(Path(name).name)}/{name_from(str(judged_class))}_rate"
