"""A guard's model: loaded once, and asked."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.inputs.isolation import preserved_random_state, quiet
from evaluation.inputs.named_files import file_digest, folder_digests
from evaluation.judge.guard_file import GuardFile
from surgery.errors import InputError
from surgery.files.gguf_place import gguf_of
from surgery.files.hub import snapshot
from surgery.files.local_paths import names_a_folder
from surgery.from_gguf.gguf_tokenizer import gguf_tokenizer
from surgery.model.loading import load_model
from surgery.model.model_files import model_folder
from surgery.tokens.chat import render
from surgery.tokens.encoding import longest_input, token_ids
from surgery.tokens.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Loaded = tuple["PreTrainedModel", "PreTrainedTokenizerBase"]
# Two texts that no template has a reason to leave out.
_TRIALS = ("Where do swallows go in winter?", "What a lighthouse shows is the way.")


def places(path: str, revision: str | None, adapter: str | None) -> tuple[Path, Path | None]:
    """(folder or GGUF file of the model, folder of its adapter), fetched from the hub where they are not here.

    Raises:
        InputError: when they can't be had.
    """
    file = gguf_of(path, None, revision)
    place = file.path if file is not None else model_folder(path, revision, key="evaluation.judge_model")
    if adapter is None:
        return place, None
    if names_a_folder(adapter):
        folder = Path(adapter).expanduser()
    else:
        folder = snapshot("model", adapter, None, ["adapter_*"], "the guard's adapter", "give the path of a folder")
    if not (folder / "adapter_config.json").is_file():
        raise InputError(f"the guard's adapter '{adapter}' has no adapter_config.json; give a folder that PEFT wrote")
    return place, folder


def tokenizer_of(place: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model's folder or GGUF file; raises InputError."""
    file = gguf_of(str(place))
    return load_tokenizer(place, str(place)) if file is None else gguf_tokenizer(file, str(place))


def digests(place: Path) -> dict[str, str]:
    """{file: SHA-256} of a model's folder, or of a file."""
    return folder_digests(place) if place.is_dir() else {place.name: file_digest(place)}


def rendered(tokenizer: "PreTrainedTokenizerBase", guard: GuardFile, prompt: str, answer: str) -> str:
    """What the guard is given, up to where its verdict begins; raises InputError, see `surgery.tokens.chat.render`."""
    if guard.text is not None:
        return guard.fill(guard.text, prompt, answer) + guard.begins
    turns = [{**turn, "content": guard.fill(turn["content"], prompt, answer)} for turn in guard.turns]
    if guard.parts:
        turns = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]  # type: ignore[dict-item]
    return render(tokenizer, turns, answer_follows=True, key="the guard's chat template") + guard.begins


def check_rendering(tokenizer: "PreTrainedTokenizerBase", guard: GuardFile, what: str) -> None:
    """Raises InputError when the guard's chat template leaves prompt or answer out, or refuses."""
    shown = rendered(tokenizer, guard, *_TRIALS)
    for name, trial in zip(("prompt", "answer"), _TRIALS, strict=True):
        if trial not in shown:
            raise InputError(f"{what} drops the {name}: its chat template leaves it out; give the guard turns or text")


def encoded(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", guard: GuardFile, prompt: str, answer: str, new: int
) -> tuple[list[int], bool]:
    """(token ids, whether the answer was cut): the answer loses its end where the guard takes no more.

    Args:
        new: tokens that the guard writes after them.

    Raises:
        InputError: when nothing of the answer is left.
    """

    def ids_of(text: str) -> list[int]:
        special = guard.special_tokens and guard.text is not None
        return token_ids(tokenizer, [rendered(tokenizer, guard, prompt, text)], special_tokens=special)[0]

    longest, kept = longest_input(model), answer
    if guard.answer_tokens is not None:
        own = token_ids(tokenizer, [answer], special_tokens=False)[0]
        if len(own) > guard.answer_tokens:
            kept = str(tokenizer.decode(own[: guard.answer_tokens], skip_special_tokens=False))
    ids = ids_of(kept)
    while longest is not None and len(ids) + new > longest and kept:
        # What is beyond takes about its share of the characters.
        over = len(ids) + new - longest
        own = token_ids(tokenizer, [kept], special_tokens=False)[0]
        kept = str(tokenizer.decode(own[: max(0, len(own) - over)], skip_special_tokens=False))
        ids = ids_of(kept)
    if answer and not kept:
        raise InputError(f"the guard takes {longest} tokens, which leaves no room for an answer to {prompt[:60]!r}")
    return ids, kept != answer


def load_guard(place: Path, adapter: Path | None, told: str, dtype: str, device: str) -> Loaded:
    """The guard's model and tokenizer; loaded anew where its files changed. Raises InputError."""
    contents = tuple(digests(place).items())
    return _load(place, adapter, contents, told, dtype, device)


@lru_cache(maxsize=2)
def _load(
    place: Path, adapter: Path | None, contents: tuple[object, ...], told: str, dtype: str, device: str
) -> Loaded:
    """`contents` is there for the cache: a folder with other contents is another guard."""
    try:
        with quiet(), preserved_random_state():
            # Code that comes with a model is never run for a judge.
            model, tokenizer = load_model(str(place), dtype=dtype, device=device, trust_remote_code=False)
            if adapter is not None:
                from peft import PeftModel

                model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    except InputError as error:
        raise InputError(f"the guard '{told}' can't be loaded: {error}") from None
    return model.eval(), tokenizer
