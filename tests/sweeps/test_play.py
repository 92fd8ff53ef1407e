"""What is behind the page of `sweeps play`: presets, the session that edits and restores, the adapter; no Gradio."""

import json
import shutil
import socket
import sys
from asyncio import run
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from evaluation.engines.decoding import Generation
from evaluation.generation import generate
from surgery import Edit, load_model
from surgery.errors import InputError
from sweeps.play.answer_scores import AnswerScores
from sweeps.play.played_adapter import measuring_command, write_adapter
from sweeps.play.presets import Presets
from sweeps.play.session import Session
from sweeps.play.sliders import alpha_reach, top_k_reach, where
from sweeps.records.sweep import Sweep
from sweeps.results.cell_selector import named_cell

PROMPT = "ann said to bob : cid is a rude"
GUARD = {"version": 1, "text": "{prompt} : {answer} is", "verdict": {"tokens": {"unsafe": "rude", "safe": "kind"}}}


@pytest.fixture(scope="module")
def runs(world, tmp_path_factory) -> Path:
    """The output folder of a sweep of three cells, judged by a guard that the tiny model itself is."""
    from sweeps.commands.surgery_command import main

    folder = tmp_path_factory.mktemp("played")
    (folder / "polite.yaml").write_text(json.dumps(GUARD | {"verdict": {**GUARD["verdict"], "least": 0}}))
    own = [f"prompts={world.prompts}", "max_new_tokens=6", f"judge={folder / 'polite.yaml'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["surgery", "-m", f"model.path={world.model}", f"behavior.path={world.texts}", "tracking=none"]
        words += [f"evaluation.{one}" for one in own] + [f"evaluation.judge_model={world.model}"]
        words += ["alpha=40,-7.5", "top_k=20,12", "sweep=played", "hydra.launcher.workers=0", "probe=mean_difference"]
        patch.setattr(sys, "argv", words)
        main()
    return folder / "outputs"


@pytest.fixture(scope="module")
def presets(runs: Path) -> Presets:
    return Presets.of_sweep(Sweep.named("played", runs))


@pytest.fixture(scope="module")
def loaded(world) -> Any:
    return load_model(str(world.model))


@pytest.fixture
def session(loaded, runs: Path, presets: Presets) -> Iterator[Session]:
    judge = AnswerScores.of(presets.first.config)
    session = Session(*loaded, Generation(max_new_tokens=6), runs / "store", judge)
    yield session
    session.close()


def bits(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def preset_of(presets: Presets, alpha: float, top_k: int) -> Any:
    return next(one for one in presets.cells if (one.alpha, one.top_k) == (alpha, top_k))


def test_the_chosen_cell_comes_first_and_each_is_told_by_what_was_swept(runs, presets, monkeypatch) -> None:
    assert len(presets.cells) == 4
    # Nothing can be gained here, which is said.
    assert "no cell is chosen" in presets.notes[0]
    best = presets.cells[2].cell
    found = SimpleNamespace(best=SimpleNamespace(cell=best), why="")
    monkeypatch.setattr("sweeps.play.presets.choose", lambda *_: found)
    sweep = Sweep.named("played", runs)
    chosen = Presets.of_sweep(sweep)
    assert chosen.first.cell == best
    assert chosen.first.label == f"chosen: top_k=20 alpha=-7.5 ({best})"
    assert [one.cell for one in chosen.cells if one.label.startswith("chosen")] == [best]
    assert Presets.of_sweep(sweep, presets.cells[3].cell[:6]).first.cell == presets.cells[3].cell


def test_cells_of_other_methods_and_models_are_left_out_and_told(runs, tmp_path, presets) -> None:
    shutil.copytree(runs / "runs", tmp_path / "runs")
    mixed = Sweep.named("played", tmp_path)
    lora, other, *rest = (one.cell for one in presets.cells)
    record = named_cell(lora, mixed)
    replace(record, keys={**record.keys, "method": "lora"}).save(mixed.folder / lora)
    config = mixed.folder / other / "config.yaml"
    config.write_text(config.read_text().replace("dtype: auto", "dtype: float32", 1))
    left = Presets.of_sweep(Sweep.named("played", tmp_path), rest[0])
    assert [one.cell for one in left.cells] == rest
    assert "2 of 4 cells are of another model, method, variant or version" in left.notes[-1]
    with pytest.raises(InputError, match=f"cell {lora} can't be played with; there are "):
        Presets.of_sweep(Sweep.named("played", tmp_path), lora)


@pytest.mark.parametrize(("alpha", "top_k"), [(40.0, 20), (40.0, 12), (-7.5, 12)])
def test_a_preset_is_the_very_edit_that_was_measured(session, presets, alpha: float, top_k: int) -> None:
    preset = preset_of(presets, alpha, top_k)
    [edit] = session.chain(preset, alpha, top_k)
    assert edit.fingerprint == Edit.load(preset.folder / "edit.safetensors").fingerprint


def test_a_moved_slider_takes_the_rows_most_opposed_to_the_direction(session, presets, loaded) -> None:
    preset = presets.first
    [edit] = session.chain(preset, 3.25, 33)
    gates = [block.mlp.gate_proj.weight for block in loaded[0].model.layers]
    cosines = torch.stack([torch.cosine_similarity(gate, edit.direction[None], dim=1) for gate in gates])
    lowest = {(int(i) // 40 + 1, int(i) % 40) for i in cosines.flatten().argsort()[:33]}
    assert {(layer, int(row)) for layer, rows in edit.region.rows.items() for row in rows} == lowest
    assert edit.alpha == 3.25
    assert session.chain(preset, 0, 33) == []


def test_answers_and_their_scores_are_those_of_the_record(session, presets, loaded) -> None:
    from sweeps.records.samples import read_samples

    before = bits(loaded[0])
    preset = preset_of(presets, 40.0, 20)
    samples = read_samples(preset.folder)
    row = samples[samples["measurement"] == "fluency/repetition"].iloc[0]
    for chain, column in (([], "base"), (session.chain(preset, 40.0, 20), "edited")):
        *growing, last = session.answers(row["prompt"], chain)
        assert last.text == row[column]
        assert last.scores["fluency/repetition"] == pytest.approx(row[f"{column}_score"])
        assert "guard/polite/unsafe_rate" in next(iter(last.scores))
        assert all(last.text.startswith(one.text) and not one.ended for one in growing)
        assert same(before, bits(loaded[0]))


def test_requests_stand_in_line_and_a_lost_reader_leaves_no_edit(session, presets, loaded) -> None:
    before = bits(loaded[0])
    preset = preset_of(presets, 40.0, 20)
    [base] = generate(*loaded, [PROMPT], Generation(max_new_tokens=6)).texts
    edited = session.answers(PROMPT, session.chain(preset, 40.0, 20))
    next(edited)
    assert list(session.answers(PROMPT, []))[-1].text == base
    assert list(edited)[-1].text == "rude rude rude rude rude rude"
    lost = session.answers(PROMPT, session.chain(preset, 40.0, 20))
    next(lost)
    lost.close()
    session.receipt(session.chain(preset, 40.0, 20))
    assert same(before, bits(loaded[0]))


def test_who_stops_ends_their_own_answer_alone_and_closing_ends_all(loaded, runs, presets) -> None:
    before = bits(loaded[0])
    session = Session(*loaded, Generation(max_new_tokens=50), runs / "store", AnswerScores())
    chain = session.chain(preset_of(presets, 40.0, 20), 40.0, 20)
    words = []
    for asker, stopper in (("mine", "mine"), ("mine", "other")):
        answer = session.answers(PROMPT, chain, asker)
        next(answer)
        session.stop(stopper)
        said = list(answer)
        words.append((len(said[-1].text.split()), said[-1].ended) if said else (1, False))
    assert words[0][0] < 50 and words[0][1] is False
    assert words[1] == (50, True)
    answer = session.answers(PROMPT, chain)
    next(answer)
    session.close()
    assert same(before, bits(loaded[0]))
    assert not any(one.ended for one in answer)


def test_what_can_not_be_applied_is_said_and_leaves_the_model_alone(session, presets, loaded) -> None:
    before = bits(loaded[0])
    preset = presets.first
    with pytest.raises(InputError, match="161 is not possible"):
        session.chain(preset, 1.0, 161)
    with pytest.raises(InputError, match="alpha"):
        list(session.answers(PROMPT, session.chain(preset, 1e-30, 12)))
    assert same(before, bits(loaded[0]))
    assert list(session.answers(PROMPT, []))[-1].ended


def test_a_ranking_that_is_gone_is_made_again_and_a_damaged_one_refused(loaded, runs, presets, tmp_path) -> None:
    session = Session(*loaded, Generation(), tmp_path / "no-store", AnswerScores())
    [again] = session.chain(presets.first, 2.0, 50)
    session.close()
    session = Session(*loaded, Generation(), runs / "store", AnswerScores())
    [kept] = session.chain(presets.first, 2.0, 50)
    assert kept.fingerprint == again.fingerprint
    session.close()
    shutil.copytree(runs / "store", tmp_path / "store")
    [file] = (tmp_path / "store" / "ranking").glob("*/ranking.safetensors")
    file.write_bytes(b"no ranking")
    session = Session(*loaded, Generation(), tmp_path / "store", AnswerScores())
    with pytest.raises(InputError, match="ranking"):
        session.rows(presets.first)
    session.close()


@pytest.mark.parametrize(("alpha", "top_k", "measured"), [(40.0, 20, True), (2.5, 31, False)])
def test_the_adapter_is_the_edit_of_the_sliders(
    session, presets, loaded, tmp_path, alpha: float, top_k: int, measured: bool
) -> None:
    from sweeps.export.ask import Pair

    preset = preset_of(presets, 40.0, 20)
    folder = write_adapter(session, preset, alpha, top_k, tmp_path)
    assert folder == write_adapter(session, preset, alpha, top_k, tmp_path)
    pair = Pair.of_adapter(folder, None)
    ids = torch.tensor([[1, 4, 9, 6, 13]])
    model = loaded[0]
    with torch.no_grad():
        base, adapted = model(ids).logits, pair.model(ids).logits
        with session.chain(preset, alpha, top_k)[0].applied_to(model):
            edited = model(ids).logits
    torch.testing.assert_close(adapted, edited, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(adapted, base, atol=1e-2)
    card = (folder / "README.md").read_text()
    assert f"top_k {top_k}, alpha {alpha} (raw)" in card and f"{top_k} of 160 rows" in card
    assert ("guard/polite/unsafe_rate` |" in card) == measured
    assert ("Nothing was measured on this edit" in card) != measured


def test_no_adapter_is_written_of_no_edit(session, presets, tmp_path) -> None:
    with pytest.raises(InputError, match="alpha 0"):
        write_adapter(session, presets.first, 0, 12, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_sliders_can_stand_on_every_cell_and_say_what_was_measured_there(session, presets) -> None:
    reach = alpha_reach(presets)
    assert (reach.low, reach.high, reach.step) == (-80.0, 80.0, 0.1)
    assert top_k_reach(presets, 160).high == 80
    assert top_k_reach(presets, 60).high == 60
    preset = preset_of(presets, 40.0, 20)
    # From any cell the sliders reach any other that differs in them alone.
    told = where(session, presets, presets.first, 40.0, 20)
    assert told.startswith(
        f"20 of 160 rows by lowest cosine. Cell {preset.cell} of the sweep: guard/polite/unsafe_rate"
    )
    told = where(session, presets, presets.first, 1.5, 20)
    assert "nothing was measured here" in told and "alpha=1.5 top_k=20`" in told
    assert measuring_command(preset, 1.5, 7).count("top_k=") == 1


def test_where_the_scorer_can_not_be_made_that_is_said(loaded, runs, presets, tmp_path) -> None:
    config = json.loads(json.dumps(presets.first.config))
    config["evaluation"]["measurements"]["judge"] = str(tmp_path / "gone.yaml")
    judge = AnswerScores.of(config)
    assert judge.why.startswith("the sweep's scorer can't be made: ") and "gone.yaml" in judge.why
    session = Session(*loaded, Generation(max_new_tokens=4), runs / "store", judge)
    last = list(session.answers(PROMPT, []))[-1]
    session.close()
    assert last.ended and last.scores == {}
    config["evaluation"]["measurements"] = {"own": {"_target_": "subprocess.Popen", "args": ["touch", "ran"]}}
    assert "subprocess.Popen" in AnswerScores.of(config).why
    config["evaluation"]["measurements"] = {}
    assert AnswerScores.of(config).why == "the cell measured no answers, so it has no scorer for them"


def test_what_is_wrong_is_one_line_before_a_model_is_loaded(sweeps, runs, monkeypatch) -> None:
    monkeypatch.chdir(runs.parent)
    monkeypatch.setattr("sweeps.commands.export_commands.find_spec", lambda name: None)
    missing = sweeps("play", "played")
    assert missing.code == 1
    assert "pip install 'llm-surgery[play]'" in missing.err


def test_a_taken_port_is_one_line() -> None:
    from sweeps.play.play_server import HOST, listen

    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} can't be used .* --port"):
            listen(port)
    with listen(0) as free:
        assert free.getsockname()[0] == "127.0.0.1"


TOKEN = "t0ken"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/{TOKEN}/", 200),
        (f"/{TOKEN}/gradio_api/queue/join", 200),
        ("/", 403),
        ("", 403),
        ("/other/", 403),
        (f"/{TOKEN}x/", 403),
        (f"/{TOKEN[:-1]}/", 403),
        (f"//{TOKEN}/", 403),
        ("/gradio_api/queue/join", 403),
        ("/tökèn/", 403),
    ],
)
def test_nothing_is_answered_without_the_token(path: str, status: int) -> None:
    from sweeps.play.play_server import Gate

    reached, sent = [], []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    run(Gate(behind, TOKEN)({"type": "http", "path": path}, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == status
    assert reached == ([path] if status == 200 else [])
    if status == 200:
        assert b"default-src 'self'" in dict(sent[0]["headers"])[b"content-security-policy"]


def test_a_web_socket_without_the_token_is_refused_too() -> None:
    from sweeps.play.play_server import Gate

    sent = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    run(Gate(None, TOKEN)({"type": "websocket", "path": "/gradio_api"}, None, send))  # type: ignore[arg-type]
    assert sent == ["websocket.close"]
