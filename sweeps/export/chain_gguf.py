"""A cell's chain as a GGUF file: what is to be written, and what it is called."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery.files.gguf_place import ADAPTER_FILE, MODEL_FILE, gguf_of
from surgery.gguf.gguf_export import adapter_content, model_content
from surgery.gguf.gguf_layout import GgufLayout, require_factored
from surgery.gguf.gguf_llama import llama_content
from surgery.model.gguf_identity import require_gguf_base

if TYPE_CHECKING:
    from surgery.edits.intervention import Intervention
    from surgery.files.gguf_file import GgufFile
    from surgery.gguf.gguf_content import GgufContent

GGUF_KINDS = ("gguf", "gguf-model")
MODELFILE = "Modelfile"


def file_name(kind: str) -> str:
    """What the file of an export is called."""
    return {"gguf": ADAPTER_FILE, "gguf-model": MODEL_FILE}[kind]


def base_file(model: Mapping[str, Any]) -> "GgufFile | None":
    """The GGUF file that a cell's model was read from; None where it was none.

    Args:
        model: of the cell's config; those of earlier versions know no `gguf`.
    """
    return gguf_of(model["path"], model.get("gguf"), model["revision"])


def gguf_content(
    chain: "Sequence[Intervention]", kind: str, model: Mapping[str, Any], base: "GgufFile | Path"
) -> "GgufContent":
    """What the file of an export holds.

    Args:
        chain: oldest first.
        kind: `gguf` or `gguf-model`.
        model: of the cell's config.
        base: the cell's model: its GGUF file, or its folder.

    Raises:
        InputError: where the chain, the model's family or its tokenizer has no place in GGUF, or for the wrong base.
    """
    from transformers import AutoConfig

    edits = require_factored(chain)
    if kind == "gguf-model":
        return llama_content(edits, base) if isinstance(base, Path) else model_content(edits, base)
    if isinstance(base, Path):
        layout = GgufLayout.of_config(AutoConfig.from_pretrained(base))
    else:
        layout = GgufLayout.of_file(base)
        require_gguf_base(base, edits[0].base_fingerprint)
    return adapter_content(edits, layout, f"{model['name']} edited by model surgery")


def modelfile(kind: str, model: Mapping[str, Any]) -> str:
    """What `ollama create NAME -f Modelfile` reads, in the folder of the export with the base beside it.

    The base stands by its name alone: where it lies on this machine is nobody else's concern.
    """
    if kind == "gguf-model":
        return f"FROM ./{file_name(kind)}\n"
    path = Path(str(model.get("gguf") or model["path"])).expanduser()
    base = path.name if path.suffix.lower() == ".gguf" or path.is_file() else f"{model['name']}.gguf"
    return f"FROM ./{base}\nADAPTER ./{file_name(kind)}\n"
