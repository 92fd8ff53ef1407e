"""Which GGUF files are a whole language model, told from their headers, in one sentence."""

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgery import InputError
from surgery.model.gguf_file import GgufFile
from surgery.model.gguf_place import gguf_of

Make = Callable[..., Path]


def test_a_header_tells_settings_tensors_and_where_they_lie(make_gguf: Make) -> None:
    path = make_gguf("Q8_0")
    file = GgufFile.read(path)
    assert file.architecture == "llama"
    assert (file.setting("block_count"), file.metadata["tokenizer.ggml.tokens"]) == (3, 320)
    gate = next(tensor for tensor in file.tensors if tensor.name == "blk.1.ffn_gate.weight")
    assert (gate.shape, gate.kind, gate.size) == ((96, 64), "Q8_0", 96 * 64 // 32 * 34)
    from gguf import GGUFReader

    stored = next(tensor for tensor in GGUFReader(path).tensors if tensor.name == gate.name)
    assert (gate.start, gate.size) == (stored.data_offset, stored.n_bytes)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"general__type": "adapter"}, "is an adapter, not a model; give the GGUF file of its base"),
        ({"general__type": "mmproj"}, "encoder (mmproj)"),
        ({"general__type": "mmproj", "general__architecture": "clip"}, "encoder (mmproj)"),
        ({"general__type": "imatrix"}, "of type 'imatrix'"),
        ({"split__count": 3}, "is one of 3 parts of a model; join them first with 'llama-gguf-split --merge"),
        ({"tokenizer__ggml__model": None}, "holds no vocabulary"),
    ],
)
def test_what_is_no_whole_model_is_told_apart(make_gguf: Make, changed: dict[str, Any], words: str) -> None:
    path = make_gguf("F32", **changed)
    with pytest.raises(InputError, match=re.escape(words)):
        gguf_of(str(path))


def test_a_part_is_known_by_its_name_too(make_gguf: Make, tmp_path: Path) -> None:
    part = tmp_path / "tiny-00002-of-00004.gguf"
    part.write_bytes(make_gguf("F32").read_bytes())
    with pytest.raises(InputError, match="is one of 4 parts"):
        gguf_of(str(part))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n", "Git LFS pointer"),
        (b"PK\x03\x04 something else", "is no GGUF file"),
        (b"", "is no GGUF file"),
        (b"GGUF", "is cut or damaged"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "of version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "is cut or damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "names no architecture"),
    ],
)
def test_other_files_say_what_they_are(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(words)):
        gguf_of(str(path))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_anywhere_is_refused(make_gguf: Make, tmp_path: Path, share: float) -> None:
    whole = make_gguf("Q8_0").read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"cut|no GGUF file"):
        gguf_of(str(path))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_whatever_byte_of_a_header_is_wrong_nothing_but_a_sentence_comes_of_it(
    make_gguf: Make, tmp_path: Path, place: float, value: int
) -> None:
    whole = bytearray(make_gguf("Q8_0").read_bytes())
    length = GgufFile.read(make_gguf("Q8_0")).tensors[0].start
    whole[int(place * length)] = value
    path = tmp_path / "damaged.gguf"
    path.write_bytes(whole)
    try:
        gguf_of(str(path))
    except InputError as error:
        assert str(error)  # any other error fails


def test_a_file_is_found_by_its_ending_its_content_or_its_name_in_a_folder(make_gguf: Make, tmp_path: Path) -> None:
    path = make_gguf("F32")
    blob = tmp_path / "sha256-0123"  # as Ollama keeps them
    blob.write_bytes(path.read_bytes())
    found = [gguf_of(str(path)), gguf_of(str(blob)), gguf_of(str(path.parent), path.name)]
    assert all(one is not None and one.setting("block_count") == 3 for one in found)
    assert gguf_of(str(tmp_path)) is None
    assert gguf_of("owner/name") is None


@pytest.mark.parametrize(
    ("path", "gguf", "words"),
    [
        ("gone.gguf", None, "'{}/gone.gguf' is not there; there is sha256-1.gguf"),
        (".", "gone.gguf", "is not there; there is sha256-1.gguf"),
        ("sha256-1.gguf", "x.gguf", "names a file already"),
        (".", "../up.gguf", "is the name of a .gguf file in that folder"),
        (".", "model.bin", "is the name of a .gguf file in that folder"),
    ],
)
def test_a_file_that_is_not_there_says_which_are(tmp_path: Path, path: str, gguf: str | None, words: str) -> None:
    (tmp_path / "sha256-1.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match=re.escape(words.format(tmp_path))):
        gguf_of(str(tmp_path / path), gguf)
