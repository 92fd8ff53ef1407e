"""The study's configs compose, and say what the study says."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from sweeps.config import resolvers

ROOT = Path(__file__).parents[2]
CONF = ROOT / "validation" / "conf"


@pytest.fixture(autouse=True)
def no_hydra_left_behind() -> None:
    GlobalHydra.instance().clear()


def composed(*overrides: str) -> DictConfig:
    resolvers.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", [f"hydra.searchpath=[file://{CONF}]", *overrides])


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("model", names("model"))
@pytest.mark.parametrize("behavior", names("behavior"))
def test_every_model_and_behavior_compose(model: str, behavior: str) -> None:
    config = composed(f"model={model}", f"behavior={behavior}")
    assert config.model.dtype == "float32"
    assert config.model.path.endswith(".gguf")
    assert config.alpha_unit == "unit"


@pytest.mark.parametrize("evaluation", names("evaluation"))
def test_what_is_chosen_on_and_what_is_told_are_never_the_same(evaluation: str) -> None:
    config = composed("model=gemma3-270m", "behavior=study_rtp", f"evaluation={evaluation}")
    measured = {name: one for name, one in config.evaluation.measurements.items() if one is not None}
    halves = {one.half for one in measured.values() if "half" in one}
    if evaluation in ("study_methods", "study_first_person"):
        # Prompts are halved by the framework; a price is of another text on each half.
        assert halves == {"selection", "report", None}
        texts = {measured[name].half: measured[name].texts for name in ("perplexity", "perplexity_selection")}
        assert texts["selection"] != texts["report"]
        return
    assert halves == ({"selection"} if evaluation == "study_search" else {"report"})
    if "continuations" in measured:
        assert measured["continuations"].prompts.endswith(f"prompts_{halves.pop()}.jsonl")


def test_variants_find_the_chosen_alpha_and_layer_in_the_behavior() -> None:
    given = ["model=gemma3-270m", "behavior=study_rtp", "behavior.preset.alpha=0.2", "behavior.preset.layer=17"]
    assert composed(*given, "variant=ours").alpha == 0.2
    assert composed(*given, "variant=highest_subtracted").alpha == -0.2
    assert composed(*given, "variant=layer_first").layer == "first"
    assert composed(*given, "variant=ours").layer == 17


def test_the_search_looks_at_the_selection_half_alone() -> None:
    config = composed("experiment=study_search")
    assert {one.half for one in config.evaluation.measurements.values()} == {"selection"}
    assert (config.evaluation.choose.minimize, config.evaluation.choose.where) == (
        "toxicity/toxic_rate",
        ["perplexity/wikitext2/ratio <= 1.1"],
    )
    assert (config.behavior.name, config.alpha_unit) == ("study_continuations", "unit")
