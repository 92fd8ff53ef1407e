"""`evaluation=safety` on the command line: what a table shows of it, and what is refused before a model is loaded."""

from pathlib import Path
from typing import Any

import pytest
from made_metrics import made_metrics

from sweeps.records.choice import Choice
from sweeps.results.headlines import headline_metrics, is_part_of_a_part, reported_metrics
from sweeps.results.trade_off import better, known_better

MEASURED = (
    "jailbreak/refusal_rate",
    "jailbreak/refusal_rate/harmbench",
    "jailbreak/refusal_rate/harmbench/illegal",
    "jailbreak/refusal_rate/prefill",
    "jailbreak/refusal_rate/prefill/harmbench",
    "guard/wildguard/unsafe_rate",
    "guard/wildguard/unsafe_rate/wrapped",
    "guard/wildguard/unsafe_rate/harmbench",
    "jailbreak/overrefusal_rate",
    "jailbreak/overrefusal_rate/xstest",
)


@pytest.fixture
def asked(arguments: list[str], tmp_path: Path) -> list[str]:
    names = ("ann", "bob", "cid", "dee")
    lines = [
        f"{a} said to {b} : is {c} {word}" for a in names for b in names for c in names[:1] for word in ("a", "and")
    ]
    (tmp_path / "MaliciousInstruct.txt").write_text("\n".join(lines))
    rows = [f"{i},{line},{'safe' if i % 4 else 'unsafe'},kind_{i % 3}" for i, line in enumerate(lines)]
    (tmp_path / "xstest_prompts.csv").write_text("\n".join(["id,prompt,label,type", *rows]))
    return [
        *[one for one in arguments if not one.startswith("evaluation.")],
        "evaluation=safety",
        f"evaluation.folder={tmp_path}",
        "evaluation.sets=malicious_instruct,xstest_unsafe,xstest",
        "evaluation.max_new_tokens=3",
        "evaluation.prefill=ann is",
        "evaluation.wrapper='bob said : {prompt} .'",
        "top_k=20",
    ]


@pytest.mark.slow
def test_a_cell_is_told_by_set_and_variant_and_counts_the_rest(
    surgery: Any, asked: list[str], results: Any, guard: Path, world: Any
) -> None:
    judged = [f"evaluation.judge={guard}", f"evaluation.judge_model={world.model}"]
    ran = surgery(*asked, *judged, "evaluation.harmless_prompts=xstest", "evaluation.divergence_tokens=2")
    assert ran.code == 0, ran.err
    [cell] = results().values()
    told = " ".join(ran.out.split())
    for name in ("", "/prefill", "/wrapped", "/malicious_instruct", "/xstest_unsafe"):
        assert f"jailbreak/refusal_rate{name} " in told
        refusals = cell["metrics"][f"jailbreak/refusal_rate{name}"]["n"]
        assert cell["metrics"][f"guard/polite/unsafe_rate{name}"]["n"] == refusals > 0
    assert {f"guard/polite/unparsed{name}" for name in ("", "/prefill", "/wrapped")} <= set(cell["metrics"])
    assert cell["metrics"]["jailbreak/overrefusal_rate/wrapped/xstest/kind_1"]["n"] > 0
    assert "xstest/kind_1 " not in told
    assert "parts of parts, such as a category of a set, in result.json" in told
    assert "divergence/kl" in told
    assert "without a chat template" in " ".join(ran.err.split())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            ["evaluation.sets=harmbench"],
            "on no hub; get harmbench_behaviors_text_test.csv at github.com/",
        ),
        (["evaluation.sets=or_bench_hard"], "or leave or_bench_hard out of evaluation.sets"),
        (["evaluation.max_new_tokens=64"], "max_new_tokens=64 leaves no room for a prompt: this model takes 64 tokens"),
    ],
)
def test_what_can_not_be_measured_is_one_line_before_a_model_is_loaded(
    surgery: Any, asked: list[str], monkeypatch: pytest.MonkeyPatch, given: list[str], sentence: str
) -> None:
    monkeypatch.setattr("sweeps.run.workbench.load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    ran = surgery(*asked, *given)
    assert ran.code == 1
    [line] = ran.err.splitlines()
    assert sentence in line


class Cell:
    def __init__(self, *names: str) -> None:
        self.metrics = made_metrics({name: {} for name in names})


def test_tables_show_each_variant_and_never_parts_of_parts() -> None:
    cell: Any = Cell(*MEASURED)
    assert headline_metrics([cell]) == [
        "guard/wildguard/unsafe_rate",
        "guard/wildguard/unsafe_rate/wrapped",
        "jailbreak/refusal_rate",
        "jailbreak/refusal_rate/prefill",
        "jailbreak/overrefusal_rate",
    ]
    hidden = {"jailbreak/refusal_rate/harmbench/illegal", "jailbreak/refusal_rate/prefill/harmbench"}
    assert {name for name in MEASURED if is_part_of_a_part(name, cell.metrics)} == hidden
    assert set(reported_metrics([cell])) == set(MEASURED) - hidden


def test_a_part_is_better_the_way_its_whole_is() -> None:
    lowest = Choice.parse({"minimize": "jailbreak/refusal_rate"})
    for name in ("jailbreak/refusal_rate", "jailbreak/refusal_rate/prefill", "selection/jailbreak/refusal_rate/a/b"):
        assert better(name, lowest) == known_better(name, lowest) == "minimize"
        assert known_better(name, None) is None
    assert known_better("jailbreak/refusal_rate_of_another", lowest) is None
    assert known_better("jailbreak/overrefusal_rate/xstest", None) == "minimize"
    assert known_better("guard/wildguard/unsafe_rate/wrapped", None) == "minimize"
