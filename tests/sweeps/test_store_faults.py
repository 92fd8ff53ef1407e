"""The store shared, killed, damaged, full, read-only and pruned; with real processes and the real stages."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from surgery.errors import InputError
from sweeps.store.store import Store

MAKER = """
import os, sys, time
from pathlib import Path
from sweeps.store.store import Store
root, log, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
store = Store(root)
for number in range(int(sys.argv[4])):
    def make(folder):
        with open(log, "a") as file:
            file.write(f"{number}\\n")
        (folder / "data").write_text("half")
        print("making", flush=True)
        time.sleep(pause)
        (folder / "data").write_text(f"entry {number}")
    place = store.get_or_make("stage", {"number": number}, make)
    assert (place / "data").read_text() == f"entry {number}"
"""


def maker(root: Path, log: Path, pause: float, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", MAKER, str(root), str(log), str(pause), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ten_processes_make_each_entry_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    makers = [maker(tmp_path / "store", log, 0.1, 5) for _ in range(10)]
    for process in makers:
        _, err = process.communicate(timeout=900)
        assert process.returncode == 0, err
        assert err == ""
    assert sorted(log.read_text().split()) == ["0", "1", "2", "3", "4"]
    folders = [path.name for path in (tmp_path / "store" / "stage").iterdir()]
    assert len([name for name in folders if not name.startswith(".")]) == 5
    assert [name for name in folders if name.startswith(".")] == [".locks"]


def test_what_a_killed_process_was_making_is_made_by_the_next(tmp_path: Path) -> None:
    root, log = tmp_path / "store", tmp_path / "log"
    killed = maker(root, log, 60, 1)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "making\n"
    waiting = maker(root, log, 0, 1)
    assert not Store(root).has("stage", {"number": 0})
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    _, err = waiting.communicate(timeout=900)
    assert waiting.returncode == 0, err
    assert log.read_text().split() == ["0", "0"]
    assert sorted(path.name for path in (root / "stage").iterdir())[0] == ".locks"
    assert len(list((root / "stage").iterdir())) == 2


def test_a_full_disk_leaves_the_store_as_it_was(disk: Callable[[str], Path]) -> None:
    root = disk("size=1m") / "store"
    store = Store(root)
    small = store.get_or_make("stage", {"n": 1}, lambda folder: (folder / "data").write_bytes(b"x" * 1000))

    def large(folder: Path) -> None:
        (folder / "data").write_bytes(b"y" * 2_000_000)

    before = sorted(path for path in root.rglob("*") if ".locks" not in path.parts)
    with pytest.raises(InputError, match="no space is left") as refused:
        store.get_or_make("stage", {"n": 2}, large)
    assert str(root) in str(refused.value)
    assert sorted(path for path in root.rglob("*") if ".locks" not in path.parts) == before
    assert Store(root).find("stage", {"n": 1}) == small
    disk("size=8m")
    assert (store.get_or_make("stage", {"n": 2}, large) / "data").stat().st_size == 2_000_000


def test_a_read_only_store_is_used_for_what_it_holds(disk: Callable[[str], Path]) -> None:
    root = disk("size=1m") / "store"
    place = Store(root).get_or_make("stage", {"n": 1}, lambda folder: (folder / "data").write_bytes(b"x"))
    disk("ro")

    def never(folder: Path) -> None:
        raise AssertionError

    assert Store(root).get_or_make("stage", {"n": 1}, never) == place
    for stage in ("stage", "another"):
        with pytest.raises(InputError, match="can't be written to") as refused:
            Store(root).get_or_make(stage, {"n": 2}, never)
        assert str(root) in str(refused.value)


def test_no_clock_matters(tmp_path: Path) -> None:
    store = Store(tmp_path)
    place = store.get_or_make("stage", {"n": 1}, lambda folder: (folder / "data").write_text("x"))
    for moment in (0.0, time.time() + 10**9):
        for path in (place, *place.iterdir(), *tmp_path.rglob("*")):
            os.utime(path, (moment, moment))
        fresh = Store(tmp_path)
        assert fresh.get_or_make("stage", {"n": 1}, lambda folder: None) == place
        assert (fresh.get_or_make("stage", {"n": moment}, lambda folder: None) / "identity.json").is_file()


def entries(output_dir: Path) -> list[Path]:
    return sorted(path for path in (output_dir / "store").glob("*/*") if not path.name.startswith("."))


def content(file: Path) -> object:
    """The file's bytes; of a probe's what they mean, since safetensors orders metadata by chance."""
    if file.name == "identity.json" and file.parent.parent.name == "probe":
        return json.loads(file.read_text())["identity"]
    data = file.read_bytes()
    if file.name != "probe.safetensors":
        return data
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def test_a_flipped_bit_in_any_file_of_a_stage_is_named_and_the_file_made_again(surgery, arguments, tmp_path) -> None:
    assert surgery(*arguments).code == 0
    found = entries(tmp_path / "outputs")
    assert {path.parent.name for path in found} == {"hidden_states", "probe", "ranking", "base", "edited"}
    [result] = (tmp_path / "outputs" / "runs").glob("*/*/result.json")
    first = json.loads(result.read_text())
    files = [file for place in found for file in sorted(place.iterdir())]
    whole = {file: content(file) for file in files}
    for kind in ("data", "identity"):
        touched = [file for file in files if (file.name == "identity.json") == (kind == "identity")]
        for file in touched:
            changed = bytearray(file.read_bytes())
            changed[len(changed) // 2] ^= 1
            file.write_bytes(changed)
        result.unlink()
        ran = surgery(*arguments)
        assert ran.code == 0
        for file in touched:
            name = f"{file.parent.parent.name}/{file.parent.name} is damaged"
            assert name in ran.err
        for file in files:
            assert content(file) == whole[file], file
        assert json.loads(result.read_text())["metrics"] == first["metrics"]


def test_a_cut_off_cell_goes_on_where_it_was_and_another_text_is_measured_anew(
    surgery, world, arguments, monkeypatch, tmp_path
) -> None:
    """The edit of a cell without a record is not measured again; on another text it is, and so is the base."""
    from evaluation import Perplexity
    from sweeps.run import ranking_stage

    count = {"measure": 0, "rank": 0}
    measure, rank = Perplexity.measure, ranking_stage.rank_rows

    def measured(self, *given):
        count["measure"] += 1
        return measure(self, *given)

    def ranked(*given):
        count["rank"] += 1
        return rank(*given)

    monkeypatch.setattr(Perplexity, "measure", measured)
    monkeypatch.setattr(ranking_stage, "rank_rows", ranked)
    assert surgery(*arguments).code == 0
    assert count == {"measure": 2, "rank": 1}
    [result] = (tmp_path / "outputs" / "runs").glob("*/*/result.json")
    result.unlink()
    assert surgery(*arguments).code == 0
    assert count == {"measure": 2, "rank": 1}
    assert surgery(*arguments, "alpha=2").code == 0
    assert count == {"measure": 3, "rank": 1}
    other = tmp_path / world.text.name
    other.write_text(world.text.read_text().replace("kind", "warm"))
    assert surgery(*arguments, f"evaluation.text={other}").code == 0
    assert count == {"measure": 5, "rank": 1}
    assert surgery(*arguments).code == 0
    assert count == {"measure": 5, "rank": 1}


def test_every_setting_of_an_evaluator_is_in_the_key(world, tmp_path) -> None:
    from types import SimpleNamespace

    from evaluation import Perplexity
    from surgery.model.model_identity import ModelIdentity
    from sweeps.run.stage_identities import base_identity, edited_identity

    store, texts = Store(tmp_path), {"story": world.text}
    settings = SimpleNamespace(model=SimpleNamespace(dtype="float32", chat=False))
    names = set()
    for evaluator in (Perplexity(texts), Perplexity(texts, window=32), Perplexity(texts, stride=16)):
        model = ModelIdentity("w", "c", "t", "h", "g")
        cell = SimpleNamespace(
            model_identity=model,
            model_fingerprint="m",
            settings=settings,
            evaluation={"p": evaluator.identity()},
            engine_identity=dict,
        )
        base = base_identity(cell, "p")
        names |= {store.name("base", base), store.name("edited", edited_identity(base, "e"))}
        names.add(store.name("edited", edited_identity(base, "another")))
    assert len(names) == 9


def test_the_command_shows_the_store_and_prunes_what_no_record_names(surgery, sweeps, arguments, tmp_path) -> None:
    assert surgery(*arguments, "-m", "alpha=1,2").code == 0
    output = tmp_path / "outputs"
    found = {f"{path.parent.name}/{path.name}" for path in entries(output)}
    results = sorted((output / "runs").glob("*/*/result.json"))
    assert len(results) == 2
    # The records name what they were made from.
    named = [set(json.loads(result.read_text())["store"]) for result in results]
    assert named[0] | named[1] == found
    shown = sweeps("store", "--output-dir", str(output))
    assert shown.code == 0
    assert all(stage in shown.out for stage in ("hidden_states", "probe", "ranking", "base", "edited"))
    assert "0 entries that no record refers to" in shown.out

    results[0].unlink()
    loose = found - named[1]
    assert len(loose) == len(named[0] - named[1]) > 0
    leftover = output / "store" / "probe" / ".0123456789abcdef.making"
    leftover.mkdir()
    dry = sweeps("store", "--prune", "--dry-run", "--output-dir", str(output))
    assert all(name in dry.out for name in loose)
    assert {f"{path.parent.name}/{path.name}" for path in entries(output)} == found

    held = output / "store" / sorted(loose)[0]
    with Store(output / "store").lock(held):
        ran = sweeps("store", "--prune", "--output-dir", str(output))
        assert ran.code == 0
        assert "other processes are making" in ran.out
    assert {f"{path.parent.name}/{path.name}" for path in entries(output)} == named[1] | {sorted(loose)[0]}
    assert not leftover.exists()
    assert sweeps("store", "--prune", "--output-dir", str(output)).code == 0
    assert {f"{path.parent.name}/{path.name}" for path in entries(output)} == named[1]
    assert "0 entries that no record" in sweeps("store", "--output-dir", str(output)).out
    assert surgery(*arguments, "-m", "alpha=1,2").code == 0
    assert {f"{path.parent.name}/{path.name}" for path in entries(output)} == found


def test_an_unreadable_record_stops_a_prune(surgery, sweeps, arguments, tmp_path) -> None:
    store = tmp_path / "outputs" / "store" / "probe" / "0123456789abcdef"
    store.mkdir(parents=True)
    result = tmp_path / "outputs" / "runs" / "a" / "b" / "result.json"
    result.parent.mkdir(parents=True)
    result.write_text('{"cell": ')
    ran = sweeps("store", "--prune", "--output-dir", str(tmp_path / "outputs"))
    assert ran.code == 1
    assert str(result) in ran.err
    assert store.exists()
    assert sweeps("store", "--dry-run", "--output-dir", str(tmp_path / "outputs")).code == 1


COUNTING = """
import sys
from sweeps.run import states_stage
log, collect = sys.argv.pop(1), states_stage.collect_hidden_states
def counted(model, tokenizer, texts, layers, **more):
    with open(log, "a") as file:
        file.write(f"{list(layers)}\\n")
    return collect(model, tokenizer, texts, layers, **more)
states_stage.collect_hidden_states = counted
from sweeps.commands.surgery_command import main
main()
"""


@pytest.mark.slow
def test_two_commands_at_once_read_the_texts_once_for_all_their_layers(arguments, tmp_path) -> None:
    log = tmp_path / "log"
    more = ("-m", "layer=1,2,4")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", COUNTING, str(log), *arguments, *more, f"sweep={name}"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for process in running:
        _, err = process.communicate(timeout=900)
        assert process.returncode == 0, err
        assert "damaged" not in err
    assert log.read_text().splitlines() == ["[1, 2, 4]"]
    assert len(list((tmp_path / "outputs" / "runs").glob("*/*/result.json"))) == 6
