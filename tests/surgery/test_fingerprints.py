import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig

from surgery import fingerprint, load_model
from surgery.fingerprints import base_fingerprint, folder_fingerprint


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("save", [{}, {"max_shard_size": "2KB"}])
def test_a_model_is_its_folder_in_every_dtype(build: Any, sizes: Any, tmp_path: Path, tied: bool, save: Any) -> None:
    folder = tmp_path / "model"
    model = build(LlamaConfig(**sizes, tie_word_embeddings=tied), folder=folder, **save)
    assert (len(list(folder.glob("*.safetensors"))) > 1) == bool(save)
    expected = folder_fingerprint(folder)
    assert expected == fingerprint(model)
    renamed = tmp_path / "another name"
    shutil.move(folder, renamed)
    assert folder_fingerprint(renamed) == expected
    for dtype in ("float32", "bfloat16", "float16"):
        assert fingerprint(load_model(str(renamed), dtype=dtype, device="cpu")[0]) == expected


def test_other_values_are_another_model(model: Any, other_model: Any) -> None:
    before = fingerprint(model)
    assert fingerprint(other_model) != before
    model.model.layers[3].mlp.down_proj.weight.mul_(1.1)
    assert fingerprint(model) != before


def test_edits_applied_are_part_of_the_fingerprint_in_their_order(model: Any, make_edit: Any) -> None:
    base, first, second = fingerprint(model), make_edit(model, 1.0), make_edit(model, -0.5)
    with first.applied_to(model):
        one = fingerprint(model)
        with second.applied_to(model):
            both = fingerprint(model)
            assert base_fingerprint(model) == base
        assert fingerprint(model) == one
    assert fingerprint(model) == base
    with second.applied_to(model), first.applied_to(model):
        swapped = fingerprint(model)
    with first.applied_to(model):
        assert fingerprint(model) == one
    assert len({base, one, both, swapped}) == 4
