"""An edited checkpoint is the measured model, bit for bit, and nothing else of the base has changed."""

import fcntl
import hashlib
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import xxhash
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

from surgery import Edit, load_model
from surgery.errors import InputError
from surgery.export.checkpoint import save_checkpoint
from surgery.export.checkpoint_check import verify_checkpoint
from surgery.model.fingerprints import folder_fingerprint
from surgery.rows.locator import COMPONENTS

FAMILIES: dict[str, tuple[type, dict[str, Any]]] = {
    "llama": (LlamaConfig, {}),
    "llama-tied": (LlamaConfig, {"tie_word_embeddings": True}),
    "mistral": (MistralConfig, {}),
    "qwen2": (Qwen2Config, {}),
    "qwen3": (Qwen3Config, {"head_dim": 4}),
    "gemma2": (Gemma2Config, {"head_dim": 4}),
    "gemma3-text": (Gemma3TextConfig, {"head_dim": 4}),
    "olmo2": (Olmo2Config, {}),
    "smollm3": (SmolLM3Config, {}),
    "granite": (GraniteConfig, {}),
}
SHARDED = {"max_shard_size": "4KB"}
IDS = torch.tensor([[2, 9, 33, 4, 17, 60]])


def load(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def raw_tensors(folder: Path) -> dict[str, bytes]:
    """{name: bytes}, read with the safetensors library."""
    found = {}
    for file in folder.glob("*.safetensors"):
        for name, tensor in load_file(file).items():
            found[name] = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return found


@pytest.fixture
def base(build: Callable[..., PreTrainedModel], tmp_path: Path) -> Path:
    """A sharded Llama in bfloat16."""
    return saved(build, tmp_path / "base", torch.bfloat16, **SHARDED)


def saved(
    build: Callable[..., PreTrainedModel], folder: Path, dtype: torch.dtype, config: Any = None, **save: Any
) -> Path:
    model = build(config, folder=folder, **save)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    model.to(dtype).save_pretrained(folder, **save)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("save", [{}, SHARDED], ids=["single", "sharded"])
def test_it_is_the_measured_model_bit_for_bit(
    family: str,
    dtype: torch.dtype,
    save: dict[str, Any],
    build: Callable[..., PreTrainedModel],
    make_edit: Callable[..., Edit],
    sizes: dict[str, Any],
    tmp_path: Path,
) -> None:
    config, options = FAMILIES[family]
    base = saved(build, tmp_path / "base", dtype, config(**sizes | options), **save)
    assert len(list(base.glob("*.safetensors"))) > 1 if save else (base / "model.safetensors").is_file()
    model = load(base)
    assert model.dtype == dtype
    plain = logits(model)
    edit = make_edit(model, alpha=0.7)
    receipt = edit.save_checkpoint(base, tmp_path / "edited", verify=True)
    with edit.applied_to(model) as applied:
        expected = logits(model)
    found = logits(load(tmp_path / "edited"))
    assert torch.equal(found, expected)
    assert not torch.equal(found, plain)
    assert receipt.rows_per_layer == applied.rows_per_layer
    assert (receipt.rows, receipt.max_abs_change) == (applied.rows, applied.max_abs_change)
    assert receipt.frobenius_norm == pytest.approx(applied.frobenius_norm, rel=1e-12)


@pytest.mark.parametrize("component", COMPONENTS)
def test_only_the_regions_rows_change_and_by_the_equation(
    component: str, base: Path, make_edit: Callable[..., Edit], direction: torch.Tensor, tmp_path: Path
) -> None:
    edit = make_edit(load(base), alpha=1.3, top_k=7, component=component)
    edit.save_checkpoint(base, tmp_path / "edited")
    before, after = ({}, {})
    for tensors, folder in ((before, base), (after, tmp_path / "edited")):
        for file in folder.glob("*.safetensors"):
            tensors.update(load_file(file))
    for layer in edit.region.layers:
        weight = before[edit.region.homes[layer][0].parameter]
        for row in edit.region.rows[layer].tolist():
            vector = weight[:, row] if component in ("down_proj", "o_proj") else weight[row]
            vector.copy_((vector.float() + 1.3 * direction).bfloat16())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_floats_are_edited_in_their_own_dtype(
    dtype: torch.dtype, build: Callable[..., PreTrainedModel], make_edit: Callable[..., Edit], tmp_path: Path
) -> None:
    base = saved(build, tmp_path / "base", dtype)
    edit = make_edit(load_model(str(base), dtype="float32", device="cpu")[0])
    edit.save_checkpoint(base, tmp_path / "edited", verify=True)
    model = load(base)
    assert model.dtype == dtype
    with edit.applied_to(model):
        assert torch.equal(logits(load(tmp_path / "edited")), logits(model))


def test_rows_are_edited_in_chunks_as_they_are_at_once(
    base: Path, make_edit: Callable[..., Edit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit = make_edit(load(base), top_k=60)
    whole = edit.save_checkpoint(base, tmp_path / "whole")
    monkeypatch.setattr("surgery.changes.row_change.NUMBERS_AT_ONCE", 40)
    monkeypatch.setattr("surgery.files.hashed_file.PIECE", 37)
    chunked = edit.save_checkpoint(base, tmp_path / "chunked", verify=True)
    assert raw_tensors(tmp_path / "whole") == raw_tensors(tmp_path / "chunked")
    assert whole.rows_per_layer == chunked.rows_per_layer


def test_a_chain_holds_both_edits(base: Path, make_edit: Callable[..., Edit], tmp_path: Path) -> None:
    model = load(base)
    first = make_edit(model, alpha=0.9)
    with first.applied_to(model):
        second = make_edit(model, alpha=-1.4, direction=torch.linspace(-1, 1, 16))
        with second.applied_to(model):
            expected = logits(model)
    receipts = save_checkpoint([first, second], base, tmp_path / "edited", verify=True)
    assert torch.equal(logits(load(tmp_path / "edited")), expected)
    manifest = json.loads((tmp_path / "edited/surgery.json").read_text())
    assert [edit["fingerprint"] for edit in manifest["edits"]] == [first.fingerprint, second.fingerprint]
    assert [receipt.rows for receipt in receipts] == [20, 20]
    with pytest.raises(InputError, match="made for model"):
        save_checkpoint([second, first], base, tmp_path / "reversed")


def test_untouched_files_are_the_bases_and_all_hashes_are_told(
    base: Path, make_edit: Callable[..., Edit], tmp_path: Path
) -> None:
    for name, content in {"LICENSE": "free", "README.md": "a model", "chat/one.jinja": "{{ x }}"}.items():
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_text(content)
    for name in ("pytorch_model.bin", "pytorch_model.bin.index.json", "old.pt", "m.gguf", "flax_model.msgpack"):
        (base / name).write_bytes(b"weights of another format")
    save_file({"x": torch.ones(2)}, base / "consolidated.safetensors")
    (base / ".cache").mkdir()
    (base / ".cache/x").write_text("x")
    edit = make_edit(load(base), top_k=3)
    edited = tmp_path / "edited"
    receipt = edit.save_checkpoint(base, edited)
    files = {file.relative_to(edited).as_posix(): file for file in edited.rglob("*") if file.is_file()}
    shards = {file.name for file in base.glob("model-*.safetensors")}
    kept = {"LICENSE", "chat/one.jinja", "config.json", "generation_config.json", "tokenizer.json"}
    assert files.keys() == shards | kept | {"tokenizer_config.json", "model.safetensors.index.json", "surgery.json"}
    index = json.loads((base / "model.safetensors.index.json").read_text())["weight_map"]
    touched = {index[home.parameter] for home, _ in edit.region.parts()}
    assert 0 < len(touched) < len(shards)
    for name, file in files.items():
        if name != "surgery.json":
            assert (file.read_bytes() == (base / name).read_bytes()) == (name not in touched)
    manifest = json.loads(files.pop("surgery.json").read_text())
    assert manifest["files"] == {name: xxhash.xxh3_128_hexdigest(file.read_bytes()) for name, file in files.items()}
    assert manifest["base_fingerprint"] == folder_fingerprint(base)
    (told,) = manifest["edits"]
    assert told["fingerprint"] == edit.fingerprint
    assert told["receipt"]["rows_per_layer"] == {str(layer): n for layer, n in receipt.rows_per_layer.items()}
    assert told["receipt"]["max_abs_change"] == receipt.max_abs_change


def test_an_index_that_is_not_read_is_not_kept(
    build: Callable[..., PreTrainedModel], make_edit: Callable[..., Edit], tmp_path: Path
) -> None:
    base = saved(build, tmp_path / "base", torch.float32)
    (base / "model.safetensors.index.json").write_text('{"weight_map": {"x": "gone.safetensors"}}')
    make_edit(load(base)).save_checkpoint(base, tmp_path / "edited")
    assert not (tmp_path / "edited/model.safetensors.index.json").exists()


def test_links_of_a_hub_cache_become_files(base: Path, make_edit: Callable[..., Edit], tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots"
    blobs.mkdir()
    snapshot.mkdir()
    for file in base.iterdir():
        shutil.move(file, blobs / file.name)
        (snapshot / file.name).symlink_to(f"../blobs/{file.name}")
    (snapshot / "lost.json").symlink_to("../blobs/nothing")
    edited = tmp_path / "edited"
    make_edit(load(snapshot)).save_checkpoint(snapshot, edited, verify=True)
    assert not [file for file in edited.iterdir() if file.is_symlink()]
    assert {file.name for file in edited.iterdir()} == {file.name for file in blobs.iterdir()} | {"surgery.json"}
    before = {file: file.read_bytes() for file in blobs.iterdir()}
    for file in edited.iterdir():
        file.write_bytes(b"changed")
    assert before == {file: file.read_bytes() for file in blobs.iterdir()}


def test_hard_links_only_when_asked(base: Path, make_edit: Callable[..., Edit], tmp_path: Path) -> None:
    edit = make_edit(load(base), top_k=3)
    for folder, link in ((tmp_path / "copied", False), (tmp_path / "linked", True)):
        edit.save_checkpoint(base, folder, link=link, verify=True)
        index = json.loads((base / "model.safetensors.index.json").read_text())["weight_map"]
        touched = {index[edit.region.homes[layer][0].parameter] for layer in edit.region.layers}
        for file in base.glob("*.safetensors"):
            assert os.path.samefile(file, folder / file.name) == (link and file.name not in touched)


def test_a_wrong_base_is_refused(
    base: Path, build: Callable[..., PreTrainedModel], make_edit: Callable[..., Edit], tmp_path: Path
) -> None:
    edit = make_edit(load(base))
    build(seed=1, folder=tmp_path / "other")
    with pytest.raises(InputError) as refused:
        edit.save_checkpoint(tmp_path / "other", tmp_path / "edited")
    assert edit.base_fingerprint in str(refused.value)
    assert str(folder_fingerprint(tmp_path / "other")) in str(refused.value)
    (tmp_path / "pickled").mkdir()
    shutil.copy(base / "config.json", tmp_path / "pickled")
    (tmp_path / "pickled/pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(InputError, match="has neither model"):
        edit.save_checkpoint(tmp_path / "pickled", tmp_path / "edited")
    with pytest.raises(InputError, match="at least one edit"):
        save_checkpoint([], base, tmp_path / "edited")
    next(iter(base.glob("*.safetensors"))).write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match="cut off"):
        edit.save_checkpoint(base, tmp_path / "edited")
    assert not (tmp_path / "edited").exists()


def test_an_edit_that_rounding_swallows_is_refused(base: Path, make_edit: Callable[..., Edit], tmp_path: Path) -> None:
    edit = make_edit(load(base), alpha=1e-8)
    with pytest.raises(InputError, match=r"unchanged in torch\.bfloat16"):
        edit.save_checkpoint(base, tmp_path / "edited")
    with pytest.raises(InputError, match="NaN or infinite"):
        make_edit(load(base), alpha=3e38).save_checkpoint(base, tmp_path / "edited")
    assert sorted(os.listdir(tmp_path)) == ["base"]


def test_a_folder_that_is_there_is_replaced_only_with_force(
    base: Path, make_edit: Callable[..., Edit], tmp_path: Path
) -> None:
    edit, edited = make_edit(load(base)), tmp_path / "edited"
    edit.save_checkpoint(base, edited)
    (edited / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        edit.save_checkpoint(base, edited)
    assert (edited / "mine.txt").exists()
    edit.save_checkpoint(base, edited, force=True)
    assert not (edited / "mine.txt").exists()
    verify_checkpoint([edit], base, edited)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/precious").write_text("x")
    with pytest.raises(InputError, match="is no checkpoint"):
        edit.save_checkpoint(base, tmp_path / "home", force=True)
    for inside in (base, base / "edited", tmp_path):
        with pytest.raises(InputError):
            edit.save_checkpoint(base, inside, force=True)
    verify_checkpoint([edit], base, edited)
    assert (tmp_path / "home/precious").exists()


def test_a_failure_in_the_middle_leaves_nothing(base: Path, make_edit: Callable[..., Edit], tmp_path: Path) -> None:
    edit = make_edit(load(base), top_k=60)
    largest = max(file.stat().st_size for file in base.glob("*.safetensors"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 100, limits[1]))
    try:
        with pytest.raises(InputError, match=r"can't be written .* GB are free"):
            edit.save_checkpoint(base, tmp_path / "edited")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(os.listdir(tmp_path)) == ["base"]


@pytest.mark.slow
def test_a_killed_process_leaves_no_checkpoint(base: Path, make_edit: Callable[..., Edit], tmp_path: Path) -> None:
    edit = make_edit(load(base))
    edit.save(tmp_path / "edit.safetensors")
    script = f"""
import os, signal
from surgery import Edit
from surgery.export import checkpoint
write, files = checkpoint._write_weights, []
def killed(*arguments):
    if len(files) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    files.append(write(*arguments))
    return files[-1]
checkpoint._write_weights = killed
Edit.load({str(tmp_path / "edit.safetensors")!r}).save_checkpoint({str(base)!r}, {str(tmp_path / "edited")!r})
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "edited").exists()
    assert len(list(tmp_path.glob(".edited.*"))) == 1
    edit.save_checkpoint(base, tmp_path / "edited", verify=True)
    assert not list(tmp_path.glob(".edited.*"))


@pytest.mark.slow
def test_a_process_killed_between_two_renames_loses_neither_folder(
    base: Path, make_edit: Callable[..., Edit], tmp_path: Path
) -> None:
    edit, path = make_edit(load(base)), tmp_path / "edited"
    edit.save_checkpoint(base, path)
    edit.save(tmp_path / "edit.safetensors")
    script = f"""
import os, signal
from surgery import Edit
rename = os.rename
def killed(*arguments):
    rename(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
os.rename = killed
Edit.load({str(tmp_path / "edit.safetensors")!r}).save_checkpoint({str(base)!r}, {str(path)!r}, force=True)
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode == -signal.SIGKILL
    assert not path.exists()
    with pytest.raises(InputError, match="is there already"):
        edit.save_checkpoint(base, path)
    assert not list(tmp_path.glob(".edited.*"))
    verify_checkpoint([edit], base, path)


def test_what_a_running_process_writes_is_left_alone(
    base: Path, make_edit: Callable[..., Edit], tmp_path: Path
) -> None:
    edit = make_edit(load(base))
    edit.save_checkpoint(base, tmp_path / "first")
    theirs = tmp_path / f".edited.{platform.node().replace('.', '_')}-{os.getppid()}.tmp"
    theirs.mkdir()
    edit.save_checkpoint(base, tmp_path / "edited")
    assert theirs.exists()


def test_files_that_a_file_system_can_share_are_shared_and_hashed(
    base: Path, make_edit: Callable[..., Edit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's answer is put in its place: this machine's file systems share no blocks."""
    cloned = []

    def share(target: int, request: int, source: int) -> int:
        assert request == 0x40049409
        data = os.pread(source, os.fstat(source).st_size, 0)
        os.pwrite(target, data, 0)
        cloned.append(hashlib.sha256(data).hexdigest())
        return 0

    monkeypatch.setattr(fcntl, "ioctl", share)
    edit = make_edit(load(base), top_k=3)
    edit.save_checkpoint(base, tmp_path / "edited", verify=True)
    assert hashlib.sha256((base / "config.json").read_bytes()).hexdigest() in cloned
    for file in base.glob("*.safetensors"):
        same = file.read_bytes() == (tmp_path / "edited" / file.name).read_bytes()
        assert (hashlib.sha256(file.read_bytes()).hexdigest() in cloned) == same


@pytest.mark.parametrize("what", ["touched", "untouched", "header", "config", "missing", "list", "edits"])
def test_tampering_is_noticed(what: str, base: Path, make_edit: Callable[..., Edit], tmp_path: Path) -> None:
    edit, edited = make_edit(load(base), top_k=3), tmp_path / "edited"
    edit.save_checkpoint(base, edited)
    verify_checkpoint([edit], base, edited)
    manifest = json.loads((edited / "surgery.json").read_text())
    index = json.loads((base / "model.safetensors.index.json").read_text())["weight_map"]
    touched = edit.region.homes[edit.region.layers[0]][0].parameter
    name = touched if what == "touched" else "model.norm.weight"
    shard = edited / index[name]
    if what in ("touched", "untouched"):
        tensors = load_file(shard)
        tensors[name].view(-1)[0] += 1
        save_file(tensors, shard, {"format": "pt"})
        manifest["files"][shard.name] = xxhash.xxh3_128_hexdigest(shard.read_bytes())
    elif what == "header":
        content = shard.read_bytes().replace(b'"pt"', b'"np"', 1)
        shard.write_bytes(content)
    elif what == "config":
        (edited / "config.json").write_text((edited / "config.json").read_text().replace("silu", "gelu"))
        manifest["files"]["config.json"] = xxhash.xxh3_128_hexdigest((edited / "config.json").read_bytes())
    elif what == "missing":
        (edited / "tokenizer.json").unlink()
    elif what == "list":
        del manifest["files"]["config.json"]
    else:
        manifest["edits"] *= 2
    (edited / "surgery.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"changed|other edits|does not list"):
        verify_checkpoint([edit], base, edited)


def test_nothing_of_it_is_a_pickle_and_no_code_runs(base: Path, make_edit: Callable[..., Edit], tmp_path: Path) -> None:
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pth", "x.pkl", "LAST.CKPT"):
        (base / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    make_edit(load(base)).save_checkpoint(base, tmp_path / "edited")
    assert {file.suffix for file in (tmp_path / "edited").iterdir()} == {".json", ".safetensors"}
