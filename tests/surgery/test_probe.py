import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from surgery import InputError, Probe, fingerprint


def probe(**options: Any) -> Probe:
    return Probe(torch.arange(32.0).reshape(2, 16), torch.tensor([0.5, -0.5]), **options)


def test_a_saved_probe_is_the_same_probe(tmp_path: Path) -> None:
    made = probe(
        classes=("calm", "rude"), layer=3, pooling="last", model_fingerprint="a" * 16, metrics={"test_accuracy": 0.9}
    )
    made.save(tmp_path / "new" / "probe.safetensors")
    read = Probe.load(tmp_path / "new" / "probe.safetensors")
    assert torch.equal(read.weight, made.weight)
    assert torch.equal(read.bias, made.bias)
    for name in ("classes", "layer", "pooling", "model_fingerprint", "method", "metrics", "fingerprint"):
        assert getattr(read, name) == getattr(made, name)


def test_a_released_probe_loads(tmp_path: Path) -> None:
    made = probe()
    torch.save({"mlp.weight": made.weight.half(), "mlp.bias": made.bias.half()}, tmp_path / "probe.pt")
    read = Probe.load(tmp_path / "probe.pt")
    assert torch.equal(read.weight, made.weight)
    assert read.weight.dtype == torch.float32
    assert read.model_fingerprint is None


class Code:
    """A pickle that would make a folder when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_code_in_a_pickle_does_not_run(tmp_path: Path, write: Any) -> None:
    write({"mlp.weight": Code(tmp_path / "ran")}, tmp_path / "probe.pt")
    with pytest.raises(InputError, match="can't be read as a file of tensors") as error:
        Probe.load(tmp_path / "probe.pt")
    assert not (tmp_path / "ran").exists()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["probe.pt", "probe.safetensors"])
@pytest.mark.parametrize("content", [b"", b"some text", None])
def test_unreadable_files_are_one_sentence(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"probe\.path") as error:
        Probe.load(tmp_path / name)
    assert "\n" not in str(error.value)


def test_foreign_and_damaged_files(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2, 4)}, tmp_path / "a.pt")
    torch.save({"mlp.weight": [1.0], "mlp.bias": [2.0]}, tmp_path / "b.pt")
    for name in ("a.pt", "b.pt"):
        with pytest.raises(InputError, match=r"mlp\.weight and mlp\.bias"):
            Probe.load(tmp_path / name)
    save_file({"something": torch.ones(2)}, tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="is no probe; it holds something"):
        Probe.load(tmp_path / "c.safetensors")
    save_file({"weight": torch.ones(2, 4)}, tmp_path / "d.safetensors", {"format": "surgery.probe/1", "probe": "{"})
    with pytest.raises(InputError, match="damaged"):
        Probe.load(tmp_path / "d.safetensors")
    with pytest.raises(InputError, match="the probe's pooling 'max' is none of mean, mean_after_first, last"):
        probe(pooling="max")


def test_a_probe_for_another_model_is_refused_with_both_fingerprints(model: Any, other_model: Any) -> None:
    made = probe(model_fingerprint=fingerprint(model))
    made.require_model(model)
    probe().require_model(other_model)
    with pytest.raises(InputError) as error:
        made.require_model(other_model)
    assert fingerprint(model) in str(error.value)
    assert fingerprint(other_model) in str(error.value)
    with pytest.raises(InputError, match=r"16 wide.*32 wide"):
        made.require_fit(32, fingerprint(model))


def test_directions_are_copies_of_the_rows() -> None:
    made = probe()
    made.direction(1).zero_()
    assert torch.equal(made.direction(1), torch.arange(16.0, 32.0))
    assert torch.equal(made.direction(0), torch.arange(16.0))


@pytest.mark.parametrize("weight", [torch.ones(3, 4), torch.ones(2), torch.full((2, 4), float("nan"))])
def test_numbers_that_are_no_probe(weight: torch.Tensor) -> None:
    with pytest.raises(InputError):
        Probe(weight, torch.zeros(2))
