"""What the cells of a command share, each read once: texts, evaluators, and what models tell of themselves."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException
from hydra.utils import instantiate

from evaluation import robustness
from surgery.errors import InputError
from surgery.files.gguf_place import gguf_of
from surgery.files.local_paths import names_a_file, names_a_folder, require_folder
from surgery.files.tensor_file import opened_tensors
from surgery.files.whole_files import verify_checksums
from surgery.texts.text_pairs import TextPairs, read_pairs
from surgery.texts.texts import LabelledTexts, read_texts
from sweeps.cell.canonical_json import canonical_json
from sweeps.cell.settings import Settings
from sweeps.config.key_types import TARGET, parameters
from sweeps.config.read_settings import KeyIsWrong, unknown_key
from sweeps.plan.evaluation_keys import require_types
from sweeps.serving.engine_version import version_of
from sweeps.store.kept_digests import KeptDigests

if TYPE_CHECKING:
    from evaluation.evaluator import Evaluator
    from sweeps.plan.model_reading import ModelReading


@dataclass(frozen=True)
class Evaluators:
    """What is measured, by name, and the identity of each."""

    made: "Mapping[str, Evaluator]"
    identities: Mapping[str, Any]


@dataclass
class Materials:
    """Reads, checks and keeps. Every method raises InputError for what is wrong.

    Attributes:
        keep: where the digests of weights are kept.
    """

    keep: KeptDigests = field(default_factory=lambda: KeptDigests(None))
    _texts: dict[str, LabelledTexts] = field(default_factory=dict)
    _pairs: dict[str, TextPairs] = field(default_factory=dict)
    _evaluators: dict[str, Evaluators] = field(default_factory=dict)
    _engines: dict[str, str] = field(default_factory=dict)
    _checked: set[str] = field(default_factory=set)
    _shown: dict[str, list[str]] = field(default_factory=dict)

    def texts(self, settings: Settings) -> LabelledTexts:
        """The labelled texts of the behavior."""
        behavior = settings.behavior
        key = canonical_json([str(behavior), settings.seed])
        if key not in self._texts:
            if behavior.checksums:
                verify_checksums(behavior.checksums, [behavior.path])
            self._texts[key] = read_texts(
                behavior.path,
                behavior.text,
                behavior.label,
                avoid=behavior.avoid,
                against=behavior.against,
                labels=behavior.labels,
                separator=behavior.separator,
                columns=behavior.columns,
                balance=behavior.balance,
                limit=behavior.limit,
                seed=settings.seed,
                where_else=behavior.source or "",
            )
        return self._texts[key]

    def pairs(self, settings: Settings) -> TextPairs | None:
        """The pairs of texts that a method is told to train on; None where it is told of none."""
        path = settings.method.pairs
        if path is not None and path not in self._pairs:
            self._pairs[path] = read_pairs(path, "method.pairs")
        return None if path is None else self._pairs[path]

    def engine_version(self, settings: Settings) -> str | None:
        """Of the server that computes answers, or that would be started; None where none does."""
        engine = settings.engine
        if not engine.served:
            return None
        key = canonical_json([engine.url, engine.python])
        if key not in self._engines:
            self._engines[key] = version_of(engine)
        return self._engines[key]

    def evaluators(self, values: Mapping[str, Any]) -> Evaluators:
        """The evaluators that the composed config names, checked."""
        evaluation, key = values["evaluation"], _measured(values)
        if key not in self._evaluators:
            require_types(evaluation)
            try:
                found = instantiate(evaluation["measurements"], _convert_="all")
                # `evaluation.measurements.NAME=null` leaves one out.
                made = {name: evaluator for name, evaluator in found.items() if evaluator is not None}
                made |= _relearning(values, made)
            except HydraException as error:
                raise _not_made(error, evaluation["measurements"]) from error
            if evaluation["checksums"]:
                root = Path(evaluation["checksums"]).expanduser().parent
                verify_checksums(evaluation["checksums"], [path for path in _paths(evaluation) if root in path.parents])
            for evaluator in made.values():
                evaluator.check()
            identities = {name: evaluator.identity() for name, evaluator in made.items()}
            self._evaluators[key] = Evaluators(made, identities)
        return self._evaluators[key]

    def files(self, settings: Settings) -> None:
        """Checks what can be said of a model's and a probe's files without torch."""
        model, probe = settings.model, settings.probe
        key = canonical_json([model.path, model.gguf, model.checksums, probe.method, probe.path])
        if key in self._checked:
            return
        self._checked.add(key)
        if not names_a_file(model.path) and model.gguf is None:
            require_folder(model.path)
        elif names_a_file(model.path) or names_a_folder(model.path):
            gguf_of(model.path, model.gguf)
        if model.checksums and names_a_folder(model.path):
            verify_checksums(model.checksums, [Path(model.path).expanduser()])
        if probe.method == "file":
            _check_probe_file(Path(str(probe.path)).expanduser(), str(probe.path))

    def shown(self, settings: Settings, values: Mapping[str, Any]) -> list[str]:
        """What a person should know of how texts and prompts are shown to the model, in sentences; checks them."""
        model = settings.model
        source = [model.path, model.gguf, model.revision, model.trust_remote_code, model.date]
        framing = [model.chat, model.framing().identity(), settings.engine.batching]
        key = canonical_json([source, framing, str(settings.behavior), settings.seed, _measured(values)])
        if key not in self._shown:
            found = self.evaluators(values)
            self._shown[key] = self.models.shown(settings, self.texts(settings), found.made, found.identities)
        return self._shown[key]

    @cached_property
    def models(self) -> "ModelReading":
        """What models tell of themselves. Torch, whose import alone takes seconds, is first needed here."""
        from sweeps.plan.model_reading import ModelReading

        return ModelReading(self.keep)


def _measured(values: Mapping[str, Any]) -> str:
    """What decides which evaluators there are, as one text."""
    evaluation = values["evaluation"]
    asked = evaluation.get("robustness")
    made_of = [asked, values["behavior"], values["probe"]["test_share"]] if _steps(asked) else None
    return canonical_json([evaluation["measurements"], made_of])


def _steps(asked: Any) -> Any:
    """The steps of `evaluation.robustness`; None in records of before there was such a key."""
    if asked is not None and not isinstance(asked, Mapping):
        said = "say evaluation.robustness.steps=[0,10,30,100]"
        raise KeyIsWrong(f"evaluation.robustness={asked} is not possible; {said}", "evaluation.robustness")
    return (asked or {}).get("steps")


def _relearning(values: Mapping[str, Any], made: "Mapping[str, Evaluator]") -> "dict[str, Evaluator]":
    """`evaluation.robustness`, where it is asked for: what is measured of the others after a short training."""
    if not _steps(asked := values["evaluation"].get("robustness")):
        return {}
    settings = {name: value for name, value in asked.items() if name != "of"}
    known = {"texts": values["behavior"], "share": values["probe"]["test_share"]}
    return {"robustness": robustness.Relearning.of(made, asked["of"], **settings, **known)}


def _not_made(error: HydraException, measurements: Mapping[str, Any]) -> InputError:
    """What is wrong with a node of `evaluation.measurements` that nothing can be made of."""
    cause = error.__cause__
    if isinstance(cause, InputError):
        return cause
    said, below = str(error), re.search(r"^full_key: (\S+)$", str(error), re.MULTILINE)
    path = ["evaluation", "measurements", *(below[1].split(".") if below else [])]
    node: Any = {"evaluation": {"measurements": measurements}}
    for name in path:
        node = node.get(name, {}) if isinstance(node, Mapping) else {}
    if match := re.search(r"got an unexpected keyword argument '(\w+)'", said):
        takes = [name for name in parameters(node.get(TARGET)) if name != "return"]
        return unknown_key(match[1], takes, f"{'.'.join(path)}.")
    if match := re.search(r"missing \d+ required \w+ arguments?: '(\w+)'", said):
        key = ".".join([*path, match[1]])
        return KeyIsWrong(f"{key} is not given; say {key}=...", key)
    return KeyIsWrong(f"{'.'.join(path)}: {said.splitlines()[0]}", ".".join(path))


def _check_probe_file(path: Path, given: str) -> None:
    """What can be said without torch, whose import alone takes seconds; the rest is said when the probe is loaded."""
    if not path.is_file():
        raise InputError(f"probe.path '{given}' is not there; give a .safetensors or .pt file")
    if path.suffix == ".safetensors":
        with opened_tensors(path, f"probe.path '{given}'", "np") as file:
            keys = set(file.keys())
        if not {"weight", "bias"} <= keys:
            raise InputError(f"probe.path '{given}' is no probe; it holds {', '.join(sorted(keys)) or 'nothing'}")


def _paths(values: Any) -> list[Path]:
    if isinstance(values, Mapping):
        return [path for value in values.values() for path in _paths(value)]
    if isinstance(values, list):
        return [path for value in values for path in _paths(value)]
    return [Path(values)] if isinstance(values, str) and os.sep in values else []
