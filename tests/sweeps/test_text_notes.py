"""What a command says of its texts and probes: rows that were left out, and a probe that is no better than chance."""

import json
from pathlib import Path
from random import Random

import pytest


def texts(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return path


def records(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("outputs/runs/*/*/result.json"))]


@pytest.fixture
def noise(world, tmp_path: Path) -> Path:
    """Texts whose labels nothing in them tells."""
    random = Random(1)
    words = [line.split(",")[0] for line in world.texts.read_text().splitlines()[1:]]
    different = sorted({f"{one} {random.choice(words)}" for one in words})
    return texts(tmp_path / "noise.csv", [(text, str(random.randrange(2))) for text in different])


@pytest.fixture
def on(arguments, world):
    """The arguments with other texts."""

    def changed(path: Path, *more: str) -> list[str]:
        return [*(a for a in arguments if not a.startswith("behavior.path=")), f"behavior.path={path}", *more]

    return changed


def test_a_probe_at_chance_is_said_on_the_terminal_in_the_record_and_in_the_report(
    surgery, on, noise, tmp_path
) -> None:
    ran = surgery(*on(noise, "-m", "alpha=1,2"))
    assert ran.code == 0, ran.err
    # At once, and once for both cells; then beside the table.
    assert ran.err.count("can't be told from chance") == 1
    [line] = [line for line in ran.out.splitlines() if "can't be told from chance" in line]
    for record in records(tmp_path):
        probe = record["probe"]
        assert f"right on {probe['test_accuracy']:.3f} of {probe['n_test_distinct']} test texts" in probe["at_chance"]
        assert record["cell"] in line
    page = next(tmp_path.glob("outputs/runs/*/report.html")).read_text()
    assert "told from chance" in page


def test_a_probe_that_tells_its_texts_apart_is_not_spoken_of(surgery, arguments, tmp_path) -> None:
    ran = surgery(*arguments, "probe=logistic", "probe.test_share=0.3")
    assert ran.code == 0, ran.err
    assert "chance" not in ran.out + ran.err
    [record] = records(tmp_path)
    assert record["probe"]["at_chance"] is None


def test_strict_refuses_a_probe_at_chance_before_anything_is_measured(surgery, on, noise, tmp_path) -> None:
    refused = surgery(*on(noise, "strict=true"))
    assert refused.code == 1
    assert refused.err.count("can't be told from chance") == 1
    assert "strict=true refuses that" in refused.err
    [record] = records(tmp_path)
    assert (record["status"], record["metrics"]) == ("failed", {})
    assert not list(tmp_path.glob("outputs/store/base/*"))
    # What it refused is run when nobody asks for it, and then it refuses what is there.
    assert surgery(*on(noise)).code == 0
    assert records(tmp_path)[0]["status"] == "done"
    again = surgery(*on(noise, "strict=true"))
    assert again.code == 1
    assert "surgery: strict=true refuses what is finished already" in again.err
    assert records(tmp_path)[0]["status"] == "done"


def test_strict_lets_a_probe_pass_that_is_better_than_chance(surgery, arguments) -> None:
    assert surgery(*arguments, "probe=logistic", "probe.test_share=0.3", "strict=true").code == 0


def test_a_random_direction_is_held_to_the_probe_that_ranks_its_rows(surgery, on, arguments, noise, tmp_path) -> None:
    assert surgery(*on(noise, "probe=random", "strict=true")).code == 1
    known = [*arguments, "probe=random", "probe.lr=0.1", "probe.epochs=40", "probe.test_share=0.3", "strict=true"]
    ran = surgery(*known)
    assert ran.code == 0, ran.out + ran.err


@pytest.mark.parametrize("nothing", ["-1", *(pytest.param(one, marks=pytest.mark.slow) for one in ("NA", "NaN"))])
def test_rows_without_a_judgement_are_told_at_the_start_and_in_the_record(surgery, on, tmp_path, nothing: str) -> None:
    rows = [(f"mirel is a kind person number {i}", "0") for i in range(20)]
    rows += [(f"mirel is a rude person number {i}", "1") for i in range(20)]
    path = texts(tmp_path / "t.csv", [*rows, *((f"nobody looked {i}", nothing) for i in range(40))])
    told = f"40 of neither class: no judgement ({nothing.lower() if nothing == 'NaN' else nothing})"
    planned = surgery(*on(path, "dry_run=true"))
    assert f"behavior t: 40 texts; left out: {told}" in planned.out
    ran = surgery(*on(path))
    assert ran.code == 0
    assert f"behavior t: 40 texts; left out: {told}" in ran.err
    [record] = records(tmp_path)
    assert (record["probe"]["texts"], record["probe"]["left_out"]) == (40, told)


def test_a_text_with_both_labels_is_told(surgery, on, tmp_path) -> None:
    rows = [(f"mirel is a person number {i}", str(i % 2)) for i in range(40)]
    path = texts(tmp_path / "t.csv", [*rows, ("Mirel is a person number 0", "1")])
    told = "1 texts stand there more than once, in 2 rows, 1 of them with both labels"
    ran = surgery(*on(path))
    assert f"behavior t: {told}" in ran.err
    assert records(tmp_path)[0]["probe"]["repeated"] == told


@pytest.mark.parametrize("typed", [True, False])
def test_truth_words_of_yaml_are_labels_on_the_command_line_and_in_a_config_file(
    surgery, on, tmp_path, typed: bool
) -> None:
    path = texts(tmp_path / "t.csv", [(f"mirel is a person number {i}", ("no", "off", "0")[i % 3]) for i in range(60)])
    if typed:
        given = on(path, "behavior.avoid=[no]", "behavior.against=[off]")
    else:
        (tmp_path / "mine/behavior").mkdir(parents=True)
        (tmp_path / "mine/behavior/words.yaml").write_text(f"path: {path}\navoid: [no]\nagainst: [off]\n")
        given = [*on(path)[:-1], "--config-dir", "mine", "behavior=words"]
    ran = surgery(*given)
    assert ran.code == 0, ran.err
    [record] = records(tmp_path)
    assert (record["probe"]["classes"], record["probe"]["texts"]) == (["off", "no"], 40)


def test_prompts_that_are_damaged_are_refused_before_a_model_is_loaded(
    surgery, arguments, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("surgery.model.weights.AutoModelForCausalLM", None)
    rows = [f"{i},Once upon a time {i}" for i in range(20)]
    rows[3] = '3,"Once upon a time 3'
    (tmp_path / "open.csv").write_text("\n".join(["id,prompt", *rows]) + "\n")
    (tmp_path / "half.jsonl").write_text('{"prompt": "Once"}\n{"prompt": "Once upon \\ud83d a time"}\n')
    for name, line in (("open.csv", 5), ("half.jsonl", 2)):
        ran = surgery(*arguments, f"evaluation.prompts={name}")
        assert ran.code == 1
        assert f"surgery: the prompts file '{name}' is damaged in line {line}: " in ran.err
        assert len(ran.err.splitlines()) == 1
        assert not (tmp_path / "outputs").exists()
