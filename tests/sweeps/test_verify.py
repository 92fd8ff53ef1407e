"""`sweeps verify`: what no longer matches a record is named, and a cell run again gives the same numbers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from surgery.model.weight_digests import digest_of_stored
from sweeps.config.foreign_code import foreign_code
from sweeps.records.record import Record, load_records
from sweeps.terminal.cell_tables import sweep_notes


@pytest.fixture
def grid(surgery, arguments, tmp_path, world):
    """Two cells with texts of their own, so that a test may change these."""
    texts = tmp_path / "texts.csv"
    texts.write_text(world.texts.read_text())
    own = [argument for argument in arguments if not argument.startswith("behavior.path")]
    assert surgery("-m", *own, f"behavior.path={texts}", "top_k=4,8", "sweep=grid").code == 0
    return tmp_path / "outputs/runs/grid"


def cells_of(grid):
    return sorted(path.parent for path in grid.glob("*/result.json"))


def rewrite(folder, **changes) -> None:
    """Changes a record and gives it the checksum of what it now holds."""
    replace(Record.load(folder), **changes).save(folder)


def test_a_sweep_as_it_was_left_matches_and_a_cell_run_again_gives_the_same_numbers(grid, sweeps, tmp_path) -> None:
    ran = sweeps("verify", "grid", "--rerun", cells_of(grid)[0].name[:5])
    assert (ran.code, ran.err) == (0, "")
    assert "all that was checked matches" in ran.out
    assert "rerun" in ran.out
    assert {path.name for path in (tmp_path / "outputs/runs").iterdir()} == {"grid"}


def test_without_a_rerun_the_last_lines_say_how_to_ask_for_one(grid, sweeps) -> None:
    assert "`--rerun CELL` runs a cell again" in sweeps("verify", "grid").out


def test_a_number_changed_with_its_checksums_is_found_by_running_the_cell_again(grid, sweeps) -> None:
    folder = cells_of(grid)[0]
    metric = Record.load(folder).metrics["perplexity/story"]
    rewrite(folder, metrics={**Record.load(folder).metrics, metric.key: replace(metric, edited=metric.edited + 1.0)})
    assert sweeps("verify", "grid", "--cell", folder.name).code == 0
    ran = sweeps("verify", "grid", "--rerun", folder.name)
    assert ran.code == 1
    assert "rerun: perplexity/story: edited was" in ran.out
    assert "results.csv is not what the records say" in ran.out


def test_a_changed_record_and_a_changed_file_are_named(grid, sweeps) -> None:
    first, second = cells_of(grid)
    text = (first / "result.json").read_text()
    (first / "result.json").write_text(text.replace('"n": 5', '"n": 6'))
    (second / "edit.safetensors").write_bytes(b"other")
    ran = sweeps("verify", "grid")
    assert ran.code == 1
    assert "content is not what was written" in ran.out
    assert f"{second.name}: edit.safetensors is not what was written" in ran.out
    assert ran.err.startswith("sweeps: 2 of what was checked do not match")


def test_other_versions_are_named(grid, sweeps) -> None:
    folder = cells_of(grid)[0]
    rewrite(folder, versions={**Record.load(folder).versions, "torch": "1.0"})
    ran = sweeps("verify", "grid")
    assert ran.code == 1
    assert "versions: torch: 1.0 in 1 of 2 records, " in ran.out


def test_other_texts_another_model_and_missing_files_are_told_apart(grid, sweeps, tmp_path, world) -> None:
    texts = tmp_path / "texts.csv"
    lines = texts.read_text()
    texts.write_text(lines.replace("ann", "bob"))
    ran = sweeps("verify", "grid")
    assert ran.code == 1
    assert ran.out.count("the texts of the behavior are others") == 2
    texts.write_text(lines)
    story = world.text.read_text()
    world.text.write_text(story + "ann is a warm person .\n")
    try:
        assert "what is measured, its prompts or its tasks are others" in sweeps("verify", "grid").out
    finally:
        world.text.write_text(story)
    texts.unlink()
    ran = sweeps("verify", "grid")
    assert ran.code == 0
    assert ran.out.count(f"'{texts}' is not here") == 2


def test_each_part_of_the_model_that_changed_is_named_in_a_line_of_its_own(
    surgery, sweeps, arguments, tmp_path, world
) -> None:
    model = Path(shutil.copytree(world.model, tmp_path / "model"))
    own = [argument for argument in arguments if not argument.startswith("model.path")]
    assert surgery(*own, f"model.path={model}", "sweep=one").code == 0
    [record] = [Record.load(path.parent) for path in (tmp_path / "outputs/runs/one").glob("*/result.json")]
    assert set(record.model) == {"weights", "config", "tokenizer", "chat_template", "generation", "code"}
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.01}))
    (model / "chat_template.jinja").write_text("{{ messages[0].content }}")
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "model.safetensors").write_bytes(content)
    ran = sweeps("verify", "one")
    assert ran.code == 1
    said = [line for line in ran.out.splitlines() if line.startswith("identities:")]
    assert [line.split("the model's ")[1].split(" changed")[0] for line in said] == [
        "weights",
        "config",
        "chat template",
    ]
    # And the same command is of another cell, which is run.
    assert surgery(*own, f"model.path={model}", "sweep=one").code == 0
    assert len(list((tmp_path / "outputs/runs/one").glob("*/result.json"))) == 2


@pytest.mark.slow
def test_what_a_folder_holds_is_kept_in_the_store_until_its_files_change(
    surgery, arguments, tmp_path, world, monkeypatch
) -> None:
    monkeypatch.setattr("surgery.model.digest_cache.SETTLED", 0)
    monkeypatch.setattr("surgery.model.digest_cache._known", {})
    read = []
    monkeypatch.setattr(
        "surgery.model.fingerprints.digest_of_stored", lambda homes: read.append(homes) or digest_of_stored(homes)
    )
    model = Path(shutil.copytree(world.model, tmp_path / "model"))
    own = [*(argument for argument in arguments if not argument.startswith("model.path")), f"model.path={model}"]
    assert surgery(*own, "dry_run=true").code == 0
    assert not (tmp_path / "outputs").exists()
    for _ in range(2):
        monkeypatch.setattr("surgery.model.digest_cache._known", {})
        assert surgery(*own).code == 0
    # The dry run keeps nothing, the first run does.
    assert len(read) == 2
    assert len(list((tmp_path / "outputs/store/weights").glob("*/digest.txt"))) == 1
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "model.safetensors").write_bytes(content)
    assert surgery(*own).code == 0
    assert len(read) == 3
    assert len(list((tmp_path / "outputs/runs").glob("*/*/result.json"))) == 2


def test_a_cell_of_an_older_identity_is_read_and_said_to_be_one(grid, sweeps) -> None:
    folder = cells_of(grid)[0]
    rewrite(folder, identity=1, model={})
    ran = sweeps("verify", "grid")
    assert ran.code == 0
    assert f"identities: {folder.name}: it is of an older identity" in ran.out
    assert "1 of 2 cells are of an older identity" in " ".join(sweep_notes(load_records(grid)))
    ran = sweeps("export", "grid", folder.name, "out")
    assert ran.code == 1
    assert "older identity" in ran.err


def test_a_record_that_names_code_of_its_own_is_not_run(grid, sweeps, tmp_path) -> None:
    folder = cells_of(grid)[0]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["evaluation"]["measurements"] = {"x": {"_target_": "os.mkdir", "path": str(tmp_path / "made")}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    ran = sweeps("verify", "grid")
    assert "runs code that is not ours (os.mkdir)" in ran.out
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"_target_": "evaluation.own_files.own_evaluators"}, []),
        ({"deep": [{"_target_": "subprocess.run"}]}, ["subprocess.run"]),
        # What one of our modules imports is not ours.
        ({"_target_": "evaluation.inputs.named_files.Path"}, ["evaluation.inputs.named_files.Path"]),
        ({"model": {"trust_remote_code": True}}, ["trust_remote_code=true"]),
        ({"trust_checkpoint": False}, []),
        ({"trust_task_code": True, "folder": "/tmp/tasks"}, ["trust_task_code=true"]),
    ],
)
def test_code_beyond_ours_is_told_from_ours(values, found) -> None:
    assert foreign_code(values) == found
