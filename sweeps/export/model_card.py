"""A model card, from a cell's record: what was changed, what that did, and how to make it again.

It is for others: where files lie on this machine is nowhere in it.
"""

import re
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, StrictUndefined

from surgery.files.local_paths import is_there, names_a_file, names_a_folder
from sweeps.export.chain_gguf import GGUF_KINDS, file_name, modelfile
from sweeps.findings.one_sentence import in_one_sentence
from sweeps.records.choice import Choice
from sweeps.records.record import Record

if TYPE_CHECKING:
    from surgery.files.gguf_file import GgufFile

# Of a list or mapping, as Hydra writes them.
_ONE_VALUE = re.compile(r"""[^,\[\]{}'"]+""")


def licence_of(base: "GgufFile | Path") -> str:
    """What a model's own files say of its licence."""
    if not isinstance(base, Path):
        return str(base.metadata.get("general.license") or "its file does not name one")
    folder = base
    card = folder / "README.md"
    if card.is_file():
        parts = card.read_text(encoding="utf-8", errors="replace").split("---")
        head = yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0].strip() else None
        if isinstance(head, Mapping) and head.get("license"):
            return str(head["license"])
    found = sorted(path.name for path in folder.glob("*") if path.name.upper().startswith(("LICENSE", "LICENCE")))
    return f"see its {found[0]}" if found else "its files do not name one"


def model_card(record: Record, config: Mapping[str, Any], kind: str, licence: str) -> str:
    """Markdown with the metadata block that model hubs read.

    Args:
        record: of a finished cell.
        config: what it was composed from.
        kind: `adapter`, `checkpoint`, `gguf` or `gguf-model`.
        licence: of the base.
    """
    path, rule = str(config["model"]["path"]), (config.get("evaluation") or {}).get("choose")
    is_local = names_a_folder(path) or names_a_file(path)
    base = {} if is_local else {"base_model": path}
    head: dict[str, Any] = {**base, "tags": ["model-surgery"], "pipeline_tag": "text-generation"}
    if kind == "adapter":
        head["library_name"] = "peft"
    if kind in GGUF_KINDS:
        head["library_name"] = "gguf"
    # What has no base (the probe's accuracies) or was chosen on (the selection half) is no result of the edit.
    metrics = [
        (name, metric) for name, metric in record.metrics.items() if metric.base is not None and metric.half == "report"
    ]
    template = files("sweeps.export").joinpath("model_card.md.jinja").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(template).render(
        head=yaml.safe_dump(head, sort_keys=False).strip(),
        record=record,
        config=config,
        base=Path(path).name if is_local else path,
        base_path="PATH_OF_THE_BASE" if is_local else path,
        is_local=is_local,
        sentence=in_one_sentence(record, Choice.parse(rule) if rule else None),
        command=_without_places(record.command),
        kind=kind,
        gguf=config["model"].get("gguf"),
        base_is_gguf=names_a_file(path) or bool(config["model"].get("gguf")),
        file=file_name(kind) if kind in GGUF_KINDS else "",
        modelfile=modelfile(kind, config["model"]) if kind in GGUF_KINDS else "",
        metrics=metrics,
        licence=licence,
    )


def _without_places(command: str) -> str:
    """A recorded command with `PATH/NAME` for whatever lies on the machine that it was given on."""

    def named(part: re.Match[str]) -> str:
        text = part[0].strip()
        is_place = "/" in text and (text.startswith(("/", "~", "./", "../")) or is_there(text))
        return f"PATH/{Path(text).name}" if is_place else part[0]

    parts = [part for token in shlex.split(command) for part in token.partition("=")]
    named_parts = [_ONE_VALUE.sub(named, part) for part in parts]
    return shlex.join("".join(named_parts[start : start + 3]) for start in range(0, len(parts), 3))
