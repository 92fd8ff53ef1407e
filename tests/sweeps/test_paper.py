"""The paper's tables: variants are what their row says, and our numbers beside the paper's are the records'."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_module
from made_metrics import made_metrics

import conf
from evaluation.measurements.measurement import Measurement
from sweeps.config import resolvers
from sweeps.config.read_settings import plain
from sweeps.paper.table import Column, PaperTable, table_names
from sweeps.plan.layers import layer_number
from sweeps.records.metrics_of import metrics_of
from sweeps.records.record import CONFIG, SAMPLES, Record
from sweeps.records.samples import write_samples

IDS = tuple(f"s{index}" for index in range(100))
VARIANTS = {
    "ours": {},
    "random_probe": {"probe.method": "random"},
    "random_region": {"region.rule": "random"},
    "highest_subtracted": {"region.rule": "highest", "alpha": -3},
    "layer_first": {"layer": "first"},
    "layer_middle": {"layer": "middle"},
    "layer_last_but_one": {"layer": "last_but_one"},
    "layer_last": {"layer": "last"},
    "without_quarter_1": {"region.exclude_quarter": 1},
    "without_quarter_2": {"region.exclude_quarter": 2},
    "without_quarter_3": {"region.exclude_quarter": 3},
    "without_quarter_4": {"region.exclude_quarter": 4},
}


def composed(*overrides: str) -> dict[str, Any]:
    resolvers.register()
    with initialize_config_module("conf", version_base="1.3"):
        return flat(plain(compose("config", list(overrides))))


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_changes_what_its_row_says_and_nothing_else(variant: str) -> None:
    plain_cell, changed = composed(), composed(f"variant={variant}")
    assert changed.pop("variant") == variant
    plain_cell.pop("variant")
    differing = {key: changed.get(key) for key in {*plain_cell, *changed} if plain_cell.get(key) != changed.get(key)}
    assert differing == VARIANTS[variant]


@pytest.mark.parametrize(
    ("depth", "numbers"), [(32, (1, 16, 31, 32)), (8, (1, 4, 7, 8)), (3, (1, 1, 2, 3)), (1, (1, 1, 1, 1))]
)
def test_layers_in_the_papers_terms(depth: int, numbers: tuple[int, ...]) -> None:
    assert tuple(layer_number(name, depth) for name in ("first", "middle", "last_but_one", "last")) == numbers
    assert layer_number(depth, depth) == depth


@pytest.mark.parametrize("name", ["table9", "table11"])
def test_every_row_of_a_table_is_a_cell_of_its_experiment(name: str) -> None:
    table = PaperTable.load(name)
    path = Path(conf.__file__).parent / "experiment" / f"{table.run.split('=')[1]}.yaml"
    experiment = yaml.safe_load(path.read_text())
    ((key, options),) = experiment["hydra"]["sweeper"]["params"].items()
    swept = set(options.split(","))
    for row in table.rows[1:]:
        assert row.where[0][key] in swept
        assert len(row.values) == len(table.columns)
    names = {row.name for row in table.rows}
    assert all({*claim.lower, *claim.than} <= names for claim in table.claims)


def test_a_table_runs_as_any_sweep_does(surgery: Any, sweeps: Any, arguments: list[str], tmp_path: Path) -> None:
    some = "variant=ours,random_probe,layer_last,without_quarter_2"
    ran = surgery("-m", *arguments, "experiment=paper/table9", some, "top_k=8")
    assert ran.code == 0, ran.err
    shown = sweeps("paper", "table9", "tiny-texts-table9", "--csv", "rows.csv", "--latex", "rows.tex")
    assert shown.code == 0, shown.err
    # The tiny world's layer is the last one, so both rows are one cell.
    rows = {row["row"]: row for row in csv.DictReader((tmp_path / "rows.csv").read_text().splitlines())}
    assert rows["ours"]["cell"] == rows["probe of the last layer"]["cell"] != ""
    assert rows["random region"]["cell"] == ""
    assert len({row["cell"] for row in rows.values()} - {""}) == 3
    assert "not run (6.43)" in shown.out
    assert "can't tell: A random region" in shown.out


def cell(name: str, variant: str, toxic: int, sweep: str = "made", protocol: str = "p") -> Record:
    """A finished cell that turned all but `toxic` of 100 toxic continuations."""
    scores = np.zeros(100)
    scores[:toxic] = 1
    losses = np.full(100, 20.0)
    weighted: dict[str, Any] = {"statistic": "perplexity", "weights": np.full(100, 10.0)}
    base = [
        Measurement("toxicity/toxic_rate", "report", IDS, np.ones(100)),
        Measurement("perplexity/story", "report", IDS, losses, **weighted),
    ]
    edited = [
        Measurement("toxicity/toxic_rate", "report", IDS, scores),
        Measurement("perplexity/story", "report", IDS, losses * 1.1, **weighted),
    ]
    folder = Path("outputs/runs") / sweep / name
    folder.mkdir(parents=True)
    write_samples(folder / SAMPLES, base, edited)
    (folder / CONFIG).write_text(yaml.safe_dump({"variant": variant, "layer": 6}))
    record = Record(name, "done", keys={"alpha": 1.0}, metrics=metrics_of(base, edited, 0), protocol=protocol)
    record.save(folder)
    return record


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cell("c1", "ours", 20)
    cell("c2", "random_probe", 60)
    cell("c3", "random_region", 21)
    cell("c4", "highest_subtracted", 5)
    for quarter, toxic in ((1, 20), (2, 70), (3, 30), (4, 30)):
        cell(f"q{quarter}", f"without_quarter_{quarter}", toxic)


def test_numbers_are_the_records_in_the_papers_unit(made: None, sweeps: Any) -> None:
    ran = sweeps("paper", "table9", "made", "--csv", "rows.csv")
    assert ran.code == 0, ran.err
    rows = {row["row"]: row for row in csv.DictReader(Path("rows.csv").read_text().splitlines())}
    assert (rows["base"]["RTP"], rows["base"]["RTP/paper"], rows["base"]["cell"]) == ("100.0", "51.4", "")
    ours = rows["ours"]
    assert (ours["cell"], ours["RTP"], ours["RTP/delta"], ours["RTP/paper"]) == ("c1", "20.0", "-80.0", "5.17")
    assert float(ours["RTP/ci_low"]) < -80 < float(ours["RTP/ci_high"]) < -60
    assert float(ours["Wiki"]) == pytest.approx(np.exp(2.2))
    assert float(rows["base"]["Wiki"]) == pytest.approx(np.exp(2.0))
    # Nothing of ours stands in columns that were not measured; the paper's figures still do.
    assert (ours["GSM8K"], ours["GSM8K/paper"]) == ("", "14.4")
    assert "GSM8K" not in ran.out


def test_claims_hold_fail_or_can_not_be_told_by_paired_intervals(made: None, sweeps: Any) -> None:
    said = sweeps("paper", "table9", "made").out
    assert "holds: A random probe" in said
    # 20 against 21 of 100 may be chance.
    assert "can't tell: A random region" in said
    assert "does not hold: Subtracting" in said
    assert "'probe of the first layer' was not run" in said
    assert "holds: The second quarter" in said
    assert "toxicity/toxic_rate: ours 0.200 against random probe 0.600: -0.400" in said


def test_the_chosen_cell_is_the_row_where_several_could_be_and_the_base_is_compared_with(
    made: None, sweeps: Any
) -> None:
    folder = Path("outputs/runs/grid")
    for name, toxic in (("g1", 30), ("g2", 10), ("g3", 50)):
        cell(name, "", toxic, sweep="grid")
        config = {"method": {"name": "surgery"}, "evaluation": {"choose": {"minimize": "toxicity/toxic_rate"}}}
        (folder / name / CONFIG).write_text(yaml.safe_dump(config))
    ran = sweeps("paper", "table2", "grid", "--csv", "rows.csv")
    assert ran.code == 0, ran.err
    rows = {row["row"]: row for row in csv.DictReader(Path("rows.csv").read_text().splitlines())}
    assert rows["model surgery"]["cell"] == "g2"
    assert rows["DPO"]["cell"] == ""
    assert "not run (8.50)" in ran.out and "quoted (38.90)" in ran.out
    assert "holds: Surgery reduces toxicity" in ran.out
    assert "model surgery 0.100 against base 1.000: -0.900" in ran.out
    assert "holds: Surgery costs some perplexity" in ran.out
    assert "can't tell: Surgery costs some general ability" in ran.out


def test_every_table_has_a_figure_a_column_and_claims_of_its_own_rows() -> None:
    for name in table_names():
        table = PaperTable.load(name)
        names = {row.name for row in table.rows}
        assert all(len(row.values) == len(table.columns) for row in table.rows)
        assert {row.base_of for row in table.rows if row.base_of} <= names
        said = {side for claim in table.claims for side in (*claim.lower, *claim.than)}
        assert {side for side in said if isinstance(side, str)} <= names


def saved(sweep: str, name: str, config: dict[str, Any], metrics: dict[str, Any]) -> None:
    """A finished cell of hand-made metrics, without samples."""
    folder = Path("outputs/runs") / sweep / name
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(yaml.safe_dump(config))
    Record(name, "done", keys={"alpha": 1.0}, metrics=made_metrics(metrics), protocol="p").save(folder)


def alone(value: float, n: int) -> dict[str, Any]:
    return {"base": None, "edited": value, "delta": None, "ci95": [None, None], "p": None, "n": n}


def changed(base: float, edited: float, low: float, high: float) -> dict[str, Any]:
    return {"base": base, "edited": edited, "delta": edited - base, "ci95": [low, high], "p": 0.01, "n": 100}


def test_an_accuracy_is_held_against_a_number_by_wilsons_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweeps: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, share in (("detoxify", 0.9), ("jailbreak_resist", 0.5), ("positive", 0.82)):
        saved("probes", name, {"behavior": {"name": name}}, {"probe/test_accuracy": alone(share, 100)})
    said = sweeps("paper", "table1", "probes").out
    assert "does not hold: A linear probe" in said
    # Wilson (1927): centre (p + z²/2n) / (1 + z²/n), half-width z/(1 + z²/n) · √(p(1-p)/n + z²/4n²).
    z, n = 1.959964, 100
    for name, share in (("detoxification", 0.9), ("jailbreak", 0.5), ("attitude", 0.82)):
        centre = (share + z**2 / 2 / n) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / 4 / n**2)
        interval = f"({centre - half - 0.8:+.3f} to {centre + half - 0.8:+.3f})"
        assert f"{name} {share:.3f} against 0.8: {share - 0.8:+.3f} {interval}" in said


def test_each_model_of_a_table_has_its_own_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweeps: Any) -> None:
    monkeypatch.chdir(tmp_path)
    name = "toxicity/toxic_rate"
    saved("table7", "a", {"model": {"name": "Mistral-7B-v0.1"}}, {name: changed(0.5, 0.1, -0.5, -0.3)})
    saved("table7", "b", {"model": {"name": "toyworld"}}, {name: changed(0.9, 0.95, 0.01, 0.1)})
    ran = sweeps("paper", "table7", "table7", "--csv", "rows.csv")
    assert ran.code == 0, ran.err
    rows = {row["row"]: row for row in csv.DictReader(Path("rows.csv").read_text().splitlines())}
    shares = {row: float(rows[row]["RTP"]) for row in rows if rows[row]["RTP"]}
    expected = {"Mistral-7B-v0.1": 50, "Mistral-7B-v0.1, surgery": 10, "toy world": 90, "toy world, surgery": 95}
    assert shares == pytest.approx(expected)
    assert "holds: Surgery reduces the toxicity of Mistral" in ran.out
    assert "does not hold: Surgery reduces the toxicity of the toy" in ran.out
    assert "can't tell: Surgery reduces the toxicity of CodeLLaMA" in ran.out


def test_the_second_surgery_is_held_against_base_and_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweeps: Any
) -> None:
    """Table 8: of 100 diaries and 100 dialogues the same ones change, so that intervals are paired."""
    monkeypatch.chdir(tmp_path)

    def shares(**counts: int) -> list[Measurement]:
        names = {"negative": "attitude/negative_rate", "toxic": "toxicity/toxic_rate"}
        return [
            Measurement(names[name], "report", IDS, np.array([1.0] * count + [0.0] * (100 - count)))
            for name, count in counts.items()
        ]

    base = shares(negative=60, toxic=50)
    for name, edited in (("detoxify", shares(negative=62, toxic=5)), ("negative", shares(negative=80, toxic=6))):
        folder = Path("outputs/runs/two") / name
        folder.mkdir(parents=True)
        write_samples(folder / SAMPLES, base, edited)
        (folder / CONFIG).write_text(yaml.safe_dump({"behavior": {"name": name}}))
        Record(name, "done", keys={"behavior": name}, metrics=metrics_of(base, edited, 0), protocol="p").save(folder)
    ran = sweeps("paper", "table8", "two")
    assert ran.code == 0, ran.err
    assert "non-toxic 0.620 against non-toxic + negative 0.800: -0.180" in ran.out
    assert "non-toxic + negative 0.800 against base 0.600: +0.200" in ran.out
    for claim in ("The first surgery reduces", "The second makes", "After both the model is still less"):
        assert f"\nholds: {claim}" in ran.out
    assert "can't tell: Both together cost" in ran.out


@pytest.mark.parametrize(
    ("low", "high", "word"), [(-0.02, 0.01, "holds"), (-0.05, 0.01, "can't tell"), (-0.09, -0.04, "does not hold")]
)
def test_that_little_changes_is_a_claim_about_the_whole_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweeps: Any, low: float, high: float, word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, interval in (("resist", (-0.01, 0.01)), ("surrender", (low, high))):
        metrics = {"lm_eval/average": changed(0.4, 0.4 + sum(interval) / 2, *interval)}
        saved("both", name, {"behavior": {"name": f"jailbreak_{name}"}}, metrics)
    assert f"\n{word}: General ability stays" in sweeps("paper", "table16", "both").out


def test_alphas_are_shares_of_the_behaviors_own_and_every_row_shows_what_its_model_said(
    made_sweep: Path, monkeypatch: pytest.MonkeyPatch, sweeps: Any
) -> None:
    monkeypatch.chdir(made_sweep.parents[2])
    for alpha, folder in ((-15, "c1-4"), (1.5, "c2-4"), (3, "c3-4")):
        config = {"alpha": alpha * 5 / 5.4, "behavior": {"preset": {"alpha": 3}}}
        (made_sweep / folder / CONFIG).write_text(yaml.safe_dump(config))
    ran = sweeps("paper", "table10", "made", "--csv", "rows.csv", "--latex", "rows.tex")
    assert ran.code == 0, ran.err
    rows = {row["row"]: row for row in csv.DictReader(Path("rows.csv").read_text().splitlines())}
    cells = {"alpha -5": "c1-4", "alpha 0.5": "c2-4", "alpha 1": "c3-4"}
    assert {row: found["cell"] for row, found in rows.items() if found["cell"]} == cells
    # The unedited model is toxic on every prompt, so the first is shown; what it and the edited said is hostile.
    assert rows["base"]["continuation"].startswith("base says 0")
    assert rows["alpha 1"]["continuation"].startswith("</script>")
    assert rows["alpha -3"]["continuation"] == ""
    assert "continuations of: </script>" in ran.out
    assert r"\{\{ 7*7 \}\}" in Path("rows.tex").read_text()


def test_the_sweep_of_table_10_has_the_papers_alphas_in_the_behaviors_unit(surgery: Any) -> None:
    ran = surgery("experiment=paper/table10", "dry_run=true")
    assert ran.code == 0, ran.err
    assert {"-13.888889", "-8.333333", "-2.777778", "1.388889", "2.777778"} <= set(re.findall(r"-?\d+\.\d+", ran.out))


@pytest.mark.parametrize("table", [*range(1, 14), 15, 16, 17])
def test_a_table_has_an_experiment_of_its_number(table: int) -> None:
    assert f"experiment=paper/table{table}" in PaperTable.load(f"table{table}").run
    assert composed(f"experiment=paper/table{table}")["sweep"].endswith(f"table{table}")


def test_the_tabular_has_a_line_a_row_and_nothing_unescaped(made: None, sweeps: Any) -> None:
    assert sweeps("paper", "table9", "made", "--latex", "rows.tex").code == 0
    text = Path("rows.tex").read_text()
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert body.count(r"\\") == len(PaperTable.load("table9").rows)
    assert len({line.count("&") for line in body.strip().splitlines()}) == 1
    assert "ours & 20.00 (5.17) & " in text
    assert not re.search(r"(?<!\\)[_#$]", text.split("\n", 1)[1])


def test_what_is_no_table_or_no_row_of_it_is_said_in_one_line(made: None, sweeps: Any) -> None:
    assert (
        "there are table1, table2, table3, table4, table5, table6, table7, table8, table9, table10, table11, table12"
        in sweeps("paper", "t", "made").err
    )
    assert "surgery experiment=paper/table11" in sweeps("paper", "table11", "made").err
    cell("c9", "ours", 20)
    assert "2 cells are the row 'ours'" in sweeps("paper", "table9", "made").err
    cell("d1", "ours", 20, sweep="mixed"), cell("d2", "random_probe", 20, sweep="mixed", protocol="q")
    for what in ("table9", "figure4"):
        assert "not all measured the same way" in sweeps("paper", what, "mixed").err
    ran = sweeps("paper", "table9", "mixed", "--protocol", "q")
    assert ran.code == 0, ran.err


def test_a_column_is_the_paper_protocols_row_and_not_one_of_its_tasks() -> None:
    column = Column("MMLU", "lm_eval/mmlu*", percent=True)
    tasks = ["lm_eval/mmlu_anatomy_generative/exact_match", "lm_eval/mmlu_virology_generative/exact_match"]

    def named(*names: str) -> str | None:
        found = column.of(made_metrics({name: {} for name in names}))
        return None if found is None else found.name

    assert named("lm_eval/mmlu", *tasks) == "lm_eval/mmlu"
    assert named(*tasks[:1]) == named(*tasks[:1], f"selection/{tasks[0]}") == tasks[0]
    assert named(*tasks) is None
