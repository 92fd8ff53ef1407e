"""A GGUF file through the commands: a cell, its record, its checks and its exports."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf_world import NAMES, SENTENCES

from surgery import Edit, load_model
from surgery.files.gguf_file import GgufFile
from surgery.model.gguf_identity import gguf_identity

Command = Callable[..., Any]
Make = Callable[..., Path]


@pytest.fixture
def run(make_gguf: Make, tmp_path: Path) -> list[str]:
    """A whole experiment on a GGUF file of blocks, but for the model."""
    rude = ("rude", "lazy", "silly", "grumpy")
    lines = [f'"{text}",{int(text.split()[8] in rude)}' for text in SENTENCES[::7]]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    (tmp_path / "story.txt").write_text("\n".join(SENTENCES[:40]) + "\n")
    return [
        f"behavior.path={tmp_path / 'texts.csv'}",
        f"evaluation.text={tmp_path / 'story.txt'}",
        "tracking=none",
        "hydra.launcher.workers=0",
        "top_k=12",
        "alpha=2",
        "alpha_unit=unit",
        "sweep=s",
    ]


@pytest.fixture
def base(make_gguf: Make, tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return Path(shutil.copy(make_gguf("Q8_0"), folder / "tiny-q8.gguf"))


@pytest.fixture
def cell(surgery: Command, run: list[str], base: Path, tmp_path: Path) -> Path:
    ran = surgery(f"model.path={base}", *run)
    assert ran.code == 0, ran.err
    assert "dequantizing" not in ran.err
    [result] = (tmp_path / "outputs").glob("runs/s/*/result.json")
    return result.parent


@pytest.mark.slow
def test_a_cell_is_of_the_file_and_is_found_so_again(
    surgery: Command, sweeps: Command, cell: Path, base: Path, run: list[str], tmp_path: Path
) -> None:
    record = json.loads((cell / "result.json").read_text())
    assert record["edit"]["base"] == gguf_identity(GgufFile.read(base)).fingerprint
    assert record["keys"]["model"] == "tiny-q8"
    assert record["metrics"]["perplexity/story"]["base"] != record["metrics"]["perplexity/story"]["edited"]
    for model in ([f"model.path={base.parent}", f"model.gguf={base.name}"], [f"model.path={base}"]):
        again = surgery(*model, *run)
        assert "1 of 1 cells are finished already" in again.err
    verified = sweeps("verify", "s", "--rerun", cell.name)
    assert verified.code == 0, verified.out + verified.err
    base.write_bytes(base.read_bytes()[:-1] + b"\x01")
    changed = sweeps("verify", "s")
    assert changed.code == 1
    assert "the model's weights changed" in changed.out + changed.err


def test_base_and_edited_model_are_asked_side_by_side_by_cell_and_by_adapter(
    sweeps: Command, cell: Path, base: Path
) -> None:
    question = ["--prompt", f"{NAMES[0]} said to", "--max-new-tokens", "5"]
    assert sweeps("export", "s", cell.name, "out").code == 0
    from_cell, from_adapter = sweeps("ask", "s", cell.name, *question), sweeps("ask", "out", *question)
    assert from_cell.code == from_adapter.code == 0, from_cell.err + from_adapter.err
    # One computes in bfloat16 with the rows changed, the other beside them; the base is the same.
    assert from_cell.out.splitlines()[0] == from_adapter.out.splitlines()[0]


@pytest.mark.parametrize("kind", ["gguf", "gguf-model"])
def test_an_export_is_verified_told_of_in_a_card_and_sent_as_it_is(
    sweeps: Command, cell: Path, tmp_path: Path, kind: str
) -> None:
    export = ["export", "s", cell.name, "out", "--as", kind]
    ran = sweeps(*export, "--verify")
    assert ran.code == 0, ran.err
    assert "verified: every value and tensor of the file" in ran.out
    card = (tmp_path / "out" / "README.md").read_text()
    modelfile = (tmp_path / "out" / "Modelfile").read_text()
    assert "llama-server -m" in card and "ollama create edited -f Modelfile" in card
    assert modelfile in card
    assert "**The licence of the base applies to this model: mit.**" in card
    if kind == "gguf":
        assert modelfile == "FROM ./tiny-q8.gguf\nADAPTER ./adapter.gguf\n"
        assert "--lora adapter.gguf" in card
    else:
        assert modelfile == "FROM ./model.gguf\n"
    pushed = sweeps(*export, "--push", "somebody/edited")
    assert pushed.code == 0, pushed.err
    assert (
        "holds this export already" in pushed.out and f"{'model' if kind != 'gguf' else 'adapter'}.gguf" in pushed.out
    )
    file = next((tmp_path / "out").glob("*.gguf"))
    file.write_bytes(file.read_bytes()[:-1] + b"\x55")
    refused = sweeps(*export, "--push", "somebody/edited")
    assert refused.code == 1
    assert "is there already" in refused.err


def test_a_whole_export_is_a_model_like_any_other(sweeps: Command, cell: Path, base: Path, tmp_path: Path) -> None:
    assert sweeps("export", "s", cell.name, "out", "--as", "gguf-model").code == 0
    model, tokenizer = load_model(str(tmp_path / "out" / "model.gguf"), dtype="float32")
    own, _ = load_model(str(base), dtype="float32")
    inputs = tokenizer(SENTENCES[3], return_tensors="pt")
    with torch.no_grad():
        unedited = own(**inputs).logits
        with Edit.load(cell / "edit.safetensors").applied_to(own):
            edited = own(**inputs).logits
        exported = model(**inputs).logits
    # Written in Q8_0 again, so close, and much closer than the base.
    assert (exported - edited).abs().mean() < (unedited - edited).abs().mean() / 5


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("checkpoint", "has no safetensors to write a checkpoint from; export with --as gguf-model"),
        ("gguf2", "--as gguf2 is unknown; it is one of adapter, checkpoint, gguf, gguf-model"),
    ],
)
def test_what_can_not_be_exported_is_one_line(sweeps: Command, cell: Path, kind: str, words: str) -> None:
    ran = sweeps("export", "s", cell.name, "out", "--as", kind)
    assert ran.code == 1
    [line] = ran.err.splitlines()
    assert words in line


def test_a_folder_whose_tokenizer_gguf_does_not_have_gives_an_adapter_and_no_model(
    surgery: Command, sweeps: Command, arguments: list[str], tmp_path: Path
) -> None:
    assert surgery(*arguments, "top_k=12", "alpha=1.5").code == 0
    [result] = (tmp_path / "outputs").glob("runs/tiny-texts/*/result.json")
    export = ["export", "tiny-texts", result.parent.name, "out", "--as"]
    refused = sweeps(*export, "gguf-model")
    assert refused.code == 1
    [line] = refused.err.splitlines()
    assert "the tokenizer can't be written as GGUF: it is of kind WordLevel" in line
    assert not (tmp_path / "out").exists()
    ran = sweeps(*export, "gguf", "--verify")
    assert ran.code == 0, ran.err
    assert (tmp_path / "out" / "Modelfile").read_text().startswith("FROM ./tiny.gguf\n")


@pytest.mark.parametrize("method", ["activation_addition", "directional_ablation"])
def test_what_is_no_sum_of_thin_matrices_has_no_gguf(
    surgery: Command, sweeps: Command, run: list[str], base: Path, tmp_path: Path, method: str
) -> None:
    assert surgery(f"model.path={base}", *run, f"method={method}").code == 0
    [result] = (tmp_path / "outputs").glob("runs/s/*/result.json")
    ran = sweeps("export", "s", result.parent.name, "out", "--as", "gguf-model")
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1


@pytest.mark.slow
def test_a_wrong_file_stops_the_command_before_anything_runs(
    surgery: Command, make_gguf: Make, run: list[str], tmp_path: Path
) -> None:
    whole = make_gguf("Q8_0").read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[:-1000])
    only = tmp_path / "only"
    only.mkdir()
    (only / "one.gguf").write_bytes(whole)
    for model, words in (
        ([f"model.path={cut}"], "bytes are missing at its end; fetch it again"),
        ([f"model.path={make_gguf('F32', general__type='adapter')}"], "is an adapter, not a model"),
        ([f"model.path={make_gguf('F32', general__architecture='rwkv6')}"], "architecture 'rwkv6'"),
        ([f"model.path={tmp_path / 'gone.gguf'}"], "is not there; there is cut.gguf"),
        ([f"model.path={only}"], f"to read its GGUF file, give model.path='{only / 'one.gguf'}'"),
        ([f"model.path={only}", "model.gguf=two.gguf"], "is not there; there is one.gguf"),
        (["model.path=owner/name", "model.gguf=weights.bin"], "is the name of a .gguf file"),
    ):
        ran = surgery(*model, *run)
        assert ran.code == 1
        [line] = ran.err.splitlines()
        assert re.match("surgery: model.path ", line) and words in line, line
    assert not (tmp_path / "outputs" / "store").exists()
