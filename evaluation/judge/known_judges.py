"""What `evaluation.judge=…` may name, and the metric that an edit is then after; nothing is loaded for that."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.judge.guard_file import guard_path, known_guards, read_guard
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
