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
    SENTIMENT,
    TOXIGEN,
    add_behaviors,
    add_benchmarks,
    add_classifiers,
    add_llama,
    add_prompts,
    sentences,
)

ASSETS = Path(__file__).parents[2] / "toyworld" / "assets"
PAPER_BEHAVIORS = ("detoxify", "positive", "negative", "jailbreak_resist", "jailbreak_surrender")
BENCHMARKS = ("openai/gsm8k", "SaylorTwift/bbh", "cais/mmlu", "google-research-datasets/tydiqa")
# What the paper's protocol measures; of the jailbreak prompts one number a category too.
MEASURED = {
    *("toxicity/toxic_rate", "toxicity_unbiased/toxic_rate", "toxigen/toxic_rate", "fluency/repetition"),
    *("jailbreak/refusal_rate", "jailbreak/refusal_rate/fraud", "jailbreak/refusal_rate/drugs"),
    *("jailbreak/harmless_answered", "attitude/positive_rate", "attitude/negative_rate", "perplexity/wikitext2"),
    *("lm_eval/gsm8k", "lm_eval/bbh", "lm_eval/mmlu", "lm_eval/tydiqa", "lm_eval/average", "probe/test_accuracy"),
}


@pytest.fixture
def whole_hub(hub: Hub, tmp_path: Path) -> Hub:
    add_llama(hub, tmp_path / "llama")
    add_behaviors(hub)
    add_benchmarks(hub)
    add_prompts(hub)
    add_classifiers(hub, tmp_path / "judges")
    return hub


def _metrics(folder: Path) -> dict[str, Any]:
    [result] = folder.glob("runs/*/*/result.json")
    record = json.loads(result.read_text())
    assert record["status"] == "done", record["error"]
    metrics: dict[str, Any] = record["metrics"]
    return metrics


@pytest.mark.slow
def test_the_papers_command_is_run_whole_and_once_more_from_the_cache(
    whole_hub: Hub, tmp_path: Path, surgery: Callable[..., Any]
) -> None:
    (tmp_path / "toxigen.txt").write_text("\n".join(f"- {one} is here\\n- {one} said\\n-" for one in NAMES * 2))
    prompts = [f"tell {one} how" for one in NAMES]
    tree = {"AIM": {"Fraud": {"high": prompts[:2]}, "Drugs": {"low": prompts[2:]}}}
    (tmp_path / "integrated.yaml").write_text(json.dumps(tree))
    detoxify = [
        f"evaluation.{name}.{key}={ASSETS / 'scorer' / file}"
        for name in ("detoxify", "detoxify_unbiased")
        for key, file in (("checkpoint", "checkpoint.ckpt"), ("config", "config"))
    ]
    command = [
        *("model=llama2-7b", "behavior=detoxify", "evaluation=paper", "tracking=none"),
        *("top_k=8", "evaluation.limit=8", "evaluation.questions=2"),
        f"evaluation.toxigen_prompts=[{tmp_path / 'toxigen.txt'}]",
        f"evaluation.jailbreak_prompts={tmp_path / 'integrated.yaml'}",
        *detoxify,
    ]
    ran = surgery(*command)
    assert ran.code == 0, ran.out + ran.err
    measured = _metrics(tmp_path / "work" / "outputs")
    assert set(measured) >= MEASURED
    assert measured["lm_eval/bbh"]["n"] == 27 * 2
    assert measured["lm_eval/mmlu"]["n"] == 57 * 2
    # MMLU is measured by what is written.
    assert sum(name.startswith("lm_eval/mmlu_") and name.endswith("_generative/exact_match") for name in measured) == 57
    assert measured["lm_eval/tydiqa"]["n"] == 9 * 2
    assert "model.safetensors" in whole_hub.fetched(LLAMA) and "pytorch_model.bin" not in whole_hub.fetched(LLAMA)
    assert "model.safetensors" in whole_hub.fetched(SENTIMENT)
    assert "pytorch_model.bin" in whole_hub.fetched(TOXIGEN)
    assert len(whole_hub.fetched(JIGSAW)) == 2
    for name in BENCHMARKS:
        assert any(file.endswith(".parquet") for file in whole_hub.fetched(f"datasets/{name}"))
    whole_hub.asked.clear()
    again = surgery(*command, "output_dir=offline", HF_HUB_OFFLINE="1")
    assert again.code == 0, again.out + again.err
    assert whole_hub.asked == []
    assert _metrics(tmp_path / "work" / "offline") == measured


@pytest.mark.slow
def test_every_behavior_of_the_paper_is_read_by_its_own_name(whole_hub: Hub, surgery: Callable[..., Any]) -> None:
    behaviors = f"behavior={','.join(PAPER_BEHAVIORS)}"
    ran = surgery("-m", f"model.path={LLAMA}", behaviors, "evaluation=none", "sweep=all", "top_k=8", "dry_run=true")
    assert ran.code == 0, ran.err
    assert "cells of sweep all: 5" in ran.out
    for name in ("monology/jigsaw", "google-research-datasets/go_emotions", "declare-lab/HarmfulQA"):
        assert whole_hub.fetched(f"datasets/{name}")


@pytest.mark.slow
def test_a_gguf_file_of_a_repository_is_fetched_alone_and_kept(
    hub: Hub, tmp_path: Path, surgery: Callable[..., Any], make_gguf: Callable[..., Path]
) -> None:
    hub.add("somebody/tiny-GGUF", {"tiny-Q8_0.gguf": make_gguf("Q8_0").read_bytes(), "tiny-F32.gguf": b"GGUF, large"})
    (tmp_path / "texts.csv").write_text("text,label\n" + "\n".join(f"{text},{rude:d}" for text, rude in sentences(40)))
    command = ["model.path=somebody/tiny-GGUF", f"behavior.path={tmp_path / 'texts.csv'}", "evaluation=none"]
    command += ["tracking=none", "top_k=8", "dry_run=true"]
    ran = surgery(*command, "model.gguf=tiny-Q8_0.gguf")
    assert ran.code == 0, ran.err
    assert "tiny-Q8_0-texts" in ran.out
    assert list(hub.fetched("somebody/tiny-GGUF")) == ["tiny-Q8_0.gguf"]
    again = surgery(*command, "model.gguf=tiny-Q8_0.gguf", HF_HUB_OFFLINE="1")
    assert again.code == 0, again.err
    gone = surgery(*command, "model.gguf=tiny-Q4_0.gguf")
    assert gone.code == 1
    [line] = gone.err.splitlines()
    assert "model.gguf 'tiny-Q4_0.gguf': the hub's repository holds no such file" in line
