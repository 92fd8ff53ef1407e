"""What an engine can't do, told before anything is loaded."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from surgery.errors import InputError
from surgery.files.gguf_place import gguf_of
from sweeps.cell.method import METHODS
from sweeps.cell.settings import Settings

if TYPE_CHECKING:
    from surgery.edits.intervention import Intervention


def require_engine(settings: Settings) -> None:
    """Raises InputError where the engine can't run the cell's method or model, or is not said to be anywhere."""
    engine, method, model = settings.engine, settings.method, settings.model
    if not engine.served:
        if engine.batching == "continuous" and method.name == "contrastive_decoding":
            raise InputError(
                "method=contrastive_decoding runs two models beside each other, which engine.batching=continuous "
                "can't; say engine.batching=static"
            )
        return
    if (engine.url is None) == (engine.python is None):
        raise InputError(
            "engine=vllm needs one of two: engine.url=http://HOST:PORT of a server that runs, or engine.python=PYTHON "
            "of an environment with vLLM, to start one"
        )
    if find_spec("tenacity") is None:
        raise InputError("engine=vllm needs packages that are not installed; pip install 'llm-surgery[vllm]'")
    if engine.url is not None and engine.arguments:
        raise InputError("engine.arguments are for a server that is started; that of engine.url has its own")
    if not method.needs.adapter:
        those = ", ".join(name for name, needs in METHODS.items() if needs.adapter)
        raise InputError(
            f"method={method.name} is no LoRA that engine=vllm could serve; say engine=transformers, or take {those}"
        )
    if gguf_of(model.path, model.gguf, model.revision) is not None:
        raise InputError("engine=vllm serves no GGUF file; give a folder of safetensors, or say engine=transformers")


def require_answers(settings: Settings, identities: Mapping[str, Any]) -> None:
    """Raises InputError where something is sampled, and the model in memory generates in a way that can't.

    Args:
        identities: of what is measured, by name.
    """
    if settings.engine.batching == "static":
        return
    if sampled := [name for name, identity in identities.items() if _samples(identity)]:
        raise InputError(
            f"{', '.join(sampled)}: answers are sampled, and engine.batching=continuous takes the likeliest tokens "
            "alone; say engine.batching=static, or leave that out"
        )


def _samples(identity: Any) -> bool:
    if isinstance(identity, Mapping):
        return bool(identity.get("do_sample")) or any(map(_samples, identity.values()))
    return isinstance(identity, list | tuple) and any(map(_samples, identity))


def require_adapters(settings: Settings, earlier: "Sequence[Intervention]") -> None:
    """Raises InputError where what the composition applies, with the method's own change, is no adapter to serve."""
    engine, method = settings.engine, settings.method
    if not engine.served:
        return
    # What has factors has a rank, see `surgery.changes.factors.Factored`.
    ranks = [getattr(one, "rank", None) for one in earlier]
    if others := [one for one, rank in zip(earlier, ranks, strict=True) if rank is None]:
        raise InputError(
            f"composition holds a {type(others[0]).__name__}, which is no LoRA that engine=vllm could serve; "
            "say engine=transformers"
        )
    rank = (method.rank or 1) + sum(rank for rank in ranks if rank is not None)
    if rank > engine.max_lora_rank:
        raise InputError(
            f"the cell's change has rank {rank}, and engine.max_lora_rank is {engine.max_lora_rank}; raise it"
        )
