"""A GGUF file is known by every value, and by its config, tokenizer and template, whatever it is called."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from surgery.model.gguf_file import GgufFile
from surgery.model.gguf_identity import gguf_identity

Make = Callable[..., Path]


def parts(path: Path) -> dict[str, str]:
    return gguf_identity(GgufFile.read(path)).parts()


def differing(one: Path, other: Path) -> set[str]:
    ours, theirs = parts(one), parts(other)
    return {name for name in ours if ours[name] != theirs[name]}


def test_a_copy_under_another_name_is_the_same_model(make_gguf: Make, tmp_path: Path) -> None:
    path = make_gguf("F32")
    copy = Path(shutil.copy(path, tmp_path / "other-name.gguf"))
    assert differing(path, copy) == set()


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_the_lowest_bit_of_each_tensor_is_part_of_it(make_gguf: Make, tmp_path: Path, kind: str) -> None:
    path, copy = make_gguf(kind), tmp_path / "copy.gguf"
    content, seen = path.read_bytes(), {parts(path)["weights"]}
    tensors = GgufFile.read(path).tensors
    for tensor in tensors:
        changed = bytearray(content)
        changed[tensor.start] ^= 1
        copy.write_bytes(changed)
        seen.add(parts(copy)["weights"])
    assert len(seen) == len(tensors) + 1


def test_what_changed_is_told_apart(make_gguf: Make, tmp_path: Path) -> None:
    path, copy = make_gguf("F32"), tmp_path / "copy.gguf"
    file, content = GgufFile.read(path), path.read_bytes()
    _, end = file.spans["tokenizer.ggml.tokens"]
    places = {
        "weights": file.tensors[0].start,
        "config": file.spans["llama.rope.freq_base"][1] - 2,
        # The last letter of the last word, and of the template.
        "tokenizer": end - 1,
        "chat_template": file.spans["tokenizer.chat_template"][1] - 1,
    }
    for name, place in places.items():
        changed = bytearray(content)
        changed[place] ^= 1
        copy.write_bytes(changed)
        assert differing(path, copy) == {name}


def test_another_name_of_the_model_is_none_of_it(make_gguf: Make) -> None:
    assert differing(make_gguf("F32"), make_gguf("F32", general__name="Another name")) == set()
