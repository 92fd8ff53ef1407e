"""The presets' own names against the hub: model, behaviors and benchmarks by the code that fetches the real ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub  # type: ignore[import-not-found]
from repositories import (  # type: ignore[import-not-found]
    JIGSAW,
    LLAMA,
    NAMES,
    add_behaviors,
    add_benchmarks,
    add_llama,
)

ASSETS = Path(__file__).parents[2] / "toyworld" / "assets"
PAPER_BEHAVIORS = ("detoxify", "positive", "negative", "jailbreak_resist", "jailbreak_surrender")
TASKS = ("gsm8k_cot", "bbh_cot_fewshot_navigate", "mmlu_abstract_algebra", "tydiqa_goldp_en", "wikitext")
BENCHMARKS = {
    "openai/gsm8k": "main/test",
    "SaylorTwift/bbh": "navigate/test",
    "cais/mmlu": "abstract_algebra/test",
    "google-research-datasets/tydiqa": "secondary_task/validation",
    "EleutherAI/wikitext_document_level": "wikitext-2-raw-v1/test",
}


@pytest.fixture
def whole_hub(hub: Hub, tmp_path: Path) -> Hub:
    add_llama(hub, tmp_path / "llama")
    add_behaviors(hub)
    add_benchmarks(hub)
    return hub


def _metrics(folder: Path) -> dict[str, Any]:
    [result] = folder.glob("runs/*/*/result.json")
    record = json.loads(result.read_text())
    assert record["status"] == "done", record["error"]
    metrics: dict[str, Any] = record["metrics"]
    return metrics


def test_one_cell_from_the_hub_is_run_whole_and_once_more_from_the_cache(
    whole_hub: Hub, tmp_path: Path, surgery: Callable[..., Any]
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(f"{one} said that {other} is" for one in NAMES for other in NAMES[:2]))
    command = [
        f"model.path={LLAMA}",
        "behavior=detoxify",
        "top_k=8",
        "tracking=none",
        f"evaluation.tasks=[{','.join(TASKS)}]",
        "evaluation.limit=2",
        f"evaluation.prompts={prompts}",
        f"evaluation.detoxify.checkpoint={ASSETS / 'scorer' / 'checkpoint.ckpt'}",
        f"evaluation.detoxify.config={ASSETS / 'scorer' / 'config'}",
    ]
    ran = surgery(*command)
    assert ran.code == 0, ran.out + ran.err
    measured = _metrics(tmp_path / "work" / "outputs")
    for task in TASKS:
        assert any(name.startswith(f"lm_eval/{task}/") for name in measured)
    assert {"lm_eval/average", "toxicity/toxic_rate", "probe/test_accuracy"} <= set(measured)
    assert "model.safetensors" in whole_hub.fetched(LLAMA) and "pytorch_model.bin" not in whole_hub.fetched(LLAMA)
    assert len(whole_hub.fetched(JIGSAW)) == 2
    for name, split in BENCHMARKS.items():
        assert f"{split}-00000-of-00001.parquet" in whole_hub.fetched(f"datasets/{name}")
    whole_hub.asked.clear()
    again = surgery(*command, "output_dir=offline", HF_HUB_OFFLINE="1")
    assert again.code == 0, again.out + again.err
    assert whole_hub.asked == []
    assert _metrics(tmp_path / "work" / "offline") == measured


def test_every_behavior_of_the_paper_is_read_by_its_own_name(whole_hub: Hub, surgery: Callable[..., Any]) -> None:
    behaviors = f"behavior={','.join(PAPER_BEHAVIORS)}"
    ran = surgery("-m", f"model.path={LLAMA}", behaviors, "evaluation=none", "sweep=all", "top_k=8", "dry_run=true")
    assert ran.code == 0, ran.err
    assert "5 cells" in ran.out
    for name in ("monology/jigsaw", "google-research-datasets/go_emotions", "declare-lab/HarmfulQA"):
        assert whole_hub.fetched(f"datasets/{name}")
