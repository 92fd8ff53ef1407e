"""Bad input: one line on stderr that says what is wrong and what would be right, exit code 1, nothing left behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def assert_refused(ran, *parts: str, folder: Path) -> None:
    assert ran.code == 1
    lines = [line for line in ran.err.splitlines() if line.strip()]
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("surgery: ")
    for part in parts:
        assert part in lines[0]
    assert ran.out == ""
    assert not (folder / "outputs").exists()


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("alfa=1", ("unknown key 'alfa'", "did you mean 'alpha'")),
        ("model.pth=x", ("unknown key 'model.pth'", "did you mean 'model.path'")),
        ("+alfa=1", ("unknown key 'alfa'", "did you mean 'alpha'")),
        ("+region.componnent=up_proj", ("unknown key 'region.componnent'", "did you mean 'region.component'")),
        ("behaviour=tabular", ("unknown key 'behaviour'", "did you mean 'behavior'")),
        ("model=toywrld", ("model=toywrld is unknown", "did you mean model=toyworld", "local")),
        ("probe=linear", ("probe=linear is unknown", "adam", "mean_difference")),
        ("experiment=methods method=surgery,lora alfa=1", ("unknown key 'alfa'", "did you mean 'alpha'")),
        ("variant=null", ("variant=null: what variant is set to is a name, one of", "ours", "leave variant= out")),
        ("alpha=nan", ("alpha=nan is not possible", "finite")),
        ("alpha=inf", ("alpha=inf is not possible", "finite")),
        ("alpha=much", ("alpha=much is not possible", "finite number")),
        ("alpha=0", ("alpha=0", "any finite number but 0")),
        ("alpha_unit=metre", ("alpha_unit=metre is not possible", "'raw' or 'unit'")),
        ("behavior.pooling=max", ("behavior.pooling=max is not possible", "'mean', 'mean_after_first' or 'last'")),
        ("top_k=0", ("top_k=0 is not possible", "from 1")),
        ("top_k=-3", ("top_k=-3 is not possible", "from 1")),
        ("top_k=2.5", ("top_k=2.5 is not possible", "whole number")),
        ("layer=0", ("layer=0 is not possible", "or first, middle, last_but_one, last")),
        ("layer=lowest", ("layer=lowest is not possible", "or first, middle, last_but_one, last")),
        ("seed=-1", ("seed=-1 is not possible", "from 0")),
        ("probe.test_share=1.5", ("probe.test_share=1.5 is not possible", "between 0 and 1")),
        ("region.component=gate", ("region.component=gate is not possible", "'gate_proj'")),
        ("region.exclude_quarter=5", ("region.exclude_quarter=5 is not possible", "4")),
        ("model.dtype=int3", ("model.dtype=int3 is not possible", "bfloat16")),
        ("sweep=a/b", ("sweep=a/b can't name a folder",)),
        ("alpha=[1", ("'alpha=[1' can't be read",)),
        ("model.path=./not-there behavior=toyworld_toxicity", ("model.path './not-there' is not there", "hub name")),
        ("behavior.path=./not-there.csv model=toyworld", ("behavior.path 'not-there.csv' is not there",)),
        ("probe.path=./not-there.safetensors", ("probe.path './not-there.safetensors' is not there",)),
        ("probe=file", ("probe.path is not given",)),
        ("behavior=tabular", ("behavior.path is not given",)),
        ("--alpha 2", ("--alpha is no flag", "alpha=VALUE")),
        ("alpha 2", ("'alpha' is no KEY=VALUE", "alpha=2")),
        ("experiment=paper/tabel9", ("did you mean experiment/paper=table9?",)),
        ("evaluation.prompts=p.txt", ("unknown key 'evaluation.prompts'", "evaluation=own", "choose one of them")),
        ("region.layers=3", ("it is a list, region.layers=[3] say",)),
        ("method.rank=x", ("it is a whole number",)),
        ("dry_run=perhaps", ("it is true or false",)),
        (
            "evaluation.measurements.perplexity.tokens_per_batch=x",
            ("tokens_per_batch=x is not possible: it is a whole number",),
        ),
        ("evaluation.choose.minimize=toxicity", ("asks for toxicity, which is not measured", "is toxicity/")),
        ("evaluation.choose.where=[perplexity/wiki/ratio<=1.1]", ("asks for perplexity/wiki", "perplexity/heldout")),
        ("evaluation.choose.where=[perplexity]", ("'perplexity' is no condition", "write one like")),
    ],
)
def test_a_bad_value_is_refused_in_one_line(surgery, tmp_path, argument: str, parts: tuple[str, ...]) -> None:
    assert_refused(surgery(*argument.split(" ")), *parts, folder=tmp_path)


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("top_k=161", ("top_k=161 is not possible", "160 gate_proj rows")),
        ("layer=5", ("layer=5 is not in this model", "1 to 4")),
        ("region.layers=[2,9]", ("region.layers: layer 9", "1 to 4")),
        ("top_k=41 region.layers=[2]", ("top_k=41", "40 gate_proj rows")),
    ],
)
def test_what_only_the_model_can_tell_is_refused_before_its_weights_are_loaded(
    surgery, arguments, tmp_path, monkeypatch, argument: str, parts: tuple[str, ...]
) -> None:
    import sweeps.plan.model_reading

    monkeypatch.setattr("surgery.model.weights.AutoModelForCausalLM", None)
    assert sweeps.plan.model_reading is not None
    assert_refused(surgery(*arguments, *argument.split()), *parts, folder=tmp_path)


def test_every_cell_of_a_grid_is_checked_before_the_first_one_runs(surgery, arguments, tmp_path) -> None:
    assert_refused(surgery(*arguments, "-m", "top_k=8,16,99999"), "top_k=99999", "160", folder=tmp_path)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


LABELLED = "text,label\n" + "".join(f"some words here {i},{i % 2}\n" for i in range(40))


@pytest.mark.parametrize(
    ("name", "content", "extra", "parts"),
    [
        ("empty.csv", "", [], ("is empty",)),
        ("rowless.csv", "text,label\n", [], ("holds no rows",)),
        ("columns.csv", LABELLED, ["behavior.label=toxic"], ("behavior.label=toxic is no column", "text, label")),
        ("columns.csv", LABELLED, ["behavior.text=comment"], ("behavior.text=comment is no column", "text, label")),
        ("one.csv", LABELLED.replace(",1", ",0"), [], ("behavior.avoid=['1'] gives 0 texts", "the labels there are 0")),
        (
            "few.csv",
            LABELLED,
            ["behavior.avoid=[7]"],
            ("behavior.avoid=['7'] gives 0 texts", "labels there are 0, 1", "'behavior.avoid=[0]'"),
        ),
        (
            "words.csv",
            LABELLED.replace(",1", ",angry").replace(",0", ",happy"),
            ["behavior.avoid=[angri]"],
            ("the labels there are happy, angry; did you mean 'behavior.avoid=[angry]'?",),
        ),
        ("latin.csv", LABELLED.replace("words", "wörds").encode("latin-1"), [], ("is not UTF-8",)),
        ("texts.docx", LABELLED, [], ("unknown kind", ".parquet")),
        ("broken.jsonl", '{"text": "a", "label": 1}\n{"text": ', [], ("is not JSON in line 2",)),
        ("broken.parquet", "not parquet", [], ("can't be read as parquet",)),
    ],
)
def test_a_bad_table_is_refused(surgery, world, tmp_path, name, content, extra, parts) -> None:
    path = write(tmp_path, name, content)
    refused = surgery(f"model.path={world.model}", f"behavior.path={path}", "tracking=none", *extra)
    assert_refused(refused, *parts, folder=tmp_path)


def test_a_folder_without_a_model_is_refused(surgery, tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    assert_refused(
        surgery("model.path=./folder", "behavior=toyworld_toxicity"), "holds no config.json", folder=tmp_path
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
        (None, "its data is cut off"),
    ],
)
def test_weights_that_are_not_there_whole_are_refused(surgery, arguments, world, tmp_path, content, told) -> None:
    model = tmp_path / "model"
    shutil.copytree(world.model, model)
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(content or whole[: len(whole) // 2])
    assert_refused(surgery(*arguments, "model.path=./model"), told, "again", folder=tmp_path)


def test_a_model_without_a_gated_mlp_is_refused_with_its_name_and_what_was_found(surgery, world, tmp_path) -> None:
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_layer": 2, "n_embd": 16, "n_head": 2}
    (tmp_path / "gpt2").mkdir()
    write(tmp_path, "gpt2/config.json", json.dumps({**config, "vocab_size": 20, "bos_token_id": 1, "eos_token_id": 1}))
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path / "gpt2"))
    state = {name: tensor.clone() for name, tensor in model.named_parameters()}
    save_file(state, tmp_path / "gpt2" / "model.safetensors")
    refused = surgery("model.path=./gpt2", f"behavior.path={world.texts}", "tracking=none")
    assert_refused(refused, "GPT2LMHeadModel has no gated MLP", "mlp.c_fc", folder=tmp_path)


def test_a_foreign_or_damaged_probe_file_is_refused(surgery, arguments, tmp_path) -> None:
    import torch
    from safetensors.torch import save_file

    from surgery import Probe

    damaged = write(tmp_path, "damaged.safetensors", "garbage")
    assert_refused(surgery(*arguments, f"probe.path={damaged}"), "can't be read as safetensors", folder=tmp_path)
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    assert_refused(surgery(*arguments, "probe.path=./foreign.safetensors"), "is no probe", "holds a", folder=tmp_path)
    Probe(torch.ones(2, 99), torch.zeros(2)).save(tmp_path / "wide.safetensors")
    assert_refused(surgery(*arguments, "probe.path=./wide.safetensors"), "99 wide", "16 wide", folder=tmp_path)
    other = Probe(torch.ones(2, 16), torch.zeros(2), model_fingerprint="feedfeedfeedfeed")
    other.save(tmp_path / "other.safetensors")
    assert_refused(
        surgery(*arguments, "probe.path=./other.safetensors"), "feedfeedfeedfeed", "this model is", folder=tmp_path
    )


def test_an_output_folder_that_can_not_be_written_is_refused(surgery, arguments, tmp_path) -> None:
    write(tmp_path, "file", "not a folder")
    assert_refused(
        surgery(*arguments, "output_dir=file/below"), "output_dir=file/below can't be written", folder=tmp_path
    )


def test_a_changed_file_of_the_toy_world_is_noticed(surgery, tmp_path) -> None:
    sums = write(tmp_path, "SHA256SUMS", f"{'0' * 64}  texts.csv\n")
    texts = write(tmp_path, "texts.csv", LABELLED)
    refused = surgery("model=toyworld", f"behavior.path={texts}", f"behavior.checksums={sums}")
    assert_refused(refused, "is not the file that SHA256SUMS lists", folder=tmp_path)


def test_a_traceback_is_shown_only_when_asked_for(command) -> None:
    asked = command("surgery", "alpha=nan", env={"HYDRA_FULL_ERROR": "1"})
    assert asked.code == 1
    assert "Traceback" in asked.err
    plain = command("surgery", "alpha=nan")
    assert plain.code == 1
    assert "Traceback" not in plain.err


def imported_by(command: Callable, program: str, *arguments: str) -> set[str]:
    ran = command(program, *arguments, env={"PYTHONPROFILEIMPORTTIME": "1"})
    return {line.rpartition("|")[2].strip() for line in ran.err.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize(
    ("program", "arguments"),
    [("surgery", ["--help"]), ("surgery", ["alfa=1"]), ("sweeps", ["--version"]), ("sweeps", ["--help"])],
)
def test_quick_answers_do_not_import_torch(command, program: str, arguments: list[str]) -> None:
    modules = imported_by(command, program, *arguments)
    assert "sweeps" in modules
    assert not modules & {"torch", "transformers", "wandb", "lm_eval", "pandas"}


class WritesAFile:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_scorer_that_can_not_be_trusted_is_refused_before_the_model_is_loaded(
    surgery, arguments, world, tmp_path, monkeypatch
) -> None:
    import torch

    torch.save({"config": WritesAFile(tmp_path / "ran"), "state_dict": {}}, tmp_path / "evil.ckpt")
    (tmp_path / "config").mkdir()
    write(tmp_path, "config/config.json", "{}")
    monkeypatch.setattr("surgery.model.weights.AutoModelForCausalLM", None)
    scorer = ["evaluation.detoxify.checkpoint=evil.ckpt", "evaluation.detoxify.config=config"]
    refused = surgery(*arguments, f"evaluation.prompts={world.prompts}", *scorer)
    assert refused.code == 1
    # What is to be known beforehand was said.
    assert "set trust_checkpoint=true" in refused.err.splitlines()[-1]
    assert not (tmp_path / "ran").exists()
    assert not list((tmp_path / "outputs").glob("runs/*/[!.]*/"))


def test_prompts_and_tasks_that_are_not_there_are_refused(surgery, arguments, tmp_path) -> None:
    assert_refused(surgery(*arguments, "evaluation.prompts=none.txt"), "none.txt", folder=tmp_path)
    assert_refused(surgery(*arguments, "evaluation.tasks=./none"), "none", folder=tmp_path)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ("hydra.launcher.workers=two", "hydra.launcher.workers=two is not possible: it is a whole number from 0"),
        ("hydra.launcher.workers=-1", "it is a whole number from 0"),
        ("hydra.launcher.gpus_per_worker=-1", "it is a whole number from 0"),
        ("hydra.launcher.worker=2", "did you mean 'hydra.launcher.workers'?"),
        ("hydra/launcher=slurm", "did you mean hydra/launcher=resident_slurm?"),
        ("hydra/launcher=basic", "hydra/launcher=basic can't run cells; choose resident"),
    ],
)
def test_a_launcher_that_can_not_be_is_refused_in_one_line(surgery, arguments, given, part, tmp_path) -> None:
    kept = [argument for argument in arguments if "hydra.launcher" not in argument]
    ran = surgery(*kept, "-m", "alpha=1,2", given)
    assert ran.code == 1
    assert part in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
